//! The way to lakeFS and back, byte by byte: what arrives there, what comes back, and what happens when either side misbehaves.

use std::time::Duration;

use lakegate::config::types::Period;

use super::support::lakefs::{RawLakefs, ok};
use super::support::plane::{TestPlane, quick, upstream_at};
use super::support::raw::{Message, Wire, until};

/// Reading an object.
const GET: &str = "GET /api/v1/repositories/repo/refs/main/objects?path=a HTTP/1.1\r\nHost: h\r\n\r\n";
/// Uploading one: a body that is streamed.
const UPLOAD: &str = "POST /api/v1/repositories/repo/branches/main/objects?path=a HTTP/1.1\r\nHost: h\r\n";
const NOW: Duration = Duration::ZERO;

async fn before(lakefs: &RawLakefs) -> (TestPlane, Wire) {
    let plane = TestPlane::forwarding(&quick(), &upstream_at(lakefs.address()), NOW);
    let wire = plane.connect().await;
    (plane, wire)
}

fn reason(answer: &Message) -> (u16, &str) {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert!(answer.text().starts_with("{\"message\":\""), "{answer:?}");
    (answer.status(), answer.header("x-lakegate-reason").unwrap_or_default())
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_and_its_answer_comes_back_to_the_byte() {
    let lakefs = RawLakefs::listen().await;
    let (_plane, mut wire) = before(&lakefs).await;
    wire.send(
        "GET /api/v1/repositories/repo/refs/m%61in/objects?path=a%2Fb+c%20d&&x=%zz&presign HTTP/1.1\r\n\
         hOST: Lake.Example:8000\r\nX-AMZ-Date: 1\r\nAccept: */*\r\nx-b: 1\r\nAccept: text/x\r\nuSER-agent: t\r\n\r\n",
    )
    .await;
    let mut up = lakefs.accept().await;
    let request = up.request().await.unwrap().unwrap();
    assert_eq!(
        request.start,
        "GET /api/v1/repositories/repo/refs/m%61in/objects?path=a%2Fb+c%20d&&x=%zz&presign HTTP/1.1"
    );
    assert_eq!(
        request.headers,
        [
            "hOST: Lake.Example:8000",
            "X-AMZ-Date: 1",
            "Accept: */*",
            "Accept: text/x",
            "x-b: 1",
            "uSER-agent: t",
            "forwarded: for=127.0.0.1;proto=http",
            "x-forwarded-proto: http",
            "x-real-ip: 127.0.0.1",
            "x-forwarded-for: 127.0.0.1",
        ]
    );
    let answer = "HTTP/1.1 404 Nothing Here\r\nContent-Type: application/json\r\nX-CONTENT-type-Options: nosniff\r\nEtag: \r\n\
                  Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 3\r\n\r\nabc";
    up.send(answer).await;
    let mut got = Vec::new();
    while got.len() < answer.len() {
        assert!(wire.fill().await);
        got.extend(wire.take());
    }
    assert_eq!(String::from_utf8_lossy(&got), answer);
}

#[tokio::test]
async fn one_connection_up_serves_one_client_for_long() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    let served = lakefs.serve(|_| ok("{}"));
    for _ in 0..100 {
        assert_eq!(wire.ask(GET).await.text(), "{}");
    }
    let upload = format!("{UPLOAD}Content-Length: 4\r\n\r\nbody");
    for _ in 0..100 {
        assert_eq!(wire.ask(&upload).await.status(), 200);
    }
    assert_eq!((served.connections(), served.requests().len()), (1, 200));
    assert_eq!(served.last().text(), "body");
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn a_lakefs_that_is_down_is_a_502_that_says_so() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    drop(lakefs);
    let answer = wire.ask(GET).await;
    assert_eq!(reason(&answer), (502, "upstream-down"));
    assert_eq!(
        reason(&wire.ask(GET).await),
        (502, "upstream-down"),
        "the next request on the connection is served too"
    );
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn a_lakefs_that_restarts_is_waited_for() {
    let lakefs = RawLakefs::listen().await;
    let address = lakefs.address();
    let plane = TestPlane::forwarding(&quick(), &upstream_at(address), Duration::from_secs(10));
    let mut wire = plane.connect().await;
    drop(lakefs);
    wire.send(format!("{UPLOAD}Content-Length: 4\r\n\r\nbody")).await;
    until("a failed dial", || plane.metrics.upstream_connect_failures.get() >= 2).await;
    let served = RawLakefs::listen_on(address).await.serve(|_| ok("up again"));
    assert_eq!(wire.answer().await.text(), "up again");
    assert_eq!(served.last().text(), "body");
}

#[tokio::test]
async fn a_late_answer_is_a_504_and_the_next_request_works() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(GET).await;
    let mut up = lakefs.accept().await;
    up.request().await.unwrap().unwrap();
    assert_eq!(reason(&wire.answer().await), (504, "upstream-timeout"));
    assert_eq!(up.rest().await, b"", "the late connection is closed, not used again");
    let _served = lakefs.serve(|_| ok("{}"));
    assert_eq!(wire.ask(GET).await.status(), 200);
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn what_is_no_answer_is_a_502_and_the_request_is_not_repeated() {
    for garbage in [
        "",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let lakefs = RawLakefs::listen().await;
        let (plane, mut wire) = before(&lakefs).await;
        wire.send(GET).await;
        let mut up = lakefs.accept().await;
        up.request().await.unwrap().unwrap();
        up.send(garbage).await;
        drop(up);
        assert_eq!(reason(&wire.answer().await), (502, "upstream-broken"), "{garbage}");
        let served = lakefs.serve(|_| ok("{}"));
        assert_eq!(wire.ask(GET).await.status(), 200, "{garbage}");
        assert_eq!(served.requests().len(), 1, "{garbage}");
        drop(wire);
        plane.rests().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_cuts_the_client_too() {
    for (head, part) in [
        ("Content-Length: 10", "12345"),
        ("Transfer-Encoding: chunked", "5\r\n12345\r\n"),
        ("Transfer-Encoding: chunked", "5\r\n123"),
        ("Transfer-Encoding: chunked", "0\r\n"),
        ("Transfer-Encoding: chunked", "zz\r\n12345"),
    ] {
        let lakefs = RawLakefs::listen().await;
        let (plane, mut wire) = before(&lakefs).await;
        wire.send(GET).await;
        let mut up = lakefs.accept().await;
        up.request().await.unwrap().unwrap();
        up.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{part}")).await;
        drop(up);
        // Where the cut came with the head, there may be no answer at all.
        if let Some(answer) = wire.head().await {
            let cut = wire.body(answer, true).await;
            assert!(cut.is_err(), "{head} {part}: {cut:?}");
        }
        plane.rests().await;
    }
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(GET).await;
    let mut up = lakefs.accept().await;
    up.request().await.unwrap().unwrap();
    up.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345").await;
    let answer = wire.head().await.unwrap();
    assert!(wire.body(answer, true).await.is_err());
    assert_eq!(up.rest().await, b"");
    plane.rests().await;
}

#[tokio::test]
async fn a_pooled_connection_that_died_is_not_noticed_by_the_client() {
    let lakefs = RawLakefs::listen().await;
    let (_plane, mut wire) = before(&lakefs).await;
    for round in 0..10 {
        wire.send(GET).await;
        let mut up = lakefs.accept().await;
        up.request().await.unwrap().unwrap();
        up.send(ok("{}")).await;
        assert_eq!(wire.answer().await.text(), "{}", "round {round}");
        // Closed, or closed with something nobody asked for.
        if round % 2 == 0 {
            let _ = up
                .try_send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
        drop(up);
    }
}

#[tokio::test]
async fn lakefs_may_close_after_its_answer() {
    let lakefs = RawLakefs::listen().await;
    let (_plane, mut wire) = before(&lakefs).await;
    let served = lakefs.serve(|_| b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}".to_vec());
    for _ in 0..5 {
        let answer = wire.ask(GET).await;
        assert_eq!((answer.text(), answer.header("connection")), ("{}", None));
    }
    assert_eq!(served.connections(), 5);
}

#[tokio::test]
async fn head_no_content_and_not_modified_end_where_they_end() {
    let lakefs = RawLakefs::listen().await;
    let (_plane, mut wire) = before(&lakefs).await;
    let served = lakefs.serve(|request| match request.start.as_str() {
        start if start.starts_with("HEAD") => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nEtag: \"x\"\r\n\r\n".to_vec()
        }
        start if start.contains("path=204") => b"HTTP/1.1 204 No Content\r\nX-Request-Id: i\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n".to_vec(),
    });
    let path = "/api/v1/repositories/repo/refs/main/objects?path=";
    wire.send(format!("HEAD {path}a HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    let head = wire.answer_to("HEAD").await;
    assert_eq!((head.status(), head.header("Content-Length")), (200, Some("12345")));
    let none = wire.ask(format!("DELETE {path}204 HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    assert_eq!(
        (
            none.status(),
            none.header("content-length"),
            none.header("content-type")
        ),
        (204, None, None)
    );
    let same = wire.ask(format!("GET {path}304 HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    assert_eq!((same.status(), same.header("Etag")), (304, Some("\"x\"")));
    assert_eq!((served.connections(), served.requests().len()), (1, 3));
}

#[tokio::test]
async fn bodies_without_a_length_and_trailers_pass_both_ways() {
    let lakefs = RawLakefs::listen().await;
    let (_plane, mut wire) = before(&lakefs).await;
    let served = lakefs.serve(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n".to_vec()
    });
    let answer = wire
        .ask(format!(
            "{UPLOAD}TE: trailers\r\nTrailer: X-Check\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Check: 5\r\n\r\n"
        ))
        .await;
    assert_eq!(
        (answer.text(), answer.header("Transfer-Encoding")),
        ("hello world", Some("chunked"))
    );
    assert_eq!(answer.trailers, ["x-sum: 11"]);
    let request = served.last();
    assert_eq!((request.text(), request.header("te")), ("abcde", Some("trailers")));
    assert_eq!(request.trailers, ["x-check: 5"]);
    let get = GET.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    assert_eq!(wire.ask(get).await.status(), 200);
    assert_eq!(served.last().text(), "x", "a GET's body does not vanish");
}

#[tokio::test]
async fn old_clients_are_served() {
    let lakefs = RawLakefs::listen().await;
    let plane = TestPlane::forwarding(&quick(), &upstream_at(lakefs.address()), NOW);
    let served =
        lakefs.serve(|_| b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec());
    let mut wire = plane.connect().await;
    let answer = wire.ask("GET /api/v1/repositories HTTP/1.0\r\n\r\n").await;
    assert!(answer.start.starts_with("HTTP/1.0 200"), "{answer:?}");
    assert_eq!((answer.text(), answer.header("transfer-encoding")), ("hello", None));
    assert_eq!(served.last().start, "GET /api/v1/repositories HTTP/1.1");
    assert_eq!(served.last().header("host"), Some(""));
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_when_lakefs_wants_the_body() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"))
        .await;
    let mut up = lakefs.accept().await;
    let head = up.head().await.unwrap();
    assert_eq!(head.header("expect"), Some("100-continue"));
    up.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(wire.head().await.unwrap().start, "HTTP/1.1 100 Continue");
    wire.send("body").await;
    assert_eq!(up.body(head, false).await.unwrap().text(), "body");
    up.send(ok("{}")).await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status(), answer.header("connection")),
        (200, None),
        "the connection is good for more"
    );
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn a_client_that_expects_100_is_not_asked_for_a_body_that_lakefs_refuses() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"))
        .await;
    let mut up = lakefs.accept().await;
    up.head().await.unwrap();
    up.send(REFUSAL).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status(), 401, "no 100 before it");
    assert_eq!(
        answer.header("connection"),
        Some("close"),
        "or a client might send another request where its body should be"
    );
    assert!(
        !up.fill().await,
        "the gateway gives the connection up: without the body it is of no use"
    );
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn lakefs_own_metrics_and_profiles_are_closed() {
    let lakefs = RawLakefs::listen().await;
    let (_plane, mut wire) = before(&lakefs).await;
    let served = lakefs.serve(|_| ok("{}"));
    for path in ["/metrics", "/_pprof/", "/_pprof/heap"] {
        let answer = wire.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        assert_eq!(reason(&answer), (403, "closed"), "{path}");
    }
    assert_eq!(served.requests().len(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_in_its_body_leaves_no_whole_request_behind() {
    for framing in [
        "Content-Length: 10\r\n\r\n12345",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ] {
        let lakefs = RawLakefs::listen().await;
        let (plane, mut wire) = before(&lakefs).await;
        wire.send(format!("{UPLOAD}{framing}")).await;
        let mut up = lakefs.accept().await;
        let head = up.head().await.unwrap();
        drop(wire);
        assert!(up.body(head, false).await.is_err(), "{framing}");
        plane.rests().await;
    }
}

#[tokio::test]
async fn a_client_that_stands_still_in_its_body_is_a_408_and_leaves_no_whole_request_behind() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Content-Length: 10\r\n\r\n12345")).await;
    let mut up = lakefs.accept().await;
    let head = up.head().await.unwrap();
    assert_eq!(reason(&wire.answer().await), (408, "body-timeout"));
    assert!(up.body(head, false).await.is_err());
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn a_bad_chunk_is_the_clients_fault_and_never_a_whole_request() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"))
        .await;
    let mut up = lakefs.accept().await;
    let head = up.head().await.unwrap();
    wire.send("0x1\r\n1\r\n0\r\n\r\n").await;
    assert!(up.body(head, false).await.is_err());
    assert_eq!(reason(&wire.answer().await), (400, "body-broken"));
    assert_eq!(wire.rest().await, b"");
    plane.rests().await;
}

#[tokio::test]
async fn a_lakefs_that_takes_no_more_of_a_body_is_a_504() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Content-Length: 100000000\r\n\r\n")).await;
    let up = lakefs.accept().await;
    wire.send_while_taken(&vec![b'x'; 1 << 20], 100_000_000).await;
    assert_eq!(reason(&wire.answer().await), (504, "upstream-timeout"));
    drop((up, wire));
    plane.rests().await;
}

const REFUSAL: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending_though_lakefs_closes() {
    for round in 0..10 {
        let lakefs = RawLakefs::listen().await;
        let (plane, mut wire) = before(&lakefs).await;
        let up = tokio::spawn(async move {
            let mut up = lakefs.accept().await;
            up.head().await.unwrap();
            up.send(REFUSAL.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
                .await;
            // Closed with bytes unread: a reset.
        });
        wire.send(format!("{UPLOAD}Content-Length: 20000000\r\n\r\n")).await;
        for _ in 0..20 {
            let _ = wire.try_send(vec![b'x'; 1_000_000]).await;
        }
        assert_eq!(wire.answer().await.status(), 401, "round {round}");
        up.await.unwrap();
        drop(wire);
        plane.rests().await;
    }
}

#[tokio::test]
async fn an_early_answer_is_passed_on_at_once_and_the_connection_goes_on_after_the_body() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Content-Length: 10\r\n\r\n12345")).await;
    let mut up = lakefs.accept().await;
    let head = up.head().await.unwrap();
    up.send(ok("{}")).await;
    assert_eq!(wire.answer().await.status(), 200);
    wire.send("67890").await;
    assert_eq!(up.body(head, false).await.unwrap().text(), "1234567890");
    wire.send(GET).await;
    assert!(
        up.request().await.unwrap().unwrap().start.starts_with("GET"),
        "the same connection up is used again"
    );
    up.send(ok("{}")).await;
    assert_eq!(wire.answer().await.status(), 200);
    assert_eq!(plane.metrics.upstream_connections.get(), 1);
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn an_early_answer_of_a_lakefs_that_reads_no_more_hangs_nobody() {
    let lakefs = RawLakefs::listen().await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Content-Length: 100000000\r\n\r\n")).await;
    let mut up = lakefs.accept().await;
    up.head().await.unwrap();
    up.send(REFUSAL).await;
    assert_eq!(wire.answer().await.status(), 401);
    while wire.try_send(vec![b'x'; 1 << 20]).await {}
    drop(wire);
    plane.rests().await;
    drop(up);
}

/// What the system's own buffers of two connections may hold at the most: what is beyond, the gateway would have gathered.
fn held_max() -> usize {
    let most = |name: &str| -> usize {
        let limits = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
        limits
            .split_whitespace()
            .last()
            .and_then(|most| most.parse().ok())
            .unwrap_or(32 << 20)
    };
    2 * (most("tcp_rmem") + most("tcp_wmem")) + (2 << 20)
}

/// A gateway that waits long for those who stand still.
fn patient(lakefs: &RawLakefs) -> TestPlane {
    let (mut upstream, mut server) = (upstream_at(lakefs.address()), quick());
    server.idle_timeout = Period(Duration::from_secs(20));
    upstream.idle_timeout = server.idle_timeout;
    upstream.response_timeout = server.idle_timeout;
    TestPlane::forwarding(&server, &upstream, NOW)
}

#[tokio::test]
async fn a_large_answer_is_not_gathered() {
    let large = held_max() + (32 << 20);
    let lakefs = RawLakefs::listen().await;
    let plane = patient(&lakefs);
    let mut wire = plane.connect().await;
    wire.send(GET).await;
    let mut up = lakefs.accept().await;
    up.request().await.unwrap().unwrap();
    up.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {large}\r\n\r\n"))
        .await;
    let taken = up.send_while_taken(&vec![b'x'; 1 << 20], large).await;
    assert!(taken < held_max(), "{taken} bytes taken of an answer that nobody reads");
    let sending = async {
        up.send(vec![b'x'; large - taken]).await;
    };
    let (answer, ()) = tokio::join!(wire.answer(), sending);
    assert_eq!(answer.body.len(), large);
}

#[tokio::test]
async fn a_large_upload_is_not_gathered() {
    let large = held_max() + (32 << 20);
    let lakefs = RawLakefs::listen().await;
    let plane = patient(&lakefs);
    let mut wire = plane.connect().await;
    wire.send(format!("{UPLOAD}Content-Length: {large}\r\n\r\n")).await;
    let mut up = lakefs.accept().await;
    let head = up.head().await.unwrap();
    let taken = wire.send_while_taken(&vec![b'x'; 1 << 20], large).await;
    assert!(taken < held_max(), "{taken} bytes taken of an upload that nobody reads");
    let sending = async {
        wire.send(vec![b'x'; large - taken]).await;
    };
    let (upload, ()) = tokio::join!(up.body(head, false), sending);
    assert_eq!(upload.unwrap().body.len(), large);
    up.send(ok("{}")).await;
    assert_eq!(wire.answer().await.status(), 200);
}
