//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::drain::Drain;
use super::thread::Accepted;
use crate::config::ServerConfig;
use crate::exchange::{Body, Connection};
use crate::pipeline::Pipeline;

/// What all connections of one data thread share.
pub(super) struct Shared {
    pub(super) core: usize,
    pipeline: Arc<ArcSwap<Pipeline>>,
    drain: Drain,
    header_timeout: Duration,
    max_header_size: usize,
    max_headers: usize,
}

impl Shared {
    pub(super) fn new(core: usize, config: &ServerConfig, pipeline: Arc<ArcSwap<Pipeline>>, drain: Drain) -> Self {
        Self {
            core,
            pipeline,
            drain,
            header_timeout: config.header_timeout.0,
            max_header_size: config.max_header_size.as_usize(),
            max_headers: config.max_headers,
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_headers(self.max_headers)
            .max_buf_size(self.max_header_size.max(8 << 10))
            .preserve_header_case(true);
        builder
    }
}

/// Serves one connection to its end; its seat is free again then.
pub(super) async fn serve(accepted: Accepted, shared: Arc<Shared>) {
    let Accepted { stream, peer, seat } = accepted;
    let _seat = seat;
    let stream = match TcpStream::from_std(stream).and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(client.address = %peer, %error, "a new connection failed"),
    };
    let connection = Connection {
        peer,
        secure: false,
        core: shared.core,
    };
    let pipeline = Arc::clone(&shared.pipeline);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(connection);
        let pipeline = Pipeline::clone(&pipeline.load());
        async move { Ok::<_, Infallible>(pipeline.dispatch(request).await) }
    });
    let mut served = std::pin::pin!(shared.http1().serve_connection(TokioIo::new(stream), service));
    let mut drain = shared.drain.clone();
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => ended,
        () = drain.begun() => {
            served.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = served.as_mut() => ended,
                () = drain.cut() => return tracing::warn!(client.address = %peer, "a connection outlived the drain and was cut"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(client.address = %peer, %error, "a connection ended badly");
    }
}
