//! What must survive a restart. One file with one owner, or memory for trials.
//!
//! The records of multipart uploads have indices of their own (`tables`); every other kind of record has a plain table ([`Record`] in
//! `table`, whose head says what one more takes).
//!
//! The store knows how to keep records and find them again; what a record means is its feature's business. Every change runs inside the
//! writer's transaction, so two steps on one record never lose each other's work, and changes that wait together share one commit.
//!
//! Where there are other replicas, records of a kind with a [`Record::MERGE`] are shared with them (`shared`; the way there is `crate::replicas`):
//! nothing more is to be done for it. A write then resolves when the others can see it too, or after a moment.

mod approval;
mod error;
#[cfg(test)]
mod fake;
mod file;
mod merge;
mod seal;
mod shared;
mod spent;
mod sum;
mod table;
mod tables;
mod timestamp;
mod undo;
mod upload;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use crate::config::StoreConfig;
use crate::config::types::Secret;

pub use approval::{Approval, ApprovalState};
pub use error::StoreError;
pub use seal::Unsealable;
pub use shared::{Commit, Foreign, News, SHARDS, Sums, Touch, Version, add, shard};
pub use spent::Spent;
pub use sum::Sum;
pub use table::{Form, Record, Records, Snapshot};
pub use tables::{Counts, Filter, Stats};
pub use timestamp::Timestamp;
pub use undo::{Head, Outcome, Pin, Undo};
pub use upload::{Kind, Orphan, Reap, ReapEnd, State, Told, Upload, UploadIntent, clip};

use file::Opener;
use seal::Sealer;
use writer::Writer;

/// Where records are kept; cheap to clone.
#[derive(Debug, Clone)]
pub enum Store {
    /// Gone with the process.
    Memory(Embedded),
    /// One file, owned by this process.
    Embedded(Embedded),
}

/// The embedded database and its writer thread, and the key to what is sealed in it.
#[derive(Debug, Clone)]
pub struct Embedded(Arc<Writer>, Arc<Sealer>);

/// Which record a change is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The record's own id.
    Id(Uuid),
    /// An upload as lakeFS's clients name it.
    Name {
        /// lakeFS's upload id.
        upload_id: String,
        /// Its repository.
        repository: String,
        /// Its branch.
        branch: String,
    },
}

/// Makes the new record of the old one; `None` leaves things as they are. It may run again where a commit has to be repeated.
pub type Change = Box<dyn Fn(Option<Upload>) -> Option<Upload> + Send>;

impl Store {
    /// Opens the configured store, and makes its file if there is none. Blocks: for start-up only.
    ///
    /// # Errors
    /// With the file's name and what to do, if it is in use, damaged, newer than this program, or cannot be opened.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        match config {
            StoreConfig::Memory => Ok(Self::memory()?),
            StoreConfig::Embedded(embedded) => {
                let opener = Opener::file(&embedded.path);
                let place = Arc::clone(&opener.place);
                // The store first: what is wrong with its folder is said of the store, and only its owner makes a key.
                let writer = Writer::start(opener)?;
                let sealer = match &embedded.sealing_key {
                    Some(key) => Sealer::configured(key),
                    None => Sealer::beside(&embedded.path),
                };
                Ok(Self::Embedded(Embedded::new(writer, sealer, place)?))
            }
        }
    }

    /// An empty store in memory.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn memory() -> Result<Self, StoreError> {
        Ok(Self::Memory(Embedded::open(Opener::memory())?))
    }

    fn writer(&self) -> &Writer {
        let (Self::Memory(embedded) | Self::Embedded(embedded)) = self;
        &embedded.0
    }

    fn sealer(&self) -> &Sealer {
        let (Self::Memory(embedded) | Self::Embedded(embedded)) = self;
        &embedded.1
    }

    /// Seals `text`, so that a record may hold it, for `owner` alone; `None` if the library cannot.
    pub fn seal(&self, owner: &str, text: &str) -> Option<String> {
        self.sealer().seal(owner, text)
    }

    /// Tells the sealing key from others: replicas must have the same.
    pub fn sealing_fingerprint(&self) -> &str {
        &self.sealer().fingerprint
    }

    /// What was sealed for `owner`.
    ///
    /// # Errors
    /// When it was sealed with another key or for somebody else.
    pub fn unseal(&self, owner: &str, sealed: &str) -> Result<Secret, Unsealable> {
        self.sealer().unseal(owner, sealed)
    }

    /// Sets the most records of uploads that are kept: a new one beyond them costs the oldest, finished ones first.
    pub fn bound_uploads(&self, max: usize) {
        self.writer().max_uploads.store(max.max(1), Ordering::Relaxed);
    }

    /// Changes one record; resolves once that is on disk, with the record as it is now.
    ///
    /// The change happens even if the caller stops waiting.
    ///
    /// # Errors
    /// When it could not be written: nothing has changed then, or, if the disk failed in the commit itself, perhaps all of it.
    pub async fn update_upload(&self, key: Key, change: Change) -> Result<Option<Upload>, StoreError> {
        self.ask(move |tables| tables.change(&key, &change)).await
    }

    /// Changes one record without waiting: for data threads. `done` is called exactly once, on the writer's thread after the commit,
    /// or at once if too many writes are waiting already ([`StoreError::Busy`]: the change is lost then).
    pub fn submit_upload(
        &self,
        key: Key,
        change: Change,
        done: impl FnOnce(Result<Option<Upload>, StoreError>) + Send + 'static,
    ) {
        self.writer()
            .submit(writer::job(move |tables| tables.change(&key, &change), done));
    }

    /// Writes one record, whatever was there.
    ///
    /// # Errors
    /// As for [`Store::update_upload`].
    pub async fn put_upload(&self, upload: Upload) -> Result<(), StoreError> {
        self.ask(move |tables| tables.put(None, upload)).await.map(drop)
    }

    /// Forgets one record; tells whether there was one.
    ///
    /// # Errors
    /// As for [`Store::update_upload`].
    pub async fn delete_upload(&self, id: Uuid) -> Result<bool, StoreError> {
        self.ask(move |tables| tables.remove(id.as_u128())).await
    }

    /// Forgets at most `most` records that are finished and were last touched before `before`; tells how many.
    ///
    /// # Errors
    /// As for [`Store::update_upload`].
    pub async fn expire_uploads(&self, before: Timestamp, most: usize) -> Result<usize, StoreError> {
        self.ask(move |tables| tables.expire(before, most)).await
    }

    /// One record, by its own id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn upload(&self, id: Uuid) -> Result<Option<Upload>, StoreError> {
        self.writer().read(move |reader| reader.by_id(id.as_u128())).await
    }

    /// The records with lakeFS's upload id, which no standard makes unique across repositories.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn uploads_by_upload_id(&self, upload_id: String) -> Result<Vec<Upload>, StoreError> {
        self.writer().read(move |reader| reader.by_upload_id(&upload_id)).await
    }

    /// At most `limit` records that pass `filter`, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn uploads(&self, filter: Filter, limit: usize) -> Result<Vec<Upload>, StoreError> {
        self.writer().read(move |reader| reader.scan(&filter, limit)).await
    }

    /// Sums over all records that pass `filter`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn upload_stats(&self, filter: Filter) -> Result<Stats, StoreError> {
        self.writer().read(move |reader| reader.stats(&filter)).await
    }

    /// How many records there are in each state, now and after every commit.
    pub fn counts(&self) -> watch::Receiver<Counts> {
        self.writer().counts()
    }

    /// Resolves once all that was asked before is on disk: for the end of a drain.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.ask(|_| Ok(())).await
    }

    /// Whether the store can keep its promise: what the last write met; after a failure, a trial write.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn check(&self) -> Result<(), StoreError> {
        if self.writer().failing() {
            self.flush().await
        } else {
            Ok(())
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut tables::Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        // Whoever stopped waiting does not want to know.
        let job = writer::job(work, move |result| drop(answer.send(result)));
        self.writer().send(job).await?;
        answered.await.map_err(|_| StoreError::Gone)?
    }
}

impl Embedded {
    /// With a key that ends with the process.
    fn open(opener: Opener) -> Result<Self, StoreError> {
        let place = Arc::clone(&opener.place);
        Self::new(Writer::start(opener)?, Sealer::fresh(), place)
    }

    fn new(writer: Writer, sealer: std::io::Result<Sealer>, place: Arc<str>) -> Result<Self, StoreError> {
        let sealer = sealer.map_err(|error| StoreError::SealingKey {
            place,
            source: Arc::new(error),
        })?;
        Ok(Self(Arc::new(writer), Arc::new(sealer)))
    }
}
