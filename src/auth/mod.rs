//! Who a request comes from, and as whom it goes to lakeFS.
//!
//! Reads the request's credentials as lakeFS would (`credential`, `cookies`), proves the one that counts (`judge`: with lakeFS's secret in
//! `verify`, else by asking lakeFS in `proof`), makes a [`Principal`] of it, takes away what the client sent and attaches the gateway's
//! bearer (`bearer`: by `login` or `mint`), or leaves all as it came. The bearer is attached for a proved principal only.
//!
//! What a principal may do is not decided here (`guard`, `limit`), nor what becomes of headers that are no credentials (`upstream`).

mod attempts;
mod bearer;
mod bounded;
mod cookies;
mod credential;
mod judge;
mod login;
mod mint;
mod proof;
mod service;
mod signing;
mod sigv4;
mod state;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::config::{AuthConfig, Mode};
use crate::exchange::step::Inner;
use crate::exchange::{Context, Next, Principal, Proof, Rejection, Request, Response, Step};
use crate::lakefs::{self, Operation, Protocol};
use attempts::network;
use bearer::{Attached, BearerSource};
use credential::{Presented, S3_MARK};
use judge::{Judge, Judged, Standing};
use proof::AskError;
pub use service::service;
use signing::{Signing, now};
pub use state::State;

/// The auth layer, of one configuration.
#[derive(Debug)]
pub struct Auth {
    judge: Judge,
    bearers: BearerSource,
    allow_setup: bool,
    /// Bytes of the longest signed chunk.
    signed_chunk: usize,
    mode: Mode,
    state: Arc<State>,
}

impl Auth {
    /// The layer of this configuration, over the live state.
    pub fn new(config: &AuthConfig, mode: Mode, state: Arc<State>) -> Self {
        Self {
            judge: Judge::new(config, mode),
            bearers: BearerSource::new(config, &state),
            allow_setup: config.allow_setup,
            signed_chunk: config.signed_chunk.as_usize(),
            mode,
            state,
        }
    }

    /// Makes of a request what lakeFS shall see of it.
    async fn admit(&self, context: &Context, request: &mut Request) -> Result<Option<Attached>, Rejection> {
        let (operation, protocol) = context
            .classified()
            .map_or((Operation::UnknownApi, Protocol::Rest), |classified| {
                (classified.operation, classified.protocol)
            });
        self.open(context, operation)?;
        let judged = if operation.spec().anonymous {
            None
        } else {
            let s3 = protocol == Protocol::S3;
            let query = request.uri().query();
            let presented = Presented::read(request.headers(), query, s3);
            let address = context.client().address;
            let signed = self.judge.signature(&presented, request, &self.state.signing, now());
            self.judge
                .judge(&presented, signed, request.headers(), address, &self.state.proofs)
                .await
        };
        let not_taken = judged.as_ref().and_then(|judged| self.judge.not_taken(judged.method));
        // Otherwise its standing says so.
        if let Some(key) = not_taken.filter(|_| self.mode == Mode::Observe) {
            Rejection::Unauthenticated.shadow(context, key);
        }
        let principal = principal(context, judged.as_ref());
        context.set_principal(principal.clone());
        let passthrough = matches!(self.bearers, BearerSource::Passthrough);
        match judged.map(|judged| judged.standing) {
            None if passthrough => {}
            None if answers_anybody(operation, protocol) => replace(request.headers_mut(), None),
            None => return Err(Rejection::Unauthenticated),
            Some(Standing::Signed { verified, .. }) => {
                let signing = Signing {
                    bearers: &self.bearers,
                    chunk: self.signed_chunk,
                    state: &self.state,
                };
                return signing.forward(&principal.name, *verified, request).await;
            }
            Some(Standing::Misigned(fault)) => return Err(Rejection::Signature(fault)),
            // lakeFS would take a cookie before the signature, and so act for another than the gateway thinks.
            Some(Standing::Signature { .. }) => cookies::strip(request.headers_mut()),
            Some(Standing::NotTaken) => return Err(Rejection::Unauthenticated),
            Some(Standing::Unclear(AskError::Wait(retry_after))) => return Err(too_many(retry_after)),
            Some(Standing::Proved { .. }) => {
                let chunked = protocol == Protocol::S3 && lakefs::is_aws_chunked(request.headers());
                let unsigned = Rejection::ChunkedUnsigned;
                if chunked && !passthrough && unsigned.bites(self.mode, context, "chunked-unsigned") {
                    return Err(unsigned);
                }
                let attached = self.bearers.bearer(&principal.name, &self.state).await;
                let attached = attached.map_err(rejection)?;
                if let Some(attached) = &attached {
                    replace(request.headers_mut(), Some(attached.header.clone()));
                }
                return Ok(attached);
            }
            // lakeFS answers it, in its own words.
            Some(Standing::Refused | Standing::Unclear(_)) if passthrough => {}
            Some(Standing::Refused) => return Err(Rejection::Unauthenticated),
            Some(Standing::Unclear(error)) => return Err(rejection(error)),
        }
        Ok(None)
    }

    /// Refuses what is closed to everybody: set-up, and logins from where too many failed.
    fn open(&self, context: &Context, operation: Operation) -> Result<(), Rejection> {
        let refused = match operation {
            Operation::Setup | Operation::SetupCommPrefs if !self.allow_setup => {
                Some(("auth.allow_setup", Rejection::Closed("lakeFS's set-up")))
            }
            _ if is_login(operation) => {
                let address = context.client().address;
                let wait = self.state.attempts.wait(address, self.judge.rate(), Instant::now());
                wait.map(|wait| ("auth.failed_logins_per_minute", too_many(wait)))
            }
            _ => None,
        };
        match refused {
            Some((key, rejection)) if rejection.bites(self.mode, context, key) => Err(rejection),
            _ => Ok(()),
        }
    }

    /// Learns from lakeFS's answer: a login that failed, a bearer that is no longer good.
    fn learn(&self, context: &Context, attached: Option<&Attached>, response: &Response) {
        if response.status() != StatusCode::UNAUTHORIZED {
            return;
        }
        if context
            .classified()
            .is_some_and(|classified| is_login(classified.operation))
        {
            let address = context.client().address;
            self.state.attempts.failed(address, self.judge.rate(), Instant::now());
            tracing::info!(client.address = %address, "a login failed");
        }
        if let Some(attached) = attached
            && is_unauthenticated(response.headers())
        {
            attached.refused();
        }
    }
}

impl Step for Auth {
    async fn call<S: Inner>(&self, mut request: Request, next: Next<S>) -> Response {
        let context = Context::of(&request);
        let method: Method = request.method().clone();
        match self.admit(&context, &mut request).await {
            Ok(attached) => {
                let response = next.run(request).await;
                self.learn(&context, attached.as_ref(), &response);
                response
            }
            Err(rejection) => rejection.respond(&context, &method),
        }
    }
}

/// Takes away every credential the client sent, and attaches the gateway's bearer. A request that only its signature made one of the S3
/// gateway's (as the web UI's are) stays one.
fn replace(headers: &mut HeaderMap, bearer: Option<HeaderValue>) {
    let signed = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value.as_bytes().starts_with(b"AWS4") || value.as_bytes().starts_with(b"AWS "));
    if signed && headers.get(S3_MARK).is_none_or(HeaderValue::is_empty) {
        headers.insert(S3_MARK, HeaderValue::from_static("x"));
    }
    cookies::strip(headers);
    headers.remove(header::AUTHORIZATION);
    if let Some(bearer) = bearer {
        headers.insert(header::AUTHORIZATION, bearer);
    }
}

/// Whether lakeFS has an answer of its own for a request without credentials: its current user is nobody, an S3 request lacks its fields,
/// an unknown path may be one of another version's logins.
fn answers_anybody(operation: Operation, protocol: Protocol) -> bool {
    operation.spec().anonymous
        || matches!(operation, Operation::GetCurrentUser | Operation::UnknownApi)
        || protocol != Protocol::Rest
}

fn is_login(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Login | Operation::ExternalPrincipalLogin | Operation::StsLogin | Operation::JwtLogin
    )
}

/// Whether a 401 is lakeFS's "error authenticating request": its 401s for want of permission are of another length.
fn is_unauthenticated(headers: &HeaderMap) -> bool {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()) == Some(UNAUTHENTICATED_LENGTH)
}

fn principal(context: &Context, judged: Option<&Judged>) -> Principal {
    let address = network(context.client().address);
    let Some(judged) = judged else {
        return Principal {
            name: "anonymous".into(),
            groups: Arc::default(),
            method: "anonymous",
            proof: Proof::Claimed,
            key: None,
            limit_key: address.to_string().into(),
        };
    };
    let (name, groups, proof) = match &judged.standing {
        Standing::Proved { name, groups } => (name, Arc::clone(groups), Proof::Proved),
        Standing::Signature { owner: Some(owner) } => (owner, Arc::default(), Proof::Claimed),
        Standing::Signed { name, groups, .. } => (name, Arc::clone(groups), Proof::Proved),
        Standing::Signature { owner: None }
        | Standing::Misigned(_)
        | Standing::Refused
        | Standing::NotTaken
        | Standing::Unclear(_) => (&judged.claimed, Arc::default(), Proof::Claimed),
    };
    let limit_key = match proof {
        Proof::Proved => Arc::clone(name),
        Proof::Claimed => {
            let mut key = match &judged.standing {
                Standing::Signature { owner: Some(owner) } => format!("{owner}@{address}#"),
                _ => format!("{address}#"),
            };
            for byte in judged.fingerprint.iter().take(4) {
                // Writing to a string cannot fail.
                let _ = write!(key, "{byte:02x}");
            }
            key.into()
        }
    };
    Principal {
        name: Arc::clone(name),
        groups,
        method: judged.method,
        proof,
        key: judged.key().cloned(),
        limit_key,
    }
}

fn too_many(retry_after: Duration) -> Rejection {
    Rejection::OverShare {
        retry_after,
        status: StatusCode::TOO_MANY_REQUESTS,
    }
}

fn rejection(error: AskError) -> Rejection {
    match error {
        AskError::Down(why) => Rejection::UpstreamDown(why),
        AskError::Slow(_) => Rejection::UpstreamTimeout,
        AskError::Broken(why) => Rejection::UpstreamBroken(why),
        AskError::Busy => Rejection::Busy {
            reason: "upstream-busy",
            retry_after: Duration::from_secs(1),
        },
        AskError::Wait(retry_after) => too_many(retry_after),
    }
}

/// Of `{"message":"error authenticating request"}` and its line feed.
const UNAUTHENTICATED_LENGTH: usize = 43;
