//! What replicas share of the store: each change that a commit made of a shared kind of record, and the way in for the changes of others.
//!
//! A kind is shared if it has a [`Record::MERGE`]. Every replica holds all shared records in its own store and answers from it. Two
//! replicas' versions of one record are merged, wherever they meet, so the order in which changes arrive does not matter. A removal is
//! only ever the tidying of what anybody would tidy; what all must keep to is a state of the record (revoked, ended), never its absence.
//!
//! A version is the beginning of the SHA-256 of a record's JSON. For each kind, the versions of a shard (the low bits of the id) are
//! summed up by exclusive or: two stores with the same sums hold the same records.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use redb::TableDefinition;
use tokio::sync::mpsc;
use tracing::warn;
use uuid::Uuid;

use super::table::Record;
use super::tables::{Reader, Tables};
use super::{Approval, Spent, Store, StoreError, Undo, Upload};

/// How many shards the records of a kind are summed up in.
pub const SHARDS: usize = 64;

/// The version of a record: the first 8 bytes of the SHA-256 of its JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(pub u64);

impl Version {
    /// That of a record's JSON.
    pub fn of(json: &[u8]) -> Self {
        let digest = digest(&SHA256, json);
        let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The shard of a record.
pub fn shard(id: Uuid) -> usize {
    // A remainder of 64 fits.
    (id.as_u128() % SHARDS as u128) as usize
}

/// For each kind the sum of each shard.
pub type Sums = BTreeMap<&'static str, [u64; SHARDS]>;

/// One record as others hold it: its JSON, or that it is gone.
#[derive(Debug, Clone)]
pub struct Foreign {
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: Uuid,
    /// Its JSON; nothing if it was removed.
    pub json: Option<Vec<u8>>,
}

/// Whether others must hear of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// They know it.
    None,
    /// Made here. Nothing is known of what they have but what this store had.
    Own,
    /// They have this version, and what was made of it here is more.
    Merged(Version),
}

/// One change of one shared record.
#[derive(Debug, Clone)]
pub struct Touch {
    /// Its kind.
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
    /// Its version before.
    pub before: Option<Version>,
    /// What it is now; nothing if it is gone.
    pub now: Option<(Version, Arc<[u8]>)>,
    /// Whether others must hear of it.
    pub news: News,
}

/// The changes of one commit, and whoever waits until others have heard of them.
pub struct Commit {
    /// In their order.
    pub touches: Vec<Touch>,
    /// To be called once others have heard, or cannot.
    pub told: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Commit").field(&self.touches).finish()
    }
}

/// Takes the changes of a transaction down.
#[derive(Debug)]
pub(super) struct Touched {
    /// Whether anybody wants to know.
    pub(super) wanted: bool,
    pub(super) touches: RefCell<Vec<Touch>>,
}

impl Touched {
    pub(super) fn note(&self, kind: &'static str, id: u128, before: Option<&[u8]>, now: Option<&[u8]>, news: News) {
        if self.wanted {
            self.touches.borrow_mut().push(Touch {
                kind,
                id: Uuid::from_u128(id),
                before: before.map(Version::of),
                now: now.map(|json| (Version::of(json), json.into())),
                news,
            });
        }
    }

    /// Whether there is news of this store's own among the changes since the first `known`.
    pub(super) fn news_since(&self, known: usize) -> bool {
        let touches = self.touches.borrow();
        touches.iter().skip(known).any(|touch| touch.news == News::Own)
    }
}

/// Merges one foreign record into its table.
type Join = fn(&mut Tables<'_>, u128, &[u8]) -> Result<(), StoreError>;
/// Removes one record because others have.
type Forget = fn(&mut Tables<'_>, u128) -> Result<(), StoreError>;

/// A shared kind: its table, and how foreign records come in.
struct Kind {
    name: &'static str,
    join: Join,
    forget: Forget,
}

/// All shared kinds. A kind more takes its line here, and a [`Record::MERGE`].
const KINDS: &[Kind] = &[
    Kind {
        name: Upload::TABLE,
        join: |tables, id, json| tables.join_upload(id, json),
        forget: |tables, id| tables.forget_upload(id),
    },
    Kind::of::<Undo>(),
    Kind::of::<Approval>(),
    Kind::of::<Spent>(),
];

impl Kind {
    const fn of<R: Record>() -> Self {
        Self {
            name: R::TABLE,
            join: |tables, id, json| tables.records::<R>()?.join(id, json),
            forget: |tables, id| tables.records::<R>()?.forget(id),
        }
    }

    fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }
}

/// What becomes of a record where a foreign version of it arrives. Pure.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Joined {
    /// What to store, if that is not there already.
    pub(super) store: Option<Vec<u8>>,
    pub(super) news: News,
}

/// Joins a foreign version with the one that is here. Both are JSON; what this program does not know of the foreign one is kept, as long
/// as the rest of it says all.
pub(super) fn joined<R: super::table::Form>(
    here: Option<&[u8]>,
    foreign: &[u8],
    merge: fn(R, R) -> R,
) -> Result<Joined, serde_json::Error> {
    let plain = |json: &[u8]| serde_json::to_vec(&serde_json::from_slice::<R>(json)?);
    let known = plain(foreign)?;
    let Some(here) = here else {
        return Ok(Joined {
            store: Some(foreign.to_vec()),
            news: News::None,
        });
    };
    if here == foreign {
        return Ok(Joined {
            store: None,
            news: News::None,
        });
    }
    let merged = merge(serde_json::from_slice(here)?, serde_json::from_slice(foreign)?);
    let merged = serde_json::to_vec(&merged)?;
    if merged == known {
        return Ok(Joined {
            store: Some(foreign.to_vec()),
            news: News::None,
        });
    }
    let nothing_new = merged == plain(here)?;
    Ok(Joined {
        store: (!nothing_new).then_some(merged),
        news: News::Merged(Version::of(foreign)),
    })
}

impl Tables<'_> {
    /// The sums of all shared kinds, counted record by record.
    fn sums(&self) -> Result<Sums, StoreError> {
        let mut sums = Sums::new();
        for kind in KINDS {
            let sum = sums.entry(kind.name).or_insert([0; SHARDS]);
            self.each(kind.name, |id, json| add(sum, Uuid::from_u128(id), Version::of(json)))?;
        }
        Ok(sums)
    }

    fn take_in(&mut self, foreign: &[Foreign]) -> Result<(), StoreError> {
        for Foreign { kind, id, json } in foreign {
            // A newer lakegate's kind: this one has no use for it.
            let Some(kind) = Kind::named(kind) else { continue };
            let taken = match json {
                Some(json) => (kind.join)(self, id.as_u128(), json),
                None => (kind.forget)(self, id.as_u128()),
            };
            match taken {
                Err(StoreError::Record { source, .. }) => {
                    warn!(
                        target: "lakegate::replicas", kind = kind.name, record = %id, error = %source,
                        "a record of another replica cannot be read here: is that one a newer lakegate?"
                    );
                }
                other => other?,
            }
        }
        Ok(())
    }
}

/// Adds a version to the sum of its record's shard, or takes it out again.
pub fn add(sums: &mut [u64; SHARDS], id: Uuid, version: Version) {
    if let Some(sum) = sums.get_mut(shard(id)) {
        *sum ^= version.0;
    }
}

impl Reader<'_> {
    fn versions(&self, kind: &'static str, shards: &[bool; SHARDS]) -> Result<Vec<(Uuid, Version)>, StoreError> {
        let mut versions = Vec::new();
        self.each(kind, |id, json| {
            let id = Uuid::from_u128(id);
            if shards.get(shard(id)).is_some_and(|wanted| *wanted) {
                versions.push((id, Version::of(json)));
            }
        })?;
        Ok(versions)
    }
}

impl Store {
    /// From now on tells of every change of shared records, in the order of commits, and answers what there was before. Once.
    ///
    /// Whoever waits for such a change is answered by whoever gets the [`Commit`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn share(&self) -> Result<(mpsc::UnboundedReceiver<Commit>, Sums), StoreError> {
        let feed = self.writer().feed();
        let sums = self.ask(|tables| tables.sums()).await?;
        Ok((feed, sums))
    }

    /// Takes records of other replicas in: merges each with what is here.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn take_in(&self, foreign: Vec<Foreign>) -> Result<(), StoreError> {
        self.ask(move |tables| tables.take_in(&foreign)).await
    }

    /// The versions of all records of a kind in some shards. Reads the whole kind, on the blocking pool.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn versions(
        &self,
        kind: &'static str,
        shards: [bool; SHARDS],
    ) -> Result<Vec<(Uuid, Version)>, StoreError> {
        self.writer().read(move |reader| reader.versions(kind, &shards)).await
    }

    /// Some records of a kind as JSON; those that are gone are missing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn raw(&self, kind: &'static str, ids: Vec<Uuid>) -> Result<Vec<(Uuid, Vec<u8>)>, StoreError> {
        let read = move |reader: &Reader<'_>| {
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                found.extend(reader.raw(kind, id.as_u128())?.map(|json| (id, json)));
            }
            Ok(found)
        };
        self.writer().read(read).await
    }
}

pub(super) fn definition(kind: &str) -> TableDefinition<'_, u128, &'static [u8]> {
    TableDefinition::new(kind)
}

/// Shows each record of a table.
pub(super) fn each(
    table: &impl redb::ReadableTable<u128, &'static [u8]>,
    place: &Arc<str>,
    mut show: impl FnMut(u128, &[u8]),
) -> Result<(), StoreError> {
    for entry in table.iter().map_err(|error| StoreError::of(place, error))? {
        let (id, json) = entry.map_err(|error| StoreError::of(place, error))?;
        show(id.value(), json.value());
    }
    Ok(())
}
