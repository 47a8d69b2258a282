//! The body of requests and responses: streams with back-pressure, never collected, and tells whoever asked how it ended.
//!
//! Permits and accounting live in the body, not in the future: a permit given to [`Body::holding`] is returned when the last byte has
//! gone or the body is dropped. What must be read of a body is read by a [`Reader`], and by nothing else.

use std::collections::VecDeque;
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
    /// It is not what its signature says.
    #[error("the body is not what was signed")]
    Signature(super::SignatureFault),
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
    pub async fn read_capped(self, cap: usize) -> Result<Read, BodyError> {
        let mut reader = Reader::new(self);
        Ok(match reader.read(cap).await? {
            Some(whole) => Read::Whole(whole, reader.trailers),
            None => Read::TooLarge,
        })
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

/// Reads a body that is to be forwarded all the same. Whenever the reading is broken off, nothing is lost: [`Reader::into_body`] begins
/// with what was read.
#[derive(Debug)]
pub struct Reader {
    /// Whether its sender said how long it is: then it is framed by its length, else by chunks, as it came.
    sized: bool,
    read: BytesMut,
    /// All of it, once it has been read.
    whole: Option<Bytes>,
    /// The piece that went beyond the cap.
    beyond: Option<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Body,
}

impl Reader {
    /// Nothing read yet.
    pub fn new(body: Body) -> Self {
        Self {
            sized: body.size_hint().exact().is_some(),
            read: BytesMut::new(),
            whole: None,
            beyond: None,
            trailers: None,
            rest: body,
        }
    }

    /// Reads all of it, unless it has more than `cap` bytes. May be dropped at any time.
    ///
    /// # Errors
    /// If its sender broke it.
    pub async fn read(&mut self, cap: usize) -> Result<Option<Bytes>, BodyError> {
        if self.rest.size_hint().lower() > cap as u64 {
            return Ok(None);
        }
        while let Some(frame) = self.rest.frame().await {
            match frame?.into_data() {
                Ok(data) if self.read.len() + data.len() > cap => {
                    self.beyond = Some(data);
                    return Ok(None);
                }
                Ok(data) => self.read.extend_from_slice(&data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
        let whole = std::mem::take(&mut self.read).freeze();
        self.whole = Some(whole.clone());
        Ok(Some(whole))
    }

    /// The body as it was: what was read, then what was not.
    pub fn into_body(self) -> Body {
        let complete = self.whole.is_some();
        let front = self.whole.unwrap_or_else(|| self.read.freeze());
        if complete && self.sized {
            return front.into();
        }
        let data = [front, self.beyond.unwrap_or_default()];
        let data = data.into_iter().filter(|data| !data.is_empty()).map(Frame::data);
        let rejoined = Rejoined {
            sized: self.sized,
            front: data.chain(self.trailers.map(Frame::trailers)).collect(),
            rest: if complete { Body::empty() } else { self.rest },
        };
        let kind = if complete { Kind::Watched } else { Kind::Boxed };
        Body(kind(Box::pin(rejoined)))
    }
}

/// A body whose beginning was read before.
struct Rejoined {
    sized: bool,
    front: VecDeque<Frame<Bytes>>,
    rest: Body,
}

impl HttpBody for Rejoined {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.front.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    /// One in chunks has an end of its own to be sent, however empty it is.
    fn is_end_stream(&self) -> bool {
        self.sized && self.front.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let data = self.front.iter().filter_map(Frame::data_ref);
        let front: u64 = data.map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(front + rest.lower());
        if self.sized
            && let Some(rest) = rest.upper()
        {
            hint.set_upper(front + rest);
        }
        hint
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

    /// A body of pieces and trailers, with or without a length said before, that stands still before its last piece.
    struct Pieces {
        left: VecDeque<Frame<Bytes>>,
        length: Option<u64>,
        stall: Option<usize>,
    }

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut TaskContext<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            if self.stall.is_some_and(|at| self.left.len() <= at) {
                self.stall = None;
                return Poll::Pending;
            }
            let next = self.left.pop_front();
            if let (Some(length), Some(data)) = (&mut self.length, next.as_ref().and_then(Frame::data_ref)) {
                *length -= data.len() as u64;
            }
            Poll::Ready(next.map(Ok))
        }

        fn size_hint(&self) -> SizeHint {
            self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
        }
    }

    proptest::proptest! {
        #[test]
        fn however_far_it_was_read_nothing_is_lost(
            pieces in proptest::collection::vec("[a-z]{0,5}", 0..6),
            (sized, trailed) in proptest::prelude::any::<(bool, bool)>(),
            (cap, stall) in (0..20_usize, proptest::option::of(0..6_usize)),
        ) {
            use futures_util::FutureExt as _;
            let text = pieces.concat();
            let mut left: VecDeque<_> = pieces.into_iter().map(|piece| Frame::data(piece.into())).collect();
            let trailers = (trailed && !sized).then(|| HeaderMap::from_iter([(http::header::ETAG, "t".parse().unwrap())]));
            left.extend(trailers.clone().map(Frame::trailers));
            let length = sized.then_some(text.len() as u64);
            let stalls = stall.is_some();
            let mut reader = Reader::new(Body::new(Pieces { left, length, stall }));
            let read = reader.read(cap).now_or_never().map(Result::unwrap);
            if let Some(read) = &read {
                assert_eq!(read.as_deref(), (text.len() <= cap).then_some(text.as_bytes()));
            } else {
                assert!(stalls);
            }
            let body = reader.into_body();
            assert_eq!(body.size_hint().exact(), length, "it is framed as it came");
            if matches!(read, Some(Some(_))) {
                assert!(body.is_complete());
            }
            let mut again = Reader::new(body);
            let whole = loop {
                // Polled again after its one stall.
                if let Some(whole) = again.read(usize::MAX).now_or_never() {
                    break whole.unwrap().unwrap();
                }
            };
            assert_eq!((&whole[..], again.trailers), (text.as_bytes(), trailers));
        }
    }

    #[tokio::test]
    async fn refuses_to_read_beyond_the_cap() {
        let body: Body = Bytes::from_static(b"12345").into();
        assert!(matches!(body.read_capped(4).await, Ok(Read::TooLarge)));
    }
}
