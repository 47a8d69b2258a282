//! The body of a step's answer, as it goes by. If the client leaves in the middle of a create's answer, the rest is read all the same:
//! the upload id is the last thing in it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::layer::Watch;
use crate::exchange::{Body, BodyError, Ended};

/// How long the rest of an answer may take that nobody else waits for.
const REST: Duration = Duration::from_secs(60);

/// A body with its watch. Pieces are not changed and not kept.
pub(super) struct Watched {
    inner: Body,
    watch: Option<Watch>,
}

impl Watched {
    pub(super) fn new(inner: Body, watch: Watch) -> Self {
        Self {
            inner,
            watch: Some(watch),
        }
    }

    fn end(&mut self, ended: Ended) {
        if let Some(mut watch) = self.watch.take() {
            watch.end(ended);
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(watch), Some(data)) = (&mut self.watch, frame.data_ref()) {
                    watch.pass(data);
                }
                if self.inner.is_end_stream() {
                    self.end(Ended::Done);
                }
            }
            Poll::Ready(Some(Err(_))) => self.end(Ended::Failed),
            Poll::Ready(None) => self.end(Ended::Done),
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

impl Drop for Watched {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            return self.end(Ended::Done);
        }
        let needed = self.watch.take_if(|watch| watch.needs_the_rest());
        match (needed, Handle::try_current()) {
            (Some(watch), Ok(runtime)) => {
                let body = std::mem::replace(&mut self.inner, Body::empty());
                drop(runtime.spawn(read_on(body, watch)));
            }
            // Without a runtime the watch says, when it is dropped, that the answer is lost.
            _ => self.end(Ended::Dropped),
        }
    }
}

/// Reads until the upload id is there, the answer ends, or time is up.
async fn read_on(mut body: Body, mut watch: Watch) {
    let reading = async {
        while watch.needs_the_rest() {
            match body.frame().await {
                None => return Ended::Done,
                Some(Err(_)) => return Ended::Failed,
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        watch.pass(data);
                    }
                }
            }
        }
        Ended::Done
    };
    let ended = timeout(REST, reading).await.unwrap_or(Ended::Dropped);
    watch.end(ended);
}
