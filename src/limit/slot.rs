//! Slots: how much is on its way to lakeFS at a time, all principals together.
//!
//! A slot for a request is given back when lakeFS's answer begins: its work is done by then, and a client that reads slowly must not
//! hold it. A stream counts in a number of its own and is given back with the answer's last byte, because moving bytes is its work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::adaptive::{Bounds, Controller, Sample};
use super::door::Door;
use crate::config::{InFlight, UpstreamLimit};
use crate::lakefs::Operation;
use crate::observe::Metrics;

/// What a request takes of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// One of `upstream.in_flight`.
    Request,
    /// One of `upstream.streams`.
    Stream,
    /// None: a health check must be answered even by a gateway that is full.
    None,
}

impl Slot {
    /// `complete` tells whether the request's body is all here already: one that is still coming takes as long as its client likes.
    pub(super) fn of(operation: Operation, complete: bool) -> Self {
        match operation {
            Operation::Health | Operation::HealthCheck => Self::None,
            Operation::GetObject | Operation::GetObjectsArchive | Operation::S3GetObject => Self::Stream,
            _ if complete => Self::Request,
            _ => Self::Stream,
        }
    }

    /// Its name in `explain`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Stream => "stream",
            Self::None => "none",
        }
    }
}

/// The slots of the upstream.
#[derive(Debug)]
pub(super) struct Slots {
    requests: Arc<Door>,
    streams: Arc<Door>,
    controller: Mutex<Controller>,
    /// Whether what is learned is in force.
    learned: AtomicBool,
    metrics: Arc<Metrics>,
}

/// The least that is learned where it is not in force.
const LEAST: usize = 16;

impl Slots {
    pub(super) fn new(limit: &UpstreamLimit, metrics: Arc<Metrics>) -> Self {
        let (_, most) = limit.in_flight.bounds();
        let controller = Controller::new(bounds(limit), Instant::now());
        Self {
            requests: Door::new(most),
            streams: Door::new(limit.streams),
            controller: Mutex::new(controller),
            learned: AtomicBool::new(false),
            metrics,
        }
    }

    /// Puts the sizes into force. In shadow nothing that is learned is in force.
    pub(super) fn resize(&self, limit: &UpstreamLimit, enforced: bool) {
        let learned = {
            let mut controller = self.controller();
            controller.bind(bounds(limit));
            controller.limit()
        };
        let size = match limit.in_flight {
            InFlight::Fixed(number) => number,
            InFlight::Learned(_) => learned,
        };
        let in_force = enforced && matches!(limit.in_flight, InFlight::Learned(_));
        self.learned.store(in_force, Ordering::Relaxed);
        self.requests.resize(size);
        self.streams.resize(limit.streams);
        self.metrics.upstream_limit.set(size as i64);
        self.metrics.upstream_limit_learned.set(learned as i64);
    }

    pub(super) fn door(&self, slot: Slot) -> Option<&Arc<Door>> {
        match slot {
            Slot::Request => Some(&self.requests),
            Slot::Stream => Some(&self.streams),
            Slot::None => None,
        }
    }

    /// How many requests are on their way.
    pub(super) fn among(&self) -> usize {
        self.requests.inside()
    }

    /// Learns from a request that has ended.
    pub(super) fn learn(&self, sample: Sample) {
        let (before, limit) = {
            let mut controller = self.controller();
            let before = controller.limit();
            let full = self.requests.waiting() > 0;
            if !controller.learn(sample, self.requests.inside(), full, Instant::now()) {
                return;
            }
            (before, controller.limit())
        };
        let in_force = self.learned.load(Ordering::Relaxed);
        self.metrics.upstream_limit_learned.set(limit as i64);
        if in_force {
            self.metrics.upstream_limit.set(limit as i64);
            self.requests.resize(limit);
        }
        // In steps that somebody may want to see; the metric has them all.
        if limit * 3 < before * 2 {
            tracing::info!(
                limit.before = before,
                limit.now = limit,
                in_force,
                "lakeFS takes fewer requests at a time"
            );
        } else {
            tracing::debug!(
                limit.before = before,
                limit.now = limit,
                in_force,
                "the learned limit changed"
            );
        }
    }

    fn controller(&self) -> MutexGuard<'_, Controller> {
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between what the limit is learned, in force or not.
fn bounds(limit: &UpstreamLimit) -> Bounds {
    let (min, max) = match limit.in_flight {
        InFlight::Fixed(number) => (number.min(LEAST), number),
        InFlight::Learned(range) => (range.min, range.max),
    };
    Bounds { min, max }
}
