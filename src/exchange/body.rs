//! The body of requests and responses: streams with back-pressure, never collected, and tells whoever asked how it ended.
//!
//! Permits and accounting live in the body, not in the future: a permit given to [`Body::holding`] is returned when the last byte has
//! gone or the body is dropped. What must be read of a body is read by [`Body::read_capped`], and by nothing else.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

/// Why a body stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The peer's stream failed: reset, cut short, bad chunk.
    #[error("the stream ended before the body was complete")]
    Stream(#[source] hyper::Error),
    /// The gateway itself ended the stream.
    #[error("{0}")]
    Gateway(&'static str),
    /// A file or other local source failed.
    #[error("reading the body failed")]
    Io(#[source] std::io::Error),
}

/// How a body ended, told once to each observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All of it was read.
    Done,
    /// It failed before its end.
    Failed,
    /// Its reader went away before its end.
    Dropped,
}

type Boxed = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>;

enum Kind {
    Empty,
    Full(Bytes),
    Incoming(hyper::body::Incoming),
    Boxed(Boxed),
    /// A body that was complete before somebody began to watch it.
    Watched(Boxed),
}

/// A body of either direction.
pub struct Body(Kind);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.0 {
            Kind::Empty => "Empty",
            Kind::Full(_) => "Full",
            Kind::Incoming(_) => "Incoming",
            Kind::Boxed(_) => "Boxed",
            Kind::Watched(_) => "Watched",
        };
        f.debug_tuple("Body").field(&kind).finish()
    }
}

/// What [`Body::read_capped`] made of a body.
#[derive(Debug)]
pub enum Read {
    /// All of it, and its trailers.
    Whole(Bytes, Option<HeaderMap>),
    /// It is longer than the cap; what was read is lost, so the request must be refused.
    TooLarge,
}

impl Body {
    /// No body at all.
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Wraps a streaming body.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self(Kind::Boxed(Box::pin(body)))
    }

    /// Whether all of it is here already, watched or not: its sender has nothing left to say.
    pub fn is_complete(&self) -> bool {
        match &self.0 {
            Kind::Empty | Kind::Full(_) | Kind::Watched(_) => true,
            Kind::Incoming(incoming) => incoming.is_end_stream(),
            Kind::Boxed(boxed) => boxed.is_end_stream(),
        }
    }

    /// Reads the whole body if it has at most `cap` bytes. The caller bounds the time.
    pub async fn read_capped(mut self, cap: usize) -> Result<Read, BodyError> {
        if self.size_hint().lower() > cap as u64 {
            return Ok(Read::TooLarge);
        }
        let (mut whole, mut trailers) = (BytesMut::new(), None);
        while let Some(frame) = self.frame().await {
            match frame?.into_data() {
                Ok(data) if whole.len() + data.len() > cap => return Ok(Read::TooLarge),
                Ok(data) => whole.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        Ok(Read::Whole(whole.freeze(), trailers))
    }

    /// Calls `observer` once with the data bytes that passed and how the body ended.
    pub fn on_end(self, observer: impl FnOnce(u64, Ended) + Send + 'static) -> Self {
        self.watch(|_| {}, observer)
    }

    /// Like [`Body::on_end`], and shows each chunk to `each` as it passes. Chunks are not changed and not kept.
    pub fn watch(
        self,
        each: impl FnMut(&Bytes) + Send + 'static,
        observer: impl FnOnce(u64, Ended) + Send + 'static,
    ) -> Self {
        let kind = if self.is_complete() { Kind::Watched } else { Kind::Boxed };
        Self(kind(Box::pin(Observed {
            inner: self,
            bytes: 0,
            each,
            end: Some(observer),
        })))
    }

    /// Keeps `permit` until the body has ended or is dropped.
    pub fn holding<P: Send + 'static>(self, permit: P) -> Self {
        self.on_end(move |_, _| drop(permit))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Kind::Full(bytes))
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<hyper::body::Incoming> for Body {
    fn from(incoming: hyper::body::Incoming) -> Self {
        Self(Kind::Incoming(incoming))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Incoming(incoming) => Pin::new(incoming).poll_frame(cx).map_err(BodyError::Stream),
            Kind::Boxed(boxed) | Kind::Watched(boxed) => boxed.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(incoming) => incoming.is_end_stream(),
            Kind::Boxed(boxed) | Kind::Watched(boxed) => boxed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.remaining() as u64),
            Kind::Incoming(incoming) => incoming.size_hint(),
            Kind::Boxed(boxed) | Kind::Watched(boxed) => boxed.size_hint(),
        }
    }
}

/// A body with a witness.
struct Observed<E, F: FnOnce(u64, Ended)> {
    inner: Body,
    bytes: u64,
    each: E,
    end: Option<F>,
}

impl<E, F: FnOnce(u64, Ended)> Observed<E, F> {
    fn finish(&mut self, ended: Ended) {
        if let Some(end) = self.end.take() {
            end(self.bytes, ended);
        }
    }
}

// Nothing in here is self-referential: `Body` is Unpin, and the closures are moved or called by reference.
impl<E, F: FnOnce(u64, Ended)> Unpin for Observed<E, F> {}

impl<E: FnMut(&Bytes), F: FnOnce(u64, Ended)> HttpBody for Observed<E, F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.bytes += data.len() as u64;
                    (self.each)(data);
                }
                if self.inner.is_end_stream() {
                    self.finish(Ended::Done);
                }
            }
            Poll::Ready(Some(Err(_))) => self.finish(Ended::Failed),
            Poll::Ready(None) => self.finish(Ended::Done),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<E, F: FnOnce(u64, Ended)> Drop for Observed<E, F> {
    fn drop(&mut self) {
        let ended = if self.inner.is_end_stream() {
            Ended::Done
        } else {
            Ended::Dropped
        };
        self.finish(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    type Seen = Arc<Mutex<Option<(u64, Ended)>>>;

    fn witnessed(body: Body) -> (Body, Seen) {
        let seen = Seen::default();
        let witness = Arc::clone(&seen);
        (
            body.on_end(move |bytes, ended| *witness.lock().unwrap() = Some((bytes, ended))),
            seen,
        )
    }

    #[tokio::test]
    async fn tells_the_end_once_all_was_read() {
        let (body, seen) = witnessed(Bytes::from_static(b"12345").into());
        let Read::Whole(bytes, None) = body.read_capped(10).await.unwrap() else {
            panic!("too large")
        };
        assert_eq!(
            (&bytes[..], *seen.lock().unwrap()),
            (&b"12345"[..], Some((5, Ended::Done)))
        );
    }

    #[tokio::test]
    async fn tells_a_dropped_reader() {
        let (body, seen) = witnessed(Bytes::from_static(b"12345").into());
        drop(body);
        assert_eq!(*seen.lock().unwrap(), Some((0, Ended::Dropped)));
    }

    #[tokio::test]
    async fn an_empty_body_is_done_when_dropped() {
        let (body, seen) = witnessed(Body::empty());
        drop(body);
        assert_eq!(*seen.lock().unwrap(), Some((0, Ended::Done)));
    }

    #[test]
    fn a_complete_body_stays_complete_under_its_witnesses() {
        let body = Body::from(Bytes::from_static(b"12345")).holding(()).on_end(|_, _| {});
        assert!(body.is_complete() && !http_body::Body::is_end_stream(&body));
        assert!(Body::empty().holding(()).is_complete());
    }

    #[tokio::test]
    async fn refuses_to_read_beyond_the_cap() {
        let body: Body = Bytes::from_static(b"12345").into();
        assert!(matches!(body.read_capped(4).await, Ok(Read::TooLarge)));
    }
}
