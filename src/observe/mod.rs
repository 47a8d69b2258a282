//! Seeing what happens: the outermost layer, one access line a request, metrics, the log's set-up.
//!
//! The layer makes the request's [`Context`], writes its access line when the last byte of the answer has gone (or the client has), and
//! turns a panic below it into a 500.

pub mod logging;
pub mod metrics;

mod access_log;
mod client;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use http::Method;
use ipnet::IpNet;
use tracing::Instrument;

use crate::exchange::step::Inner;
use crate::exchange::{Connection, Context, Next, Rejection, Request, Response, Step};
use access_log::AccessLine;
pub use metrics::Metrics;

/// A request that has ended: its answer has gone, or its client has.
#[derive(Debug)]
pub struct Finished<'a> {
    /// What is known of it.
    pub context: &'a Context,
    /// Its method.
    pub method: &'a Method,
    /// The status the client got; 499 if it left before there was one.
    pub status: u16,
    /// Bytes of its body that came.
    pub received_bytes: u64,
    /// Bytes of the answer's body that went.
    pub sent_bytes: u64,
}

/// Is told of every request once it has ended, on the thread where it did.
pub trait Witness: fmt::Debug + Send + Sync {
    /// Must not block.
    fn ended(&self, request: &Finished<'_>);
}

/// The outermost layer.
#[derive(Debug)]
pub struct Observe {
    trusted_proxies: Vec<IpNet>,
    metrics: Arc<Metrics>,
    witness: Option<Arc<dyn Witness>>,
}

impl Observe {
    /// `trusted_proxies` are the networks whose forwarded headers are believed.
    pub fn new(trusted_proxies: Vec<IpNet>, metrics: Arc<Metrics>) -> Self {
        Self {
            trusted_proxies,
            metrics,
            witness: None,
        }
    }

    /// With a witness.
    #[must_use]
    pub fn seen_by(mut self, witness: Arc<dyn Witness>) -> Self {
        self.witness = Some(witness);
        self
    }
}

impl Step for Observe {
    async fn call<S: Inner>(&self, mut request: Request, next: Next<S>) -> Response {
        let connection = request.extensions().get::<Connection>().copied();
        let context = match connection {
            Some(connection) => Context::new(client::resolve(&connection, request.headers(), &self.trusted_proxies)),
            None => Context::of(&request),
        };
        request.extensions_mut().insert(context.clone());
        let method = request.method().clone();
        let line = AccessLine::begin(
            &mut request,
            context.clone(),
            Arc::clone(&self.metrics),
            self.witness.clone(),
        );
        let span = tracing::info_span!("request", request.id = %context.id());
        let below = AssertUnwindSafe(next.run(request).instrument(span)).catch_unwind();
        let response = below.await.unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            tracing::error!(request.id = %context.id(), panic = what.unwrap_or("of no text"), "a layer panicked");
            Rejection::Internal.respond(&context, &method)
        });
        line.attach(response)
    }
}

/// The access line of what the door refused: bytes in which not more can be read than a method and a target, or not even these.
pub fn refused(
    context: Context,
    metrics: Arc<Metrics>,
    asked: Option<(Method, String)>,
    response: Response,
) -> Response {
    AccessLine::of_no_request(context, metrics, asked).attach(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Body, step};
    use std::convert::Infallible;
    use tower::{ServiceBuilder, ServiceExt};

    #[tokio::test]
    async fn a_panic_becomes_a_500_in_lakefs_form() {
        let metrics = Arc::new(Metrics::new());
        let stack = ServiceBuilder::new()
            .layer(step(Observe::new(Vec::new(), Arc::clone(&metrics))))
            .service(tower::service_fn(|_: Request| async {
                panic!("boom") as Result<Response, Infallible>
            }));
        let response = stack.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/json");
        drop(response);
        assert_eq!(metrics.in_flight.get(), 0);
    }

    #[tokio::test]
    async fn a_client_that_leaves_before_the_answer_is_counted_as_ended() {
        let metrics = Arc::new(Metrics::new());
        let stack = ServiceBuilder::new()
            .layer(step(Observe::new(Vec::new(), Arc::clone(&metrics))))
            .service(tower::service_fn(|_: Request| {
                std::future::pending::<Result<Response, Infallible>>()
            }));
        let mut waiting = Box::pin(stack.oneshot(Request::new(Body::empty())));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(metrics.in_flight.get(), 1);
        drop(waiting);
        assert_eq!(metrics.in_flight.get(), 0);
    }
}
