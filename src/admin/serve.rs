//! Serves HTTP/1 on a listener of either kind: few connections, one request each, short patience.

use std::any::Any;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::answer::{Answer, failure};

/// How much a door stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time; more wait in the system's backlog.
    pub(super) connections: usize,
    /// How long a request's head may take.
    pub(super) header_timeout: Duration,
    /// How long a connection may take in all.
    pub(super) whole: Duration,
}

/// The user of the process that asks; in the extensions of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) Option<u32>);

/// Something that connections come from.
pub(super) trait Listener {
    /// One connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The user of the other process, where the system tells.
    fn peer(_stream: &Self::Stream) -> Peer {
        Peer(None)
    }

    /// The next one.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        Self::poll_accept(self, cx).map_ok(|(stream, _)| stream)
    }
}

/// Serves until it is dropped; connections end with it.
pub(super) async fn run<L, F, A>(listener: &L, limits: Limits, answer: F)
where
    L: Listener,
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = poll_fn(|cx| listener.poll_accept(cx)) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: asking again at once would only burn the processor.
                tracing::warn!(target: "lakegate::admin", %error, "a connection could not be accepted");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let answer = answer.clone();
        let peer = L::peer(&stream);
        connections.spawn(async move {
            let service = ServiceBuilder::new()
                .layer(CatchPanicLayer::custom(panicked))
                .service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(peer);
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.header_timeout)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            // How it went is the peer's concern.
            let _ = timeout(limits.whole, connection).await;
            drop(seat);
        });
    }
}

/// A page or command that panicked: whoever asked is told, and the connection ends well.
#[expect(clippy::needless_pass_by_value, reason = "the layer's own signature")]
fn panicked(panic: Box<dyn Any + Send>) -> Answer {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(target: "lakegate::admin", panic = text.unwrap_or("of no text"), "a page or command panicked");
    failure(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the gateway failed; its log says how",
    )
}
