//! The answer to what is not a request: in lakeFS's form, logged and counted; by HTTP/1.1 in bytes, and the connection closes behind it.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::Method;

use super::framing::Fault;
use crate::exchange::body::Read;
use crate::exchange::{Client, Connection, Context, Response};
use crate::observe::Metrics;
use crate::observe::metrics::RefusalLabels;

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

    /// The answer.
    pub(super) fn respond(&self, fault: Fault, method: &Method) -> Response {
        let rejection = fault.rejection();
        let Connection { peer, secure, .. } = self.connection;
        let context = Context::new(Client {
            address: peer.ip(),
            peer,
            secure,
        });
        tracing::info!(
            request.id = %context.id(),
            client.address = %peer,
            reason = rejection.reason(),
            "refused what is no request: {}",
            rejection.message()
        );
        let labels = RefusalLabels {
            reason: rejection.reason(),
            mode: "enforce",
        };
        self.metrics.refusals.get_or_create(&labels).inc();
        rejection.respond(&context, method)
    }

    /// The bytes of the answer by HTTP/1.1, behind which the connection closes.
    pub(super) fn refuse(&self, fault: Fault) -> Bytes {
        let (head, body) = self.respond(fault, &Method::GET).into_parts();
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
