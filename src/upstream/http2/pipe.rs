//! The body of a request on its way up a stream: what lakeFS has room for and no more, then the trailers or the end.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;

use super::connections::Slot;
use crate::exchange::BodyError;
use crate::upstream::upload::Upload;

/// So much of a body that lakeFS does not want is still read, so that the client's connection lives on: as Go's server does.
const UNWANTED_MAX: usize = 256 << 10;

/// The body and its stream. Dropped before its end, it resets the stream: never is a cut body taken for a whole one.
#[derive(Debug)]
pub(in crate::upstream) struct Pipe {
    upload: Option<Upload>,
    stream: SendStream<Bytes>,
    /// What was read and not sent yet: at most one piece.
    rest: Bytes,
    /// Whether anything of the body was read.
    begun: bool,
    /// Once lakeFS wants no more: how much more is read and dropped.
    unwanted: Option<usize>,
    ended: bool,
    _slot: Arc<Slot>,
}

impl Pipe {
    pub(super) fn new(upload: Upload, stream: SendStream<Bytes>, slot: Arc<Slot>) -> Self {
        Self {
            upload: Some(upload),
            stream,
            rest: Bytes::new(),
            begun: false,
            unwanted: None,
            ended: false,
            _slot: slot,
        }
    }

    /// Whether there is nothing left to do.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Moves the body to its end, after the answer has come.
    pub(in crate::upstream) async fn finish(mut self) {
        // What breaks now breaks nobody's answer; the stream is reset.
        let _ = poll_fn(|cx| self.poll(cx)).await;
    }

    /// The whole body, if nothing of it was read.
    pub(super) fn unbegun(mut self) -> Option<Upload> {
        self.upload.take().filter(|_| !self.begun)
    }

    /// Moves the body on. Ready once all of it was sent, or lakeFS wants no more of it and the rest was dropped.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while !self.ended {
            if let Some(left) = self.unwanted {
                ready!(self.drop_more(left, cx))?;
                continue;
            }
            if let Poll::Ready(reset) = self.stream.poll_reset(cx) {
                self.gone(&reset);
                continue;
            }
            self.stream.reserve_capacity(self.rest.len().max(1));
            if self.stream.capacity() == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => continue,
                    // The stream is no more; the answer, or the error in its place, says why.
                    Some(Err(_)) | None => self.fail(cx),
                }
            } else if self.rest.is_empty() {
                ready!(self.read(cx))?;
            } else {
                self.send(cx);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The stream is no more. Without an error, the answer is whole and does not need the body (RFC 9113 section 8.1).
    fn gone(&mut self, reset: &Result<Reason, h2::Error>) {
        match reset {
            Ok(Reason::NO_ERROR) => self.unwanted = Some(UNWANTED_MAX),
            _ => self.ended = true,
        }
    }

    fn fail(&mut self, cx: &mut Context<'_>) {
        match self.stream.poll_reset(cx) {
            Poll::Ready(reset) => self.gone(&reset),
            Poll::Pending => self.ended = true,
        }
    }

    fn drop_more(&mut self, left: usize, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.rest = Bytes::new();
        let Some(upload) = self.upload.as_mut().filter(|upload| !upload.is_end_stream()) else {
            self.ended = true;
            return Poll::Ready(Ok(()));
        };
        let frame = ready!(Pin::new(upload).poll_frame(cx)).transpose()?;
        self.begun = true;
        let length = frame.as_ref().and_then(|frame| frame.data_ref()).map_or(0, Bytes::len);
        self.unwanted = left.checked_sub(length);
        self.ended = frame.is_none() || self.unwanted.is_none();
        Poll::Ready(Ok(()))
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Some(upload) = &mut self.upload else {
            return Poll::Ready(Ok(()));
        };
        let frame = ready!(Pin::new(upload).poll_frame(cx));
        self.begun = true;
        match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.rest = data;
                    if self.rest.is_empty() && self.is_last() {
                        self.end(None);
                    }
                }
                Err(frame) => self.end(frame.into_trailers().ok()),
            },
            Some(Err(error)) => return Poll::Ready(Err(error)),
            None => self.end(None),
        }
        Poll::Ready(Ok(()))
    }

    /// Whether what was read last was the end.
    fn is_last(&self) -> bool {
        self.upload.as_ref().is_none_or(Upload::is_end_stream)
    }

    fn send(&mut self, cx: &mut Context<'_>) {
        let room = self.stream.capacity().min(self.rest.len());
        let piece = self.rest.split_to(room);
        let last = self.rest.is_empty() && self.is_last();
        match self.stream.send_data(piece, last) {
            Ok(()) => self.ended = last,
            Err(_) => self.fail(cx),
        }
    }

    fn end(&mut self, trailers: Option<http::HeaderMap>) {
        self.ended = true;
        // It fails on a stream that is no more.
        let _ = match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        };
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if !self.ended {
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}
