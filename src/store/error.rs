//! What can be wrong with the store, each with what to do about it.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use redb::StorageError;

/// Why the store cannot be opened, read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file.
    #[error(
        "the store {place} is in use by another process: stop the other lakegate, or give this one a file of its own (store.embedded.path)"
    )]
    Locked {
        /// The file.
        place: Arc<str>,
    },
    /// The file is no store, or its bytes are not what was written.
    #[error(
        "the store {place} is damaged or was not written by lakegate: restore a copy, or move it away to start with an empty ledger"
    )]
    Damaged {
        /// The file.
        place: Arc<str>,
        /// What was found.
        #[source]
        source: Arc<redb::Error>,
    },
    /// A newer lakegate wrote the file.
    #[error(
        "the store {place} has schema {found} and this lakegate knows only {known}: run the newer version, or name another file (store.embedded.path)"
    )]
    Newer {
        /// The file.
        place: Arc<str>,
        /// The file's schema.
        found: u64,
        /// The newest one known here.
        known: u64,
    },
    /// The file's folder does not exist.
    #[error("the folder of the store {place} does not exist: make it, or name another file (store.embedded.path)")]
    NoFolder {
        /// The file.
        place: Arc<str>,
    },
    /// The file may not be opened.
    #[error("the store {place} may not be read and written by this user: change its owner or mode")]
    Forbidden {
        /// The file.
        place: Arc<str>,
    },
    /// The key that signed addresses are sealed with cannot be had.
    #[error(
        "the sealing key beside the store {place} cannot be read or made: restore it, or move it away to have a new one made"
    )]
    SealingKey {
        /// The store's file.
        place: Arc<str>,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// No space is left.
    #[error("no space is left for the store {place}: free some, the next write tries again")]
    Full {
        /// The file.
        place: Arc<str>,
    },
    /// The disk failed.
    #[error("the store {place} cannot be read or written")]
    Failed {
        /// The file.
        place: Arc<str>,
        /// How.
        #[source]
        source: Arc<redb::Error>,
    },
    /// A record is not in a form this program knows.
    #[error("a record of the store {place} cannot be read")]
    Record {
        /// The file.
        place: Arc<str>,
        /// How.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// Too many writes wait already.
    #[error("too many writes of the store are waiting: the disk does not keep up")]
    Busy,
    /// The writer is no more.
    #[error("the store has stopped")]
    Gone,
}

impl StoreError {
    /// What an error of redb means for `place`.
    pub(super) fn of(place: &Arc<str>, error: impl Into<redb::Error>) -> Self {
        let (place, error) = (Arc::clone(place), error.into());
        match &error {
            redb::Error::DatabaseAlreadyOpen => Self::Locked { place },
            redb::Error::Io(io) if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                Self::Full { place }
            }
            // `InvalidData` is redb's word for a file that does not begin as its own, `UnexpectedEof` for one cut short.
            redb::Error::Io(io) if matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
                Self::damaged(place, error)
            }
            redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_) => Self::damaged(place, error),
            _ => Self::Failed {
                place,
                source: Arc::new(error),
            },
        }
    }

    /// What a failure to open the file at `path` means.
    pub(super) fn opening(place: &Arc<str>, path: &Path, error: io::Error) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        match error.kind() {
            ErrorKind::NotFound if folder.is_some_and(|folder| !folder.is_dir()) => Self::NoFolder {
                place: Arc::clone(place),
            },
            ErrorKind::PermissionDenied => Self::Forbidden {
                place: Arc::clone(place),
            },
            _ => Self::of(place, redb::Error::Io(error)),
        }
    }

    /// Whether the file must be opened anew before it can be written again.
    pub(super) fn is_of_the_disk(&self) -> bool {
        !matches!(self, Self::Record { .. } | Self::Busy)
    }

    /// redb met bytes that it did not write, and panicked.
    pub(super) fn panicked(place: &Arc<str>) -> Self {
        let found = StorageError::Corrupted("the database library panicked over it".into());
        Self::damaged(Arc::clone(place), found.into())
    }

    fn damaged(place: Arc<str>, source: redb::Error) -> Self {
        Self::Damaged {
            place,
            source: Arc::new(source),
        }
    }
}
