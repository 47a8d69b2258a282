//! For tests: a server that answers the gateway's own calls as lakeFS does, counts them, and can be held, broken, stopped and given
//! another secret. Its JWTs are made and read by `jsonwebtoken` alone, so that it judges the gateway's as a stranger would.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::{Client, Dialer};
use crate::config::UpstreamConfig;
use crate::config::types::HttpUrl;
use crate::exchange::body::{Body, Read};
use crate::lakefs::cookie::{self, INTERNAL, MAX_AGE, Session};

/// The one key pair it knows, of user `admin`.
pub(crate) const KEY: &str = "AKIAFAKE0000000000000";
/// Its secret.
pub(crate) const SECRET: &str = "fake/secret+of=admin:with:colons";

const NO_SUCH_UPLOAD: &str = "operation error S3: AbortMultipartUpload, https response error StatusCode: 404, RequestID: , HostID: , NoSuchUpload: The specified multipart upload does not exist.";

/// Where branches and tags are.
const REPOSITORIES: &str = "/api/v1/repositories/";
/// How the path of a repository's branch protection rules ends.
const RULES: &str = "/settings/branch_protection";

/// The server.
pub(crate) struct FakeLakefs {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    secret: Mutex<String>,
    lifetime: Mutex<u64>,
    failure: Mutex<Option<StatusCode>>,
    seen: Mutex<Vec<(Method, String, HeaderMap)>>,
    /// Paths of branches and tags below `/api/v1/repositories/`, and their commits.
    refs: Mutex<BTreeMap<String, String>>,
    /// Branch protection rules, by repository.
    rules: Mutex<BTreeMap<String, Vec<String>>>,
    users: Mutex<Vec<String>>,
    connections: AtomicUsize,
    arrived: watch::Sender<usize>,
    answered: watch::Sender<usize>,
    held: watch::Sender<bool>,
}

impl FakeLakefs {
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            secret: Mutex::new("fake-lakefs-secret".into()),
            lifetime: Mutex::new(604_800),
            failure: Mutex::default(),
            seen: Mutex::default(),
            refs: Mutex::default(),
            rules: Mutex::default(),
            users: Mutex::new(vec!["admin".into()]),
            connections: AtomicUsize::new(0),
            arrived: watch::Sender::new(0),
            answered: watch::Sender::new(0),
            held: watch::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            accepting,
        }
    }

    /// Closes the listener and every connection.
    pub(crate) async fn stop(mut self) -> SocketAddr {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
        self.address
    }

    pub(crate) fn url(&self) -> HttpUrl {
        HttpUrl {
            secure: false,
            host: self.address.ip().to_string(),
            port: self.address.port(),
        }
    }

    /// A client of it on the test's own runtime.
    pub(crate) fn client(&self) -> Client {
        let config = UpstreamConfig {
            url: self.url(),
            ..UpstreamConfig::default()
        };
        Client::new(Arc::new(Dialer::new(&config).unwrap()), &config.url, Handle::current())
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// From now on (`None`: no longer) everything is answered with this status.
    pub(crate) fn fail_with(&self, status: Option<StatusCode>) {
        *self.state.failure.lock().unwrap() = status;
    }

    /// Keeps every answer back until [`FakeLakefs::release`].
    pub(crate) fn hold(&self) {
        self.state.held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.state.held.send_replace(false);
    }

    /// Waits until so many requests have arrived in all.
    pub(crate) async fn arrived(&self, count: usize) {
        self.state
            .arrived
            .subscribe()
            .wait_for(|seen| *seen >= count)
            .await
            .unwrap();
    }

    /// Waits until so many answers were made in all.
    pub(crate) async fn answered(&self, count: usize) {
        self.state
            .answered
            .subscribe()
            .wait_for(|seen| *seen >= count)
            .await
            .unwrap();
    }

    /// Requests of this path so far.
    pub(crate) fn calls(&self, path: &str) -> usize {
        let seen = self.state.seen.lock().unwrap();
        seen.iter().filter(|(_, called, _)| called == path).count()
    }

    /// Sets (`None`: removes) a branch or tag: `r/branches/main`, `r/tags/v1`.
    pub(crate) fn set_ref(&self, path: &str, commit: Option<&str>) {
        let mut refs = self.state.refs.lock().unwrap();
        match commit {
            Some(commit) => refs.insert(path.into(), commit.into()),
            None => refs.remove(path),
        };
    }

    /// Where a branch or tag is.
    pub(crate) fn get_ref(&self, path: &str) -> Option<String> {
        self.state.refs.lock().unwrap().get(path).cloned()
    }

    /// Sets the branch protection rules of a repository (`None`: there is no such repository).
    pub(crate) fn protect(&self, repository: &str, patterns: Option<&[&str]>) {
        let mut rules = self.state.rules.lock().unwrap();
        match patterns {
            Some(patterns) => {
                let patterns = patterns.iter().map(|&pattern| pattern.to_owned());
                rules.insert(repository.into(), patterns.collect())
            }
            None => rules.remove(repository),
        };
    }

    /// Sets the users that it lists.
    pub(crate) fn set_users(&self, users: &[&str]) {
        *self.state.users.lock().unwrap() = users.iter().map(|&user| user.to_owned()).collect();
    }

    /// All branches and tags.
    pub(crate) fn refs(&self) -> Vec<String> {
        self.state.refs.lock().unwrap().keys().cloned().collect()
    }

    /// As after a restart with another `auth.encrypt.secret_key`: no token given so far is good.
    pub(crate) fn set_secret(&self, secret: &str) {
        *self.state.secret.lock().unwrap() = secret.into();
    }

    pub(crate) fn secret(&self) -> String {
        self.state.secret.lock().unwrap().clone()
    }

    /// `auth.login_duration`, in seconds.
    pub(crate) fn set_lifetime(&self, seconds: u64) {
        *self.state.lifetime.lock().unwrap() = seconds;
    }

    /// A token as lakeFS makes them.
    pub(crate) fn token(&self, user: &str) -> String {
        self.state.token(user)
    }

    /// Whether it would take this request's credential, and whose it is: a bearer, a key pair, or its own session cookie.
    pub(crate) fn whose(&self, headers: &HeaderMap) -> Result<Option<String>, ()> {
        self.state.whose(headers)
    }
}

impl Drop for FakeLakefs {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        state.connections.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(state.answer(request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(Read::Whole(body, _)) = Body::from(body).read_capped(1 << 20).await else {
            return json_answer(StatusCode::BAD_REQUEST, &json!({}));
        };
        let path = head.uri.path().to_owned();
        self.seen
            .lock()
            .unwrap()
            .push((head.method.clone(), path.clone(), head.headers.clone()));
        self.arrived.send_modify(|count| *count += 1);
        self.held.subscribe().wait_for(|held| !held).await.unwrap();
        let failure = *self.failure.lock().unwrap();
        let answer = match (failure, path.as_str()) {
            (Some(status), _) => json_answer(status, &json!({"message": "internal server error"})),
            (None, "/api/v1/auth/login") => self.login(&body),
            (None, "/api/v1/user") => match self.whose(&head.headers) {
                Ok(user) => {
                    let id = user.unwrap_or_default();
                    json_answer(StatusCode::OK, &json!({"user": {"creation_date": 0, "id": id}}))
                }
                Err(()) => unauthenticated(),
            },
            (None, "/api/v1/healthcheck") => {
                let mut answer = Response::new(Full::default());
                *answer.status_mut() = StatusCode::NO_CONTENT;
                answer
            }
            (None, "/api/v1/auth/users") => {
                let users = self.users.lock().unwrap();
                let results: Vec<Value> = users
                    .iter()
                    .map(|user| json!({"id": user, "creation_date": 0}))
                    .collect();
                json_answer(StatusCode::OK, &json!({"results": results}))
            }
            (None, path) if path.ends_with(RULES) => match self.whose(&head.headers) {
                Ok(Some(_)) => self.protection(path),
                _ => unauthenticated(),
            },
            (None, path) if path.starts_with(REPOSITORIES) => match self.whose(&head.headers) {
                Ok(Some(_)) => self.repositories(&head, &body),
                _ => unauthenticated(),
            },
            (None, path) if head.headers.contains_key("x-amz-signature") => {
                let known = self.whose(&head.headers).is_ok_and(|user| user.is_some());
                let gone = known && self.refs.lock().unwrap().remove(path.trim_start_matches('/')).is_some();
                let body = if gone {
                    ""
                } else {
                    "<Error><Code>NoSuchUpload</Code></Error>"
                };
                let mut answer = Response::new(Full::from(body));
                *answer.status_mut() = if gone {
                    StatusCode::NO_CONTENT
                } else {
                    StatusCode::NOT_FOUND
                };
                answer
            }
            (None, _) => json_answer(StatusCode::NOT_FOUND, &json!({"message": "invalid API endpoint"})),
        };
        self.answered.send_modify(|count| *count += 1);
        answer
    }

    fn protection(&self, path: &str) -> Response<Full<Bytes>> {
        let repository = path.trim_start_matches(REPOSITORIES).trim_end_matches(RULES);
        match self.rules.lock().unwrap().get(repository) {
            Some(patterns) => {
                let rules: Vec<Value> = patterns.iter().map(|pattern| json!({"pattern": pattern})).collect();
                json_answer(StatusCode::OK, &json!(rules))
            }
            None => json_answer(StatusCode::NOT_FOUND, &json!({"message": "repository not found"})),
        }
    }

    /// Branches and tags, as far as undo needs them.
    fn repositories(&self, head: &http::request::Parts, body: &[u8]) -> Response<Full<Bytes>> {
        let path = head.uri.path().trim_start_matches(REPOSITORIES);
        let mut refs = self.refs.lock().unwrap();
        let not_found = || json_answer(StatusCode::NOT_FOUND, &json!({"message": "not found"}));
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let one = |path: &str, commit: &str| json!({"id": path.rsplit('/').next(), "commit_id": commit});
        match (&head.method, path.rsplit('/').next().unwrap()) {
            (&Method::GET, "branches") => {
                let below = refs.iter().filter(|(found, _)| found.starts_with(path));
                let results: Vec<Value> = below.map(|(path, commit)| one(path, commit)).collect();
                json_answer(StatusCode::OK, &json!({"results": results}))
            }
            (&Method::GET, "diff") => json_answer(StatusCode::OK, &json!({"results": [{"path": "staged"}]})),
            (&Method::GET, _) => match refs.get(path) {
                Some(commit) => json_answer(StatusCode::OK, &one(path, commit)),
                None => not_found(),
            },
            (&Method::POST, "branches" | "tags") => {
                let (name, source) = (said["name"].as_str().or(said["id"].as_str()), &said["source"]);
                let commit = source.as_str().or(said["ref"].as_str()).unwrap();
                let path = format!("{path}/{}", name.unwrap());
                match refs.insert(path, commit.into()) {
                    None => json_answer(StatusCode::CREATED, &json!({})),
                    Some(_) => json_answer(StatusCode::CONFLICT, &json!({"message": "already exists"})),
                }
            }
            // An upload is a ref here too: at its signed address.
            (&Method::DELETE, _) if path.contains("/staging/pmpu/") => match refs.get(path) {
                Some(address) if said["physical_address"] != *address => json_answer(
                    StatusCode::BAD_REQUEST,
                    &json!({"message": "invalid address signature: invalid address"}),
                ),
                Some(_) => {
                    refs.remove(path);
                    json_answer(StatusCode::NO_CONTENT, &json!({}))
                }
                None => json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"message": NO_SUCH_UPLOAD})),
            },
            (&Method::DELETE, _) => match refs.remove(path) {
                Some(_) => json_answer(StatusCode::NO_CONTENT, &json!({})),
                None => not_found(),
            },
            (&Method::PUT, "hard_reset") => {
                let commit = head.uri.query().unwrap().trim_start_matches("ref=");
                refs.insert(path.trim_end_matches("/hard_reset").into(), commit.into());
                json_answer(StatusCode::NO_CONTENT, &json!({}))
            }
            _ => not_found(),
        }
    }

    fn login(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let body: Value = serde_json::from_slice(body).unwrap();
        if body["access_key_id"] != KEY || body["secret_access_key"] != SECRET {
            return unauthenticated();
        }
        let expiration = now() + *self.lifetime.lock().unwrap();
        let answer = json!({"token": self.token("admin"), "token_expiration": expiration});
        json_answer(StatusCode::OK, &answer)
    }

    fn token(&self, user: &str) -> String {
        let (issued, lifetime) = (now(), *self.lifetime.lock().unwrap());
        let claims = json!({
            "jti": uuid::Uuid::new_v4().to_string(), "iss": "auth", "sub": user, "aud": "login", "iat": issued, "exp": issued + lifetime,
        });
        let key = EncodingKey::from_secret(self.secret.lock().unwrap().as_bytes());
        jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
    }

    fn whose(&self, headers: &HeaderMap) -> Result<Option<String>, ()> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let fields: Vec<&str> = text(header::AUTHORIZATION).split_whitespace().collect();
        match fields[..] {
            [scheme, token] if scheme.eq_ignore_ascii_case("bearer") => return self.verify(token).map(Some).ok_or(()),
            [scheme, pair] if scheme.eq_ignore_ascii_case("basic") => {
                let good = STANDARD.encode(format!("{KEY}:{SECRET}")) == pair;
                return if good { Ok(Some("admin".into())) } else { Err(()) };
            }
            _ => {}
        }
        let mut cookies = text(header::COOKIE).split("; ");
        let session = cookies.find_map(|cookie| cookie.strip_prefix("internal_auth_session="));
        let secret = self.secret.lock().unwrap().clone();
        let read = |value| cookie::decode(secret.as_bytes(), INTERNAL, value, MAX_AGE, SystemTime::now());
        match session.map(read) {
            Some(Ok(Session::Token(token))) => self.verify(&token).map(Some).ok_or(()),
            _ => Ok(None),
        }
    }

    fn verify(&self, token: &str) -> Option<String> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["login"]);
        validation.leeway = 0;
        let key = DecodingKey::from_secret(self.secret.lock().unwrap().as_bytes());
        let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).ok()?.claims;
        // It has two users; a token of anybody else is good for nothing.
        let sub = claims["sub"].as_str()?;
        ["admin", "wendy"].contains(&sub).then(|| sub.to_owned())
    }
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(format!("{body}\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    answer
}

fn unauthenticated() -> Response<Full<Bytes>> {
    json_answer(
        StatusCode::UNAUTHORIZED,
        &json!({"message": "error authenticating request"}),
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
