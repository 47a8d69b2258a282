//! A sign of life every second: who is there, whether all seal with one key, and whether all stores hold the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use super::Bus;
use super::compare::Wanted;
use crate::store::{SHARDS, Sums};

const BEAT: &str = include_str!("beat.lua");
const EVERY: Duration = Duration::from_secs(1);
/// How long after its last sign of life a replica counts.
const GONE: Duration = Duration::from_secs(5);
/// Beats in a row at which a shard must differ: what is on its way makes one differ for a moment.
const DIFFERS: u8 = 3;

/// What a beat is answered: fingerprint, names, and for each kind the sums of its shards.
type Answer = (String, Vec<String>, Vec<String>);

/// Beats until it is dropped. Shards that differ are to be compared record by record.
pub(super) async fn run(bus: Arc<Bus>, wanted: mpsc::Sender<Wanted>) {
    let mut known = None;
    let mut refused = false;
    loop {
        let era = bus.link.era(known).await;
        known = era;
        if era.is_none() {
            bus.part();
            continue;
        }
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut differs = Differs::default();
        while bus.link.is_up() {
            every.tick().await;
            let Ok(answer) = bus.link.ask::<Answer>(&bus.beat(refused)).await else {
                continue;
            };
            let (key, names, sums) = answer;
            if key != bus.store.sealing_fingerprint() {
                refused = true;
                bus.refused();
                continue;
            }
            refused = false;
            let fresh = bus.join(names);
            let here = bus.sums();
            if fresh {
                differs = Differs::default();
            }
            let wanting = differs.look(&here, &sums, fresh);
            if !wanting.is_empty() {
                // While one comparison runs, the next waits for another beat.
                _ = wanted.try_send(wanting);
            }
        }
    }
}

impl Bus {
    fn beat(&self, refused: bool) -> redis::Cmd {
        let standing = match (refused, *self.member.borrow()) {
            (true, _) => "refused",
            (_, true) => "member",
            _ => "new",
        };
        let mut command = redis::cmd("EVAL");
        command
            .arg(BEAT)
            .arg(0)
            .arg(&self.prefix)
            .arg(&self.instance)
            .arg(&self.name);
        command.arg(self.store.sealing_fingerprint()).arg(standing);
        command
            .arg(u64::try_from(GONE.as_millis()).unwrap_or(u64::MAX))
            .arg(SHARDS);
        for kind in self.sums().keys() {
            command.arg(*kind);
        }
        command
    }

    /// One of the replicas; tells whether it was not before.
    fn join(&self, mut names: Vec<String>) -> bool {
        names.sort();
        self.metrics
            .replicas_alive
            .set(i64::try_from(names.len()).unwrap_or(i64::MAX));
        self.alive.send_if_modified(|known| {
            let changed = *known != names;
            if changed {
                info!(target: "lakegate::replicas", alive = names.len(), names = names.join(", "), "the replicas");
            }
            *known = names;
            changed
        });
        self.metrics.replicas_member.set(1);
        self.member.send_if_modified(|member| !std::mem::replace(member, true))
    }

    /// On its own.
    fn part(&self) {
        self.metrics.replicas_alive.set(0);
        self.metrics.replicas_member.set(0);
        self.member.send_if_modified(|member| std::mem::replace(member, false));
        self.alive.send_if_modified(|known| !std::mem::take(known).is_empty());
    }

    fn refused(&self) {
        let news = self.metrics.replicas_member.get() != -1;
        self.part();
        self.metrics.replicas_member.set(-1);
        if news {
            error!(
                target: "lakegate::replicas",
                "the other replicas seal with another key, so this gateway works alone and shares nothing: give all of them the same store.embedded.sealing_key"
            );
        }
    }

    /// Is gone, for those who remain.
    pub(super) async fn leave(&self) {
        for (command, key) in [("ZREM", "alive"), ("HDEL", "names")] {
            let mut command = redis::cmd(command);
            // In 5 seconds it is gone anyway.
            _ = self.ask::<i64>(command.arg(self.key(key)).arg(&self.instance)).await;
        }
    }
}

/// For how many beats a shard has differed, and at how many it is compared.
#[derive(Debug, Clone, Copy)]
struct Patience {
    beats: u8,
    until: u8,
}

impl Patience {
    const FIRST: Self = Self {
        beats: 0,
        until: DIFFERS,
    };
}

/// The shards that differ.
#[derive(Debug, Default)]
struct Differs(BTreeMap<&'static str, [Patience; SHARDS]>);

impl Differs {
    /// Looks at the sums; answers the shards that are to be compared. One that differs still after that (a record that this lakegate
    /// cannot read, say) is compared more and more seldom.
    fn look(&mut self, here: &Sums, there: &[String], at_once: bool) -> Wanted {
        let mut wanted = Wanted::new();
        for ((kind, here), there) in here.iter().zip(there) {
            let all = self.0.entry(kind).or_insert([Patience::FIRST; SHARDS]);
            for (shard, (patience, sum)) in all.iter_mut().zip(here).enumerate() {
                if there.get(shard * 16..(shard + 1) * 16) == Some(format!("{sum:016x}").as_str()) {
                    *patience = Patience::FIRST;
                    continue;
                }
                patience.beats = patience.beats.saturating_add(1);
                if !at_once && patience.beats < patience.until {
                    continue;
                }
                *patience = Patience {
                    beats: 0,
                    until: patience.until.saturating_mul(2),
                };
                if let Some(wanted) = wanted.entry(kind).or_insert([false; SHARDS]).get_mut(shard) {
                    *wanted = true;
                }
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_compared_once_it_differs_for_long() {
        let mut differs = Differs::default();
        let here = Sums::from([("undo", [7; SHARDS])]);
        let there = |other: &str| vec![other.to_owned() + &"0000000000000007".repeat(SHARDS - 1)];
        let (same, less) = (there("0000000000000007"), there("0000000000000001"));
        let mut looks =
            |there: &[String], beats: usize| (0..beats).all(|_| differs.look(&here, there, false).is_empty());
        assert!(looks(&less, 2) && looks(&same, 1) && looks(&less, 2));
        assert!(!looks(&less, 1), "at the third beat in a row");
        assert!(looks(&less, 5) && !looks(&less, 1), "and then later");
        let wanted = differs.look(&here, &less, true);
        assert!(wanted["undo"][0] && !wanted["undo"][1]);
    }
}
