//! Turns on a branch, over the wire: what of an upload goes beside a commit and what waits, and that nobody loses a race.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::Response;
use lakegate::config::Config;
use lakegate::config::types::Period;
use lakegate::exchange::Body;
use lakegate::sandbox::{Sandbox, SandboxConfig};
use tokio::sync::{Notify, mpsc};

use super::support::gateway::TestGateway;
use super::support::http2::TlsLakefs;
use super::support::lakefs::RawLakefs;
use super::support::raw::{Message, Wire, soon, until};

const COMMIT: &str = "POST /api/v1/repositories/r/branches/main/commits HTTP/1.1\r\nHost: h\r\nContent-Length: 15\r\n\r\n{\"message\":\"m\"}";
const UPLOAD: &str = "POST /api/v1/repositories/r/branches/main/objects?path=a HTTP/1.1\r\nHost: h\r\n";
const S3_PUT: &str =
    "PUT /r/main/a HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 Credential=k/d/r/s3/aws4_request\r\n";
/// Each connection is for one request here.
const DONE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
const TAIL: usize = 4096;

/// A gateway before a lakeFS whose requests the test gets as soon as their heads are there.
struct World {
    gateway: TestGateway,
    arrivals: mpsc::UnboundedReceiver<(Message, Wire)>,
}

impl World {
    async fn start(adapt: impl FnOnce(&mut Config)) -> Self {
        let lakefs = RawLakefs::listen().await;
        let gateway = TestGateway::before(lakefs.address(), adapt).await;
        let (arrive, arrivals) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let mut wire = lakefs.accept_whenever().await;
                let arrive = arrive.clone();
                tokio::spawn(async move {
                    let Some(head) = wire.head_whenever().await else { return };
                    let _ = arrive.send((head, wire));
                });
            }
        });
        Self { gateway, arrivals }
    }

    /// The next request whose target has this in it.
    async fn next(&mut self, target: &str) -> (Message, Wire) {
        loop {
            let (head, wire) = soon("a request", self.arrivals.recv()).await.unwrap();
            if head.start.contains(target) {
                return (head, wire);
            }
        }
    }

    /// A commit on its way, that has its turn.
    async fn commit(&mut self) -> (Wire, Wire) {
        let mut client = self.gateway.connect().await;
        client.send(COMMIT).await;
        let (_, upstream) = self.next("/commits").await;
        (client, upstream)
    }

    /// Waits until so many wait for a turn.
    async fn waiting(&self, number: usize) {
        let wanted = format!("lakegate_waiting {number}\n");
        soon("waiters", async {
            while !self.gateway.metrics().await.contains(&wanted) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 % 251) as u8).collect()
}

fn chunked(body: &[u8], trailers: &str) -> Vec<u8> {
    let chunk = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    let mut sent: Vec<u8> = body.chunks(3000).flat_map(chunk).collect();
    sent.extend(format!("0\r\n{trailers}\r\n").as_bytes());
    sent
}

/// Reads until so many bytes of a body have come.
async fn read_on(wire: &mut Wire, came: &mut Vec<u8>, size: usize) {
    came.extend(wire.take());
    while came.len() < size {
        assert!(wire.fill().await);
        came.extend(wire.take());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_bytes_of_an_upload_wait_for_the_commit_under_way_and_arrive_to_the_byte() {
    let mut world = World::start(|_| {}).await;
    for size in [0, 1, TAIL, TAIL + 1, 300_000] {
        let body = bytes(size);
        let sized = [format!("Content-Length: {size}\r\n\r\n").as_bytes(), &body].concat();
        let trailed = [
            b"TE: trailers\r\nTrailer: X-Check\r\nTransfer-Encoding: chunked\r\n\r\n",
            &chunked(&body, "X-Check: 5\r\n")[..],
        ]
        .concat();
        for (start, rest) in [(UPLOAD, &sized), (S3_PUT, &sized), (UPLOAD, &trailed)] {
            // One whose body is no more than its length 0 has nothing that could wait: it waits itself.
            if size == 0 && rest == &sized {
                continue;
            }
            let (mut committer, mut commit) = world.commit().await;
            let mut uploader = world.gateway.connect().await;
            uploader.send([start.as_bytes(), rest].concat()).await;
            let (head, mut upload) = world.next("a HTTP").await;
            world.waiting(1).await;
            // All but the tail is here; the rest is not, and nothing tells the end.
            let early = head.header("content-length").is_some();
            let mut came = Vec::new();
            if early {
                read_on(&mut upload, &mut came, size.saturating_sub(TAIL)).await;
                assert_eq!(came, body[..size.saturating_sub(TAIL)]);
                assert!(
                    !upload.try_fill(Duration::from_millis(30)).await,
                    "the tail came before its turn"
                );
            }
            commit.send(DONE).await;
            assert_eq!(committer.answer().await.status(), 200);
            if early {
                read_on(&mut upload, &mut came, size).await;
                assert_eq!(came, body);
            } else {
                let whole = upload.body(head, false).await.unwrap();
                assert_eq!(
                    (whole.body, whole.trailers),
                    (body.clone(), vec!["x-check: 5".to_owned()])
                );
            }
            // It has the turn now: a commit waits.
            committer.send(COMMIT).await;
            world.waiting(1).await;
            upload.send(DONE).await;
            assert_eq!(uploader.answer().await.status(), 200);
            let (_, mut commit) = world.next("/commits").await;
            commit.send(DONE).await;
            assert_eq!(committer.answer().await.status(), 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_asked_for_its_body_is_asked_while_a_commit_runs() {
    let mut world = World::start(|_| {}).await;
    let (_committer, mut commit) = world.commit().await;
    let mut uploader = world.gateway.connect().await;
    uploader
        .send(format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"))
        .await;
    let (head, mut upload) = world.next("objects").await;
    upload.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(uploader.head().await.unwrap().status(), 100);
    uploader.send("body").await;
    world.waiting(1).await;
    commit.send(DONE).await;
    assert_eq!(upload.body(head, false).await.unwrap().text(), "body");
    upload.send(DONE).await;
    assert_eq!(uploader.answer().await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_passes_while_the_tail_waits() {
    let mut world = World::start(|_| {}).await;
    let (_committer, _commit) = world.commit().await;
    let mut uploader = world.gateway.connect().await;
    uploader.send(format!("{UPLOAD}Content-Length: 4\r\n\r\nbody")).await;
    let (head, mut upload) = world.next("objects").await;
    world.waiting(1).await;
    let gone = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
    upload.send(gone).await;
    assert_eq!(uploader.answer().await.status(), 404);
    world.waiting(0).await;
    assert_eq!(upload.body(head, false).await.unwrap().text(), "body");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_its_tail_waits_never_ends_its_body() {
    for length in ["Content-Length: 5000", "Transfer-Encoding: chunked"] {
        let mut world = World::start(|_| {}).await;
        let (mut committer, mut commit) = world.commit().await;
        let mut uploader = world.gateway.connect().await;
        let body = bytes(5000);
        let sent = match length.contains("chunked") {
            true => chunked(&body, ""),
            false => body,
        };
        uploader
            .send([UPLOAD.as_bytes(), length.as_bytes(), b"\r\n\r\n", &sent].concat())
            .await;
        let (head, mut upload) = world.next("objects").await;
        world.waiting(1).await;
        drop(uploader);
        world.waiting(0).await;
        commit.send(DONE).await;
        assert_eq!(committer.answer().await.status(), 200);
        assert!(upload.body(head, false).await.is_err(), "{length}");
        // And its place is free.
        let (_, mut next) = world.commit().await;
        next.send(DONE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_goes_when_no_turn_comes_in_time() {
    let mut world = World::start(|config| config.limit.max_wait = Period(Duration::from_millis(200))).await;
    let (_committer, _commit) = world.commit().await;
    let mut uploader = world.gateway.connect().await;
    uploader.send(format!("{UPLOAD}Content-Length: 4\r\n\r\nbody")).await;
    let (head, mut upload) = world.next("objects").await;
    assert_eq!(upload.body(head, false).await.unwrap().text(), "body");
    upload.send(DONE).await;
    assert_eq!(uploader.answer().await.status(), 200);
    let page = world.gateway.metrics().await;
    assert!(
        page.contains("lakegate_turns_missed_total{reason=\"too-late\"} 1\n"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn by_http2_the_end_waits_too() {
    let lakefs = TlsLakefs::listen(&["h2"]).await;
    let upstream = lakefs.upstream();
    let gateway = TestGateway::before(([127, 0, 0, 1], 0).into(), |config| config.upstream = upstream).await;
    let done = Arc::new(Notify::new());
    let commits = Arc::clone(&done);
    let served = lakefs.serve(100, move |seen| {
        let commits = Arc::clone(&commits);
        async move {
            if seen.head.uri.path().ends_with("/commits") {
                commits.notified().await;
            }
            Response::new(Body::from("{}".to_owned()))
        }
    });
    let came = |part: &str| {
        let requests = served.requests();
        requests.into_iter().find(|seen| seen.head.uri.path().ends_with(part))
    };
    let (mut committer, mut uploader) = (gateway.connect().await, gateway.connect().await);
    committer.send(COMMIT).await;
    until("the commit", || came("/commits").is_some()).await;
    let body = bytes(200_000);
    let trailed = b"Trailer: X-Check\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n";
    let sent = chunked(&body, "X-Check: 5\r\n");
    uploader.send([UPLOAD.as_bytes(), trailed, &sent].concat()).await;
    soon("a waiter", async {
        while !gateway.metrics().await.contains("lakegate_waiting 1\n") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert!(came("/objects").is_none());
    done.notify_one();
    assert_eq!(committer.answer().await.status(), 200);
    assert_eq!(uploader.answer().await.status(), 200);
    let upload = came("/objects").unwrap();
    assert!(upload.body == body);
    assert_eq!(upload.trailers.unwrap()["x-check"], "5");
}

/// The statuses that one client saw: of `rounds` uploads to `main`, each with a commit.
async fn commits(mut wire: Wire, client: usize, rounds: usize) -> Vec<u16> {
    let setup = SandboxConfig::default();
    let pair = format!("{}:{}", setup.access_key_id, setup.secret_access_key);
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    let head = format!("HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {pair}\r\n");
    let branch = "/api/v1/repositories/race/branches/main";
    let mut statuses = Vec::new();
    for round in 0..rounds {
        let upload = format!(
            "POST {branch}/objects?path={client}/{round} {head}Content-Type: application/octet-stream\r\nContent-Length: 1\r\n\r\nx"
        );
        statuses.push(wire.ask(upload).await.status());
        let commit = format!(
            "POST {branch}/commits {head}Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{{\"message\":\"m\"}}"
        );
        statuses.push(wire.ask(commit).await.status());
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_who_upload_and_commit_on_one_branch_meet_no_race() {
    let racing = SandboxConfig {
        commit_time: Duration::from_millis(5),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(racing).await.unwrap();
    let gateway = TestGateway::before(sandbox.address(), |_| {}).await;
    let mut wire = gateway.connect().await;
    let setup = SandboxConfig::default();
    let pair = base64::engine::general_purpose::STANDARD
        .encode(format!("{}:{}", setup.access_key_id, setup.secret_access_key));
    let repository = r#"{"name":"race","storage_namespace":"s3://sandbox/race","default_branch":"main"}"#;
    let create = format!(
        "POST /api/v1/repositories HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {pair}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{repository}",
        repository.len()
    );
    assert_eq!(wire.ask(create).await.status(), 201);
    let mut clients = Vec::new();
    for client in 0..20 {
        clients.push(tokio::spawn(commits(gateway.connect().await, client, 5)));
    }
    for client in clients {
        let statuses = client.await.unwrap();
        // A commit may find that another's took its object along.
        let lost = |status: &&u16| !matches!(status, 201 | 400);
        assert_eq!(statuses.iter().find(lost), None, "{statuses:?}");
        assert!(statuses.iter().step_by(2).all(|status| *status == 201), "{statuses:?}");
    }
}
