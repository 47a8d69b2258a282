//! The body of lakeFS's answer on its way to the client: gives the connection back when it has ended, and closes it when it has not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::chain;
use super::http2::Pipe;
use super::pool::{Lease, Pool};
use super::upload::Progress;
use crate::exchange::alarm::Alarm;
use crate::exchange::{Body, BodyError, Context};

/// How long a connection may take to be ready again once its answer and its request have ended.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// How long a connection may stand still, and how it is kept afterwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) idle_timeout: Duration,
    pub(super) keep_alive: Duration,
    pub(super) max_idle: usize,
}

/// A connection whose answer has begun.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) lease: Lease,
    pub(super) pool: Arc<Pool>,
    pub(super) times: Times,
    pub(super) progress: Option<Arc<Progress>>,
}

impl Answering {
    /// The answer has ended: the connection goes back to its pool, at once or, if the request's body is still going up, when that has
    /// ended too.
    pub(super) fn settle(self) {
        let Self {
            mut lease,
            pool,
            times,
            progress,
        } = self;
        // A body that lakeFS answered without wanting it never comes, and without it the connection is of no more use.
        if lease.is_dead() || progress.as_ref().is_some_and(|progress| progress.is_asked()) {
            return;
        }
        if lease.sender.is_ready() {
            return pool.put(lease, times.keep_alive, times.max_idle);
        }
        tokio::spawn(async move {
            let ready = lease.sender.ready();
            let settled = match progress {
                Some(progress) => progress
                    .watch(times.idle_timeout, SETTLE_MAX, ready)
                    .await
                    .is_ok_and(|ready| ready.is_ok()),
                None => tokio::time::timeout(SETTLE_MAX, ready)
                    .await
                    .is_ok_and(|ready| ready.is_ok()),
            };
            if settled {
                pool.put(lease, times.keep_alive, times.max_idle);
            }
        });
    }
}

/// A stream whose answer has begun before all of its request's body had gone up.
#[derive(Debug)]
pub(super) struct Rising {
    piping: JoinHandle<()>,
    times: Times,
    progress: Option<Arc<Progress>>,
}

impl Rising {
    pub(super) fn new(pipe: Pipe, times: Times, progress: Option<Arc<Progress>>) -> Self {
        Self {
            piping: tokio::spawn(pipe.finish()),
            times,
            progress,
        }
    }

    /// The answer has ended: the rest of the body may follow, as long as it moves.
    fn settle(mut self) {
        // A body that lakeFS answered without wanting it never comes.
        let Some(progress) = self.progress.take().filter(|progress| !progress.is_asked()) else {
            return;
        };
        tokio::spawn(async move {
            let Times { idle_timeout, .. } = self.times;
            let _ = progress.watch(idle_timeout, SETTLE_MAX, &mut self.piping).await;
        });
    }
}

impl Drop for Rising {
    fn drop(&mut self) {
        self.piping.abort();
    }
}

/// What an answer keeps busy until its end.
#[derive(Debug)]
pub(super) enum Busy {
    /// A connection.
    Connection(Answering),
    /// A stream, which is over with its bodies.
    Stream(Option<Rising>),
}

impl Busy {
    /// The answer has ended.
    pub(super) fn settle(self) {
        match self {
            Self::Connection(answering) => answering.settle(),
            Self::Stream(rising) => rising.into_iter().for_each(Rising::settle),
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) incoming: Body,
    /// Gone once the answer has ended.
    pub(super) busy: Option<Busy>,
    pub(super) idle_timeout: Duration,
    pub(super) context: Context,
    pub(super) alarm: Alarm,
}

impl Answer {
    fn broke(&mut self, what: String) {
        self.busy = None;
        self.context.facts().error = Some(what);
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        match &polled {
            Poll::Pending => {
                if self.busy.is_none() {
                    return Poll::Pending;
                }
                let idle_timeout = self.idle_timeout;
                self.alarm.set_once(idle_timeout);
                if self.alarm.poll(cx).is_ready() {
                    self.broke("lakeFS stood still in the middle of its answer".to_owned());
                    return Poll::Ready(Some(Err(BodyError::Gateway(
                        "lakeFS stood still in the middle of its answer",
                    ))));
                }
                return Poll::Pending;
            }
            Poll::Ready(Some(Err(error))) => {
                let what = format!("lakeFS cut its answer: {}", chain(error));
                self.broke(what);
            }
            Poll::Ready(ended) => {
                self.alarm.clear();
                if (ended.is_none() || self.incoming.is_end_stream())
                    && let Some(busy) = self.busy.take()
                {
                    busy.settle();
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
