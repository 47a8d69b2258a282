//! Opens the database: its file, its lock, its schema.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, ReadableDatabase as _};

use super::StoreError;
use super::tables::{self, Counts, Reader};

/// Memory the database may use for pages it has read.
const CACHE: usize = 32 << 20;

type Create = dyn Fn(&Builder, &Arc<str>) -> Result<Database, StoreError> + Send + Sync;

/// Opens the database, now and again after the disk has failed.
pub(super) struct Opener {
    /// What the store is called in messages.
    pub(super) place: Arc<str>,
    create: Box<Create>,
}

impl Opener {
    pub(super) fn file(path: &Path) -> Self {
        let path = path.to_owned();
        Self::new(path.display().to_string(), move |builder, place| {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(|error| StoreError::opening(place, &path, error))?;
            // A new file's name must survive a power cut too.
            sync_folder(&path).map_err(|error| StoreError::opening(place, &path, error))?;
            FileBackend::new(file)
                .and_then(|backend| builder.create_with_backend(backend))
                .map_err(|error| StoreError::of(place, error))
        })
    }

    pub(super) fn memory() -> Self {
        Self::new("in memory".into(), |builder, place| {
            builder
                .create_with_backend(InMemoryBackend::new())
                .map_err(|error| StoreError::of(place, error))
        })
    }

    pub(super) fn new(
        place: String,
        create: impl Fn(&Builder, &Arc<str>) -> Result<Database, StoreError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            place: place.into(),
            create: Box::new(create),
        }
    }

    /// Opens it, sees that it is sound and of a known schema, and counts what is in it.
    pub(super) fn open(&self) -> Result<(Database, Counts), StoreError> {
        let place = &self.place;
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = (self.create)(&builder, place)?;
        let txn = database.begin_write().map_err(|error| StoreError::of(place, error))?;
        tables::prepare(&txn, place)?;
        txn.commit().map_err(|error| StoreError::of(place, error))?;
        let read = database.begin_read().map_err(|error| StoreError::of(place, error))?;
        let counts = Reader::open(&read, place)?.count()?;
        Ok((database, counts))
    }
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Opener").field(&self.place).finish()
    }
}
