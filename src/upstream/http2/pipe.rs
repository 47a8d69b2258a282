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

/// The body and its stream. Dropped before its end, it resets the stream: never is a cut body taken for a whole one.
#[derive(Debug)]
pub(in crate::upstream) struct Pipe {
    upload: Option<Upload>,
    stream: SendStream<Bytes>,
    /// What was read and not sent yet: at most one piece.
    rest: Bytes,
    /// Whether anything of the body was read.
    begun: bool,
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

    /// Moves the body on. Ready once all of it was sent, or lakeFS wants no more of it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while !self.ended {
            if self.stream.poll_reset(cx).is_ready() {
                self.ended = true;
                break;
            }
            self.stream.reserve_capacity(self.rest.len().max(1));
            if self.stream.capacity() == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => continue,
                    // The stream is no more; the answer, or the error in its place, says why.
                    Some(Err(_)) | None => self.ended = true,
                }
            } else if self.rest.is_empty() {
                ready!(self.read(cx))?;
            } else {
                self.send();
            }
        }
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

    fn send(&mut self) {
        let room = self.stream.capacity().min(self.rest.len());
        let piece = self.rest.split_to(room);
        self.ended = self.rest.is_empty() && self.is_last();
        // It fails on a stream that is no more.
        self.ended |= self.stream.send_data(piece, self.ended).is_err();
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
