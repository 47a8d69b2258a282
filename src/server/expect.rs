//! A request that asked first (`Expect: 100-continue`) and was answered before its body came.
//!
//! Its client may leave the body out and use the connection for another request, which would be read as that body (RFC 9110 10.1.1). So
//! the answer says that the connection ends, as Go's server does. Pooling clients (boto3) then open a new one instead of meeting a closed
//! one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use crate::exchange::{Body, BodyError, Request, Response};

/// Whether anything of the body has come.
#[derive(Debug, Default)]
pub(super) struct Awaited(Option<Arc<AtomicBool>>);

/// The request with a body of ours, and what to ask when it is answered.
pub(super) fn watch(request: http::Request<Incoming>) -> (Request, Awaited) {
    if !request.headers().contains_key(EXPECT) || request.body().is_end_stream() {
        return (request.map(Body::from), Awaited::default());
    }
    let came = Arc::new(AtomicBool::new(false));
    let awaited = Awaited(Some(Arc::clone(&came)));
    let request = request.map(|body| {
        let body = Body::from(body);
        Body::new(Watched { body, came })
    });
    (request, awaited)
}

impl Awaited {
    /// Ends the connection with this answer if nothing of the body has come.
    pub(super) fn answer(self, response: &mut Response) {
        if self.0.is_some_and(|came| !came.load(Ordering::Acquire)) {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// A body that tells when it begins.
#[derive(Debug)]
struct Watched {
    body: Body,
    came: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.came.store(true, Ordering::Release);
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
