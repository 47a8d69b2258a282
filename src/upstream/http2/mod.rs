//! One request by HTTP/2: its head, its body and its answer on a stream of a connection that others share.
//!
//! hyper's client does this too, but tells neither of a 100 nor which stream was refused. Which requests go by HTTP/2 is decided above.

mod connections;
mod download;
mod pipe;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, StatusCode};

use super::upload::{Progress, Upload};
use crate::exchange::{Body, BodyError};
pub(super) use connections::{Connections, Slot};
use download::Download;
pub(super) use pipe::Pipe;

/// An answer that has begun, and what is still to go up of the request's body.
pub(super) type Answered = (Response<Body>, Option<Pipe>);

/// What broke a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    /// The client's side.
    #[error("the request's body was cut")]
    Client(#[source] BodyError),
    /// lakeFS's side.
    #[error("the stream broke")]
    Lakefs(#[source] h2::Error),
}

impl Cause {
    /// Whether lakeFS says that it did nothing with the request (RFC 9113 section 8.7): it refused the stream, or said goodbye and the
    /// stream is beyond the last that it looks at. Streams below that one never have the goodbye as their error.
    fn is_unprocessed(&self) -> bool {
        self.is_goodbye() || self.is_refusal()
    }

    /// Whether the connection takes no more requests.
    pub(super) fn is_goodbye(&self) -> bool {
        matches!(self, Self::Lakefs(error) if error.is_remote() && error.is_go_away())
    }

    /// Whether lakeFS would not take the request on top of the others.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Lakefs(error) if error.is_remote() && error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) cause: Cause,
    /// The body, if lakeFS certainly did nothing with the request, and nothing of its body is lost: then another stream may be tried.
    pub(super) unsent: Option<Upload>,
}

/// Sends a request, and waits for the head of its answer. Dropped before that, it resets the stream.
///
/// # Errors
/// When there will be no answer.
pub(super) async fn send(
    slot: Slot,
    head: Request<()>,
    upload: Upload,
    progress: Option<&Progress>,
) -> Result<Answered, Failed> {
    let slot = Arc::new(slot);
    let (method, ends) = (head.method().clone(), http_body::Body::is_end_stream(&upload));
    let sent = match slot.sender().ready().await {
        Ok(mut sender) => sender.send_request(head, ends),
        Err(error) => Err(error),
    };
    let (answer, stream) = match sent {
        Ok(sent) => sent,
        // The connection takes no more; this was not even written.
        Err(error) => {
            slot.leave();
            return Err(Failed {
                cause: Cause::Lakefs(error),
                unsent: Some(upload),
            });
        }
    };
    let mut sending = match ends {
        true => Sending::Bare(upload),
        false => Sending::Body(Pipe::new(upload, stream, Arc::clone(&slot))),
    };
    match answered(answer, &mut sending, progress).await {
        Ok(answer) => Ok((down(answer, &method, slot), sending.still())),
        Err(cause) => {
            if cause.is_goodbye() {
                slot.leave();
            }
            let unsent = sending.unbegun().filter(|_| cause.is_unprocessed());
            Err(Failed { cause, unsent })
        }
    }
}

/// The request's side of a stream.
enum Sending {
    /// There is no body.
    Bare(Upload),
    Body(Pipe),
}

impl Sending {
    fn unbegun(self) -> Option<Upload> {
        match self {
            Self::Bare(upload) => Some(upload),
            Self::Body(pipe) => pipe.unbegun(),
        }
    }

    fn still(self) -> Option<Pipe> {
        match self {
            Self::Body(pipe) if !pipe.has_ended() => Some(pipe),
            Self::Body(_) | Self::Bare(_) => None,
        }
    }
}

/// Waits for the answer's head, and moves the body meanwhile.
async fn answered(
    mut answer: ResponseFuture,
    sending: &mut Sending,
    progress: Option<&Progress>,
) -> Result<Response<RecvStream>, Cause> {
    poll_fn(|cx| {
        hear(&mut answer, progress, cx);
        if let Poll::Ready(answer) = Pin::new(&mut answer).poll(cx) {
            return Poll::Ready(answer.map_err(Cause::Lakefs));
        }
        if let Sending::Body(pipe) = sending
            && let Poll::Ready(Err(error)) = pipe.poll(cx)
        {
            return Poll::Ready(Err(Cause::Client(error)));
        }
        Poll::Pending
    })
    .await
}

/// Passes on that lakeFS wants the body.
fn hear(answer: &mut ResponseFuture, progress: Option<&Progress>, cx: &mut Context<'_>) {
    while let Poll::Ready(Some(Ok(interim))) = answer.poll_informational(cx) {
        if interim.status() == StatusCode::CONTINUE
            && let Some(progress) = progress
        {
            progress.go();
        }
    }
}

fn down(answer: Response<RecvStream>, method: &Method, slot: Arc<Slot>) -> Response<Body> {
    let bodiless =
        *method == Method::HEAD || matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = answer.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    answer.map(|stream| {
        Body::new(Download {
            stream,
            left: if bodiless { Some(0) } else { length },
            ended: false,
            _slot: slot,
        })
    })
}
