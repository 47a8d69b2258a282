//! Intents of uploads: on disk before the create goes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::{Filter, State as UploadState, Store, Upload, UploadIntent};

fn create() -> Request {
    let mut request = Request::new(Body::empty());
    let upload = Upload::sample("r", UploadState::Intent);
    request.extensions_mut().insert(UploadIntent(upload));
    request
}

/// Sends a request through, to an upstream that answers with the number of records that it finds on disk.
async fn send(store: &Store, request: Request) -> Response {
    send_in(Mode::Enforce, store, request).await
}

async fn send_in(mode: Mode, store: &Store, request: Request) -> Response {
    let seen_by_upstream = store.clone();
    let upstream = service_fn(move |_: Request| {
        let store = seen_by_upstream.clone();
        async move {
            let records = store.uploads(Filter::default(), 9).await.unwrap();
            Ok::<_, Infallible>(Response::new(records.len().to_string().into()))
        }
    });
    let lakefs = FakeLakefs::start().await;
    let state = State::new(
        store.clone(),
        lakefs.client(),
        Replicas::alone(),
        Arc::new(Metrics::new()),
    );
    let mut stack = step(Record::new(&RecordConfig::default(), mode, state, None)).layer(upstream);
    stack.call(request).await.unwrap()
}

async fn text(response: Response) -> String {
    match response.into_body().read_capped(1000).await.unwrap() {
        crate::exchange::body::Read::Whole(bytes, _) => String::from_utf8(bytes.to_vec()).unwrap(),
        crate::exchange::body::Read::TooLarge => panic!("too large"),
    }
}

#[tokio::test]
async fn an_intent_is_on_disk_before_the_request_goes() {
    let store = Store::memory().unwrap();
    assert_eq!(text(send(&store, create()).await).await, "1");
    assert_eq!(text(send(&store, Request::new(Body::empty())).await).await, "1");
}

#[tokio::test]
async fn whoever_asked_for_the_answer_gets_it_once() {
    let store = Store::memory().unwrap();
    let mut request = Request::new(Body::empty());
    let afterwards = Afterwards::new(|response| response.map(|_| "changed".to_owned().into()));
    request.extensions_mut().insert(afterwards.clone());
    assert_eq!(text(send(&store, request).await).await, "changed");
    assert_eq!(
        text(afterwards.run(Response::new("kept".to_owned().into()))).await,
        "kept"
    );
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_go() {
    let (store, full) = Store::with_a_disk();
    let set = |full: &AtomicBool, to| full.store(to, Ordering::Relaxed);
    set(&full, true);
    let response = send(&store, create()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["x-lakegate-reason"], "cannot-record");
    assert!(response.headers().contains_key("retry-after"));
    assert!(!text(response).await.contains("space"), "causes are for the log");
    set(&full, false);
    assert_eq!(text(send(&store, create()).await).await, "1");
}

#[tokio::test]
async fn observing_it_goes_all_the_same() {
    let (store, full) = Store::with_a_disk();
    full.store(true, Ordering::Relaxed);
    let observed = send_in(Mode::Observe, &store, create()).await;
    assert_eq!(text(observed).await, "0", "and nothing was written");
}
