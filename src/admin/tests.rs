//! Both doors, by raw requests.

use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::*;
use crate::config::UploadsConfig;
use crate::lakefs_client::fake::FakeLakefs;
use crate::replicas::Replicas;
use crate::store::{State, Upload};

struct World {
    lakefs: FakeLakefs,
    store: Store,
    full: Arc<AtomicBool>,
    draining: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    address: SocketAddr,
    socket: PathBuf,
    serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

struct Got {
    status: u16,
    head: String,
    body: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("lakegate.sock");
        let config = AdminConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            hosts: vec!["gateway.example".into()],
            socket: socket.clone(),
        };
        let admin = Admin::bind(&config).await.unwrap();
        let address = admin.address().unwrap();
        let lakefs = FakeLakefs::start().await;
        let (store, full) = Store::with_a_disk();
        let (draining, metrics) = (Arc::new(AtomicBool::new(false)), Arc::new(Metrics::new()));
        let drain = Arc::clone(&draining);
        let serving = tokio::spawn(admin.serve(Parts {
            store: store.clone(),
            record: record::State::new(store.clone(), lakefs.client(), Replicas::alone(), Arc::clone(&metrics)),
            ledger: Ledger::new(
                &UploadsConfig::default(),
                store.clone(),
                lakefs.client(),
                Replicas::alone(),
                Arc::clone(&metrics),
            ),
            limit: Arc::new(limit::State::new(Arc::clone(&metrics))),
            audit: None,
            metrics: Arc::clone(&metrics),
            client: lakefs.client(),
            draining: Box::new(move || drain.load(Ordering::Relaxed)),
            config: Some("lakegate.yaml".into()),
        }));
        Self {
            lakefs,
            store,
            full,
            draining,
            metrics,
            address,
            socket,
            serving,
            _folder: folder,
        }
    }

    async fn page(&self, path: &str) -> Got {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address))
            .await
    }

    async fn raw(&self, request: &str) -> Got {
        exchange(TcpStream::connect(self.address).await.unwrap(), request).await
    }

    async fn command(&self, path: &str) -> Got {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        exchange(stream, &format!("GET {path} HTTP/1.1\r\nHost: lakegate\r\n\r\n")).await
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Got {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Got {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

#[tokio::test]
async fn the_process_lives_whatever_lakefs_does() {
    let world = World::new().await;
    world.lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
    let got = world.page("/livez").await;
    assert_eq!((got.status, &*got.body), (200, "alive\n"));
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let world = World::new().await;
    world.metrics.uploads_open.set(7);
    let got = world.page("/metrics").await;
    assert_eq!(got.status, 200);
    let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(got.head.contains(content_type), "{}", got.head);
    assert!(got.body.contains("lakegate_uploads_open 7\n") && got.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn readiness_names_what_is_wrong() {
    let world = World::new().await;
    let got = world.page("/readyz").await;
    assert_eq!(got.status, 200, "{}", got.body);
    let fine = serde_json::json!({"ready": true, "checks": {"draining": "ok", "store": "ok", "upstream": "ok"}});
    assert_eq!(got.json(), fine);
    assert!(got.head.contains("content-type: application/json") && got.head.contains("cache-control: no-store"));

    world.draining.store(true, Ordering::Relaxed);
    let got = world.page("/readyz").await;
    assert_eq!(
        (got.status, &got.json()["checks"]["draining"]),
        (503, &"a drain is under way".into())
    );
}

#[tokio::test]
async fn a_lakefs_that_is_gone_and_a_full_disk_are_not_ready() {
    let world = World::new().await;
    world.lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
    world.full.store(true, Ordering::Relaxed);
    assert!(world.store.flush().await.is_err());
    let got = world.page("/readyz").await;
    let checks = &got.json()["checks"];
    assert_eq!(got.status, 503);
    assert!(checks["upstream"].as_str().unwrap().contains("500"), "{checks}");
    assert!(checks["store"].as_str().unwrap().contains("no space"), "{checks}");
    assert_eq!(checks["draining"], "ok");
}

#[tokio::test]
async fn however_many_ask_lakefs_is_asked_once() {
    let world = World::new().await;
    world.lakefs.hold();
    let asking = futures_util::future::join_all((0..8).map(|_| world.page("/readyz")));
    let release = async {
        world.lakefs.arrived(1).await;
        world.lakefs.release();
    };
    let (answers, ()) = tokio::join!(asking, release);
    assert!(answers.iter().all(|got| got.status == 200));
    assert_eq!(world.lakefs.connections(), 1);
}

#[tokio::test]
async fn there_is_nothing_else_and_nothing_to_write() {
    let world = World::new().await;
    for path in [
        "/",
        "/metrics/",
        "/livez/x",
        "/uploads",
        "/status",
        "/METRICS",
        "/%6divez",
    ] {
        assert_eq!(world.page(path).await.status, 404, "{path}");
    }
    let host = world.address;
    let got = world
        .raw(&format!("HEAD /livez HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .await;
    assert_eq!((got.status, &*got.body), (200, ""));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let got = world
            .raw(&format!("{method} /livez HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(got.status, 405, "{method}");
        assert!(got.head.contains("allow: get, head"));
    }
}

#[tokio::test]
async fn a_page_of_a_stranger_gets_nothing() {
    let world = World::new().await;
    let ask = |head: &'static str| world.raw(head);
    assert_eq!(
        ask("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n").await.status,
        403
    );
    let origin = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n";
    assert_eq!(ask(origin).await.status, 403);
    assert_eq!(
        ask("GET /metrics HTTP/1.1\r\nHost: gateway.example:1\r\n\r\n")
            .await
            .status,
        200
    );
    assert_eq!(ask("GET /livez HTTP/1.0\r\n\r\n").await.status, 200);
}

fn upload(repository: &str, state: State) -> Upload {
    Upload {
        upload_id: Some(format!("id/of {repository}-{state}")),
        ..Upload::sample(repository, state)
    }
}

#[tokio::test]
async fn commands_list_show_and_sum_uploads() {
    let world = World::new().await;
    let (first, second) = (upload("one", State::Open), upload("two", State::Completed));
    for upload in [&first, &second] {
        world.store.put_upload(upload.clone()).await.unwrap();
    }
    let list = async |query: &str| serde_json::from_str::<Page>(&world.command(query).await.body).unwrap();
    let ids = async |query: &str| {
        list(query)
            .await
            .uploads
            .iter()
            .map(|upload| upload.id)
            .collect::<Vec<_>>()
    };
    let all = list("/uploads").await;
    assert_eq!((all.uploads, all.more), (vec![second.clone(), first.clone()], false));
    assert_eq!(ids("/uploads?state=open").await, [first.id]);
    assert_eq!(
        ids("/uploads?state=open&state=completed&repository=%74wo").await,
        [second.id]
    );
    assert!(ids("/uploads?repository=none").await.is_empty());
    let one = list("/uploads?limit=1").await;
    assert_eq!((one.uploads.len(), one.more), (1, true));

    assert_eq!(ids(&format!("/uploads/{}", first.id)).await, [first.id]);
    assert_eq!(ids("/uploads/id%2Fof%20two-completed").await, [second.id]);
    let stats = world.command("/uploads/stats?repository=one").await.json();
    assert_eq!(
        (&stats["counts"]["open"], &stats["counts"]["completed"]),
        (&1.into(), &0.into())
    );
    let status = world.command("/status").await.json();
    assert_eq!(status["uploads"]["completed"], 1);
    assert_eq!(
        (&status["config"], &status["pid"]),
        (&"lakegate.yaml".into(), &std::process::id().into())
    );
}

#[tokio::test]
async fn wrong_commands_are_told_what_is_wrong() {
    let world = World::new().await;
    for (path, status, says) in [
        ("/uploads?state=opn", 400, "completing"),
        ("/uploads?limit=many", 400, "not a number"),
        ("/uploads?colour=red", 400, "colour"),
        ("/uploads/nothing", 404, "no upload"),
        ("/nothing", 404, "nothing here"),
    ] {
        let got = world.command(path).await;
        assert_eq!(got.status, status, "{path}");
        assert!(got.json()["message"].as_str().unwrap().contains(says), "{}", got.body);
    }
    let stream = UnixStream::connect(&world.socket).await.unwrap();
    let got = exchange(stream, "DELETE /uploads/x HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(got.status, 405);
}

#[tokio::test]
async fn the_socket_goes_with_the_process() {
    let world = World::new().await;
    assert!(world.socket.exists());
    world.serving.abort();
    assert!(world.serving.await.unwrap_err().is_cancelled());
    assert!(!world.socket.exists());
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let world = World::new().await;
    let config = AdminConfig {
        listen: world.address,
        socket: world.socket.with_extension("other"),
        ..AdminConfig::default()
    };
    let error = Admin::bind(&config).await.unwrap_err();
    assert!(error.to_string().contains(&world.address.to_string()), "{error}");
    let config = AdminConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        socket: world.socket.clone(),
        ..AdminConfig::default()
    };
    assert!(matches!(
        Admin::bind(&config).await,
        Err(AdminError::Socket(SocketError::InUse(_)))
    ));
}
