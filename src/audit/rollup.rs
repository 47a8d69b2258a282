//! The sums of reads on disk: taken from where they are counted every few seconds, added to those of their hour, kept for long.
//!
//! An hour has at most so many sums: what comes later and is new is counted under `(other)`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::reads::{Amount, Reader, Reads, Sums};
use crate::config::{AuditConfig, ReadsConfig};
use crate::store::{Record as _, Records, Snapshot, Store, StoreError, Sum, Timestamp};

/// How often sums are written; what is not is lost by a crash.
const EVERY: Duration = Duration::from_secs(10);
/// The most old ones that go at a time.
const EXPIRED_AT_ONCE: usize = 10_000;
/// Sums that wait while the store cannot be written; more are lost, and said to be.
const WAITING: usize = 100_000;

fn sum_of(reader: Reader, amount: Amount) -> Sum {
    Sum {
        hour: Timestamp(reader.hour * Sum::HOUR_MS),
        principal: reader.principal.to_string(),
        key: reader.key.map(|key| key.to_string()),
        repository: reader.repository.into(),
        reference: reader.reference.into(),
        operation: reader.operation.spec().id.to_owned(),
        granted: reader.granted,
        count: amount.count,
        bytes: amount.bytes,
    }
}

/// Which sums are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this user.
    pub principal: Option<String>,
    /// By this access key.
    pub key: Option<String>,
    /// Of this repository.
    pub repository: Option<String>,
    /// Of this branch, tag or commit.
    pub reference: Option<String>,
    /// In hours that end after this.
    pub since: Option<Timestamp>,
    /// In hours that begin before this.
    pub until: Option<Timestamp>,
}

impl Wanted {
    fn passes(&self, sum: &Sum) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.principal, &sum.principal)
            && is(&self.key, sum.key.as_deref().unwrap_or_default())
            && is(&self.repository, &sum.repository)
            && is(&self.reference, &sum.reference)
            && self.until.is_none_or(|until| sum.hour < until)
    }
}

/// What was read in all hours that are wanted, the most first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// The sums together, `hour` being the first.
    #[serde(flatten)]
    pub sum: Sum,
    /// The last hour.
    pub last_hour: Timestamp,
}

/// At most `limit` totals, the largest first, and whether there are more.
///
/// # Errors
/// When the store cannot be read.
pub async fn totals(store: &Store, wanted: Wanted, limit: usize) -> Result<(Vec<Total>, bool), StoreError> {
    store
        .read(move |sums: &Snapshot<'_, Sum>| {
            let mut totals: HashMap<u128, Total> = HashMap::new();
            let from = wanted.since.map_or(0, Sum::first_id);
            for sum in sums.range(from..) {
                let sum = sum?;
                if !wanted.passes(&sum) {
                    continue;
                }
                let what = sum.id().as_u128() & (u128::MAX >> 32);
                let total = totals.entry(what).or_insert_with(|| Total {
                    last_hour: sum.hour,
                    sum: Sum {
                        count: 0,
                        bytes: 0,
                        ..sum.clone()
                    },
                });
                total.last_hour = sum.hour;
                total.sum.count = total.sum.count.saturating_add(sum.count);
                total.sum.bytes = total.sum.bytes.saturating_add(sum.bytes);
            }
            let mut totals: Vec<Total> = totals.into_values().collect();
            totals.sort_by(|a, b| b.sum.bytes.cmp(&a.sum.bytes).then_with(|| a.sum.id().cmp(&b.sum.id())));
            let more = totals.len() > limit;
            totals.truncate(limit);
            Ok((totals, more))
        })
        .await
}

/// Writes the sums of one taking; those that could not be written come back.
pub(super) async fn write(store: &Store, sums: Sums, config: &ReadsConfig) -> Result<(), (Sums, StoreError)> {
    let given = Arc::new(sums);
    let (taken, per_hour, most) = (Arc::clone(&given), config.per_hour as u64, config.max_records);
    let written = store
        .write(move |records: &mut Records<'_, Sum>| add(records, &taken, per_hour, most))
        .await;
    written.map_err(|error| (Arc::unwrap_or_clone(given), error))
}

fn add(records: &mut Records<'_, Sum>, sums: &Sums, per_hour: u64, most: usize) -> Result<(), StoreError> {
    let mut in_hour: HashMap<u64, u64> = HashMap::new();
    for (reader, amount) in sums {
        let mut sum = sum_of(reader.clone(), *amount);
        let mut old = records.get(sum.id())?;
        if old.is_none() {
            let first = Sum::first_id(sum.hour);
            let known = match in_hour.get(&reader.hour) {
                Some(known) => *known,
                None => records.count(first..first + (1 << 96))?,
            };
            if known >= per_hour {
                sum = sum_of(reader.clone().other(), *amount);
                old = records.get(sum.id())?;
            }
            in_hour.insert(reader.hour, known + u64::from(old.is_none()));
        }
        match old {
            Some(old) => {
                sum.count = sum.count.saturating_add(old.count);
                sum.bytes = sum.bytes.saturating_add(old.bytes);
            }
            None => drop(records.make_room(most)?),
        }
        records.put(&sum)?;
    }
    Ok(())
}

/// Takes and writes until it is dropped.
pub(super) async fn run(reads: Arc<Reads>, store: Store, config: watch::Receiver<AuditConfig>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut left = Sums::new();
    let mut count: u32 = 0;
    loop {
        ticks.tick().await;
        let config = config.borrow().reads.clone();
        left = flush(&reads, &store, &config, left).await;
        if count.is_multiple_of(60) {
            expire(&store, config.retention.0).await;
        }
        count = count.wrapping_add(1);
    }
}

/// Writes what was counted, and what was left; answers what is left now.
pub(super) async fn flush(reads: &Reads, store: &Store, config: &ReadsConfig, mut sums: Sums) -> Sums {
    for (reader, amount) in reads.take() {
        let known = sums.len() < WAITING || sums.contains_key(&reader);
        let reader = if known { reader } else { reader.other() };
        sums.entry(reader).or_default().add(amount);
    }
    if sums.is_empty() {
        return sums;
    }
    match write(store, sums, config).await {
        Ok(()) => Sums::new(),
        // The store has logged what is wrong with it.
        Err((sums, _)) => sums,
    }
}

async fn expire(store: &Store, retention: Duration) {
    let before = Timestamp::now().before(retention);
    let expired = store
        .write(move |records: &mut Records<'_, Sum>| {
            let old: Result<Vec<Uuid>, StoreError> = records
                .oldest_first()
                .take_while(|sum| !matches!(sum, Ok(sum) if sum.hour >= before))
                .take(EXPIRED_AT_ONCE)
                .map(|sum| sum.map(|sum| sum.id()))
                .collect();
            old?.into_iter().try_for_each(|id| records.remove(id).map(drop))
        })
        .await;
    if let Err(error) = expired {
        tracing::warn!(target: "lakegate::audit", %error, "old sums of reads could not be forgotten");
    }
}
