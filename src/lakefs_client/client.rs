//! One call to lakeFS: a connection, idle or new, a bounded answer, a bounded time. What is called is in `calls.rs`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::{DialError, Dialer};
use crate::config::types::HttpUrl;
use crate::exchange::body::{Body, BodyError, Read};
use crate::exchange::headers;

/// Why a call gave no answer, or one that does not help.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection: nothing was sent.
    #[error("lakeFS cannot be reached")]
    Dial(#[source] DialError),
    /// It took longer than it may.
    #[error("lakeFS did not answer in time")]
    Timeout,
    /// The connection broke before the answer's head.
    #[error("the connection to lakeFS broke")]
    Http(#[source] hyper::Error),
    /// The connection broke within the answer's body.
    #[error("lakeFS's answer was cut short")]
    Body(#[source] BodyError),
    /// The answer is longer than any answer to these calls is.
    #[error("lakeFS's answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    /// lakeFS does not take the credential: 401.
    #[error("lakeFS refused the credential")]
    Refused,
    /// A status that this call does not have.
    #[error("lakeFS answered {0}")]
    Unexpected(StatusCode),
    /// A body that is not what this call answers.
    #[error("lakeFS's answer is not what this call answers")]
    Malformed(#[source] serde_json::Error),
    /// The request cannot be written down as HTTP.
    #[error("the call cannot be made")]
    Invalid(#[source] http::Error),
    /// The runtime that makes the calls is going down.
    #[error("the gateway is stopping")]
    Stopping,
}

/// Makes the gateway's own calls. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    dialer: Arc<Dialer>,
    host: HeaderValue,
    runtime: Handle,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

impl Client {
    /// A client of the server at `url`, which `dialer` reaches. Calls and connections live on `runtime`.
    pub fn new(dialer: Arc<Dialer>, url: &HttpUrl, runtime: Handle) -> Self {
        let default_port = if url.secure { 443 } else { 80 };
        let host = if url.port == default_port {
            url.host.clone()
        } else {
            url.authority()
        };
        Self(Arc::new(Inner {
            dialer,
            host: headers::value(&host),
            runtime,
            idle: Mutex::default(),
        }))
    }

    /// The runtime the calls live on.
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Sends a request (origin form, without `Host`) and reads the answer. A request that did not go out on a reused connection, or
    /// that is safe to repeat, is sent once more on a new one.
    ///
    /// # Errors
    /// When there is no whole answer within `limit`. Any status is an answer.
    pub async fn send(&self, request: Request<Bytes>, limit: Duration) -> Result<Response<Bytes>, ClientError> {
        let repeatable = request.method().is_safe();
        self.send_repeatable(request, limit, repeatable).await
    }

    /// [`Client::send`], for a request of which the caller knows whether it may be repeated.
    pub(super) async fn send_repeatable(
        &self,
        mut request: Request<Bytes>,
        limit: Duration,
        repeatable: bool,
    ) -> Result<Response<Bytes>, ClientError> {
        let inner = Arc::clone(&self.0);
        request.headers_mut().insert(header::HOST, inner.host.clone());
        request
            .headers_mut()
            .insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let call = async move {
            timeout(limit, inner.exchange(request, repeatable))
                .await
                .unwrap_or(Err(ClientError::Timeout))
        };
        self.0.runtime.spawn(call).await.unwrap_or(Err(ClientError::Stopping))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.0.host)
            .finish_non_exhaustive()
    }
}

impl Inner {
    async fn exchange(&self, request: Request<Bytes>, repeatable: bool) -> Result<Response<Bytes>, ClientError> {
        if let Some(mut sender) = self.reuse() {
            match sender.try_send_request(request.clone().map(Full::new)).await {
                Ok(answer) => return self.read(sender, answer).await,
                Err(mut failed) => {
                    let unsent = failed.take_message().is_some();
                    if !unsent && !repeatable {
                        return Err(ClientError::Http(failed.into_error()));
                    }
                }
            }
        }
        let mut sender = self.connect().await?;
        let answer = sender
            .send_request(request.map(Full::new))
            .await
            .map_err(ClientError::Http)?;
        self.read(sender, answer).await
    }

    /// The connection that was used last, if it still stands.
    fn reuse(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| kept.sender.is_ready() && kept.since.elapsed() < MAX_IDLE_TIME);
        idle.pop().map(|kept| kept.sender)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let stream = self.dialer.connect().await.map_err(ClientError::Dial)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::Http)?;
        // How it ends, its users learn from the sender.
        self.runtime.spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Reads the answer and keeps the connection for the next call.
    async fn read(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        answer: Response<hyper::body::Incoming>,
    ) -> Result<Response<Bytes>, ClientError> {
        let (head, body) = answer.into_parts();
        let bytes = match Body::from(body).read_capped(MAX_ANSWER).await {
            Ok(Read::Whole(bytes, _)) => bytes,
            Ok(Read::TooLarge) => return Err(ClientError::TooLong),
            Err(error) => return Err(ClientError::Body(error)),
        };
        // Ready once the connection's task has seen the body's end; at once, then, or never.
        if sender.ready().await.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MAX_IDLE {
                idle.push(Idle {
                    sender,
                    since: Instant::now(),
                });
            }
        }
        Ok(Response::from_parts(head, bytes))
    }
}

/// The longest answer that is read.
const MAX_ANSWER: usize = 1 << 20;
/// Connections kept for the next call.
const MAX_IDLE: usize = 8;
/// How long they are kept: below the idle timeouts of common load balancers (60 s).
const MAX_IDLE_TIME: Duration = Duration::from_secs(50);
const USER_AGENT: &str = concat!("lakegate/", env!("CARGO_PKG_VERSION"));
