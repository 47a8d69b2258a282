//! The streams of one HTTP/2 connection: how many there are, and a deadline for each that could stand still.
//!
//! hyper reads an answer's body only while the client takes it, so a client that takes nothing is seen from outside: where the stream is
//! pending and the answer is not. Such a stream is reset; the others of its connection go on.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::rt::Executor;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::exchange::alarm::Alarm;
use crate::exchange::{Body, BodyError};

/// How long a body is read on whose request has been answered.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// What is known of a connection's streams. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    idle: Duration,
    open: AtomicUsize,
    begun: AtomicBool,
    rests_since: Mutex<Instant>,
    /// The stream that hyper is about to hand over: it asks for the answer, and at once wants it driven.
    next: Mutex<Option<Arc<Turns>>>,
}

/// Whose turn it is on a stream: 0 while the client waits for the gateway, else the client's, with a number for each turn.
#[derive(Debug, Default)]
struct Turns(AtomicU32);

impl Turns {
    fn gateways(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn clients(&self, last: &mut u32) {
        *last = last.wrapping_add(1).max(1);
        self.0.store(*last, Ordering::Relaxed);
    }
}

impl Streams {
    /// Of a new connection. `idle` is how long a client may stand still in the middle of a body, either way.
    pub(super) fn new(idle: Duration) -> Self {
        Self(Arc::new(Inner {
            idle,
            open: AtomicUsize::new(0),
            begun: AtomicBool::new(false),
            rests_since: Mutex::new(Instant::now()),
            next: Mutex::new(None),
        }))
    }

    /// Notes that a request has begun; it ends when the guard is dropped.
    pub(super) fn begin(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.0.begun.store(true, Ordering::Relaxed);
        let turns = Arc::new(Turns::default());
        *self.0.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&turns));
        Open {
            streams: self.clone(),
            turns,
            turn: 0,
        }
    }

    /// Whether there ever was a request.
    pub(super) fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// How long there has been no request; no time at all while there is one.
    pub(super) fn rests(&self) -> Duration {
        match self.0.open.load(Ordering::Relaxed) {
            0 => self
                .0
                .rests_since
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// The body of a request on this connection.
    pub(super) fn request_body(&self, incoming: Incoming) -> Body {
        if http_body::Body::is_end_stream(&incoming) {
            return Body::empty();
        }
        Body::new(Upload {
            incoming: Some(incoming),
            idle: self.0.idle,
            alarm: Alarm::default(),
        })
    }
}

/// Drives streams: hyper hands each over as a future.
impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let turns = self.0.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        tokio::spawn(Driven {
            stream: Box::pin(stream),
            turns: turns.unwrap_or_default(),
            seen: 0,
            idle: self.0.idle,
            alarm: Alarm::default(),
        });
    }
}

/// A stream that is served. Dropped before its end, it is reset.
struct Driven<F> {
    stream: Pin<Box<F>>,
    turns: Arc<Turns>,
    seen: u32,
    idle: Duration,
    alarm: Alarm,
}

impl<F: Future<Output = ()>> Future for Driven<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let turn = self.turns.0.load(Ordering::Relaxed);
        if turn == 0 {
            self.alarm.clear();
        } else if turn != self.seen {
            let idle = self.idle;
            self.alarm.set(idle);
        }
        self.seen = turn;
        let late = self.alarm.poll(cx);
        if late.is_ready() {
            tracing::debug!("a client does not read its answer: the stream is reset");
        }
        late
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Open {
    streams: Streams,
    turns: Arc<Turns>,
    turn: u32,
}

impl Open {
    /// The answer has begun.
    pub(super) fn answer(mut self, body: Body) -> Answer {
        self.turns.clients(&mut self.turn);
        Answer { body, open: self }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let inner = &self.streams.0;
        *inner.rests_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        inner.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer: the request is under way until it has gone.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    open: Open,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { body, open } = &mut *self;
        let polled = Pin::new(body).poll_frame(cx);
        match &polled {
            Poll::Pending => open.turns.gateways(),
            Poll::Ready(_) => open.turns.clients(&mut open.turn),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request, with a deadline for the client.
///
/// One that was answered before its end is read on for a while: there are clients that lose the answer if their stream is reset while
/// they send (curl up to 8).
#[derive(Debug)]
struct Upload {
    /// Gone once it has failed.
    incoming: Option<Incoming>,
    idle: Duration,
    alarm: Alarm,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(incoming).poll_frame(cx);
        if polled.is_ready() {
            self.alarm.clear();
            if matches!(polled, Poll::Ready(Some(Err(_)))) {
                self.incoming = None;
            }
            return polled.map_err(BodyError::Stream);
        }
        let idle = self.idle;
        self.alarm.set_once(idle);
        self.alarm.poll(cx).map(|()| {
            let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "the client stood still in its body");
            Some(Err(BodyError::Io(late)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream()) else {
            return;
        };
        // Without a runtime everything ends, and this with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(LINGER_MAX, async move {
                while matches!(incoming.frame().await, Some(Ok(_))) {}
            }));
        }
    }
}
