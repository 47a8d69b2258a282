//! Tells the other replicas of this store's changes, and whoever waits for that that they know, or cannot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::Bus;
use super::link::Unreachable;
use crate::store::{Commit, Foreign, News, Touch, Version, shard};

const PUBLISH: &str = include_str!("publish.lua");
/// Records in one question.
const GROUP: usize = 128;
/// Commits looked at before that.
const COMMITS: usize = 256;
/// Changes that Redis remembers in their order, for whoever was away a moment.
const LONGEST: usize = 20_000;
/// How long Redis remembers what was removed: until every replica has tidied it too.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// When a question that failed is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// One record that others must hear of.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// The version it was made of, as Redis has it.
    pub(super) made_of: Option<Version>,
    pub(super) now: Option<(Version, Arc<[u8]>)>,
}

/// What others must still hear of, each record once. What is removed stands last: its place may be another's by then.
#[derive(Debug, Default)]
pub(super) struct Outbox(BTreeMap<(bool, &'static str, Uuid), Pending>);

impl Outbox {
    /// Takes a change in.
    fn take(&mut self, touch: &Touch) {
        let (kind, id) = (touch.kind, touch.id);
        let before = self
            .0
            .remove(&(true, kind, id))
            .or_else(|| self.0.remove(&(false, kind, id)));
        let made_of = match touch.news {
            // It is theirs: what was waiting is in it.
            News::None => return,
            News::Merged(theirs) => Some(theirs),
            News::Own => match before {
                Some(before) => before.made_of,
                None => touch.before,
            },
        };
        let now = touch.now.clone();
        self.0.insert((now.is_none(), kind, id), Pending { made_of, now });
    }

    fn first(&self, most: usize) -> Vec<(&'static str, Uuid, Pending)> {
        let some = self.0.iter().take(most);
        some.map(|((_, kind, id), pending)| (*kind, *id, pending.clone()))
            .collect()
    }

    fn done(&mut self, kind: &'static str, id: Uuid, pending: &Pending) {
        self.0.remove(&(pending.now.is_none(), kind, id));
    }
}

/// Follows the store until its end.
pub(super) async fn run(bus: Arc<Bus>, mut feed: UnboundedReceiver<Commit>) {
    let (mut outbox, mut commits, mut waiting) = (Outbox::default(), Vec::new(), Vec::new());
    let mut ending = bus.ending.subscribe();
    loop {
        let first: Option<Instant> = waiting.first().map(|(until, _)| *until);
        let work_left = !outbox.0.is_empty() && bus.is_member();
        tokio::select! {
            received = feed.recv_many(&mut commits, COMMITS) => if received == 0 { break },
            () = sleep(AGAIN), if work_left => {}
            () = sleep_until(first.unwrap_or_else(Instant::now)), if first.is_some() => {}
            _ = ending.wait_for(|ending| *ending), if !feed.is_closed() => feed.close(),
        }
        let until = Instant::now() + bus.link.timeout();
        for Commit { touches, told } in commits.drain(..) {
            bus.count(&touches);
            touches.iter().for_each(|touch| outbox.take(touch));
            waiting.push((until, told));
        }
        if !bus.is_member() {
            // All stores are compared when it is one of them again.
            outbox.0.clear();
        }
        while !outbox.0.is_empty() && Instant::now() < until {
            let some = outbox.first(GROUP);
            if bus.send(&some).await.is_err() {
                break;
            }
            some.iter()
                .for_each(|(kind, id, pending)| outbox.done(kind, *id, pending));
        }
        let now = Instant::now();
        let heard = |until: &Instant| outbox.0.is_empty() || *until <= now;
        waiting
            .extract_if(.., |(until, _)| heard(until))
            .for_each(|(_, told)| told());
    }
    waiting.into_iter().for_each(|(_, told)| told());
}

impl Bus {
    /// Writes some records to Redis. Where Redis has something else, that is merged here, which is a change of its own.
    pub(super) async fn send(self: &Arc<Self>, records: &[(&'static str, Uuid, Pending)]) -> Result<(), Unreachable> {
        let mut command = redis::cmd("EVAL");
        command
            .arg(PUBLISH)
            .arg(0)
            .arg(&self.prefix)
            .arg(&self.instance)
            .arg(LONGEST);
        command.arg(u64::try_from(REMEMBERED.as_millis()).unwrap_or(u64::MAX));
        for (kind, id, Pending { made_of, now }) in records {
            let version = now.as_ref().map(|(version, _)| version.to_string());
            command.arg(*kind).arg(shard(*id)).arg(id.simple().to_string());
            command.arg(made_of.map(|version| version.to_string()).unwrap_or_default());
            command.arg(version.unwrap_or_default());
            command.arg(now.as_ref().map_or(&[][..], |(_, json)| json));
        }
        let answers: Vec<Value> = self.ask(&command).await?;
        let mut foreign = Vec::new();
        for (answer, (kind, id, _)) in answers.into_iter().zip(records) {
            let json = match answer {
                Value::BulkString(json) => Some(json),
                Value::Int(1) => None,
                _ => {
                    self.metrics.replicas_sent.inc();
                    continue;
                }
            };
            let kind = (*kind).to_owned();
            foreign.push(Foreign { kind, id: *id, json });
        }
        if !foreign.is_empty() {
            // Not here: what comes of it is to be told by this very task.
            let bus = Arc::clone(self);
            self.tasks.spawn(async move { bus.take_in(foreign).await });
        }
        Ok(())
    }

    /// Takes in what others have. What is wrong with the store is in the log already; the stores are compared again.
    pub(super) async fn take_in(&self, foreign: Vec<Foreign>) {
        self.metrics.replicas_received.inc_by(foreign.len() as u64);
        _ = self.store.take_in(foreign).await;
    }
}
