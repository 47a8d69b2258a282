//! How many requests lakeFS can take at a time, learned from how long it takes for them. Pure: it takes the time and reads none.
//!
//! The measure is a request's latency over the baseline of its own operation, summed over a window of requests that ended after the last
//! change had taken effect. By Little's law a full lakeFS that works on K at a time answers `n` requests `n / K` times slower than
//! it could, so one window tells K, and the limit is put a little above it: never so low that lakeFS idles, and without a probe that
//! would hold up healthy traffic.
//!
//! - Near the baseline and in use to the full: it grows, a little first, then faster with each good window.
//! - Slower than [`SLOW`]: it shrinks to what the window tells.
//! - Refused as "overloaded" (503, `SlowDown`): it shrinks at once, and stays below for [`CAUTION`].
//! - Not in use to the full: it does not grow. What is not tried is not known.
//! - Slower, and shrinking did not help: lakeFS itself has become slower, as when its store has. The baseline follows, the limit returns.

use std::time::Duration;

use tokio::time::Instant;

use crate::lakefs::Operation;

/// Up to here lakeFS is not the slower for the number of requests.
const GOOD: f64 = 1.3;
/// From here it is.
const SLOW: f64 = 1.6;
/// From here one window is enough to say so; below, it takes two in a row.
const VERY_SLOW: f64 = 2.2;
/// Below this lakeFS has become faster than its baseline.
const FAST: f64 = 0.7;
/// A single request counts at most so much slower: one that hangs is not a hundred that are slow.
const RATIO_MAX: f64 = 100.0;
/// By how much it shrinks at most in one step.
const SHRINK_MAX: f64 = 0.5;
/// The first step of growth, and the longest.
const STEP_MIN: f64 = 0.1;
const STEP_MAX: f64 = 0.5;
/// Requests of one window.
const WINDOW_MIN: u32 = 80;
const WINDOW_MAX: u32 = 256;
/// A window that takes longer ends with fewer.
const WINDOW_TIME: Duration = Duration::from_secs(1);
const WINDOW_FEW: u32 = 25;
/// After how many times the longest requests' usual time a change has taken effect.
const REST: u32 = 2;
/// For how long it stays below a number that lakeFS refused at.
const CAUTION: Duration = Duration::from_secs(3);
/// How many requests of an operation make its first baseline.
const FIRST: u32 = 20;
/// The part of a new mean in a baseline, for each request of the window, and at most.
const LEARN: f64 = 0.005;
const LEARN_MAX: f64 = 0.2;
/// What two numbers of requests must differ by, as a factor, to tell whether it is the number that makes it slow.
const CONTRAST: f64 = 2.0;
/// Windows at one limit before it looks whether more would be worse, and for how long at least and at most.
const HELD: u32 = 3;
const HOLD_MIN: Duration = Duration::from_secs(1);
const HOLD_MAX: Duration = Duration::from_secs(30);
/// Refusals that make it shrink at once, to which part of what was on the way then.
const REFUSED: u32 = 5;
const SPARE: f64 = 0.75;

/// Between what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The least.
    pub(super) min: usize,
    /// The most.
    pub(super) max: usize,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// lakeFS answered.
    Answered,
    /// lakeFS, or what stands before it, said that it has too much to do.
    Overloaded,
    /// Nobody waited for the answer: it would have taken longer still.
    Unanswered,
}

/// One request that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) operation: Operation,
    pub(super) outcome: Outcome,
    pub(super) began: Instant,
    /// How many were on their way when it began, itself among them.
    pub(super) among: usize,
}

/// What is known of one operation.
#[derive(Debug, Clone, Copy, Default)]
struct Baseline {
    seconds: f64,
    seen: u32,
    /// Of this window.
    sum: f64,
    count: u32,
}

/// What the requests of a window add up to.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    /// When its first request ended.
    began: Option<Instant>,
    /// What its requests took, and what they would have by their baselines.
    took: f64,
    usual: f64,
    /// The sum of the squares of `usual`.
    squares: f64,
    count: u32,
    among: f64,
    refused: u32,
    refused_among: f64,
    /// Whether anybody waited.
    full: bool,
}

impl Window {
    /// How long the requests take that most of lakeFS's time goes to.
    fn longest(&self) -> Duration {
        Duration::try_from_secs_f64(self.squares / self.usual).unwrap_or_default()
    }
}

/// How slow it was with how many.
#[derive(Debug, Clone, Copy)]
struct Point {
    among: f64,
    ratio: f64,
}

/// What was seen while the limit stood still.
#[derive(Debug, Clone, Copy)]
struct Held {
    since: Instant,
    windows: u32,
    among: f64,
    ratio: f64,
}

/// The controller.
#[derive(Debug)]
pub(super) struct Controller {
    bounds: Bounds,
    limit: f64,
    step: f64,
    changed: Instant,
    /// From when on what ends tells of the last change; None until no more are on their way than it allows.
    settled: Option<Instant>,
    /// How long that takes after. Of those that begin after a change the short end first, and of those that began before the slow end
    /// last: until both have gone, windows would tell of neither.
    rest: Duration,
    window: Window,
    baselines: Box<[Baseline]>,
    /// Whether it is slow, and where it was so. No place at first: while lakeFS becomes slow, what a window tells is of before and after.
    slow: Option<Option<Point>>,
    /// Where it began to grow.
    grown: Option<Point>,
    /// Whether the last window was somewhat slow, or fast.
    doubt: bool,
    /// What was seen since it stands still.
    held: Option<Held>,
    /// For how long it stands still before it looks.
    hold: Duration,
    /// Where it stood, while it looks whether more would be worse.
    look: Option<(Point, f64)>,
    /// What lakeFS refused at, and until when that counts.
    refused_at: Option<(f64, Instant)>,
}

impl Controller {
    /// Begins with the least, so that the first baselines are of a lakeFS that has little to do.
    pub(super) fn new(bounds: Bounds, now: Instant) -> Self {
        Self {
            bounds,
            limit: bounds.min as f64,
            step: STEP_MIN,
            changed: now,
            settled: None,
            rest: Duration::ZERO,
            window: Window::default(),
            baselines: vec![Baseline::default(); Operation::ALL.len()].into(),
            slow: None,
            grown: None,
            doubt: false,
            held: None,
            hold: HOLD_MIN,
            look: None,
            refused_at: None,
        }
    }

    /// New bounds; what was learned stays.
    pub(super) fn bind(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.limit = self.limit.clamp(bounds.min as f64, bounds.max as f64);
    }

    /// How many may be on their way.
    pub(super) fn limit(&self) -> usize {
        self.limit.round() as usize
    }

    /// Learns from a request that ended while `inside` were on their way and others may have waited. Whether the limit changed.
    pub(super) fn learn(&mut self, sample: Sample, inside: usize, full: bool, now: Instant) -> bool {
        if sample.outcome == Outcome::Overloaded {
            return self.count_refusal(sample, now);
        }
        let settled = match self.settled {
            Some(settled) => settled,
            None if inside <= self.limit() || now.saturating_duration_since(self.changed) > WINDOW_TIME => {
                *self.settled.insert(now + self.rest)
            }
            None => return false,
        };
        self.window.full |= full;
        if now < settled {
            return false;
        }
        self.count(sample, now);
        if !self.is_whole(now) {
            return false;
        }
        self.rest = self.window.longest() * REST;
        let before = self.limit();
        self.judge(now);
        self.close_window(before, now)
    }

    /// Whether the limit is another than before.
    fn close_window(&mut self, before: usize, now: Instant) -> bool {
        self.limit = self.limit.clamp(self.bounds.min as f64, self.bounds.max as f64);
        self.window = Window::default();
        for baseline in &mut self.baselines {
            (baseline.sum, baseline.count) = (0.0, 0);
        }
        let changed = self.limit() != before;
        if changed {
            (self.changed, self.settled) = (now, None);
        }
        changed
    }

    /// Refusals come at once, and each makes room for the next: they count from the moment of the last change.
    fn count_refusal(&mut self, sample: Sample, now: Instant) -> bool {
        if sample.began < self.changed {
            return false;
        }
        self.window.refused += 1;
        self.window.refused_among += sample.among as f64;
        if self.window.refused < REFUSED.max(self.window.count / 50) {
            return false;
        }
        let before = self.limit();
        let at = self.window.refused_among / f64::from(self.window.refused);
        self.refused_at = Some((at, now + CAUTION));
        self.limit = self.limit.min(at * SPARE);
        (self.step, self.grown, self.look) = (STEP_MIN, None, None);
        self.close_window(before, now)
    }

    /// Whether the window has enough to judge by.
    fn is_whole(&mut self, now: Instant) -> bool {
        let window = &mut self.window;
        let age = now.saturating_duration_since(*window.began.get_or_insert(now));
        window.count >= (self.limit as u32).clamp(WINDOW_MIN, WINDOW_MAX)
            || age > WINDOW_TIME && window.count >= WINDOW_FEW
    }

    fn count(&mut self, sample: Sample, now: Instant) {
        let window = &mut self.window;
        let Some(baseline) = self.baselines.get_mut(sample.operation as usize) else {
            return;
        };
        let took = now.saturating_duration_since(sample.began).as_secs_f64();
        match sample.outcome {
            Outcome::Overloaded => return,
            // It is known only that it was slow.
            Outcome::Unanswered if baseline.seen < FIRST || took < baseline.seconds * SLOW => return,
            Outcome::Unanswered => {}
            Outcome::Answered if baseline.seen < FIRST => {
                baseline.seen += 1;
                baseline.seconds += (took - baseline.seconds) / f64::from(baseline.seen);
                return;
            }
            Outcome::Answered => {
                baseline.sum += took;
                baseline.count += 1;
            }
        }
        window.took += took.min(baseline.seconds * RATIO_MAX);
        window.usual += baseline.seconds;
        window.squares += baseline.seconds * baseline.seconds;
        window.among += sample.among as f64;
        window.count += 1;
    }

    fn judge(&mut self, now: Instant) {
        let window = self.window;
        let among = (window.among / f64::from(window.count.max(1))).max(1.0);
        let ratio = if window.usual > 0.0 {
            (window.took / window.usual).max(1e-3)
        } else {
            1.0
        };
        let point = Point { among, ratio };
        let in_use = window.full || among >= self.limit * 0.8;
        let doubt = std::mem::replace(&mut self.doubt, false);
        if let Some((stood, limit)) = self.look.take() {
            self.looked(stood, limit, point);
        } else if ratio > SLOW {
            self.doubt = true;
            if doubt || ratio > VERY_SLOW {
                self.slow(point, in_use, now);
            }
        } else if ratio < FAST {
            if doubt || ratio < FAST / 2.0 {
                self.rebase(ratio);
            } else {
                self.doubt = true;
            }
        } else {
            self.slow = None;
            self.learn_baselines(ratio, in_use);
            if in_use && ratio < GOOD {
                self.held = None;
                self.grow(point, now);
            } else {
                self.grown = None;
                self.stand(point, in_use, now);
            }
        }
    }

    fn grow(&mut self, point: Point, now: Instant) {
        let began = *self.grown.get_or_insert(point);
        let more = point.among / began.among;
        if more >= CONTRAST {
            self.grown = Some(point);
            if (point.ratio / began.ratio).ln() > more.ln() * 0.75 {
                // All that came of it is that each took the longer: there was a queue before, and the baseline is of a queue.
                self.rebase(point.ratio / more);
                return;
            }
        }
        let mut most = self.limit * (1.0 + self.step) + 1.0;
        if let Some((at, until)) = self.refused_at {
            if now < until {
                most = most.min(at * 0.95).max(self.limit);
            } else {
                // From here on with care: each step too far is a refusal that a client sees.
                (self.refused_at, self.step) = (None, STEP_MIN);
                most = self.limit * (1.0 + STEP_MIN) + 1.0;
            }
        }
        self.limit = most;
        self.step = (self.step * 2.0).min(STEP_MAX);
    }

    /// Makes the baselines so that what was `ratio` slower is not.
    fn rebase(&mut self, ratio: f64) {
        for baseline in &mut self.baselines {
            baseline.seconds *= ratio;
        }
        (self.slow, self.held, self.hold) = (None, None, HOLD_MIN);
    }

    /// It is neither good nor to be helped by less: looks from time to time whether more would be worse. That costs nobody a refusal.
    fn stand(&mut self, point: Point, in_use: bool, now: Instant) {
        if !in_use {
            self.held = None;
            return;
        }
        let held = self.held.get_or_insert(Held {
            since: now,
            windows: 0,
            among: 0.0,
            ratio: 0.0,
        });
        held.windows += 1;
        held.among += point.among;
        held.ratio += point.ratio;
        if held.windows >= HELD && now.saturating_duration_since(held.since) >= self.hold {
            let windows = f64::from(held.windows);
            let stood = Point {
                among: held.among / windows,
                ratio: held.ratio / windows,
            };
            self.look = Some((stood, self.limit));
            self.limit *= CONTRAST;
        }
    }

    /// More were on their way for a window: if each took the longer for it, they were enough before.
    fn looked(&mut self, stood: Point, limit: f64, point: Point) {
        self.held = None;
        let more = (point.among / stood.among).ln();
        if more > CONTRAST.ln() / 2.0 && (point.ratio / stood.ratio).ln() < more / 2.0 {
            self.rebase(point.ratio);
            return;
        }
        self.limit = limit;
        self.hold = (self.hold * 2).min(HOLD_MAX);
    }

    fn slow(&mut self, point: Point, in_use: bool, now: Instant) {
        (self.step, self.grown) = (STEP_MIN, None);
        if !in_use && point.among < self.limit / 2.0 {
            // Too few are on their way to tell; what nobody uses can go.
            if self.limit.round() as usize <= self.bounds.min {
                self.learn_baselines(1.0, false);
            }
            self.limit = point.among * 2.0;
            return;
        }
        match self.slow {
            None => self.slow = Some(None),
            Some(None) => self.slow = Some(Some(point)),
            Some(Some(before)) => {
                let (fewer, faster) = (before.among / point.among, before.ratio / point.ratio);
                if faster < 0.8 {
                    // It was still becoming slow then.
                    self.slow = Some(Some(point));
                } else if fewer >= CONTRAST * 0.9 {
                    self.slow = Some(Some(point));
                    if faster.ln() < fewer.ln() * 0.4 {
                        // As slow with few as with many: lakeFS is slow whatever their number.
                        self.rebase(point.ratio);
                        self.limit = before.among.max(self.limit);
                        return;
                    }
                }
            }
        }
        let told = (point.among * GOOD / point.ratio).clamp(self.limit * SHRINK_MAX, self.limit);
        if told < self.limit * 0.9 && self.limit > self.bounds.min as f64 {
            self.held = None;
        } else {
            self.stand(point, in_use, now);
            if self.look.is_some() {
                return;
            }
        }
        self.limit = told;
    }

    /// Takes the window's means into the baselines: each as it would have been without the slowness that all share, unless too few were on
    /// their way to make any.
    fn learn_baselines(&mut self, ratio: f64, in_use: bool) {
        let shared = if in_use { ratio } else { 1.0 };
        for baseline in self.baselines.iter_mut().filter(|baseline| baseline.count > 0) {
            let part = (f64::from(baseline.count) * LEARN).min(LEARN_MAX);
            let mean = baseline.sum / f64::from(baseline.count) / shared;
            baseline.seconds += (mean - baseline.seconds) * part;
        }
    }
}
