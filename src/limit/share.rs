//! Shares: what one principal may use. A rate for each class of operation, and so many requests on their way at a time.
//!
//! Shares are kept by limit key, which a client can choose (a claimed name counts by address and credential), so their number is
//! bounded: a share that is as good as new is forgotten, and beyond the bound newcomers use one share in common.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::{Bucket, Rate};
use super::gate::Gate;
use crate::lakefs::Class;

const SHARDS: usize = 64;
/// Shares of one shard. About 500 bytes each, so all of them have at most some 32 MiB.
const SHARD_MAX: usize = 1024;
/// Below this a shard is not swept: it is not worth the work.
const SWEEP_MIN: usize = 32;

/// What one principal uses.
#[derive(Debug)]
pub(super) struct Share {
    /// One a class, made when first used.
    buckets: [OnceLock<Box<Bucket>>; 6],
    /// Its requests on their way.
    pub(super) in_flight: Arc<Gate>,
    /// When it will be as good as new, in milliseconds since the shares' beginning.
    full_at: AtomicU64,
}

impl Share {
    fn new(in_flight: usize) -> Self {
        Self {
            buckets: Default::default(),
            in_flight: Gate::new(in_flight),
            full_at: AtomicU64::new(0),
        }
    }

    /// The bucket of a class.
    pub(super) fn bucket(&self, class: Class, rate: Rate) -> &Bucket {
        let [read, write, merge, branch, admin, auth] = &self.buckets;
        let bucket = match class {
            Class::Read => read,
            Class::Write => write,
            Class::Merge => merge,
            Class::Branch => branch,
            Class::Admin => admin,
            Class::Auth => auth,
        };
        bucket.get_or_init(|| Box::new(Bucket::new(rate)))
    }
}

#[derive(Debug)]
struct Shard {
    shares: HashMap<Arc<str>, Arc<Share>>,
    /// The number of shares at which it is swept next.
    sweep_at: usize,
    swept: Instant,
    /// The share of all who come when there is room for no more.
    crowd: Arc<Share>,
}

impl Shard {
    /// Forgets the shares that nobody uses and whose buckets are full again: a new one would be no different.
    fn sweep(&mut self, now: Instant, now_ms: u64) {
        self.shares.retain(|_, share| {
            Arc::strong_count(share) > 1 || !share.in_flight.is_idle() || share.full_at.load(Ordering::Relaxed) > now_ms
        });
        self.swept = now;
        self.sweep_at = (self.shares.len() * 2).clamp(SWEEP_MIN, SHARD_MAX);
    }
}

/// Everybody's shares.
#[derive(Debug)]
pub(super) struct Shares {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    beginning: Instant,
}

impl Shares {
    pub(super) fn new() -> Self {
        let beginning = Instant::now();
        let shard = |_| {
            Mutex::new(Shard {
                shares: HashMap::new(),
                sweep_at: SWEEP_MIN,
                swept: beginning,
                crowd: Arc::new(Share::new(0)),
            })
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            hasher: RandomState::new(),
            beginning,
        }
    }

    /// The share of a key, made if there is none, with the size of today's configuration.
    pub(super) fn of(&self, key: &Arc<str>, rate: Rate, in_flight: usize) -> Arc<Share> {
        let share = self.find(key, in_flight);
        share.in_flight.resize(in_flight);
        let full_at = self.now_ms() + milliseconds(rate.time_of(rate.burst.get())) + 1;
        share.full_at.fetch_max(full_at, Ordering::Relaxed);
        share
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let of = |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).shares.len();
        self.shards.iter().map(of).sum()
    }

    fn find(&self, key: &Arc<str>, in_flight: usize) -> Arc<Share> {
        let at = self.hasher.hash_one(&**key) as usize % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "a remainder of their number")]
        let mut shard = self.shards[at].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shard.shares.get(&**key) {
            return Arc::clone(share);
        }
        let (now, len) = (Instant::now(), shard.shares.len());
        // A full shard is swept once a second at most, so that a flood of new keys does not pay for a sweep each.
        if len >= shard.sweep_at && (len < SHARD_MAX || now - shard.swept >= Duration::from_secs(1)) {
            shard.sweep(now, self.now_ms());
        }
        if shard.shares.len() >= SHARD_MAX {
            return Arc::clone(&shard.crowd);
        }
        let share = Arc::new(Share::new(in_flight));
        shard.shares.insert(Arc::clone(key), Arc::clone(&share));
        share
    }

    fn now_ms(&self) -> u64 {
        milliseconds(self.beginning.elapsed())
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn new_keys_beyond_the_bound_share_in_common_until_old_ones_are_as_good_as_new() {
        let (shares, rate) = (Shares::new(), rate(10, 20));
        let key = |number: usize| Arc::from(format!("key-{number}"));
        for number in 0..SHARDS * SHARD_MAX * 2 {
            let share = shares.of(&key(number), rate, 4);
            let _ = share.bucket(Class::Read, rate).take_now(rate);
        }
        assert_eq!(shares.len(), SHARDS * SHARD_MAX);
        tokio::time::advance(Duration::from_secs(3)).await;
        for number in 0..SHARDS * 100 {
            shares.of(&key(number + (1 << 30)), rate, 4);
        }
        assert!(shares.len() < SHARDS * 300, "{}", shares.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_in_use_is_not_forgotten() {
        let (shares, rate) = (Shares::new(), rate(1, 1));
        let share = shares.of(&"busy".into(), rate, 1);
        let _inside = share.in_flight.try_enter().unwrap();
        drop(share);
        tokio::time::advance(Duration::from_secs(60)).await;
        for number in 0..SHARDS * SWEEP_MIN * 4 {
            shares.of(&format!("other-{number}").into(), rate, 1);
        }
        let again = shares.of(&"busy".into(), rate, 1);
        assert!(again.in_flight.try_enter().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_rate_does_not_forget_what_was_used() {
        let shares = Shares::new();
        let (old, new) = (rate(1, 10), rate(1, 12));
        let share = shares.of(&"a".into(), old, 1);
        for _ in 0..7 {
            share.bucket(Class::Read, old).take_now(old).unwrap();
        }
        let bucket = share.bucket(Class::Read, new);
        let granted = (0..12).take_while(|_| bucket.take_now(new).is_ok()).count();
        assert_eq!(granted, 5);
    }
}
