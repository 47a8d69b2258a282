//! A table for each kind of [`Record`]: JSON by id. What a feature needs that no index serves, and few at a time change.
//!
//! A kind more takes: a type that is a [`Record`], and its table in [`TABLES`]. It is read and changed with [`Store::read`],
//! [`Store::write`] and [`Store::submit`]; what runs inside one of them is one transaction.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata as _, Table, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::shared::{Joined, News, Touched, definition as table_of, joined};
use super::{Approval, Spent, Store, StoreError, Sum, Undo, tables, writer};

/// The tables of all kinds of records; a new file gets all of them, an old one those that it lacks.
const TABLES: &[&str] = &[Undo::TABLE, Approval::TABLE, Sum::TABLE, Spent::TABLE];

/// What can be written down and read again.
pub trait Form: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Form for T {}

/// One kind of record, with a table of its own. Texts in it are bounded by whoever makes it.
pub trait Record: Form {
    /// The table's name; it stands in `TABLES` too.
    const TABLE: &'static str;

    /// How two replicas' versions of one record become one: the same whichever comes first, however often, in whatever order
    /// (commutative, associative, idempotent). Without it each replica keeps its own. A shared kind has its line in `shared` too.
    const MERGE: Option<fn(Self, Self) -> Self> = None;

    /// What it is found by. Ids of version 7 stand in the order of time.
    fn id(&self) -> Uuid;
}

/// The table of one kind of record, inside a write transaction.
pub struct Records<'t, R> {
    place: &'t Arc<str>,
    touched: &'t Touched,
    table: Table<'t, u128, &'static [u8]>,
    kind: PhantomData<R>,
}

/// The table of one kind of record, at one moment.
pub struct Snapshot<'t, R> {
    place: &'t Arc<str>,
    table: ReadOnlyTable<u128, &'static [u8]>,
    kind: PhantomData<R>,
}

impl<R: Record> fmt::Debug for Records<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Records").field(&R::TABLE).finish()
    }
}

impl<R: Record> fmt::Debug for Snapshot<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Snapshot").field(&R::TABLE).finish()
    }
}

pub(super) fn prepare(txn: &WriteTransaction, place: &Arc<str>) -> Result<(), StoreError> {
    for name in TABLES {
        txn.open_table(table_of(name))
            .map_err(|error| StoreError::of(place, error))?;
    }
    Ok(())
}

impl<'t, R: Record> Records<'t, R> {
    pub(super) fn open(
        txn: &'t WriteTransaction,
        place: &'t Arc<str>,
        touched: &'t Touched,
    ) -> Result<Self, StoreError> {
        let table = txn
            .open_table(table_of(R::TABLE))
            .map_err(|error| StoreError::of(place, error))?;
        Ok(Self {
            place,
            touched,
            table,
            kind: PhantomData,
        })
    }

    /// One record.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&self, id: Uuid) -> Result<Option<R>, StoreError> {
        one(&self.table, self.place, id)
    }

    /// Writes a record, whatever was there.
    ///
    /// # Errors
    /// When it cannot be written: then nothing of the transaction is.
    pub fn put(&mut self, record: &R) -> Result<(), StoreError> {
        let json = serde_json::to_vec(record).map_err(|error| tables::unreadable(self.place, error))?;
        self.write(record.id().as_u128(), Some(&json), News::Own)
    }

    /// Writes or removes one, and takes down that it changed.
    fn write(&mut self, id: u128, json: Option<&[u8]>, news: News) -> Result<(), StoreError> {
        let old = match json {
            Some(json) => self.table.insert(id, json),
            None => self.table.remove(id),
        };
        let old = old.map_err(|error| StoreError::of(self.place, error))?;
        if R::MERGE.is_some() && (old.is_some() || json.is_some()) {
            let old = old.as_ref().map(redb::AccessGuard::value);
            self.touched.note(R::TABLE, id, old, json, news);
        }
        Ok(())
    }

    /// Merges another replica's version of a record with what is here.
    pub(super) fn join(&mut self, id: u128, foreign: &[u8]) -> Result<(), StoreError> {
        let Some(merge) = R::MERGE else { return Ok(()) };
        let found = self.table.get(id).map_err(|error| StoreError::of(self.place, error))?;
        let here = found.map(|found| found.value().to_vec());
        let Joined { store, news } =
            joined(here.as_deref(), foreign, merge).map_err(|error| tables::unreadable(self.place, error))?;
        match (store, news) {
            (Some(json), news) => self.write(id, Some(&json), news),
            (None, News::Merged(_)) => {
                self.touched.note(R::TABLE, id, here.as_deref(), here.as_deref(), news);
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// Forgets a record because other replicas have.
    pub(super) fn forget(&mut self, id: u128) -> Result<(), StoreError> {
        self.write(id, None, News::None)
    }

    /// Forgets one record; tells whether there was one.
    ///
    /// # Errors
    /// As for [`Records::put`].
    pub fn remove(&mut self, id: Uuid) -> Result<bool, StoreError> {
        let known = self.has(id)?;
        if known {
            self.write(id.as_u128(), None, News::Own)?;
        }
        Ok(known)
    }

    fn has(&self, id: Uuid) -> Result<bool, StoreError> {
        let found = self.table.get(id.as_u128());
        Ok(found.map_err(|error| StoreError::of(self.place, error))?.is_some())
    }

    /// Makes room for one more among `most`: takes out those with the lowest ids, and answers them.
    ///
    /// # Errors
    /// As for [`Records::put`].
    pub fn make_room(&mut self, most: usize) -> Result<Vec<R>, StoreError> {
        let mut gone = Vec::new();
        while self.len()? >= most.max(1) as u64 {
            let Some(first) = self.oldest_first().next().transpose()? else {
                break;
            };
            self.remove(first.id())?;
            gone.push(first);
        }
        Ok(gone)
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn len(&self) -> Result<u64, StoreError> {
        self.table.len().map_err(|error| StoreError::of(self.place, error))
    }

    /// How many have ids in a range.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count(&self, ids: impl RangeBounds<u128>) -> Result<u64, StoreError> {
        let range = self
            .table
            .range(ids)
            .map_err(|error| StoreError::of(self.place, error))?;
        Ok(range.count() as u64)
    }

    /// Whether there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len()? == 0)
    }

    /// All of them, by their ids.
    pub fn oldest_first(&self) -> impl Iterator<Item = Result<R, StoreError>> {
        all(&self.table, self.place, ..)
    }
}

impl<'t, R: Record> Snapshot<'t, R> {
    pub(super) fn open(txn: &ReadTransaction, place: &'t Arc<str>) -> Result<Self, StoreError> {
        let table = txn
            .open_table(table_of(R::TABLE))
            .map_err(|error| StoreError::of(place, error))?;
        Ok(Self {
            place,
            table,
            kind: PhantomData,
        })
    }

    /// One record.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&self, id: Uuid) -> Result<Option<R>, StoreError> {
        one(&self.table, self.place, id)
    }

    /// Those with ids in a range, by their ids; from either end.
    pub fn range(&self, ids: impl RangeBounds<u128>) -> impl DoubleEndedIterator<Item = Result<R, StoreError>> {
        all(&self.table, self.place, ids)
    }

    /// All of them, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = Result<R, StoreError>> {
        self.range(..).rev()
    }
}

fn one<R: Record>(
    table: &impl ReadableTable<u128, &'static [u8]>,
    place: &Arc<str>,
    id: Uuid,
) -> Result<Option<R>, StoreError> {
    let found = table.get(id.as_u128()).map_err(|error| StoreError::of(place, error))?;
    found.map(|found| decode(place, found.value())).transpose()
}

fn all<R: Record>(
    table: &impl ReadableTable<u128, &'static [u8]>,
    place: &Arc<str>,
    ids: impl RangeBounds<u128>,
) -> impl DoubleEndedIterator<Item = Result<R, StoreError>> {
    let (range, failed) = match table.range(ids) {
        Ok(range) => (Some(range), None),
        Err(error) => (None, Some(Err(StoreError::of(place, error)))),
    };
    let records = range.into_iter().flatten().map(|entry| {
        let (_, json) = entry.map_err(|error| StoreError::of(place, error))?;
        decode(place, json.value())
    });
    failed.into_iter().chain(records)
}

fn decode<R: Record>(place: &Arc<str>, json: &[u8]) -> Result<R, StoreError> {
    serde_json::from_slice(json).map_err(|error| tables::unreadable(place, error))
}

impl Store {
    /// Changes the table of one kind of record; resolves once that is on disk. The change happens even if the caller stops waiting.
    ///
    /// # Errors
    /// When it could not be written: nothing has changed then, or, if the disk failed in the commit itself, perhaps all of it.
    pub async fn write<R: Record, T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Records<'_, R>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        // Whoever stopped waiting does not want to know.
        let job = writer::job(
            |tables| work(&mut tables.records()?),
            move |result| drop(answer.send(result)),
        );
        self.writer().send(job).await?;
        answered.await.map_err(|_| StoreError::Gone)?
    }

    /// The same without waiting: for data threads. `done` is called exactly once, on the writer's thread after the commit, or at once
    /// if too many writes are waiting already ([`StoreError::Busy`]: the change is lost then).
    pub fn submit<R: Record, T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Records<'_, R>) -> Result<T, StoreError> + Send + 'static,
        done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        self.writer()
            .submit(writer::job(|tables| work(&mut tables.records()?), done));
    }

    /// Reads the table of one kind of record, on the blocking pool.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn read<R: Record, T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot<'_, R>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer().read(|reader| read(&reader.snapshot()?)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Note(Uuid, u32);

    impl Record for Note {
        const TABLE: &'static str = "notes";
        fn id(&self) -> Uuid {
            self.0
        }
    }

    async fn add(store: &Store, note: &Note, most: usize) -> Result<Vec<Note>, StoreError> {
        let note = note.clone();
        store
            .write(move |notes: &mut Records<'_, Note>| {
                let gone = notes.make_room(most)?;
                notes.put(&note)?;
                Ok(gone)
            })
            .await
    }

    async fn numbers(store: &Store) -> Vec<u32> {
        store
            .read(|notes: &Snapshot<'_, Note>| notes.newest_first().map(|note| Ok(note?.1)).collect())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn records_are_kept_in_order_and_the_oldest_make_room() {
        let store = Store::memory().unwrap();
        let notes: Vec<_> = (0..5).map(|number| Note(Uuid::now_v7(), number)).collect();
        for (number, note) in notes.iter().enumerate() {
            let gone = add(&store, note, 3).await.unwrap();
            assert_eq!(
                gone,
                number
                    .checked_sub(3)
                    .map(|gone| notes[gone].clone())
                    .into_iter()
                    .collect::<Vec<_>>()
            );
        }
        assert_eq!(numbers(&store).await, [4, 3, 2]);
        let id = notes[3].0;
        let changed = move |notes: &mut Records<'_, Note>| {
            let old = notes.get(id)?.unwrap();
            notes.put(&Note(id, old.1 + 10))?;
            notes.remove(Uuid::nil())
        };
        assert!(!store.write(changed).await.unwrap());
        assert_eq!(numbers(&store).await, [4, 13, 2]);
        let found = store.read(move |notes: &Snapshot<'_, Note>| notes.get(id)).await;
        assert_eq!(found.unwrap(), Some(Note(id, 13)));
    }

    #[tokio::test]
    async fn a_change_that_fails_changes_nothing_and_says_so() {
        let (store, full) = Store::with_a_disk();
        add(&store, &Note(Uuid::now_v7(), 1), 9).await.unwrap();
        full.store(true, Ordering::Relaxed);
        let failed = add(&store, &Note(Uuid::now_v7(), 2), 9).await;
        assert!(matches!(failed, Err(StoreError::Full { .. })), "{failed:?}");
        full.store(false, Ordering::Relaxed);
        add(&store, &Note(Uuid::now_v7(), 3), 9).await.unwrap();
        let kept = numbers(&store).await;
        // With its disk the memory is gone too: what was opened anew is empty but for the last.
        assert!(!kept.contains(&2) && kept.first() == Some(&3), "{kept:?}");
    }

    #[tokio::test]
    async fn a_change_that_nobody_waits_for_is_told_once() {
        let store = Store::memory().unwrap();
        let (told, hears) = oneshot::channel();
        let note = Note(Uuid::now_v7(), 7);
        store.submit(
            move |notes: &mut Records<'_, Note>| notes.put(&note),
            |done| told.send(done).unwrap(),
        );
        hears.await.unwrap().unwrap();
        assert_eq!(numbers(&store).await, [7]);
    }
}
