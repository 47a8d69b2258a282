//! How fast a line moves, for telling at once who waits in vain. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// What one count is over.
const SPAN: Duration = Duration::from_secs(1);
/// How many counts are remembered.
const SPANS: usize = 10;
/// How much faster than its best a line may yet become: who would be served then is not refused.
const MARGIN: f64 = 2.0;

/// How many went in each of the last seconds in which somebody always waited: only then the count is the upstream's speed, and not the
/// clients'.
#[derive(Debug, Default)]
pub(super) struct Pace {
    began: Option<Instant>,
    now: u32,
    past: [u32; SPANS],
    /// Whether one second is whole.
    whole: bool,
}

impl Pace {
    /// The line was empty, and now is not.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Self {
            began: Some(now),
            ..Self::default()
        };
    }

    /// One went.
    pub(super) fn count(&mut self, now: Instant) {
        self.turn(now);
        self.now += 1;
    }

    fn turn(&mut self, now: Instant) {
        let Some(began) = &mut self.began else { return };
        // After a long silence the past is empty whatever the number of spans was.
        for _ in 0..=SPANS {
            if now.saturating_duration_since(*began) < SPAN {
                return;
            }
            self.past.rotate_right(1);
            self.past[0] = self.now;
            self.whole = true;
            self.now = 0;
            *began += SPAN;
        }
        *began = now;
    }

    /// The most that ever went in a second, lately. None while nothing is known, or nothing moves: a lakeFS that hangs may come back any
    /// moment.
    fn best(&self) -> Option<u32> {
        let best = self.past.iter().copied().max().unwrap_or(0).max(self.now);
        (self.whole && best > 0).then_some(best)
    }

    /// Whether it may take longer than `patience` until `count` have gone.
    pub(super) fn may_exceed(&self, count: usize, patience: Duration) -> bool {
        self.best()
            .is_some_and(|best| count as f64 / f64::from(best) / MARGIN > patience.as_secs_f64())
    }

    /// The time until `count` have gone, at the very least.
    pub(super) fn time_of(&mut self, count: usize, now: Instant) -> Option<Duration> {
        self.turn(now);
        let best = self.best()?;
        Duration::try_from_secs_f64(count as f64 / f64::from(best) / MARGIN).ok()
    }
}
