//! Makes two stores the same again: where the sums of a shard differ from Redis's, its records are compared by their versions, what this
//! store lacks is taken, and what Redis lacks is given. After an outage, a flush, or a disk that was away.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use tracing::{info, warn};
use uuid::Uuid;

use super::Bus;
use super::publish::Pending;
use crate::store::{Foreign, SHARDS, StoreError, Version};

/// Records of one question.
const PAGE: usize = 100;
/// How long Redis may take to list a shard.
const ANSWER: Duration = Duration::from_secs(10);

/// The shards to compare, by kind.
pub(super) type Wanted = BTreeMap<&'static str, [bool; SHARDS]>;

/// Why stores could not be compared.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Unreachable(#[from] super::Unreachable),
}

/// Starts the task that compares, one wish after the other.
pub(super) fn start(bus: &Arc<Bus>) -> mpsc::Sender<Wanted> {
    let (wishes, mut wished) = mpsc::channel::<Wanted>(1);
    let comparing = Arc::clone(bus);
    bus.tasks.spawn(async move {
        while let Some(wanted) = wished.recv().await {
            for (kind, shards) in wanted {
                if let Err(error) = comparing.compare(kind, shards).await {
                    // The next beat finds what still differs.
                    warn!(target: "lakegate::replicas", kind, %error, "the records of the replicas could not be compared");
                }
            }
        }
    });
    wishes
}

impl Bus {
    async fn compare(self: &Arc<Self>, kind: &'static str, shards: [bool; SHARDS]) -> Result<(), CompareError> {
        let mut connection = self.link.apart(ANSWER).await?;
        let mut theirs = HashMap::new();
        for shard in (0..SHARDS).filter(|shard| shards.get(*shard).is_some_and(|wanted| *wanted)) {
            self.metrics.replicas_compared.inc();
            let listed = redis::cmd("HGETALL")
                .arg(self.key(&format!("versions:{kind}:{shard}")))
                .to_owned();
            let listed: HashMap<String, String> = listed.query_async(&mut connection).await?;
            theirs.extend(listed.into_iter().filter_map(|(id, version)| {
                let version = u64::from_str_radix(&version, 16).ok()?;
                Some((Uuid::parse_str(&id).ok()?, Version(version)))
            }));
        }
        let ours: HashMap<Uuid, Version> = self.store.versions(kind, shards).await?.into_iter().collect();
        let lacking: Vec<Uuid> = theirs
            .iter()
            .filter(|(id, version)| ours.get(id) != Some(version))
            .map(|(id, _)| *id)
            .collect();
        let mut given: Vec<Uuid> = ours.keys().filter(|id| !theirs.contains_key(id)).copied().collect();
        let taken = lacking.len();
        for page in lacking.chunks(PAGE) {
            given.extend(self.take(&mut connection, kind, page).await?);
        }
        for page in given.chunks(PAGE) {
            self.give(kind, page, &theirs).await?;
        }
        if taken + given.len() > 0 {
            info!(target: "lakegate::replicas", kind, taken, given = given.len(), "the records of the replicas differed");
        }
        Ok(())
    }

    /// Takes what this store lacks; answers what Redis has lost of it.
    async fn take(
        self: &Arc<Self>,
        connection: &mut MultiplexedConnection,
        kind: &'static str,
        ids: &[Uuid],
    ) -> Result<Vec<Uuid>, CompareError> {
        let (mut by_shard, mut lost) = (BTreeMap::<usize, Vec<Uuid>>::new(), Vec::new());
        for id in ids {
            by_shard.entry(crate::store::shard(*id)).or_default().push(*id);
        }
        let mut foreign = Vec::with_capacity(ids.len());
        for (shard, ids) in by_shard {
            let mut command = redis::cmd("HMGET");
            command.arg(self.key(&format!("records:{kind}:{shard}")));
            for id in &ids {
                command.arg(id.simple().to_string());
            }
            let values: Vec<Option<Vec<u8>>> = command.query_async(connection).await?;
            for (id, json) in ids.into_iter().zip(values) {
                match json {
                    Some(_) => foreign.push(Foreign {
                        kind: kind.to_owned(),
                        id,
                        json,
                    }),
                    None => lost.push(id),
                }
            }
        }
        self.take_in(foreign).await;
        Ok(lost)
    }

    /// Gives what Redis lacks.
    async fn give(
        self: &Arc<Self>,
        kind: &'static str,
        ids: &[Uuid],
        theirs: &HashMap<Uuid, Version>,
    ) -> Result<(), CompareError> {
        let records = self.store.raw(kind, ids.to_vec()).await?;
        let records: Vec<_> = records
            .into_iter()
            .map(|(id, json)| {
                let pending = Pending {
                    made_of: theirs.get(&id).copied(),
                    now: Some((Version::of(&json), json.into())),
                };
                (kind, id, pending)
            })
            .collect();
        Ok(self.send(&records).await?)
    }
}
