//! A data plane on a free port of the loopback, with whatever stack a test puts behind it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use lakegate::config::types::Period;
use lakegate::config::{ListenConfig, ServerConfig};
use lakegate::exchange::{Request, Response};
use lakegate::observe::Metrics;
use lakegate::pipeline::Pipeline;
use lakegate::server::Plane;

use super::raw::{Wire, until};

/// A running data plane.
#[derive(Debug)]
pub(crate) struct TestPlane {
    pub(crate) plane: Plane,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) pipeline: Arc<ArcSwap<Pipeline>>,
}

impl TestPlane {
    /// Starts one over a stack.
    pub(crate) fn over(pipeline: Pipeline, config: &ServerConfig, metrics: Arc<Metrics>) -> Self {
        let pipeline = Arc::new(ArcSwap::from_pointee(pipeline));
        let listen = ListenConfig::One(SocketAddr::from(([127, 0, 0, 1], 0)));
        let plane = Plane::start(&listen, config, &pipeline, &metrics).expect("the plane starts");
        Self {
            plane,
            metrics,
            pipeline,
        }
    }

    /// Starts one that answers with `answer`.
    pub(crate) fn answering<F, A>(config: &ServerConfig, answer: F) -> Self
    where
        F: Fn(Request) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let service = tower::service_fn(move |request| {
            let answering = answer(request);
            async move { Ok::<_, Infallible>(answering.await) }
        });
        Self::over(Pipeline::new(service), config, Arc::new(Metrics::new()))
    }

    /// A new raw connection to it.
    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(self.plane.addresses()[0]).await
    }

    /// Waits until nothing is under way and nobody connected, as the gauges say.
    pub(crate) async fn rests(&self) {
        until("connections to be gone", || self.metrics.connections.get() == 0).await;
        assert_eq!(self.metrics.in_flight.get(), 0);
    }
}

/// Two threads, and deadlines short enough to wait for.
pub(crate) fn quick() -> ServerConfig {
    ServerConfig {
        threads: 2,
        header_timeout: Period(Duration::from_millis(300)),
        keep_alive: Period(Duration::from_millis(600)),
        idle_timeout: Period(Duration::from_millis(400)),
        drain_timeout: Period(Duration::from_millis(1500)),
        ..ServerConfig::default()
    }
}
