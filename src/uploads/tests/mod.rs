//! The uploads layer over a lakeFS made up by each test.

mod reap;
mod s3;
mod steps;
mod time;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use tower::{Layer as _, Service as _, service_fn};
use uuid::Uuid;

use super::*;
use crate::config::types::Period;
use crate::config::{Mode, UploadsConfig, UpstreamConfig};
use crate::exchange::step::{Inner, Next, Step, step};
use crate::exchange::{
    Afterwards, Body, BodyError, Client, Context, Inspected, Principal, Proof, Rejection, Request, Response,
};
use crate::lakefs_client::Dialer;
use crate::observe::Metrics;
use crate::replicas::Replicas;
use crate::store::{Filter, State, Store, Timestamp, Upload, UploadIntent};
use crate::{lakefs, lakefs_client};

const BASE: &str = "/api/v1/repositories/data/branches/work/staging/pmpu";
const SIGNATURE: &str = "Vg3uSbaS2q9Nv1lnL0bcV8XPGj7zm-_4Yc8RZ4Q1abc";
const URL_SECRET: &str = "deadbeef5ec7e7";

/// A ledger in memory and the log it tells its events to.
struct World {
    store: Store,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    log: Log,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl World {
    fn new() -> Self {
        Self::over(Store::memory().unwrap())
    }

    fn over(store: Store) -> Self {
        Self::before(&UploadsConfig::default(), store, nobody())
    }

    fn before(config: &UploadsConfig, store: Store, client: lakefs_client::Client) -> Self {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        let metrics = Arc::new(Metrics::new());
        let ledger = tracing::subscriber::with_default(subscriber, || {
            Ledger::new(config, store.clone(), client, Replicas::alone(), Arc::clone(&metrics))
        });
        Self {
            store,
            ledger,
            metrics,
            log,
        }
    }

    fn layer(&self) -> Uploads {
        Uploads::new(Mode::Enforce, Arc::clone(&self.ledger), None)
    }

    /// Sends a request through uploads and record to `lakefs`.
    async fn send<F, A>(&self, request: Request, lakefs: F) -> Response
    where
        F: FnMut(Request) -> A + Clone + Send + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let mut lakefs = lakefs;
        let inner = service_fn(move |request| {
            let answer = lakefs(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let inner = step(Records(self.store.clone())).layer(inner);
        let mut stack = step(self.layer()).layer(inner);
        stack.call(request).await.unwrap()
    }

    async fn send_and_read<F, A>(&self, request: Request, lakefs: F) -> (StatusCode, Bytes)
    where
        F: FnMut(Request) -> A + Clone + Send + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let (head, body) = self.send(request, lakefs).await.into_parts();
        let mut whole = Vec::new();
        let mut body = std::pin::pin!(body);
        while let Some(frame) = body.frame().await {
            whole.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
        (head.status, whole.into())
    }

    async fn records(&self) -> Vec<Upload> {
        self.store.flush().await.unwrap();
        self.store.uploads(Filter::default(), 100).await.unwrap()
    }

    async fn the_record(&self) -> Upload {
        let mut records = self.records().await;
        assert_eq!(records.len(), 1, "{records:#?}");
        records.remove(0)
    }

    fn events(&self) -> Vec<serde_json::Value> {
        let log = self.log.0.lock().unwrap();
        let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}

/// A way to lakeFS that nobody goes.
fn nobody() -> lakefs_client::Client {
    let config = UpstreamConfig::default();
    let dialer = Arc::new(Dialer::new(&config).unwrap());
    lakefs_client::Client::new(dialer, &config.url, tokio::runtime::Handle::current())
}

fn request(method: Method, target: &str, body: &str) -> Request {
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("{BASE}{target}"))
        .header("user-agent", "lakefs-python-sdk/1.88.0")
        .header("authorization", "Bearer do-not-keep-me")
        .body(Body::from(body.to_owned()))
        .unwrap();
    let (head, body_of) = request.into_parts();
    let classified = lakefs::classify(&head, &[]).unwrap();
    request = Request::from_parts(head, body_of);
    if !body.is_empty() {
        let bytes = Bytes::from(body.to_owned());
        request.extensions_mut().insert(Inspected(bytes));
    }
    let context = Context::new(Client {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        peer: SocketAddr::from(([192, 0, 2, 7], 1)),
        secure: false,
    });
    context.set_classified(classified);
    context.set_principal(Principal {
        name: "alice".into(),
        groups: Arc::default(),
        method: "basic",
        proof: Proof::Proved,
        key: None,
        limit_key: "alice".into(),
    });
    request.extensions_mut().insert(context);
    request
}

/// A request of the S3 face, by its credential, or of REST by a bearer.
fn s3_request(method: Method, target: &str) -> Request {
    let credential = match target.starts_with("/api/") {
        true => "Bearer do-not-keep-me",
        false => "AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=host, Signature=do-not-keep-me",
    };
    let request = http::Request::builder()
        .method(method)
        .uri(target)
        .header("host", "lakefs")
        .header("authorization", credential)
        .header("content-length", "5242880")
        .body(Body::empty())
        .unwrap();
    let (head, body) = request.into_parts();
    let classified = lakefs::classify(&head, &[]).unwrap();
    let mut of_s3 = Request::from_parts(head, body);
    let context = Context::new(Client {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        peer: SocketAddr::from(([192, 0, 2, 7], 1)),
        secure: false,
    });
    context.set_classified(classified);
    of_s3.extensions_mut().insert(context);
    of_s3
}

fn create() -> Request {
    request(Method::POST, "?path=a%2Fb.bin&parts=3", "")
}

fn address() -> String {
    format!("s3://bucket/data/g/x,{SIGNATURE}")
}

fn complete(upload_id: &str) -> Request {
    let body = format!(
        r#"{{"physical_address":"{}","parts":[{{"part_number":1,"etag":"e"}},{{"part_number":2,"etag":"f"}}]}}"#,
        address()
    );
    request(Method::PUT, &format!("/{upload_id}?path=a%2Fb.bin"), &body)
}

fn step_with_address(method: Method, target: &str) -> Request {
    let body = format!(r#"{{"physical_address":"{}"}}"#, address());
    request(method, &format!("{target}?path=a%2Fb.bin"), &body)
}

fn answer(status: u16, body: impl Into<Body>) -> Response {
    http::Response::builder().status(status).body(body.into()).unwrap()
}

fn created(upload_id: &str, urls: usize) -> String {
    let url = format!(r#""http://store/bucket/x?partNumber=1\u0026X-Amz-Signature={URL_SECRET}""#);
    let urls = vec![url; urls].join(",");
    format!(
        r#"{{"physical_address":"{}","presigned_urls":[{urls}],"upload_id":"{upload_id}"}}"#,
        address()
    )
}

const COMPLETED: &str = r#"{"checksum":"55e2-2","mtime":1,"path":"a/b.bin","path_type":"object","physical_address":"data/g/x","size_bytes":5242890}"#;

/// A body that gives what is sent to it, piece by piece.
fn channel() -> (mpsc::UnboundedSender<Result<Bytes, BodyError>>, Body) {
    let (pieces, mut given) = mpsc::unbounded_channel::<Result<Bytes, BodyError>>();
    let stream = futures_util::stream::poll_fn(move |cx| {
        given
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    });
    (pieces, Body::new(StreamBody::new(stream)))
}

/// Creates an upload with the id `u`.
async fn opened(world: &World) {
    let (status, _) = world
        .send_and_read(create(), |_| async { answer(201, created("u", 3)) })
        .await;
    assert_eq!(status, StatusCode::CREATED);
}

/// What `record` does with an intent and with the answer.
struct Records(Store);

impl Step for Records {
    async fn call<S: Inner>(&self, mut request: Request, next: Next<S>) -> Response {
        if let Some(UploadIntent(upload)) = request.extensions_mut().remove() {
            self.0.put_upload(upload).await.unwrap();
        }
        let afterwards: Option<Afterwards> = request.extensions_mut().remove();
        let response = next.run(request).await;
        match afterwards {
            Some(afterwards) => afterwards.run(response),
            None => response,
        }
    }
}

/// What was planted must be nowhere but in what the client got.
async fn no_secret(world: &World) {
    let log = String::from_utf8(world.log.0.lock().unwrap().clone()).unwrap();
    let ledger = serde_json::to_string(&world.records().await).unwrap();
    let metrics = world.metrics.encode();
    for secret in [SIGNATURE, URL_SECRET, "do-not-keep-me", "X-Amz"] {
        for (place, text) in [("log", &log), ("ledger", &ledger), ("metrics", &metrics)] {
            assert!(!text.contains(secret), "{secret} is in the {place}: {text}");
        }
    }
}
