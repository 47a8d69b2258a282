//! The whole layer, before a lakeFS of the tests: what goes up, what is refused, and that no forgery ever meets the gateway's bearer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, StatusCode, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};

use super::{Auth, State};
use crate::config::types::{Period, Secret};
use crate::config::{AuthConfig, LoginConfig, MintConfig, Mode, UpstreamIdentity};
use crate::exchange::{Body, Client, Context, Principal, Proof, Request, Response, step};
use crate::lakefs::{self, cookie::Session};
use crate::lakefs_client::fake::{FakeLakefs, KEY, SECRET};
use crate::observe::Metrics;

mod bearer;
mod door;
mod forgery;
mod identity;
mod s3;

const S3_DOMAIN: &str = "s3.example.com";

/// A gateway's auth before a fake lakeFS.
struct World {
    lakefs: Arc<FakeLakefs>,
    state: Arc<State>,
    config: AuthConfig,
    mode: Mode,
    /// As with a reload, the layer of the last request goes only when the next one's is there.
    last: Mutex<Option<Auth>>,
}

/// What became of a request.
struct Outcome {
    response: Response,
    /// The head that went up, if any did.
    forwarded: Option<HeaderMap>,
    context: Context,
}

impl World {
    async fn new(upstream: UpstreamIdentity) -> Self {
        let lakefs = Arc::new(FakeLakefs::start().await);
        Self {
            state: Arc::new(State::new(lakefs.client(), Arc::new(Metrics::new()))),
            lakefs,
            config: AuthConfig {
                upstream,
                ..AuthConfig::default()
            },
            mode: Mode::Enforce,
            last: Mutex::default(),
        }
    }

    fn knowing_the_secret(mut self) -> Self {
        self.config.lakefs_secret = Some(Secret::new(self.lakefs.secret()));
        self
    }

    async fn send(&self, request: Request) -> Outcome {
        let forwarded = Arc::new(Mutex::new(None));
        let (seen, lakefs) = (Arc::clone(&forwarded), Arc::clone(&self.lakefs));
        let make = || Auth::new(&self.config, self.mode, Arc::clone(&self.state));
        let auth = make();
        *self.last.lock().unwrap() = Some(make());
        let stack = ServiceBuilder::new()
            .layer(step(auth))
            .service(tower::service_fn(move |request: Request| {
                *seen.lock().unwrap() = Some(request.headers().clone());
                let answer = answer(&lakefs, &request);
                async move { Ok::<_, Infallible>(answer) }
            }));
        let context = Context::of(&request);
        let response = stack.oneshot(request).await.unwrap();
        let forwarded = forwarded.lock().unwrap().take();
        Outcome {
            response,
            forwarded,
            context,
        }
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Outcome {
        self.send(request(Method::GET, "/api/v1/repositories", headers)).await
    }
}

/// As lakeFS answers: to the anonymous and to whom it knows, and else its 401.
fn answer(lakefs: &FakeLakefs, request: &Request) -> Response {
    let open = ["/api/v1/user", "/api/v1/setup_lakefs"].contains(&request.uri().path());
    match lakefs.whose(request.headers()) {
        Ok(Some(user)) => Response::new(Body::from(user)),
        Ok(None) if open => Response::new(Body::empty()),
        _ => {
            let text = lakefs::reply::UNAUTHENTICATED;
            let mut answer = lakefs::reply::rest_error(StatusCode::UNAUTHORIZED, text).map(Body::from);
            answer.headers_mut().insert(header::CONTENT_LENGTH, 43.into());
            answer
        }
    }
}

fn request(method: Method, target: &str, headers: &[(&str, &str)]) -> Request {
    request_from("192.0.2.1", method, target, headers)
}

fn request_from(address: &str, method: Method, target: &str, headers: &[(&str, &str)]) -> Request {
    let mut builder = http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let (mut head, body) = builder.body(Body::empty()).unwrap().into_parts();
    let peer = SocketAddr::new(address.parse().unwrap(), 1);
    let context = Context::new(Client {
        address: peer.ip(),
        peer,
        secure: false,
    });
    context.set_classified(lakefs::classify(&head, &[S3_DOMAIN.into()]).unwrap());
    head.extensions.insert(context);
    Request::from_parts(head, body)
}

impl Outcome {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn principal(&self) -> Principal {
        self.context.principal().unwrap().clone()
    }

    /// The value of a header as it went up.
    fn up(&self, name: &str) -> Option<String> {
        let value = self.forwarded.as_ref().unwrap().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// The gateway answered it itself, as lakeFS would.
    fn assert_refused(&self, what: &str) {
        assert_eq!(self.status(), 401, "{what}");
        assert!(self.forwarded.is_none(), "{what}");
        assert_eq!(self.response.headers()["content-type"], "application/json", "{what}");
        assert_eq!(
            self.response.headers()["x-lakegate-reason"],
            "unauthenticated",
            "{what}"
        );
    }
}

fn login_mode() -> UpstreamIdentity {
    UpstreamIdentity::Login(LoginConfig {
        access_key_id: Secret::new(KEY),
        secret_access_key: Secret::new(SECRET),
    })
}

fn mint_mode() -> UpstreamIdentity {
    UpstreamIdentity::Mint(MintConfig {
        user: Some("admin".into()),
        ..MintConfig::default()
    })
}

fn basic(secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{KEY}:{secret}")))
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn jwt(algorithm: Algorithm, key: &[u8], claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key)).unwrap()
}

fn claims(sub: &str) -> Value {
    json!({"sub": sub, "aud": "login", "exp": now() + 600})
}

fn cookie(secret: &str, name: &str, session: &Session) -> String {
    let value = lakefs::cookie::encode(secret.as_bytes(), name, session, SystemTime::now());
    format!("{name}={value}")
}

fn internal(secret: &str, token: String) -> String {
    cookie(secret, "internal_auth_session", &Session::Token(token))
}

fn signed(secret: &str, name: &str, claims: &[(&str, &str)]) -> String {
    let claims = claims
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    cookie(secret, name, &Session::Claims(claims.collect()))
}
