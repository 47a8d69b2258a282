//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::HOST;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Tracked};
use super::door::{Deadlines, Door};
use super::drain::Drain;
use super::expect;
use super::framing::{Fault, Limits};
use super::http2;
use super::refusal::Refusals;
use super::thread::Accepted;
use super::tls::{self, NoTls, handshake};
use crate::config::ServerConfig;
use crate::exchange::alarm::Alarm;
use crate::exchange::{Connection, Request, headers};
use crate::observe::Metrics;
use crate::pipeline::Pipeline;

/// hyper's least buffer.
const BUFFER_MIN: usize = 8 << 10;
/// hyper keeps room for so many header lines without asking for memory.
const HEADERS_INLINE: usize = 100;
/// How long a resting connection is kept when a drain begins: its next request may be on the wire.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// What all connections of one data thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) core: usize,
    pipeline: Arc<ArcSwap<Pipeline>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: Drain,
    pub(super) limits: Limits,
    pub(super) deadlines: Deadlines,
    grace: Duration,
}

impl Shared {
    pub(super) fn new(
        core: usize,
        config: &ServerConfig,
        pipeline: Arc<ArcSwap<Pipeline>>,
        metrics: Arc<Metrics>,
        drain: Drain,
    ) -> Self {
        Self {
            core,
            pipeline,
            metrics,
            drain,
            limits: Limits {
                head: config.max_header_size.as_usize(),
                lines: config.max_headers,
            },
            deadlines: Deadlines {
                header: config.header_timeout.0,
                keep_alive: config.keep_alive.0,
                idle: config.idle_timeout.0,
            },
            grace: DRAIN_GRACE.min(config.drain_timeout.0 / 2),
        }
    }

    /// The stack that a request which begins now goes through.
    pub(super) fn pipeline(&self) -> Pipeline {
        Pipeline::clone(&self.pipeline.load())
    }

    /// Deadlines and strictness are the door's; what is left for hyper is to parse and to frame.
    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .header_read_timeout(None)
            .max_buf_size(self.limits.head.saturating_add(BUFFER_MIN))
            .preserve_header_case(true);
        if self.limits.lines > HEADERS_INLINE {
            builder.max_headers(self.limits.lines);
        }
        builder
    }
}

/// Serves one connection to its end; its seat is free again then.
pub(super) async fn serve(accepted: Accepted, shared: Arc<Shared>) {
    let Accepted {
        stream,
        peer,
        tls,
        seat,
    } = accepted;
    let _seat = seat;
    let stream = match TcpStream::from_std(stream).and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(client.address = %peer, %error, "a new connection failed"),
    };
    let connection = Connection {
        peer,
        secure: tls.is_some(),
        core: shared.core,
    };
    let Some(tls) = tls else {
        return serve_http1(stream, connection, &shared).await;
    };
    let mut drain = shared.drain.clone();
    let shaken = tokio::select! {
        biased;
        shaken = Box::pin(secure(stream, tls, connection, &shared)) => shaken,
        () = drain.cut() => None,
    };
    match shaken {
        Some(stream) if stream.get_ref().1.alpn_protocol() == Some(tls::H2) => {
            Box::pin(http2::serve(stream, connection, &shared)).await;
        }
        Some(stream) => Box::pin(serve_http1(stream, connection, &shared)).await,
        None => {}
    }
}

/// Makes TLS of a new connection; nothing if that fails, which is told where it was the client's doing.
async fn secure(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    connection: Connection,
    shared: &Shared,
) -> Option<TlsStream<TcpStream>> {
    let within = shared.deadlines.header;
    let no_tls = match handshake(stream, config, within).await {
        Ok(stream) => return Some(stream),
        Err(no_tls) => no_tls,
    };
    let peer = connection.peer;
    match no_tls {
        NoTls::Left => return None,
        NoTls::Plain(stream) => {
            let refusals = Refusals::new(connection, Arc::clone(&shared.metrics));
            let fault = Fault::Bad("this port speaks TLS: write https:// for http://");
            let refusal = refusals.refuse(fault, None);
            tls::tell(stream, &refusal, within).await;
        }
        NoTls::Failed { error, name } => {
            tracing::info!(client.address = %peer, tls.server_name = name, %error, "a TLS handshake failed");
        }
        NoTls::Late => tracing::info!(client.address = %peer, "a TLS handshake took too long"),
    }
    shared.metrics.tls_failures.inc();
    None
}

async fn serve_http1(stream: impl AsyncRead + AsyncWrite + Unpin + Send, connection: Connection, shared: &Shared) {
    let activity = Activity::new();
    let refusals = Refusals::new(connection, Arc::clone(&shared.metrics));
    let door = Door::new(
        stream,
        shared.limits,
        shared.deadlines,
        Arc::clone(&activity),
        Box::new(move |fault, asked| refusals.refuse(fault, asked)),
    );
    let service = service_fn(|request: http::Request<Incoming>| {
        let busy = activity.begin();
        let (mut request, awaited) = expect::watch(request);
        name_one_host(&mut request);
        request.extensions_mut().insert(connection);
        let pipeline = shared.pipeline();
        async move {
            let mut response = pipeline.dispatch(request).await;
            awaited.answer(&mut response);
            busy.answers();
            Ok::<_, Infallible>(response.map(|body| Tracked { body, _busy: busy }))
        }
    });
    let mut served = pin!(shared.http1().serve_connection(TokioIo::new(door), service));
    let mut drain = shared.drain.clone();
    let result = tokio::select! {
        biased;
        ended = served.as_mut() => Some(ended),
        () = drain.begun() => {
            // The connection ends with the request under way, or with the next, unless that does not come in time.
            let (mut grace, mut told) = (Alarm::default(), false);
            grace.set(shared.grace);
            let finishing = poll_fn(|cx| {
                if !told && (activity.is_busy() || grace.poll(cx).is_ready()) {
                    told = true;
                    served.as_mut().graceful_shutdown();
                }
                let polled = served.as_mut().poll(cx);
                if polled.is_pending() && !told && activity.is_busy() {
                    cx.waker().wake_by_ref();
                }
                polled
            });
            tokio::select! {
                biased;
                ended = finishing => Some(ended),
                () = drain.cut() => None,
            }
        }
    };
    ended(result, connection);
}

/// The host of an absolute target overrules Host (RFC 9112 3.2.2), as in Go and so in lakeFS. Host then says the same, so that whoever reads
/// the request behind the gateway reads the host that it was judged by; a signature is made over that host, too.
fn name_one_host(request: &mut Request) {
    if let Some(authority) = request.uri().authority() {
        let host = headers::value(authority.as_str());
        request.headers_mut().insert(HOST, host);
    }
}

/// Tells how a connection ended; `None` if it was cut.
pub(super) fn ended(result: Option<hyper::Result<()>>, connection: Connection) {
    let peer = connection.peer;
    match result {
        Some(Ok(())) => {}
        Some(Err(error)) => match broken_rule(&error) {
            Some(rule) => tracing::info!(client.address = %peer, error = %rule, "a client broke the rules of HTTP"),
            None => tracing::debug!(client.address = %peer, %error, "a connection ended badly"),
        },
        None => tracing::warn!(client.address = %peer, "a connection outlived the drain and was cut"),
    }
}

/// What hyper ended a connection for, if it was no failure of the connection itself. (The door sees HTTP/1.1 first, and refuses it itself.)
fn broken_rule(error: &hyper::Error) -> Option<&dyn Error> {
    let frames = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    match frames {
        Some(frames) => frames.is_library().then_some(frames),
        None => error.is_parse().then_some(error),
    }
}
