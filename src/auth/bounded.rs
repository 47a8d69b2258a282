//! A map of bounded size whose entries end: what clients can choose the keys of must not grow without limit.
//!
//! Full, it first forgets what has ended, then anything. So what is kept here must be something that can be asked for again.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The map. Its locks are short, and there is one a shard, so that data threads do not meet at one.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    shards: [Mutex<HashMap<K, Entry<V>>>; SHARDS],
    hasher: RandomState,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    until: Instant,
}

impl<K: Hash + Eq + Clone, V: Clone> Bounded<K, V> {
    /// A map of at most about `capacity` entries.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            capacity: capacity.div_ceil(SHARDS),
        }
    }

    /// What is kept for `key`, if its time has not come.
    pub(super) fn get(&self, key: &K, now: Instant) -> Option<V> {
        let shard = self.shard(key)?;
        shard
            .get(key)
            .filter(|entry| now < entry.until)
            .map(|entry| entry.value.clone())
    }

    /// Keeps `value` until then.
    pub(super) fn insert(&self, key: K, value: V, until: Instant, now: Instant) {
        self.update(key, now, |_| (value, until));
    }

    /// Makes of what is kept for `key` what shall be, in one step; `change` says how long it stays.
    pub(super) fn update(&self, key: K, now: Instant, change: impl FnOnce(Option<V>) -> (V, Instant)) {
        let Some(mut shard) = self.shard(&key) else { return };
        let known = shard.get(&key).filter(|entry| now < entry.until);
        let (value, until) = change(known.map(|entry| entry.value.clone()));
        if until <= now {
            shard.remove(&key);
            return;
        }
        if shard.len() >= self.capacity && !shard.contains_key(&key) {
            shard.retain(|_, entry| now < entry.until);
            let victim = shard.keys().next().cloned();
            if let Some(victim) = victim.filter(|_| shard.len() >= self.capacity) {
                shard.remove(&victim);
            }
        }
        shard.insert(key, Entry { value, until });
    }

    fn shard(&self, key: &K) -> Option<MutexGuard<'_, HashMap<K, Entry<V>>>> {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        let shard = self.shards.get(index)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(100);

    #[tokio::test(start_paused = true)]
    async fn entries_end_at_their_time() {
        let map = Bounded::new(100);
        let now = Instant::now();
        map.insert("k", 1, now + LONG, now);
        assert_eq!(map.get(&"k", now + LONG - Duration::from_millis(1)), Some(1));
        assert_eq!(map.get(&"k", now + LONG), None);
        map.insert("k", 2, now, now);
        assert_eq!(map.get(&"k", now), None, "what ends at once is not kept");
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_grows_beyond_its_capacity_and_forgets_the_ended_first() {
        let map = Bounded::new(SHARDS * 4);
        let now = Instant::now();
        map.insert(u32::MAX, 0, now + LONG, now);
        for key in 0..10_000_u32 {
            // All of them have ended by the time the next comes.
            let now = now + Duration::from_millis(u64::from(key));
            map.insert(key, 0, now + Duration::from_millis(1), now);
        }
        assert_eq!(map.get(&u32::MAX, now + Duration::from_secs(10)), Some(0));
        for key in 0..10_000_u32 {
            map.insert(key, 0, now + LONG, now);
        }
        let kept: usize = map.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= SHARDS * 4, "{kept}");
    }
}
