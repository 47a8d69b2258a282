//! The line before a full upstream: who is let in next. Pure: it takes the time and reads none.
//!
//! Within a principal, first come, first served. Between principals of one kind of work, deficit round robin by their weights, so that
//! whoever sends much waits behind itself and nobody else. Between kinds of work, smooth weighted round robin, where each second that a
//! kind has waited counts as one more weight: what people wait for goes first, and nothing starves.
//!
//! Everything is bounded by the number of those who wait, which [`queue`](super::queue) bounds; a principal without a waiter costs nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;
use super::priority::Priority;

/// The most weights that age can add: with no bound, an old flood would outweigh every newcomer of another kind.
const AGE_MAX: u64 = 30;
/// Ring places of principals who have left are kept until they are so many more than those in use.
const STALE_MAX: usize = 64;
/// The most principals that one estimate looks at.
const LOOK_AT_MAX: usize = 1000;

/// Where a waiter stands: what it is removed by.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    key: Arc<str>,
    priority: Priority,
    number: u64,
}

/// Who comes.
#[derive(Debug, Clone)]
pub(super) struct Comer {
    /// Whom it counts for.
    pub(super) key: Arc<str>,
    /// The kind of its work.
    pub(super) priority: Priority,
    /// Its principal's part of each round, at least 1.
    pub(super) weight: u32,
    /// How long it can wait.
    pub(super) patience: Duration,
}

#[derive(Debug)]
struct Waiter<T> {
    number: u64,
    since: Instant,
    what: T,
}

/// Those of one principal.
#[derive(Debug)]
struct Flow<T> {
    waiters: VecDeque<Waiter<T>>,
    weight: u32,
    /// How many more may go in this round.
    left: u32,
}

/// Those of one kind of work.
#[derive(Debug)]
struct Lane<T> {
    flows: HashMap<Arc<str>, Flow<T>>,
    /// Whose round it is, in order. Each key of `flows` is in it once; one without waiters leaves when its round comes.
    ring: VecDeque<Arc<str>>,
    length: usize,
    credit: i64,
}

/// The line.
#[derive(Debug)]
pub(super) struct Line<T> {
    lanes: [Lane<T>; Priority::ALL.len()],
    length: usize,
    number: u64,
    pace: Pace,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            lanes: std::array::from_fn(|_| Lane::default()),
            length: 0,
            number: 0,
            pace: Pace::default(),
        }
    }
}

impl<T> Line<T> {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// How many principals it remembers.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.lanes
            .iter()
            .map(|lane| lane.ring.len().max(lane.flows.len()))
            .sum()
    }

    /// Takes a place at the end of its principal's line.
    ///
    /// # Errors
    /// The wait at the very least, if it is longer than the newcomer's patience even when the line moves twice as fast as it ever did
    /// lately and nobody else comes.
    pub(super) fn push(&mut self, comer: &Comer, what: T, now: Instant) -> Result<Ticket, Duration> {
        let lane = lane(&mut self.lanes, comer.priority);
        if let Some(expected) = self.pace.time_of(lane.before(comer, &self.pace), now)
            && expected > comer.patience
        {
            return Err(expected);
        }
        if self.length == 0 {
            self.pace.begin(now);
        }
        self.number += 1;
        let number = self.number;
        let waiter = Waiter {
            number,
            since: now,
            what,
        };
        lane.push(comer, waiter);
        self.length += 1;
        Ok(Ticket {
            key: Arc::clone(&comer.key),
            priority: comer.priority,
            number,
        })
    }

    /// Leaves the line. Whether it was still in it.
    pub(super) fn remove(&mut self, ticket: &Ticket) -> bool {
        let removed = lane(&mut self.lanes, ticket.priority).remove(&ticket.key, ticket.number);
        if removed {
            self.length -= 1;
        }
        removed
    }

    /// Who is let in next.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        let mut total = 0;
        let mut next: Option<&mut Lane<T>> = None;
        for (priority, lane) in Priority::ALL.into_iter().zip(&mut self.lanes) {
            let Some(since) = lane.first() else {
                lane.credit = 0;
                continue;
            };
            let age = now.saturating_duration_since(since).as_secs().min(AGE_MAX);
            let weight = i64::from(priority.weight()) + age as i64;
            total += weight;
            lane.credit += weight;
            if next.as_ref().is_none_or(|next| lane.credit > next.credit) {
                next = Some(lane);
            }
        }
        let lane = next?;
        lane.credit -= total;
        let waiter = lane.pop()?;
        self.length -= 1;
        self.pace.count(now);
        Some(waiter.what)
    }
}

#[expect(clippy::indexing_slicing, reason = "as many lanes as priorities")]
fn lane<T>(lanes: &mut [Lane<T>; Priority::ALL.len()], priority: Priority) -> &mut Lane<T> {
    &mut lanes[priority as usize]
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            flows: HashMap::new(),
            ring: VecDeque::new(),
            length: 0,
            credit: 0,
        }
    }
}

impl<T> Lane<T> {
    fn push(&mut self, comer: &Comer, waiter: Waiter<T>) {
        let flow = self.flows.entry(Arc::clone(&comer.key)).or_insert_with(|| {
            self.ring.push_back(Arc::clone(&comer.key));
            Flow {
                waiters: VecDeque::new(),
                weight: 1,
                left: 0,
            }
        });
        flow.weight = comer.weight.max(1);
        flow.waiters.push_back(waiter);
        self.length += 1;
    }

    fn remove(&mut self, key: &Arc<str>, number: u64) -> bool {
        let Some(flow) = self.flows.get_mut(key) else {
            return false;
        };
        let Ok(at) = flow.waiters.binary_search_by_key(&number, |waiter| waiter.number) else {
            return false;
        };
        flow.waiters.remove(at);
        self.length -= 1;
        if self.ring.len() > self.length + STALE_MAX {
            self.flows.retain(|_, flow| !flow.waiters.is_empty());
            self.ring.retain(|key| self.flows.contains_key(key));
        }
        true
    }

    /// Since when the next one waits.
    fn first(&mut self) -> Option<Instant> {
        loop {
            let key = self.ring.front()?;
            match self.flows.get(key).and_then(|flow| flow.waiters.front()) {
                Some(waiter) => return Some(waiter.since),
                None => self.flows.remove(key),
            };
            self.ring.pop_front();
        }
    }

    fn pop(&mut self) -> Option<Waiter<T>> {
        self.first()?;
        let key = self.ring.pop_front()?;
        let flow = self.flows.get_mut(&key)?;
        if flow.left == 0 {
            flow.left = flow.weight;
        }
        let waiter = flow.waiters.pop_front()?;
        self.length -= 1;
        flow.left -= 1;
        if flow.waiters.is_empty() {
            self.flows.remove(&key);
        } else if flow.left == 0 {
            self.ring.push_back(key);
        } else {
            self.ring.push_front(key);
        }
        Some(waiter)
    }

    /// How many of this kind surely go before a newcomer, if none of them leaves. The dear half is only done where it may decide.
    fn before(&self, comer: &Comer, pace: &Pace) -> usize {
        let own = self.flows.get(&comer.key).map_or(0, |flow| flow.waiters.len());
        let rounds = own / comer.weight.max(1) as usize;
        if rounds == 0 || !pace.may_exceed(self.length, comer.patience) {
            return own;
        }
        let others = self
            .flows
            .iter()
            .filter(|(key, _)| **key != comer.key)
            .take(LOOK_AT_MAX);
        let before = |(_, flow): (_, &Flow<T>)| flow.waiters.len().min(rounds.saturating_mul(flow.weight as usize));
        own + others.map(before).sum::<usize>()
    }
}
