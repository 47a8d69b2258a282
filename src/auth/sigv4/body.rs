//! Bodies held to what their signature says, as they stream: on a fault the body ends in an error, and lakeFS never sees its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::chunks::{Chunks, Next};
use super::scope::{EMPTY_SHA256, Hex, hex, same};
use crate::exchange::{Body, BodyError, SignatureFault};

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// A body whose hash was signed: its last piece goes on only if the hash is right.
///
/// # Errors
/// When there is no body, and the hash is not that of nothing.
pub(super) fn hashed(body: Body, hash: Hex) -> Result<Body, SignatureFault> {
    if !body.is_end_stream() {
        return Ok(Body::new(Hashed {
            body,
            expected: hash,
            hash: Some(digest::Context::new(&digest::SHA256)),
            held: Bytes::new(),
            ready: VecDeque::new(),
        }));
    }
    match hash == EMPTY_SHA256.as_bytes() {
        true => Ok(body),
        false => Err(SignatureFault::PayloadMismatch),
    }
}

struct Hashed {
    body: Body,
    expected: Hex,
    /// None once the body has ended, and was right.
    hash: Option<digest::Context>,
    /// The last piece that came.
    held: Bytes,
    ready: VecDeque<Frame<Bytes>>,
}

impl Hashed {
    /// Takes the next piece in, and lets the one before it go.
    fn take(&mut self, data: Bytes) -> Result<(), BodyError> {
        if let Some(hash) = &mut self.hash {
            hash.update(&data);
        }
        if !data.is_empty() {
            let before = std::mem::replace(&mut self.held, data);
            self.pass(before);
        }
        if self.body.is_end_stream() {
            return self.finish();
        }
        Ok(())
    }

    fn pass(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.ready.push_back(Frame::data(data));
        }
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        if let Some(hash) = self.hash.take()
            && !same(&hex(hash.finish().as_ref()), &self.expected)
        {
            self.held = Bytes::new();
            return Err(BodyError::Signature(SignatureFault::PayloadMismatch));
        }
        let held = std::mem::take(&mut self.held);
        self.pass(held);
        Ok(())
    }
}

impl HttpBody for Hashed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.hash.is_none() {
                return Poll::Ready(None);
            }
            let taken = match ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()? {
                None => self.finish(),
                Some(frame) => match frame.into_data() {
                    Ok(data) => self.take(data),
                    Err(trailers) => self.finish().map(|()| self.ready.push_back(trailers)),
                },
            };
            if let Err(error) = taken {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.hash.is_none() && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let ready = self
            .ready
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len)
            .sum::<usize>();
        beside(self.body.size_hint(), (ready + self.held.len()) as u64)
    }
}

/// A body in signed chunks, each verified and signed anew.
pub(super) fn chunked(body: Body, chunks: Chunks, budget: Arc<Semaphore>) -> Body {
    Body::new(Chunked {
        body,
        chunks,
        piece: Bytes::new(),
        inside: 0,
        ended: false,
        budget,
        room: None,
        waiting: None,
    })
}

struct Chunked {
    body: Body,
    chunks: Chunks,
    /// What came and was not looked at.
    piece: Bytes,
    /// How much came and has not gone.
    inside: u64,
    ended: bool,
    budget: Arc<Semaphore>,
    /// For the chunk that is held.
    room: Option<OwnedSemaphorePermit>,
    waiting: Option<BoxFuture<'static, Option<OwnedSemaphorePermit>>>,
}

impl Chunked {
    fn take(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if let Some(waiting) = &mut self.waiting {
            self.room = ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        if self.piece.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()? {
                Some(frame) => {
                    // Signed chunks have no trailers of HTTP's.
                    self.piece = frame.into_data().unwrap_or_default();
                    self.inside += self.piece.len() as u64;
                }
                None => {
                    self.chunks.end().map_err(BodyError::Signature)?;
                    self.ended = true;
                }
            }
        }
        if let Next::Room(size) = self.chunks.take(&mut self.piece).map_err(BodyError::Signature)? {
            // What was held has gone: nobody waits for room who has any, so nobody waits for another in a ring.
            self.room = None;
            let permits = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.budget).acquire_many_owned(permits);
            self.waiting = Some(room.map(Result::ok).boxed());
        }
        Poll::Ready(Ok(()))
    }
}

impl HttpBody for Chunked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        loop {
            if let Some(data) = self.chunks.pop() {
                self.inside = self.inside.saturating_sub(data.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.take(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        beside(self.body.size_hint(), self.inside)
    }
}

/// The size of a body of which so much is held here.
fn beside(rest: SizeHint, held: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(held + rest.lower());
    if let Some(upper) = rest.upper() {
        hint.set_upper(held + upper);
    }
    hint
}
