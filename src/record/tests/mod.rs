//! The record layer over a store in memory and a lakeFS that knows branches and tags.

mod approvals;
mod intents;
mod undo;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use tower::{Layer as _, Service as _, service_fn};

use super::*;
use crate::exchange::body::Read;
use crate::exchange::step::step;
use crate::exchange::{Body, Principal, Proof, Requirement};
use crate::lakefs::classify;
use crate::lakefs_client::fake::{FakeLakefs, KEY, SECRET};
use crate::observe::Metrics;
use crate::replicas::Replicas;
use crate::store::{Store, Undo};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// The gateway's own user.
#[derive(Debug)]
struct Own;

impl Identity for Own {
    fn bearer(&self) -> futures_util::future::BoxFuture<'_, Result<HeaderValue, String>> {
        Box::pin(async { Ok(basic(SECRET)) })
    }

    fn refused(&self) {}
}

fn basic(secret: &str) -> HeaderValue {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{KEY}:{secret}"));
    HeaderValue::try_from(format!("Basic {pair}")).unwrap()
}

/// The records that each request met when it came to lakeFS, and its headers.
type Seen = Vec<(Vec<Undo>, http::HeaderMap)>;

/// A lakeFS with a repository `r`, whose branches `main` and `dev` are at [`A`].
struct World {
    lakefs: Arc<FakeLakefs>,
    store: Store,
    state: Arc<State>,
    config: RecordConfig,
    mode: Mode,
    own: bool,
    seen: Arc<Mutex<Seen>>,
}

impl World {
    async fn new() -> Self {
        let lakefs = Arc::new(FakeLakefs::start().await);
        for path in ["r/branches/main", "r/branches/dev", "r/tags/v1"] {
            lakefs.set_ref(path, Some(A));
        }
        let store = Store::memory().unwrap();
        let state = State::new(
            store.clone(),
            lakefs.client(),
            Replicas::alone(),
            Arc::new(Metrics::new()),
        );
        Self {
            lakefs,
            store,
            state,
            config: RecordConfig::default(),
            mode: Mode::Enforce,
            own: true,
            seen: Arc::default(),
        }
    }

    fn layer(&self) -> Record {
        let identity = self.own.then(|| Arc::new(Own) as Arc<dyn Identity>);
        Record::new(&self.config, self.mode, Arc::clone(&self.state), identity)
    }

    /// Sends a request through, to a lakeFS that does what `upstream` does and answers its status. What the records were when the request
    /// came there is kept in `seen`, with its headers.
    async fn send(&self, request: Request, upstream: fn(&FakeLakefs) -> u16) -> Response {
        let (lakefs, state, seen) = (
            Arc::clone(&self.lakefs),
            Arc::clone(&self.state),
            Arc::clone(&self.seen),
        );
        let inner = service_fn(move |request: Request| {
            let (lakefs, state, seen) = (Arc::clone(&lakefs), Arc::clone(&state), Arc::clone(&seen));
            async move {
                let records = state.records(100, |_| true).await.unwrap();
                seen.lock().unwrap().push((records, request.headers().clone()));
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::from_u16(upstream(&lakefs)).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        step(self.layer()).layer(inner).call(request).await.unwrap()
    }

    /// What of the records lakeFS's last request met.
    fn seen(&self) -> Vec<Undo> {
        self.seen.lock().unwrap().last().unwrap().0.clone()
    }

    /// How many requests lakeFS got.
    fn forwarded(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    async fn undos(&self) -> Vec<Undo> {
        self.state.records(100, |_| true).await.unwrap()
    }
}

fn context_of(name: &str) -> Context {
    let context = Context::of(&Request::new(Body::empty()));
    context.set_principal(Principal {
        name: name.into(),
        groups: Arc::default(),
        method: "basic",
        key: None,
        proof: Proof::Proved,
        limit_key: name.into(),
    });
    context
}

/// A request of `name`'s, of which rules ask `requirements`.
fn request(name: &str, method: Method, target: &str, requirements: &[Requirement]) -> Request {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = format!("/api/v1/repositories/{target}").parse().unwrap();
    request.headers_mut().insert("authorization", basic(SECRET));
    let (head, body) = request.into_parts();
    let context = context_of(name);
    context.set_classified(classify(&head, &[]).unwrap());
    context.set_requirements(requirements.to_vec());
    let mut request = Request::from_parts(head, body);
    request.extensions_mut().insert(context);
    request
}

fn hard_reset(requirements: &[Requirement]) -> Request {
    request("alice", Method::PUT, "r/branches/main/hard_reset?ref=dev", requirements)
}

async fn text(response: Response) -> String {
    match response.into_body().read_capped(2000).await.unwrap() {
        Read::Whole(bytes, _) => String::from_utf8(bytes.to_vec()).unwrap(),
        Read::TooLarge => panic!("too large"),
    }
}
