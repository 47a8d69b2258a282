//! The body of a request on its way to lakeFS, with a witness: who is being waited for, and who broke it.
//!
//! A client that asks first (`Expect: 100-continue`) is told to go on when lakeFS says so: reading its body is what makes the server send
//! 100, so the body is not read before (RFC 9110 10.1.1).

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use crate::exchange::alarm::Alarm;
use crate::exchange::{Body, BodyError, SignatureFault};

/// How long lakeFS may take to say whether it wants a body; then it is sent unasked.
const ASKED_MAX: Duration = Duration::from_secs(1);

/// What became of the client's side of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The client stood still for too long.
    Slow,
    /// The client left, or what it sent is no body.
    Broken,
    /// What it sent is not what it signed.
    Signature(SignatureFault),
}

#[derive(Debug)]
enum Stage {
    /// lakeFS was asked at this time whether it wants the body, and has not said.
    Asked(Instant, Option<Waker>),
    /// lakeFS has not asked for more since then.
    Upstream(Instant),
    /// lakeFS has asked for more, and the client sends nothing.
    Client,
    /// All of it was handed over at this time.
    Done(Instant),
    /// The client's side failed.
    Failed(Fault),
}

/// How far an upload is: shared by the body, which hyper's driver reads, and the request, which waits for the answer.
#[derive(Debug)]
pub(super) struct Progress(Mutex<Stage>);

/// Why the wait for lakeFS was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stalled;

impl Progress {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who broke it on the client's side, if it was there that it broke.
    pub(super) fn fault(&self) -> Option<Fault> {
        match &*self.stage() {
            Stage::Failed(fault) => Some(fault.clone()),
            _ => None,
        }
    }

    /// lakeFS wants the body.
    pub(super) fn go(&self) {
        let mut stage = self.stage();
        if let Stage::Asked(_, waker) = &mut *stage {
            let waker = waker.take();
            *stage = Stage::Upstream(Instant::now());
            drop(stage);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// True as long as lakeFS has not said whether it wants the body.
    pub(super) fn is_asked(&self) -> bool {
        matches!(*self.stage(), Stage::Asked(..))
    }

    /// Waits for `future`. Gives up when lakeFS takes nothing of the body for `idle`, or when `after` has passed since it had all of it.
    /// While the client is the one that is waited for, its own deadline holds (`server.idle_timeout`).
    pub(super) async fn watch<F: Future>(
        &self,
        idle: Duration,
        after: Duration,
        future: F,
    ) -> Result<F::Output, Stalled> {
        let mut future = pin!(future);
        let mut timer = pin!(sleep_until(Instant::now() + idle.min(after)));
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            while timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now();
                let deadline = match *self.stage() {
                    Stage::Asked(since, _) | Stage::Upstream(since) => since + idle,
                    Stage::Done(since) => since + after,
                    Stage::Client | Stage::Failed(_) => now + idle,
                };
                if deadline <= now {
                    return Poll::Ready(Err(Stalled));
                }
                timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

/// A body on its way to lakeFS.
#[derive(Debug)]
pub(super) struct Upload {
    body: Body,
    progress: Option<Arc<Progress>>,
    asked: Alarm,
}

impl Upload {
    /// A body that is all here needs no witness, and nobody is `asked` whether it is wanted.
    pub(super) fn new(body: Body, asked: bool) -> (Self, Option<Arc<Progress>>) {
        let now = Instant::now();
        let stage = if asked {
            Stage::Asked(now, None)
        } else {
            Stage::Upstream(now)
        };
        let progress = (!body.is_complete()).then(|| Arc::new(Progress(Mutex::new(stage))));
        (
            Self {
                body,
                progress: progress.clone(),
                asked: Alarm::default(),
            },
            progress,
        )
    }

    /// Ready once lakeFS wants the body, or has taken too long to say.
    fn wanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(progress) = &self.progress else {
            return Poll::Ready(());
        };
        match &mut *progress.stage() {
            Stage::Asked(_, waker) => *waker = Some(cx.waker().clone()),
            _ => return Poll::Ready(()),
        }
        self.asked.set_once(ASKED_MAX);
        self.asked.poll(cx)
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        ready!(self.wanted(cx));
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(progress) = &self.progress {
            let now = Instant::now();
            let stage = match &polled {
                Poll::Pending => Stage::Client,
                Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => Stage::Done(now),
                Poll::Ready(Some(Ok(_))) => Stage::Upstream(now),
                Poll::Ready(None) => Stage::Done(now),
                Poll::Ready(Some(Err(error))) => Stage::Failed(fault_of(error)),
            };
            *progress.stage() = stage;
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

/// The server's deadlines are I/O errors of this kind.
fn fault_of(error: &BodyError) -> Fault {
    if let BodyError::Signature(fault) = error {
        return Fault::Signature(fault.clone());
    }
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = source {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return Fault::Slow;
        }
        source = error.source();
    }
    Fault::Broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};

    #[tokio::test(start_paused = true)]
    async fn lakefs_that_takes_nothing_is_given_up_but_a_slow_client_is_not() {
        let (idle, after) = (Duration::from_secs(2), Duration::from_secs(600));
        let frames = futures_util::stream::pending::<Result<Frame<Bytes>, BodyError>>();
        let (mut upload, progress) = Upload::new(Body::new(StreamBody::new(frames)), false);
        let progress = progress.unwrap();
        let begin = Instant::now();
        assert_eq!(
            progress.watch(idle, after, std::future::pending::<()>()).await,
            Err(Stalled)
        );
        assert_eq!(begin.elapsed(), idle);
        assert!(tokio::time::timeout(Duration::ZERO, upload.frame()).await.is_err());
        let client_sleeps = tokio::time::sleep(Duration::from_secs(60));
        assert_eq!(progress.watch(idle, after, client_sleeps).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn once_lakefs_has_all_it_has_its_time_to_answer() {
        let frames = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"x")))]);
        let (mut upload, progress) = Upload::new(Body::new(StreamBody::new(frames)), false);
        let progress = progress.unwrap();
        while upload.frame().await.is_some() {}
        let begin = Instant::now();
        let (idle, after) = (Duration::from_secs(2), Duration::from_secs(600));
        assert_eq!(
            progress.watch(idle, after, std::future::pending::<()>()).await,
            Err(Stalled)
        );
        assert_eq!(begin.elapsed(), after);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_lakefs_was_asked_about_waits_for_its_word_but_not_for_ever() {
        for says_so in [true, false] {
            let frames = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"x")))]);
            let (mut upload, progress) = Upload::new(Body::new(StreamBody::new(frames)), true);
            let (progress, begin) = (progress.unwrap(), Instant::now());
            let early = tokio::time::timeout(ASKED_MAX / 2, upload.frame()).await;
            assert!(early.is_err() && progress.is_asked());
            if says_so {
                progress.go();
            }
            assert!(upload.frame().await.unwrap().is_ok());
            assert!(!progress.is_asked());
            assert_eq!(begin.elapsed(), if says_so { ASKED_MAX / 2 } else { ASKED_MAX });
        }
    }

    #[test]
    fn a_deadline_of_the_server_is_told_from_a_client_that_left() {
        let late = BodyError::Io(io::Error::new(io::ErrorKind::TimedOut, "late"));
        assert_eq!(fault_of(&late), Fault::Slow);
        assert_eq!(fault_of(&BodyError::Gateway("x")), Fault::Broken);
    }
}
