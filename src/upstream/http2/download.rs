//! The body of an answer on its way down a stream: lakeFS may send more as what it sent is taken.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::connections::Slot;
use crate::exchange::BodyError;

/// The body. Dropped before its end, it resets the stream.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) stream: RecvStream,
    /// What is to come, if the answer's head said it.
    pub(super) left: Option<u64>,
    pub(super) ended: bool,
    pub(super) _slot: Arc<Slot>,
}

impl Download {
    fn failed(&self, error: h2::Error) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // A server may end so a request whose body it did not read (RFC 9113 section 8.1): the answer was whole.
        match self.left == Some(0) && error.is_reset() && error.reason() == Some(Reason::NO_ERROR) {
            true => Poll::Ready(None),
            false => Poll::Ready(Some(Err(BodyError::Io(io::Error::other(error))))),
        }
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // What was taken may be sent anew. It fails on a stream that is no more.
                let _ = self.stream.flow_control().release_capacity(data.len());
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Some(Err(error)) => self.failed(error),
            None => match ready!(self.stream.poll_trailers(cx)) {
                Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
                Err(error) => self.failed(error),
            },
        };
        self.ended = true;
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
