//! Whether a connection is serving a request: known to the service, which begins and ends requests, and to the door, which waits for them.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use crate::exchange::{Body, BodyError};

/// What one connection is doing.
#[derive(Debug)]
pub(super) struct Activity {
    state: AtomicU8,
    rests_since: Mutex<Instant>,
    waits_for_rest: AtomicWaker,
}

/// No request is under way.
const RESTS: u8 = 0;
/// A request waits for its answer.
const WAITS: u8 = 1;
/// The answer is on its way to the client.
const ANSWERS: u8 = 2;

impl Activity {
    /// A new connection, which rests.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(RESTS),
            rests_since: Mutex::new(Instant::now()),
            waits_for_rest: AtomicWaker::new(),
        })
    }

    /// Notes that a request has begun; it ends when the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.state.store(WAITS, Ordering::Release);
        Busy(Arc::clone(self))
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.state.load(Ordering::Acquire) != RESTS
    }

    /// Whether a request has no answer yet.
    pub(super) fn waits(&self) -> bool {
        self.state.load(Ordering::Acquire) == WAITS
    }

    /// How long it has been resting since the last request, or since it began.
    pub(super) fn rests(&self) -> Duration {
        self.rests_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }

    /// Wakes when the request under way has ended.
    pub(super) fn wake_at_rest(&self, waker: &Waker) {
        self.waits_for_rest.register(waker);
        if !self.is_busy() {
            self.waits_for_rest.wake();
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    /// The answer has begun.
    pub(super) fn answers(&self) {
        self.0.state.store(ANSWERS, Ordering::Release);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.rests_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.state.store(RESTS, Ordering::Release);
        self.0.waits_for_rest.wake();
    }
}

/// The body of an answer: the request is under way until it has gone.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) body: Body,
    pub(super) _busy: Busy,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
