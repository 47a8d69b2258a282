//! What may be used once and has been: an assertion, a nonce, an approval. Only a digest of it is kept, and until when it matters.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Record, Records, Store, StoreError, Timestamp};

/// The most that are kept; beyond them those with the lowest digests go.
const MOST: usize = 1_000_000;

/// Something that has been used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The beginning of the SHA-256 of what it is.
    pub id: Uuid,
    /// Until when nobody may use it again.
    pub until: Timestamp,
}

impl Record for Spent {
    const TABLE: &'static str = "spent";
    const MERGE: Option<fn(Self, Self) -> Self> = Some(|one, other| Self {
        until: one.until.max(other.until),
        ..one
    });

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Spent {
    /// What is kept of `what`, a text that is `of` this kind.
    pub fn new(of: &str, what: &str, until: Timestamp) -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(&(of.len() as u64).to_be_bytes());
        digest.update(of.as_bytes());
        digest.update(what.as_bytes());
        let digest = digest.finish();
        let id = digest.as_ref().first_chunk().copied().unwrap_or_default();
        Self {
            id: Uuid::from_bytes(id),
            until,
        }
    }
}

impl Store {
    /// Uses something up; tells whether this store did not know of it.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn spend(&self, spent: Spent) -> Result<bool, StoreError> {
        let work = move |table: &mut Records<'_, Spent>| {
            let known = table.get(spent.id)?.is_some_and(|known| known.until > Timestamp::now());
            if !known {
                table.make_room(MOST)?;
                table.put(&spent)?;
            }
            Ok(!known)
        };
        self.write(work).await
    }

    /// Forgets what nobody could use any more; tells how much.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn tidy_spent(&self, now: Timestamp) -> Result<usize, StoreError> {
        let old = self.read(move |table: &super::Snapshot<'_, Spent>| {
            let old = |spent: &Result<Spent, StoreError>| !matches!(spent, Ok(spent) if spent.until > now);
            table.range(..).filter(old).take(10_000).collect::<Result<Vec<_>, _>>()
        });
        let old = old.await?;
        let count = old.len();
        if count > 0 {
            let forget =
                move |table: &mut Records<'_, Spent>| old.iter().try_for_each(|spent| table.remove(spent.id).map(drop));
            self.write(forget).await?;
        }
        Ok(count)
    }
}
