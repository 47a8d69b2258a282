//! The last bytes of a body that is still coming: held back until the write's turn on its branch has come.
//!
//! lakeFS writes an object's entry when the body has ended and not before, so an upload of an hour needs its turn for a moment: all but the
//! last [`TAIL`] bytes go as they come. (A form's delimiter, the last chunk of an AWS-signed body, trailers and the end are among these.)
//! Only when the client has sent everything is the turn asked for, so a slow client has none; the tail goes with the turn, or without one
//! when there was none in time: an upload is never broken for want of a turn. lakeFS's answer ends the turn, whenever it comes.
//!
//! The body is moved by the connection to lakeFS and the answer awaited by the request, perhaps on different tasks. What they must agree
//! on, whether the tail has gone, is decided once, in [`Hold`]: if the client leaves before, the body ends in an error, never well; if it
//! leaves afterwards, the request goes on without it.
//!
//! No deadlock can come of an upload holding a stream slot while its tail waits: who has a turn holds a request slot or waits for one, and
//! nobody who holds a request slot waits for a turn. What streams share beside slots are the places on connections of HTTP/2 to lakeFS
//! (at least a thousand a data thread, unless lakeFS allows less): therefore at most [`TAILS_MAX`] tails wait at a time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::turn::Turn;
use crate::exchange::{Body, BodyError};

/// How much is held back.
pub(super) const TAIL: usize = 4096;
/// How many may wait at a time; beyond that tails go without a turn.
pub(super) const TAILS_MAX: usize = 512;

/// Waits for the turns a write needs; it returns without them when there were none in time.
pub(super) type Turning = Pin<Box<dyn Future<Output = Vec<Turn>> + Send>>;

#[derive(Debug)]
enum Stage {
    /// The tail is not here yet, or waits for the turn.
    Held(Option<Waker>),
    /// It has gone.
    Gone(#[expect(dead_code, reason = "held until the answer")] Vec<Turn>),
    /// lakeFS has answered: there is nothing to wait for any more.
    Answered,
    /// The client has left.
    Cut,
}

/// What the body and its request share.
#[derive(Debug)]
pub(super) struct Hold(Mutex<Stage>);

impl Hold {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Stage::Held(None))))
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// lakeFS has answered: ends the turn; a tail that still waits need not.
    pub(super) fn answered(&self) {
        let before = std::mem::replace(&mut *self.stage(), Stage::Answered);
        if let Stage::Held(Some(waker)) = before {
            waker.wake();
        }
    }

    /// The client has left. True if the body is cut by that: its tail has not gone, and now never will.
    pub(super) fn cut(&self) -> bool {
        let mut stage = self.stage();
        let held = matches!(*stage, Stage::Held(_));
        if held {
            *stage = Stage::Cut;
        }
        held
    }

    /// Whether the tail still has to wait; if so its task will be woken when it has not.
    fn is_held(&self, cx: &Context<'_>) -> Result<bool, BodyError> {
        match &mut *self.stage() {
            Stage::Held(waker) => {
                *waker = Some(cx.waker().clone());
                Ok(true)
            }
            Stage::Gone(_) | Stage::Answered => Ok(false),
            Stage::Cut => Err(CUT),
        }
    }

    /// Lets the tail go, unless the client has left.
    fn let_go(&self, turns: Vec<Turn>) -> Result<(), BodyError> {
        let mut stage = self.stage();
        match *stage {
            Stage::Held(_) => *stage = Stage::Gone(turns),
            Stage::Gone(_) | Stage::Answered => {}
            Stage::Cut => return Err(CUT),
        }
        Ok(())
    }
}

const CUT: BodyError = BodyError::Gateway("the client left before the end of its body was sent on");

/// How far the body is.
enum Progress {
    /// It comes.
    Coming,
    /// All of it has come; its tail waits.
    Waiting,
    /// It has gone.
    Gone,
}

/// A body whose last bytes wait.
pub(super) struct Tail {
    body: Body,
    progress: Progress,
    /// How many bytes are certainly none of the last.
    passing: u64,
    ready: VecDeque<Frame<Bytes>>,
    held: BytesMut,
    trailers: Option<Frame<Bytes>>,
    hold: Arc<Hold>,
    turning: Turning,
}

impl Tail {
    pub(super) fn new(body: Body, hold: Arc<Hold>, turning: Turning) -> Self {
        let length = body.size_hint().exact().unwrap_or(0);
        Self {
            passing: length.saturating_sub(TAIL as u64),
            body,
            progress: Progress::Coming,
            ready: VecDeque::new(),
            held: BytesMut::new(),
            trailers: None,
            hold,
            turning,
        }
    }

    /// Passes on what is none of the last bytes, and keeps a copy of the rest: the piece may be part of something much larger.
    fn take(&mut self, mut data: Bytes) {
        if self.passing > 0 {
            let pass = data.len().min(usize::try_from(self.passing).unwrap_or(usize::MAX));
            self.passing -= pass as u64;
            self.pass(data.split_to(pass));
        }
        let over = (self.held.len() + data.len()).saturating_sub(TAIL);
        let old = self.held.split_to(over.min(self.held.len())).freeze();
        let new = data.split_to(over - old.len());
        self.pass(old);
        self.pass(new);
        self.held.extend_from_slice(&data);
    }

    fn pass(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.ready.push_back(Frame::data(data));
        }
    }

    /// Takes one piece of the body.
    fn come(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()? {
            Some(frame) => match frame.into_data() {
                Ok(data) => {
                    self.take(data);
                    if self.body.is_end_stream() {
                        self.progress = Progress::Waiting;
                    }
                }
                Err(trailers) => {
                    self.trailers = Some(trailers);
                    self.progress = Progress::Waiting;
                }
            },
            None => self.progress = Progress::Waiting,
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the turn.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if self.hold.is_held(cx)? {
            let turns = ready!(self.turning.as_mut().poll(cx));
            self.hold.let_go(turns)?;
        }
        // A place in the line is not kept for a tail that went without.
        self.turning = Box::pin(std::future::pending());
        self.progress = Progress::Gone;
        let tail = std::mem::take(&mut self.held).freeze();
        self.pass(tail);
        let trailers = self.trailers.take();
        self.ready.extend(trailers);
        Poll::Ready(Ok(()))
    }
}

impl HttpBody for Tail {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            let moved = match self.progress {
                Progress::Coming => self.come(cx),
                Progress::Waiting => self.wait(cx),
                Progress::Gone => return Poll::Ready(None),
            };
            if let Err(error) = ready!(moved) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.progress, Progress::Gone) && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let ready = self
            .ready
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len)
            .sum::<usize>();
        let kept = (ready + self.held.len()) as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(kept + body.lower());
        if let Some(upper) = body.upper() {
            hint.set_upper(kept + upper);
        }
        hint
    }
}
