//! A data plane on a free port of the loopback, with whatever stack a test puts behind it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use lakegate::config::types::Period;
use lakegate::config::{ListenConfig, Mode, ServerConfig, UpstreamConfig};
use lakegate::exchange::classify::InspectionLimits;
use lakegate::exchange::{Classify, Request, Response, step};
use lakegate::lakefs_client::Dialer;
use lakegate::observe::{Metrics, Observe};
use lakegate::pipeline::Pipeline;
use lakegate::server::Plane;
use lakegate::upstream::{Pools, Upstream};
use tokio::sync::Semaphore;
use tower::ServiceBuilder;

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
        let listen = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        Self::on(&listen, pipeline, config, metrics)
    }

    /// Starts one on these listeners.
    pub(crate) fn on(
        listen: &ListenConfig,
        pipeline: Arc<ArcSwap<Pipeline>>,
        config: &ServerConfig,
        metrics: Arc<Metrics>,
    ) -> Self {
        super::log::keep();
        let plane = Plane::start(listen, config, &pipeline, &metrics).expect("the plane starts");
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

    /// Starts one that forwards to a lakeFS, with what every stack has: the access line, and what a request is.
    pub(crate) fn forwarding(config: &ServerConfig, upstream: &UpstreamConfig, patience: Duration) -> Self {
        let metrics = Arc::new(Metrics::new());
        let dialer = Arc::new(Dialer::new(upstream).expect("a dialer"));
        let pools = Arc::new(Pools::new(Plane::threads(config)));
        let limits = InspectionLimits {
            body: 1 << 20,
            timeout: Duration::from_secs(5),
        };
        let budget = Arc::new(Semaphore::new(64 << 10));
        let stack = ServiceBuilder::new()
            .layer(step(Observe::new(Vec::new(), Arc::clone(&metrics))))
            .layer(step(Classify::new(Vec::new(), limits, Mode::Enforce, budget)))
            .service(Upstream::new(
                upstream,
                Mode::Enforce,
                patience,
                dialer,
                pools,
                Arc::clone(&metrics),
            ));
        Self::over(Pipeline::new(stack), config, metrics)
    }

    /// A new raw connection to it.
    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(self.plane.addresses()[0]).await
    }

    /// Waits until somebody came and went.
    pub(crate) async fn rests_after_one(&self) {
        until("a connection", || self.metrics.connections.get() > 0).await;
        self.rests().await;
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

/// A lakeFS at `address`, with timeouts short enough to wait for.
pub(crate) fn upstream_at(address: SocketAddr) -> UpstreamConfig {
    UpstreamConfig {
        url: format!("http://{address}").parse().expect("an address"),
        connect_timeout: Period(Duration::from_secs(2)),
        response_timeout: Period(Duration::from_millis(800)),
        idle_timeout: Period(Duration::from_millis(400)),
        ..UpstreamConfig::default()
    }
}
