//! What time does to the ledger: answers lost by a restart, uploads that nobody goes on with, records that are old. On the control
//! runtime.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use super::{Ledger, lifecycle};
use crate::store::{Filter, Key, State, StoreError, Timestamp, Upload};

/// How often the ledger is looked through.
const EVERY: Duration = Duration::from_secs(60);
/// Records of one look.
const PAGE: usize = 1000;

impl Ledger {
    /// For start-up, before the first request: the answers that were under way when the process ended are lost, so those uploads are
    /// `unknown` now. Tells how many.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn recover(&self) -> Result<usize, StoreError> {
        let filter = Filter {
            states: vec![State::Intent, State::Completing],
            ..Filter::default()
        };
        let lost = self.change_all(&filter, lifecycle::restarted).await?;
        self.metrics
            .uploads_open
            .set(gauge(self.store.counts().borrow().live()));
        Ok(lost)
    }

    /// Keeps the gauge of open uploads right; on one of all replicas, finds abandoned ones, ends them if that is wanted, and forgets old
    /// ones. Until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let counting = async {
            let mut counts = self.store.counts();
            loop {
                self.metrics.uploads_open.set(gauge(counts.borrow_and_update().live()));
                if counts.changed().await.is_err() {
                    return;
                }
            }
        };
        let looking = async {
            // Of all replicas one: what it changes, the others take in.
            let mut leader = self.replicas.stand_for("uploads");
            let mut look = interval(EVERY);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                look.tick().await;
                leader.elected().await;
                // What is wrong with the store is in the log already; the next look tries again.
                _ = self.sweep(Timestamp::now()).await;
                _ = self.reap(self.look(), Timestamp::now()).await;
            }
        };
        tokio::select! {
            () = counting => {}
            () = looking => {}
        }
    }

    /// One look: uploads without a sign of life become `abandoned` (or `unknown`, if an answer is missing), old records go.
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let config = self.config.load_full();
        let filter = Filter {
            states: vec![State::Intent, State::Open, State::Completing],
            updated_before: Some(now.before(config.abandoned_after.0)),
            ..Filter::default()
        };
        self.change_all(&filter, lifecycle::stale).await?;
        let mut expired = 0;
        loop {
            let some = self.store.expire_uploads(now.before(config.retention.0), PAGE).await?;
            expired += some;
            if some < PAGE {
                break;
            }
        }
        if expired > 0 {
            info!(target: "lakegate::uploads", records = expired, "old uploads left the ledger");
        }
        Ok(())
    }

    /// Moves all records that pass to another state, and tells each.
    async fn change_all(&self, filter: &Filter, to: fn(State) -> State) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            let page = self.store.uploads(filter.clone(), PAGE).await?;
            let changes = page.iter().map(|upload| {
                let before = filter.updated_before;
                // A step may have come in between.
                let change = move |old: Option<Upload>| {
                    let old = old.filter(|old| before.is_none_or(|before| old.updated < before))?;
                    let state = to(old.state);
                    (state != old.state).then_some(Upload { state, ..old })
                };
                self.store.update_upload(Key::Id(upload.id), Box::new(change))
            });
            let now = Timestamp::now();
            for (changed, was) in join_all(changes).await.into_iter().zip(&page) {
                match changed? {
                    Some(upload) if upload.state != was.state && upload.state == to(was.state) => {
                        self.changed(&upload, now);
                        all += 1;
                    }
                    _ => {}
                }
            }
            if page.len() < PAGE {
                return Ok(all);
            }
        }
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
