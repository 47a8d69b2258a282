//! Waiting: bounded in time for each request, share, turn and slot together, and bounded in number for all requests together.
//!
//! A waiter is a future: when its client leaves it is dropped, and with it its place here and in every line.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::exchange::Context;
use crate::observe::Metrics;

/// All who wait.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Queue {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            metrics,
        }
    }

    /// How many wait now.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GaveUp {
    /// Too many wait already.
    Full,
    /// The time is over.
    TooLate,
}

/// One request's patience. When dropped, it writes down how long the request has waited.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    queue: &'a Queue,
    context: &'a Context,
    max_waiting: usize,
    deadline: Instant,
    began: Option<Instant>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(queue: &'a Queue, context: &'a Context, max_waiting: usize, max_wait: Duration) -> Self {
        Self {
            queue,
            context,
            max_waiting,
            deadline: Instant::now() + max_wait,
            began: None,
        }
    }

    /// How long it may still wait.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits for `what`.
    pub(super) async fn wait<F: Future>(&mut self, what: F) -> Result<F::Output, GaveUp> {
        if self.began.is_none() {
            let more = |waiting| (waiting < self.max_waiting).then_some(waiting + 1);
            let counter = &self.queue.waiting;
            if counter
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                .is_err()
            {
                return Err(GaveUp::Full);
            }
            self.queue.metrics.waiting.inc();
            self.began = Some(Instant::now());
        }
        timeout_at(self.deadline, what).await.map_err(|_| GaveUp::TooLate)
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if let Some(began) = self.began {
            self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
            self.queue.metrics.waiting.dec();
            let waited = began.elapsed();
            self.queue.metrics.queue_seconds.observe(waited.as_secs_f64());
            self.context.facts().queued += waited;
        }
    }
}
