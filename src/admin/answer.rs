//! Answers of both doors: small, whole, never cached.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

pub(super) type Answer = Response<Full<Bytes>>;

/// What a refused or failed request is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What is wrong, and what to do.
    pub message: String,
}

/// An answer of any kind of text.
pub(super) fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let head = answer.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            text(status, "application/json", body)
        }
        Err(error) => {
            tracing::error!(target: "lakegate::admin", %error, "an answer cannot be written as JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "")
        }
    }
}

/// A refusal or failure.
pub(super) fn failure(status: StatusCode, message: impl Into<String>) -> Answer {
    json(
        status,
        &Failure {
            message: message.into(),
        },
    )
}

/// There is nothing by that name.
pub(super) fn not_found() -> Answer {
    failure(StatusCode::NOT_FOUND, "there is nothing here")
}

/// The path has no such method.
pub(super) fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = failure(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed} is served here"));
    answer
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}
