//! What time does to the records: answers lost by a restart, records that are old, and the tags that go with them. On the control runtime.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::state::State;
use crate::lakefs_client::RefsError;
use crate::store::{Outcome, Records, Snapshot, StoreError, Timestamp, Undo};

/// How often the records are looked through.
const EVERY: Duration = Duration::from_secs(60);
/// Records of one look: each may be a call to lakeFS.
const PAGE: usize = 200;

impl State {
    /// For start-up, before the first request: the answers that were under way when the process ended are lost, so how these calls ended
    /// is `unknown` now. Tells how many.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let recovering = self.store.write(|undos: &mut Records<'_, Undo>| {
            let all: Vec<Undo> = undos.oldest_first().collect::<Result<_, _>>()?;
            let lost = all.into_iter().filter(|undo| undo.outcome == Outcome::Pending);
            let mut count = 0;
            for mut undo in lost {
                undo.outcome = Outcome::Unknown;
                undos.put(&undo)?;
                count += 1;
            }
            Ok(count)
        });
        let lost = recovering.await?;
        if lost > 0 {
            warn!(
                target: "lakegate::undo", records = lost,
                "destructive calls were under way when the gateway ended: whether lakeFS did them is unknown"
            );
        }
        Ok(lost)
    }

    /// On one of all replicas, forgets old records and removes their tags, until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut leader = self.replicas.stand_for("undo");
        let mut look = interval(EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            leader.elected().await;
            // What is wrong with the store is in the log already; the next look tries again.
            let _ = self.sweep(Timestamp::now()).await;
        }
    }

    /// One look. A record whose tag cannot be removed stays, so that it is tried again.
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<usize, StoreError> {
        let before = now.before(self.current().config.undo.retention.0);
        let reading = self.store.read(move |undos: &Snapshot<'_, Undo>| {
            let old = |undo: &Result<Undo, StoreError>| !matches!(undo, Ok(undo) if undo.time >= before);
            undos
                .range(..)
                .take_while(old)
                .take(PAGE)
                .collect::<Result<Vec<_>, _>>()
        });
        let mut gone = Vec::new();
        for undo in reading.await? {
            if undo.pin.is_none() || self.unpin(&undo).await.is_ok() {
                gone.push(undo.id);
            }
        }
        let count = gone.len();
        if count > 0 {
            let forgetting = self.store.write(move |undos: &mut Records<'_, Undo>| {
                gone.into_iter().try_for_each(|id| undos.remove(id).map(drop))
            });
            forgetting.await?;
            info!(target: "lakegate::undo", records = count, "old records of destructive calls are gone, and their tags");
        }
        Ok(count)
    }

    /// Removes the tag of a record.
    pub(super) async fn unpin(&self, undo: &Undo) -> Result<(), RefsError> {
        let Some(pin) = &undo.pin else { return Ok(()) };
        let removed = match self.gateway() {
            Some(caller) => self.client.delete_tag(&caller, &undo.repository, &pin.tag).await,
            None => Err(RefsError::Identity("it has no user of its own (auth.service)".into())),
        };
        if let Err(error) = &removed {
            warn!(
                target: "lakegate::undo", %error, undo.record = %undo.id, repository = undo.repository, tag = pin.tag,
                "the tag of an old record could not be removed"
            );
        }
        removed
    }
}
