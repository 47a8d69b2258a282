//! The bottom of the stack: sends a request to lakeFS and streams its answer back. The only place that speaks to lakeFS for a client.
//!
//! Here it goes by HTTP/1.1; `offer` is where lakeFS may choose HTTP/2, and `http2` speaks that. `rewrite` says what changes on the way,
//! [`Pools`] keep connections, `upload` and `answer` are the bodies of both directions. Whether a request may go at all was decided above.

mod answer;
mod http2;
mod offer;
mod pool;
mod rewrite;
mod upload;
mod wire;

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderMap};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, timeout};
use tower::Service;

use crate::config::{Mode, UpstreamConfig};
use crate::exchange::alarm::Alarm;
use crate::exchange::step::Answer as Answered;
use crate::exchange::{Body, Connection, Context, Rejection, Request, Response, headers};
use crate::lakefs::Operation;
use crate::lakefs_client::{DialError, Dialer, Stream};
use crate::observe::Metrics;
use answer::{Answer, Answering, Busy, Times};
pub use pool::Pools;
use pool::{Lease, Pool};
use upload::{Fault, Progress, Stalled, Upload};
use wire::Wire;

/// How long to wait before lakeFS is dialled again: first, and at most.
const REDIAL_MIN: Duration = Duration::from_millis(25);
const REDIAL_MAX: Duration = Duration::from_secs(1);
/// hyper keeps room for so many header lines without asking for memory.
const HEADERS_INLINE: usize = 100;

/// The service at the bottom of the stack; cheap to clone.
#[derive(Debug, Clone)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dialer: Arc<Dialer>,
    pools: Arc<Pools>,
    metrics: Arc<Metrics>,
    patience: Duration,
    response_timeout: Duration,
    times: Times,
    max_headers: usize,
    expose_metrics: bool,
    expose_pprof: bool,
    mode: Mode,
}

impl Upstream {
    /// `patience` is how long a request waits for a lakeFS that cannot be reached (`limit.max_wait`): nothing of it was sent, so any may.
    pub fn new(
        config: &UpstreamConfig,
        mode: Mode,
        patience: Duration,
        dialer: Arc<Dialer>,
        pools: Arc<Pools>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Inner {
            dialer,
            pools,
            metrics,
            patience,
            response_timeout: config.response_timeout.0,
            times: Times {
                idle_timeout: config.idle_timeout.0,
                keep_alive: config.keep_alive.0,
                max_idle: config.max_idle_connections,
            },
            max_headers: config.max_headers,
            expose_metrics: config.expose_metrics,
            expose_pprof: config.expose_pprof,
            mode,
        }))
    }
}

/// What accompanies a request on its way.
struct Way<'a> {
    pool: &'a Arc<Pool>,
    progress: Option<&'a Arc<Progress>>,
    context: &'a Context,
}

impl Service<Request> for Upstream {
    type Response = Response;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answered {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let (context, method) = (Context::of(&request), request.method().clone());
            Ok(match inner.forward(request, &context).await {
                Ok(response) => response,
                Err(rejection) => rejection.respond(&context, &method),
            })
        })
    }
}

impl Inner {
    async fn forward(&self, request: Request, context: &Context) -> Result<Response, Rejection> {
        self.open(context)?;
        let core = request
            .extensions()
            .get::<Connection>()
            .map_or(0, |connection| connection.core);
        let pool = self.pools.of(core);
        let (mut head, body) = request.into_parts();
        rewrite::request(&mut head, &body, context.client());
        {
            let mut facts = context.facts();
            (facts.decision, facts.forwarded) = (Some("forwarded"), true);
        }
        let asked = asks_first(&head.headers);
        let (upload, progress) = Upload::new(body, asked);
        let mut request = http::Request::from_parts(head, upload);
        if let Some(progress) = progress.clone().filter(|_| asked) {
            hyper::ext::on_informational(&mut request, move |answer| {
                if answer.status() == StatusCode::CONTINUE {
                    progress.go();
                }
            });
        }
        let way = Way {
            pool,
            progress: progress.as_ref(),
            context,
        };
        let (response, busy) = match self.dialer.offers_http2() {
            // Boxed, so that what goes by HTTP/1.1 does not carry the room for it.
            true => Box::pin(self.send_offering_http2(request, &way)).await?,
            false => self.send(request, None, &way).await?,
        };
        self.accept(response, busy, context)
    }

    /// Some of lakeFS's endpoints are served without credentials and tell too much.
    fn open(&self, context: &Context) -> Result<(), Rejection> {
        let (key, what) = match context.classified().map(|classified| classified.operation) {
            Some(Operation::Metrics) if !self.expose_metrics => ("upstream.expose_metrics", "/metrics of lakeFS"),
            Some(Operation::Pprof) if !self.expose_pprof => ("upstream.expose_pprof", "/_pprof of lakeFS"),
            _ => return Ok(()),
        };
        let closed = Rejection::Closed(what);
        match closed.bites(self.mode, context, key) {
            true => Err(closed),
            false => Ok(()),
        }
    }

    /// Sends a request once, on `first` if there is one. Only one that a connection closed upon before anything of it was written is given
    /// to another connection.
    async fn send(
        &self,
        mut request: http::Request<Upload>,
        mut first: Option<Lease>,
        way: &Way<'_>,
    ) -> Result<(http::Response<Body>, Busy), Rejection> {
        let mut patience = Patience::new(self.patience);
        loop {
            let (mut lease, reused) = match first.take() {
                Some(lease) => (lease, false),
                None => match way.pool.take(&self.dialer) {
                    Some(lease) => (lease, true),
                    None => (self.dial(&mut patience, || self.handshake()).await?, false),
                },
            };
            match self.watched(lease.sender.try_send_request(request), way).await? {
                Ok(response) => {
                    let answering = Answering {
                        lease,
                        pool: Arc::clone(way.pool),
                        times: self.times,
                        progress: way.progress.cloned(),
                    };
                    return Ok((response.map(Body::from), Busy::Connection(answering)));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => {
                        request = unsent;
                        // A fresh connection that lakeFS closed at once is a lakeFS that is not up yet.
                        if !reused && !patience.rest().await {
                            return Err(Rejection::UpstreamDown(chain(error.error())));
                        }
                    }
                    None => return Err(broken(error.error(), way)),
                },
            }
        }
    }

    /// Waits for a request's answer, as long as lakeFS may take.
    async fn watched<F: Future>(&self, sending: F, way: &Way<'_>) -> Result<F::Output, Rejection> {
        let begun = Instant::now();
        let sent = match way.progress {
            Some(progress) => {
                progress
                    .watch(self.times.idle_timeout, self.response_timeout, sending)
                    .await
            }
            None => timeout(self.response_timeout, sending).await.map_err(|_| Stalled),
        };
        way.context.facts().upstream_latency = Some(begun.elapsed());
        sent.map_err(|Stalled| Rejection::UpstreamTimeout)
    }

    /// Opens a connection, again and again while that may help and patience lasts.
    async fn dial<T, F>(&self, patience: &mut Patience, open: impl Fn() -> F) -> Result<T, Rejection>
    where
        F: Future<Output = Result<T, DialError>>,
    {
        loop {
            match open().await {
                Ok(opened) => return Ok(opened),
                Err(error) => {
                    self.metrics.upstream_connect_failures.inc();
                    if !error.may_pass() || !patience.rest().await {
                        return Err(Rejection::UpstreamDown(chain(&error)));
                    }
                }
            }
        }
    }

    async fn handshake(&self) -> Result<Lease, DialError> {
        self.lease(self.dialer.connect().await?).await
    }

    /// Begins HTTP/1.1 on an open connection.
    async fn lease(&self, stream: Stream) -> Result<Lease, DialError> {
        let wire = Wire::new(stream);
        let unwritable = wire.unwritable();
        let mut builder = http1::Builder::new();
        builder.preserve_header_case(true);
        if self.max_headers > HEADERS_INLINE {
            builder.max_headers(self.max_headers);
        }
        let handshake = builder.handshake(TokioIo::new(wire));
        // The handshake of HTTP/1 sends nothing and so cannot fail.
        let (sender, connection) = handshake.await.map_err(|error| DialError::Connect {
            to: self.dialer.to().to_owned(),
            source: std::io::Error::other(error),
        })?;
        self.metrics.upstream_connections.inc();
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %chain(&error), "a connection to lakeFS ended badly");
            }
        });
        Ok(Lease::new(
            sender,
            driver.abort_handle(),
            unwritable,
            Arc::clone(&self.dialer),
        ))
    }

    /// Takes lakeFS's answer, or refuses to pass it on; then its connection, or its stream, is closed.
    fn accept(&self, response: http::Response<Body>, busy: Busy, context: &Context) -> Result<Response, Rejection> {
        let (mut head, incoming) = response.into_parts();
        {
            let mut facts = context.facts();
            facts.upstream_status = Some(head.status.as_u16());
            facts.upstream_request_id = request_id(&head.headers);
        }
        rewrite::response(&mut head)
            .map_err(|what| Rejection::UpstreamBroken(format!("lakeFS's answer is no answer: {what}")))?;
        let body = if http_body::Body::is_end_stream(&incoming) {
            busy.settle();
            Body::empty()
        } else {
            Body::new(Answer {
                incoming,
                busy: Some(busy),
                idle_timeout: self.times.idle_timeout,
                context: context.clone(),
                alarm: Alarm::default(),
            })
        };
        Ok(Response::from_parts(head, body))
    }
}

/// lakeFS's own id of the request: REST and S3 call it by different names.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers
        .get(headers::REQUEST_ID)
        .or_else(|| headers.get("x-amz-request-id"))?;
    id.to_str().ok().map(str::to_owned)
}

/// Whether the client waits to be told that its body is wanted (RFC 9110 10.1.1); the server refuses any other expectation.
fn asks_first(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
}

/// Says who broke an exchange that had begun.
fn broken(error: &dyn Error, way: &Way<'_>) -> Rejection {
    let what = chain(error);
    match way.progress.and_then(|progress| progress.fault()) {
        Some(fault) => {
            way.context.facts().error = Some(format!("the client's body: {what}"));
            match fault {
                Fault::Slow => Rejection::BodyTimeout,
                Fault::Broken => Rejection::BodyBroken,
                Fault::Signature(fault) => Rejection::Signature(fault),
            }
        }
        None => Rejection::UpstreamBroken(what),
    }
}

/// How much longer to wait for a lakeFS that cannot be reached.
struct Patience {
    total: Duration,
    ends: Option<Instant>,
    rest: Duration,
}

impl Patience {
    fn new(total: Duration) -> Self {
        Self {
            total,
            ends: None,
            rest: REDIAL_MIN,
        }
    }

    /// Rests before another attempt; false if there is no time for one. The time runs from the first failure.
    async fn rest(&mut self) -> bool {
        let now = Instant::now();
        let ends = *self.ends.get_or_insert(now + self.total);
        if now >= ends {
            return false;
        }
        sleep(self.rest.min(ends - now)).await;
        self.rest = (self.rest * 2).min(REDIAL_MAX);
        true
    }
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
