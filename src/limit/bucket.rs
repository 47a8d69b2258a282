//! One token bucket: a principal's rate for one class of operation, and the line of those who wait for a token.
//!
//! governor keeps the tokens; it has no line (its own waiting serves nobody in particular), so the line is here: first come, first served.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::clock::TokioClock;
use super::queue::Patience;
use crate::config::PrincipalLimit;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a second.
    pub per_second: NonZeroU32,
    /// The most tokens it holds.
    pub burst: NonZeroU32,
}

impl Rate {
    /// The rate of each class of a principal's operations.
    pub fn of(limit: &PrincipalLimit) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            per_second: at_least_one(limit.requests_per_second),
            burst: at_least_one(limit.burst),
        }
    }

    /// The time that `tokens` take to come.
    pub(super) fn time_of(self, tokens: u32) -> Duration {
        Duration::from_secs(tokens.into()) / self.per_second.get()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, StateInformationMiddleware>;

#[derive(Debug)]
struct Rated {
    rate: Rate,
    limiter: Limiter,
    /// When the token comes that the first in line waits for.
    next: Instant,
}

impl Rated {
    fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let limiter = RateLimiter::direct_with_clock(quota, TokioClock).with_middleware();
        Self {
            rate,
            limiter,
            next: Instant::now(),
        }
    }

    /// The same bucket at another rate: the tokens that are missing from the old one are missing from the new one, as far as it is deep.
    fn at(&self, rate: Rate) -> Self {
        let burst = self.rate.burst.get();
        let missing = match self.limiter.check() {
            Ok(state) => burst.saturating_sub(state.remaining_burst_capacity()).saturating_sub(1),
            Err(_) => burst,
        };
        let new = Self::new(rate);
        if let Some(missing) = NonZeroU32::new(missing.min(rate.burst.get())) {
            // A fresh bucket holds its whole burst, so this is granted.
            let _ = new.limiter.check_n(missing);
        }
        new
    }
}

/// The bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    rated: Mutex<Rated>,
    /// Whoever holds the permit is first in line and takes the next token.
    first: Semaphore,
    /// How many wait to be first.
    behind: AtomicU32,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rated: Mutex::new(Rated::new(rate)),
            first: Semaphore::new(1),
            behind: AtomicU32::new(0),
        }
    }

    /// Takes a token, past the line; or says when the next one comes.
    pub(super) fn take_now(&self, rate: Rate) -> Result<(), Duration> {
        let mut rated = self.rated.lock().unwrap_or_else(PoisonError::into_inner);
        if rated.rate != rate {
            *rated = rated.at(rate);
        }
        match rated.limiter.check() {
            Ok(_) => Ok(()),
            Err(not_until) => {
                let wait = not_until.wait_time_from(TokioClock.now());
                rated.next = Instant::now() + wait;
                Err(wait)
            }
        }
    }

    /// How long a newcomer will wait who has `ahead` before it, besides the first.
    fn expected(&self, rate: Rate, ahead: u32) -> Duration {
        let rated = self.rated.lock().unwrap_or_else(PoisonError::into_inner);
        rated.next.saturating_duration_since(Instant::now()) + rate.time_of(ahead.saturating_add(1))
    }

    /// Takes a token, waiting in line as long as there is patience.
    ///
    /// # Errors
    /// After what time it may be worth while to come again. A wait that cannot be met is refused before it begins.
    pub(super) async fn take(&self, rate: Rate, patience: &mut Patience<'_>) -> Result<(), Duration> {
        let _first = match self.first.try_acquire() {
            Ok(first) => first,
            Err(_) => {
                let place = Counted::new(&self.behind);
                let expected = self.expected(rate, place.ahead);
                if expected > patience.left() {
                    return Err(expected);
                }
                match patience.wait(self.first.acquire()).await {
                    Ok(Ok(first)) => first,
                    _ => return Err(expected),
                }
            }
        };
        while let Err(wait) = self.take_now(rate) {
            if wait > patience.left() || patience.wait(sleep(wait)).await.is_err() {
                return Err(wait);
            }
        }
        Ok(())
    }
}

/// A place in the line, left when dropped.
struct Counted<'a> {
    behind: &'a AtomicU32,
    ahead: u32,
}

impl<'a> Counted<'a> {
    fn new(behind: &'a AtomicU32) -> Self {
        let ahead = behind.fetch_add(1, Ordering::Relaxed);
        Self { behind, ahead }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.behind.fetch_sub(1, Ordering::Relaxed);
    }
}
