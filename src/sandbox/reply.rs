//! Answers in lakeFS's own form: JSON as Go writes it, the three kinds of 400, empty 204s. Leaves what to answer to the handlers.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use serde_json::{Value, json};

/// An answer before it gets its request id.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Chunks,
    /// Whether lakeFS sets `X-Request-Id`: not when its router or validator answers.
    pub(super) identified: bool,
}

impl Reply {
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Chunks::default(),
            identified: true,
        }
    }

    pub(super) fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Self::empty(status)
            .with_static(header::CONTENT_TYPE, "application/json")
            .with_static(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .body(go_json(value) + "\n")
    }

    pub(super) fn ok(value: &Value) -> Self {
        Self::json(StatusCode::OK, value)
    }

    pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::empty(status)
            .with_static(header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(text.into())
    }

    /// An error of the object store, in S3's XML.
    pub(super) fn xml(status: StatusCode, code: &str, message: &str) -> Self {
        Self::empty(status)
            .with_static(header::CONTENT_TYPE, "application/xml")
            .body(format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><Resource></Resource>\
                 <Region>us-east-1</Region><RequestId>{}</RequestId><HostId>0000000000000000</HostId></Error>",
                uuid::Uuid::new_v4()
            ))
            .anonymous()
    }

    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Chunks::from(vec![body.into()]);
        self
    }

    pub(super) fn anonymous(mut self) -> Self {
        self.identified = false;
        self
    }

    pub(super) fn with_static(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// Adds a header if there is one to add.
    pub(super) fn maybe(self, name: HeaderName, value: Option<String>) -> Self {
        match value {
            Some(value) => self.with(name, &value),
            None => self,
        }
    }

    /// Adds a header; a value that HTTP cannot carry is left out.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// Why a request was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// A handler refuses: JSON with a request id.
    Refused(StatusCode, String),
    /// The schema validator refuses (kin-openapi): 400, JSON, no request id.
    Invalid(String),
    /// The parameter binder refuses (oapi-codegen): 400, text.
    Unbound(String),
    /// A compare-and-set was lost; lakeFS lets it through as a 500.
    Lost,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Refused(status, message.into())
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub(super) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, crate::lakefs::reply::UNAUTHENTICATED)
    }

    pub(super) fn not_implemented() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "Not Implemented")
    }

    /// Puts `context: ` before the message, as Go's `%w` does.
    pub(super) fn within(self, context: impl std::fmt::Display) -> Self {
        match self {
            Self::Refused(status, message) => Self::Refused(status, format!("{context}: {message}")),
            other => other,
        }
    }

    /// Status and message, for answers that report errors in their body.
    pub(super) fn parts(&self) -> (StatusCode, &str) {
        match self {
            Self::Refused(status, message) => (*status, message),
            Self::Invalid(message) | Self::Unbound(message) => (StatusCode::BAD_REQUEST, message),
            Self::Lost => (StatusCode::INTERNAL_SERVER_ERROR, "predicate failed"),
        }
    }
}

/// [`Failure::within`] where a result may hold one.
pub(super) trait Within {
    fn within(self, context: impl std::fmt::Display) -> Self;
}

impl<T> Within for Result<T, Failure> {
    fn within(self, context: impl std::fmt::Display) -> Self {
        self.map_err(|failure| failure.within(context))
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        let (status, message) = failure.parts();
        match &failure {
            Failure::Refused(..) | Failure::Lost => Self::json(status, &json!({ "message": message })),
            Failure::Invalid(_) => Self::json(status, &json!({ "message": message })).anonymous(),
            Failure::Unbound(_) => {
                Self::text(status, format!("{message}\n")).with_static(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            }
        }
    }
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` escaped (they occur only inside strings).
fn go_json(value: &Value) -> String {
    let plain = value.to_string();
    if !plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return plain;
    }
    plain
        .replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// A body in pieces; a cut one breaks off before the length that it promised.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    queue: VecDeque<Bytes>,
    missing: u64,
}

impl Chunks {
    pub(super) fn len(&self) -> u64 {
        self.queue.iter().map(|chunk| chunk.len() as u64).sum::<u64>() + self.missing
    }

    /// Keeps the first half and breaks the stream after it.
    pub(super) fn cut(self) -> Self {
        let whole: Vec<u8> = self.queue.iter().flatten().copied().collect();
        let kept = whole.len() / 2;
        Self {
            missing: (whole.len() - kept).max(1) as u64,
            queue: VecDeque::from([Bytes::from(whole).slice(..kept)]),
        }
    }
}

impl From<Vec<Bytes>> for Chunks {
    fn from(chunks: Vec<Bytes>) -> Self {
        Self {
            queue: chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect(),
            missing: 0,
        }
    }
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.queue.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None if self.missing > 0 => Poll::Ready(Some(Err(std::io::Error::other("cut by script")))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.queue.is_empty() && self.missing == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}
