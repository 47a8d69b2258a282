//! A client's stream as hyper sees it: only bytes that `framing` has judged, and a deadline for everything that could stand still.
//!
//! A stream that breaks the rules ends for hyper where it was still good. Once the requests before have their answers, hyper closes, and
//! the door writes the refusal in its place. Closing lingers while the client may still be sending: a reset would destroy the answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::activity::Activity;
use super::framing::{Asked, Fault, Framing, Judgement, Limits, Phase};
use crate::exchange::alarm::Alarm;

/// How much is read at a time behind a head that came in pieces.
const READ: usize = 4 << 10;
/// How long a client that sends no more may wait for its answer before it counts as gone: TCP cannot tell the two apart.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(1);
/// How long a closed connection is still read from.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// How long a client may stand still.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// Before its first byte, and within a head, from that head's first byte.
    pub(super) header: Duration,
    /// Between requests.
    pub(super) keep_alive: Duration,
    /// Within a body, either way.
    pub(super) idle: Duration,
}

/// Says to the client, in bytes, why it is refused. Called once.
pub(super) type Refuse = Box<dyn FnOnce(Fault, Option<Asked>) -> Bytes + Send>;

/// The stream.
pub(super) struct Door<S> {
    stream: S,
    framing: Framing,
    activity: Arc<Activity>,
    deadlines: Deadlines,
    refuse: Option<Refuse>,
    /// What the refused head asks for.
    asked: Option<Asked>,
    /// Judged bytes that hyper had no room for.
    passed: BytesMut,
    /// A head that is not complete.
    held: BytesMut,
    /// The first byte of anything has come.
    begun: bool,
    head_began: Option<Instant>,
    ends: Option<End>,
    reading: Alarm,
    writing: Alarm,
    closing: Closing,
    /// It has sent something that nobody will read.
    sends: bool,
}

/// How the client's side ended.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It sends no more.
    Eof,
    /// What it sends next is refused.
    Fault(Fault),
}

/// How far the gateway's side has ended.
#[derive(Debug)]
enum Closing {
    Open,
    Refusing(Bytes),
    ShuttingDown,
    Lingering,
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Door<S> {
    pub(super) fn new(
        stream: S,
        limits: Limits,
        deadlines: Deadlines,
        activity: Arc<Activity>,
        refuse: Refuse,
    ) -> Self {
        Self {
            stream,
            framing: Framing::new(limits),
            activity,
            deadlines,
            refuse: Some(refuse),
            asked: None,
            passed: BytesMut::new(),
            held: BytesMut::new(),
            begun: false,
            head_began: None,
            ends: None,
            reading: Alarm::default(),
            writing: Alarm::default(),
            closing: Closing::Open,
            sends: false,
        }
    }

    /// Reads and judges until something may be passed on.
    fn poll_judged(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.passed.is_empty() {
                let length = self.passed.len().min(buf.remaining());
                buf.put_slice(&self.passed.split_to(length));
                return Poll::Ready(Ok(()));
            }
            if let Some(end) = self.ends {
                return self.poll_end(cx, end);
            }
            let before = buf.filled().len();
            let read = match self.held.is_empty() {
                true => self.poll_straight(cx, buf),
                false => self.poll_held(cx),
            };
            match read {
                Poll::Pending => {
                    ready!(self.poll_deadline(cx))?;
                }
                Poll::Ready(read) => {
                    read?;
                    self.reading.clear();
                    if buf.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }

    /// Reads right into hyper's buffer; only an incomplete head is taken out again.
    fn poll_straight(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            self.ends = Some(End::Eof);
            return Poll::Ready(Ok(()));
        }
        let Judgement { passed, fault } = self.framing.judge(new);
        let rest = new.get(passed..).unwrap_or_default();
        match fault {
            None => self.held.extend_from_slice(rest),
            Some(_) => self.asked = self.framing.asked(rest),
        }
        buf.set_filled(before + passed);
        self.note(fault);
        Poll::Ready(Ok(()))
    }

    /// Reads more behind an incomplete head.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut more = [0; READ];
        let mut more = ReadBuf::new(&mut more);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut more))?;
        if more.filled().is_empty() {
            self.ends = Some(End::Eof);
            return Poll::Ready(Ok(()));
        }
        self.held.extend_from_slice(more.filled());
        let Judgement { passed, fault } = self.framing.judge(&self.held);
        self.passed = self.held.split_to(passed);
        if fault.is_some() {
            self.asked = self.framing.asked(&self.held);
        }
        self.note(fault);
        Poll::Ready(Ok(()))
    }

    /// Keeps what a judgement means for what comes next.
    fn note(&mut self, fault: Option<Fault>) {
        self.begun = true;
        if let Some(fault) = fault {
            self.ends = Some(End::Fault(fault));
            self.held = BytesMut::new();
        }
        self.head_began = match self.framing.phase() {
            Phase::Head => Some(self.head_began.unwrap_or_else(Instant::now)),
            Phase::Between | Phase::Body => None,
        };
    }

    /// Nothing more will be passed on. In a body that is an error; between requests hyper closes once the last has its answer.
    fn poll_end(&mut self, cx: &mut Context<'_>, end: End) -> Poll<io::Result<()>> {
        match (end, self.framing.phase()) {
            (End::Eof, Phase::Body) => return Poll::Ready(Ok(())),
            (End::Fault(Fault::Bad(what)), Phase::Body) => {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
            }
            _ => {}
        }
        if self.activity.is_busy() || self.writing.is_set() {
            self.activity.wake_at_rest(cx.waker());
            if matches!(end, End::Fault(_)) || !self.activity.waits() {
                return Poll::Pending;
            }
            // Nobody who has left waits for an answer; but only half of the connection has ended.
            self.reading.set_once(HALF_CLOSED_MAX);
            ready!(self.reading.poll(cx));
        } else if let (End::Fault(fault), Some(refuse)) = (end, self.refuse.take()) {
            self.closing = Closing::Refusing(refuse(fault, self.asked.take()));
        }
        Poll::Ready(Ok(()))
    }

    /// Ready, if the client has stood still for too long, with what hyper is to make of it.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.framing.phase() == Phase::Body {
            self.reading.set_once(self.deadlines.idle);
            ready!(self.reading.poll(cx));
            let late = io::Error::new(io::ErrorKind::TimedOut, "the client stood still in its body");
            return Poll::Ready(Err(late));
        }
        while let Some(left) = self.left() {
            self.reading.set(left);
            ready!(self.reading.poll(cx));
        }
        self.asked = self.framing.asked(&self.held);
        self.ends = Some(match self.head_began {
            Some(_) => End::Fault(Fault::HeadTimeout),
            None => End::Eof,
        });
        Poll::Ready(Ok(()))
    }

    /// How much time the client has left to begin a request, or to complete a head; nothing if none is left.
    fn left(&self) -> Option<Duration> {
        let Deadlines { header, keep_alive, .. } = self.deadlines;
        let rests = self.activity.rests();
        let (limit, stood) = match self.head_began {
            Some(began) => (header, rests.min(began.elapsed())),
            None if self.begun => (keep_alive, rests),
            None => (header, rests),
        };
        // While a request is under way it is not the client's turn, and afterwards its time begins anew.
        if self.activity.is_busy() {
            return Some(limit);
        }
        limit.checked_sub(stood).filter(|left| !left.is_zero())
    }

    /// Whether the client is surely still sending something that nobody will read.
    fn is_sending(&self) -> bool {
        matches!(self.ends, Some(End::Fault(_))) || self.framing.phase() == Phase::Body
    }

    fn poll_written<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.writing.is_set() && self.ends.is_some() {
                // hyper has no reason to read again, and there is an end to be told.
                cx.waker().wake_by_ref();
            }
            self.writing.clear();
            return written;
        }
        self.writing.set_once(self.deadlines.idle);
        ready!(self.writing.poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read its answer",
        )))
    }

    /// Reads and forgets, until the client has noticed. Where it has sent all it had, there is nothing to wait for.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reading.set_once(LINGER_MAX);
        self.sends |= self.is_sending();
        loop {
            if self.reading.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut unread = [0; READ];
            let mut unread = ReadBuf::new(&mut unread);
            match Pin::new(&mut self.stream).poll_read(cx, &mut unread) {
                Poll::Ready(Ok(())) if !unread.filled().is_empty() => self.sends = true,
                Poll::Pending if self.sends => return Poll::Pending,
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Door<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_judged(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Door<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Under TLS what was written may still be here.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.poll_written(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let door = self.as_mut().get_mut();
        loop {
            match &mut door.closing {
                Closing::Open => door.closing = Closing::ShuttingDown,
                Closing::Refusing(refusal) if refusal.is_empty() => door.closing = Closing::ShuttingDown,
                Closing::Refusing(refusal) => {
                    let written = Pin::new(&mut door.stream).poll_write(cx, refusal);
                    let length = refusal.len();
                    let written = ready!(door.poll_written(cx, written))?;
                    if let Closing::Refusing(refusal) = &mut door.closing {
                        refusal.advance(written.min(length));
                    }
                }
                Closing::ShuttingDown => {
                    let shut = Pin::new(&mut door.stream).poll_shutdown(cx);
                    ready!(door.poll_written(cx, shut))?;
                    door.reading.clear();
                    door.closing = Closing::Lingering;
                }
                Closing::Lingering => {
                    ready!(door.poll_linger(cx));
                    door.closing = Closing::Closed;
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}
