//! The answer to what is not a request: in lakeFS's form, with an access line; by HTTP/1.1 in bytes, and the connection closes behind it.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::Method;

use super::framing::{Asked, Fault};
use crate::exchange::body::Read;
use crate::exchange::{Client, Connection, Context, Response};
use crate::observe::{self, Metrics};

/// More than any refusal has.
const BODY_MAX: usize = 4 << 10;

/// Refuses what a connection sends.
#[derive(Debug)]
pub(super) struct Refusals {
    connection: Connection,
    metrics: Arc<Metrics>,
}

impl Refusals {
    pub(super) fn new(connection: Connection, metrics: Arc<Metrics>) -> Self {
        Self { connection, metrics }
    }

    /// The answer, whose end writes the access line.
    pub(super) fn respond(&self, fault: Fault, asked: Option<Asked>) -> Response {
        let context = Context::new(Client {
            address: self.connection.peer.ip().to_canonical(),
            peer: self.connection.peer,
            secure: self.connection.secure,
        });
        let asked = asked.map(|asked| (asked.method, asked.target));
        let method = asked.as_ref().map_or(&Method::GET, |(method, _)| method);
        let response = fault.rejection().respond(&context, method);
        observe::refused(context, Arc::clone(&self.metrics), asked, response)
    }

    /// The bytes of the answer by HTTP/1.1, behind which the connection closes.
    pub(super) fn refuse(&self, fault: Fault, asked: Option<Asked>) -> Bytes {
        let (head, body) = self.respond(fault, asked).into_parts();
        // A refusal's body is all there, so reading it does not wait.
        let body = match body.read_capped(BODY_MAX).now_or_never() {
            Some(Ok(Read::Whole(body, _))) => body,
            _ => Bytes::new(),
        };
        let mut text = format!("HTTP/1.1 {}\r\n", head.status);
        for (name, value) in &head.headers {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}: {}\r\n", value.to_str().unwrap_or_default());
        }
        let _ = write!(text, "connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&body);
        bytes.into()
    }
}
