//! lakeFS by HTTP/2: what becomes of requests and answers, when a request is repeated, how many share a connection, and who waits for whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body_util::StreamBody;
use lakegate::config::types::Period;
use lakegate::config::{ServerConfig, UpstreamConfig};
use lakegate::exchange::{Body, BodyError};

use super::support::http2::{DATA, HEADERS, RST_STREAM, Seen, TlsLakefs};
use super::support::plane::TestPlane;
use super::support::raw::{Wire, until};
use super::support::tls::patient;

const GET: &str = "GET /api/v1/repositories/repo/refs/main/objects?path=a HTTP/1.1\r\nHost: h\r\n\r\n";
const UPLOAD: &str = "POST /api/v1/repositories/repo/branches/main/objects?path=a HTTP/1.1\r\nHost: h\r\n";
const BOTH: &[&str] = &["h2", "http/1.1"];
const PATIENCE: Duration = Duration::from_secs(5);
const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

fn long(upstream: UpstreamConfig) -> UpstreamConfig {
    let long = Period(Duration::from_secs(20));
    UpstreamConfig {
        response_timeout: long,
        idle_timeout: long,
        ..upstream
    }
}

fn one_thread() -> ServerConfig {
    ServerConfig {
        threads: 1,
        ..patient()
    }
}

async fn before(lakefs: &TlsLakefs) -> (TestPlane, Wire) {
    let plane = TestPlane::forwarding(&patient(), &long(lakefs.upstream()), PATIENCE);
    let wire = plane.connect().await;
    (plane, wire)
}

async fn empty(_: Seen) -> Response<Body> {
    Response::new(Body::from("{}".to_owned()))
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (_plane, mut wire) = before(&lakefs).await;
    let served = lakefs.serve(100, empty);
    let target = "/api/v1/repositories/repo/refs/m%61in//./../objects?path=a%2Fb+c%20d&&x=%zz&presign&y=`|{}";
    let answer = wire
        .ask(format!(
            "GET {target} HTTP/1.1\r\nhOST: Lake.Example:8000\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\n\
             Upgrade: websocket\r\nTE: gzip, trailers\r\nX-AMZ-Date: 1\r\nCookie: a=1; b=2\r\nx-b: 1\r\nX-B: \u{fc}\r\n\r\n"
        ))
        .await;
    assert_eq!((answer.status(), answer.text()), (200, "{}"));
    let seen = served.last();
    assert_eq!((seen.head.version, &seen.head.method), (Version::HTTP_2, &Method::GET));
    assert_eq!(seen.head.uri, format!("https://Lake.Example:8000{target}").as_str());
    assert_eq!(seen.head.uri.authority().unwrap().as_str(), "Lake.Example:8000");
    assert_eq!(
        seen.lines(),
        [
            "x-amz-date: 1",
            "cookie: a=1; b=2",
            "x-b: 1",
            "x-b: \u{fc}",
            "te: trailers",
            "forwarded: for=127.0.0.1;proto=http",
            "x-forwarded-proto: http",
            "x-real-ip: 127.0.0.1",
            "x-forwarded-for: 127.0.0.1",
        ]
    );
}

#[tokio::test]
async fn bodies_keep_their_length_and_their_trailers_both_ways() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (_plane, mut wire) = before(&lakefs).await;
    let served = lakefs.serve(100, |_| async {
        let sum = HeaderMap::from_iter([("x-sum".parse().unwrap(), "11".parse().unwrap())]);
        let frames = [
            Ok(http_body::Frame::data(Bytes::from("hello world"))),
            Ok(http_body::Frame::trailers(sum)),
        ];
        let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
        Response::builder().header("trailer", "x-sum").body(body).unwrap()
    });
    let chunked = "TE: trailers\r\nTrailer: X-Check\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Check: 5\r\n\r\n";
    let answer = wire.ask(format!("{UPLOAD}{chunked}")).await;
    assert_eq!(
        (answer.text(), answer.header("transfer-encoding"), &answer.trailers[..]),
        ("hello world", Some("chunked"), &["x-sum: 11".to_owned()][..])
    );
    let seen = served.last();
    assert_eq!(
        (&seen.body[..], seen.trailers.unwrap()["x-check"].as_bytes()),
        (&b"abcde"[..], &b"5"[..])
    );
    for none in ["transfer-encoding", "content-length"] {
        assert!(!seen.head.headers.contains_key(none), "{none}");
    }
    wire.ask(format!("{UPLOAD}Content-Length: 4\r\n\r\nbody")).await;
    let seen = served.last();
    assert_eq!(
        (&seen.body[..], seen.head.headers["content-length"].as_bytes()),
        (&b"body"[..], &b"4"[..])
    );
    wire.ask(format!("{UPLOAD}Content-Length: 0\r\n\r\n")).await;
    assert_eq!(served.last().head.headers["content-length"], "0");
    wire.ask(format!("{UPLOAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
        .await;
    assert_eq!(served.last().body, "");
    assert_eq!(served.connections(), 1);
}

#[tokio::test]
async fn answers_without_a_body_end_where_they_end() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (_plane, mut wire) = before(&lakefs).await;
    lakefs.serve(100, |seen| async move {
        let status = match seen.head.uri.query().unwrap() {
            "path=204" => StatusCode::NO_CONTENT,
            "path=304" => StatusCode::NOT_MODIFIED,
            _ => {
                return Response::builder()
                    .header("content-length", "12345")
                    .body(Body::empty())
                    .unwrap();
            }
        };
        Response::builder()
            .status(status)
            .header("etag", "\"x\"")
            .body(Body::empty())
            .unwrap()
    });
    let path = "/api/v1/repositories/repo/refs/main/objects?path=";
    wire.send(format!("HEAD {path}a HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    let head = wire.answer_to("HEAD").await;
    assert_eq!((head.status(), head.header("content-length")), (200, Some("12345")));
    for status in [204, 304] {
        let none = wire
            .ask(format!("GET {path}{status} HTTP/1.1\r\nHost: h\r\n\r\n"))
            .await;
        assert_eq!(
            (none.status(), none.header("etag"), none.header("content-length")),
            (status, Some("\"x\""), None)
        );
    }
}

#[tokio::test]
async fn what_http2_would_carry_as_another_request_goes_by_http1() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (_plane, mut wire) = before(&lakefs).await;
    for (request, start) in [
        (
            "GET http://s3.local.lakefs.io/r/main/a?x HTTP/1.1\r\nHost: s3.local.lakefs.io\r\n\r\n",
            "GET http://s3.local.lakefs.io/r/main/a?x HTTP/1.1",
        ),
        ("GET /r HTTP/1.1\r\nHost:\r\n\r\n", "GET /r HTTP/1.1"),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * HTTP/1.1"),
    ] {
        wire.send(request).await;
        let stream = lakefs.accept().await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut up = Wire::over(stream);
        assert_eq!(up.request().await.unwrap().unwrap().start, start);
        up.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            .await;
        assert_eq!(wire.answer().await.text(), "{}");
    }
}

#[tokio::test]
async fn a_lakefs_that_does_not_choose_http2_is_asked_by_http1() {
    let lakefs = TlsLakefs::listen(&["http/1.1"]).await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(GET).await;
    let mut up = Wire::over(lakefs.accept().await);
    for _ in 0..3 {
        assert_eq!(up.request().await.unwrap().unwrap().header("host"), Some("h"));
        up.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
        assert_eq!(wire.answer().await.text(), "{}");
        wire.send(GET).await;
    }
    assert_eq!(plane.metrics.upstream_connections.get(), 1);
}

/// A server whose handler says 100 when it begins to read, as Go's does.
async fn asked(says: bool) -> (TestPlane, Wire, tokio::task::JoinHandle<Vec<u8>>) {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"))
        .await;
    let served = tokio::spawn(async move {
        let mut connection = h2::server::handshake(lakefs.accept().await).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        assert_eq!(request.headers()["expect"], "100-continue");
        let mut body = request.into_body();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let mut read = Vec::new();
        if says {
            respond
                .send_informational(Response::builder().status(100).body(()).unwrap())
                .unwrap();
            while let Some(data) = body.data().await {
                read.extend_from_slice(&data.unwrap());
            }
        }
        let status = if says { 200 } else { 401 };
        let mut answer = respond
            .send_response(Response::builder().status(status).body(()).unwrap(), false)
            .unwrap();
        answer.send_data(Bytes::from_static(b"{}"), true).unwrap();
        if !says {
            assert!(
                body.data().await.is_none_or(|data| data.is_err()),
                "a body that nobody wanted"
            );
        }
        read
    });
    (plane, wire, served)
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_when_lakefs_wants_the_body() {
    let (_plane, mut wire, served) = asked(true).await;
    assert_eq!(wire.head().await.unwrap().start, "HTTP/1.1 100 Continue");
    wire.send("body").await;
    assert_eq!(wire.answer().await.status(), 200);
    assert_eq!(served.await.unwrap(), b"body");
}

#[tokio::test]
async fn a_client_that_expects_100_is_not_asked_for_a_body_that_lakefs_refuses() {
    let (_plane, mut wire, served) = asked(false).await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status(), answer.header("connection")),
        (401, Some("close")),
        "no 100 before it"
    );
    assert_eq!(served.await.unwrap(), b"");
}

#[tokio::test]
async fn a_request_beyond_the_last_that_lakefs_looks_at_goes_by_another_connection() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (_plane, mut wire) = before(&lakefs).await;
    wire.send(GET).await;
    let mut first = lakefs.frames(100).await;
    assert_eq!(first.next(HEADERS).await.unwrap().stream, 1);
    first.answer(1, "1").await;
    assert_eq!(wire.answer().await.text(), "1");
    wire.send(GET).await;
    assert_eq!(first.next(HEADERS).await.unwrap().stream, 3);
    first.goodbye(1).await;
    let mut second = lakefs.frames(100).await;
    assert_eq!(second.next(HEADERS).await.unwrap().stream, 1);
    second.answer(1, "2").await;
    assert_eq!(wire.answer().await.text(), "2");
    assert!(first.next(HEADERS).await.is_none(), "the first connection is closed");
}

#[tokio::test]
async fn a_request_that_lakefs_may_have_looked_at_is_not_repeated() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (_plane, mut wire) = before(&lakefs).await;
    wire.send(GET).await;
    let mut first = lakefs.frames(100).await;
    first.next(HEADERS).await.unwrap();
    first.goodbye(1).await;
    drop(first);
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status(), answer.header("x-lakegate-reason")),
        (502, Some("upstream-broken"))
    );
    for code in [CANCEL, 2, 0] {
        wire.send(GET).await;
        let mut next = lakefs.frames(100).await;
        next.next(HEADERS).await.unwrap();
        next.reset(1, code).await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status(), answer.header("x-lakegate-reason")),
            (502, Some("upstream-broken"))
        );
        next.goodbye(1).await;
        drop(next);
    }
}

#[tokio::test]
async fn a_refused_request_is_repeated_if_nothing_of_its_body_was_read() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (_plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Content-Length: 4\r\n\r\n")).await;
    let mut up = lakefs.frames(100).await;
    for refused in [1, 3] {
        assert_eq!(up.next(HEADERS).await.unwrap().stream, refused);
        up.reset(refused, REFUSED_STREAM).await;
    }
    assert_eq!(up.next(HEADERS).await.unwrap().stream, 5);
    wire.send("body").await;
    let data = up.next(DATA).await.unwrap();
    assert_eq!((data.stream, &data.payload[..]), (5, &b"body"[..]));
    up.answer(5, "{}").await;
    assert_eq!(wire.answer().await.text(), "{}");
    // The same with the body begun: it is gone, so the request is too.
    wire.send(format!("{UPLOAD}Content-Length: 4\r\n\r\nbo")).await;
    assert_eq!(up.next(DATA).await.unwrap().stream, 7);
    up.reset(7, REFUSED_STREAM).await;
    assert_eq!(wire.answer().await.status(), 502);
}

#[tokio::test]
async fn a_lakefs_that_refuses_again_and_again_is_busy() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let plane = TestPlane::forwarding(&patient(), &lakefs.upstream(), Duration::from_millis(100));
    let mut wire = plane.connect().await;
    wire.send(GET).await;
    let mut up = lakefs.frames(100).await;
    let refusing = tokio::spawn(async move {
        while let Some(frame) = up.next(HEADERS).await {
            up.reset(frame.stream, REFUSED_STREAM).await;
        }
    });
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status(), answer.header("x-lakegate-reason")),
        (503, Some("upstream-busy"))
    );
    refusing.abort();
}

#[tokio::test]
async fn full_connections_are_joined_by_another_and_never_overfilled() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let plane = TestPlane::forwarding(&patient(), &long(lakefs.upstream()), PATIENCE);
    let mut wires = Vec::new();
    for _ in 0..6 {
        wires.push(plane.connect().await);
    }
    let mut ups = Vec::new();
    for wire in &mut wires {
        wire.send(GET).await;
        let mut up = lakefs.frames(1).await;
        assert_eq!(up.next(HEADERS).await.unwrap().stream, 1);
        ups.push(up);
    }
    for up in &mut ups {
        up.answer(1, "{}").await;
    }
    for wire in &mut wires {
        assert_eq!(wire.answer().await.text(), "{}");
        wire.send(GET).await;
    }
    for up in &mut ups {
        assert_eq!(
            up.next(HEADERS).await.unwrap().stream,
            3,
            "each is used again, none is new"
        );
        up.answer(3, "{}").await;
    }
    assert_eq!(plane.metrics.upstream_connections.get(), 6);
}

#[tokio::test]
async fn many_clients_share_a_connection() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let plane = TestPlane::forwarding(&patient(), &long(lakefs.upstream()), PATIENCE);
    let served = lakefs.serve(100, empty);
    let asking = (0..40).map(|_| async {
        let mut wire = plane.connect().await;
        for _ in 0..5 {
            assert_eq!(wire.ask(GET).await.text(), "{}");
        }
    });
    futures_util::future::join_all(asking).await;
    assert_eq!(served.requests().len(), 200);
    assert!(served.connections() <= 2, "one a data thread: {}", served.connections());
    plane.rests().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_its_body_resets_its_stream_alone() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Content-Length: 10\r\n\r\n12345")).await;
    let mut up = lakefs.frames(100).await;
    assert_eq!(up.next(DATA).await.unwrap().flags & 1, 0);
    drop(wire);
    assert_eq!(up.next(RST_STREAM).await.unwrap().stream, 1);
    plane.rests().await;
}

#[tokio::test]
async fn an_answer_that_is_cut_cuts_the_client_too() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (plane, _wire) = before(&lakefs).await;
    for code in [CANCEL, 0, REFUSED_STREAM] {
        let mut wire = plane.connect().await;
        wire.send(GET).await;
        let mut up = lakefs.frames(100).await;
        let stream = up.next(HEADERS).await.unwrap().stream;
        up.send(HEADERS, 4, stream, &[0x88]).await;
        up.send(DATA, 0, stream, b"12345").await;
        let answer = wire.head().await.unwrap();
        up.reset(stream, code).await;
        assert!(wire.body(answer, true).await.is_err(), "code {code}");
        up.goodbye(stream).await;
    }
}

/// What windows and buffers of both connections may hold at the most.
const HELD_MAX: usize = 64 << 20;

#[tokio::test]
async fn a_large_answer_is_not_gathered_and_holds_up_no_other() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let plane = TestPlane::forwarding(&one_thread(), &long(lakefs.upstream()), PATIENCE);
    let given = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&given);
    const PIECES: usize = 2048;
    lakefs.serve(100, move |seen| {
        let counted = Arc::clone(&counted);
        async move {
            if seen.head.uri.query() != Some("path=large") {
                return Response::new(Body::from("{}".to_owned()));
            }
            let pieces = (0..PIECES).map(move |_| {
                counted.fetch_add(64 << 10, Ordering::Relaxed);
                Ok::<_, BodyError>(http_body::Frame::data(Bytes::from_static(&[7; 64 << 10])))
            });
            Response::new(Body::new(StreamBody::new(futures_util::stream::iter(pieces))))
        }
    });
    let mut slow = plane.connect().await;
    slow.send(GET.replace("path=a", "path=large")).await;
    until("an answer that stands still", || {
        given.load(Ordering::Relaxed) > 1 << 20
    })
    .await;
    let mut wire = plane.connect().await;
    for _ in 0..20 {
        assert_eq!(wire.ask(GET).await.text(), "{}");
    }
    let held = given.load(Ordering::Relaxed);
    assert!(held < HELD_MAX, "{held} bytes taken of an answer that nobody reads");
    assert_eq!(slow.answer().await.body.len(), PIECES * (64 << 10));
    assert_eq!(plane.metrics.upstream_connections.get(), 1);
}

#[tokio::test]
async fn a_large_upload_is_not_gathered_and_arrives_whole() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (_plane, mut wire) = before(&lakefs).await;
    let large = HELD_MAX + (64 << 20);
    wire.send(format!("{UPLOAD}Content-Length: {large}\r\n\r\n")).await;
    let mut connection = h2::server::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
        .handshake::<_, Bytes>(lakefs.accept().await)
        .await
        .unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    let mut body = request.into_body();
    let taken = wire.send_while_taken(&vec![b'x'; 1 << 20], large).await;
    assert!(taken < HELD_MAX, "{taken} bytes taken of an upload that nobody reads");
    let reading = async {
        let mut read = 0;
        while let Some(data) = body.data().await {
            let length = data.unwrap().len();
            read += length;
            body.flow_control().release_capacity(length).unwrap();
        }
        read
    };
    let rest = vec![b'x'; large - taken];
    let (read, ()) = tokio::join!(reading, wire.send(rest));
    assert_eq!(read, large);
    respond.send_response(Response::new(()), true).unwrap();
    assert_eq!(wire.answer().await.status(), 200);
}

#[tokio::test]
async fn an_early_answer_is_passed_on_at_once_and_the_body_follows() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (_plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Content-Length: 10\r\n\r\n12345")).await;
    let mut up = lakefs.frames(100).await;
    up.next(DATA).await.unwrap();
    up.answer(1, "{}").await;
    assert_eq!(wire.answer().await.text(), "{}");
    wire.send("67890").await;
    let mut rest = Vec::new();
    while let Some(frame) = up.next(DATA).await {
        rest.extend(frame.payload);
        if frame.flags & 1 == 1 {
            break;
        }
    }
    assert_eq!(rest, b"67890");
    wire.send(GET).await;
    assert_eq!(up.next(HEADERS).await.unwrap().stream, 3);
    up.answer(3, "{}").await;
    assert_eq!(wire.answer().await.text(), "{}");
}

#[tokio::test]
async fn a_body_that_lakefs_does_not_want_is_read_all_the_same_and_the_client_keeps_its_connection() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let (_plane, mut wire) = before(&lakefs).await;
    wire.send(format!("{UPLOAD}Content-Length: 10\r\n\r\n")).await;
    let mut up = lakefs.frames(100).await;
    up.next(HEADERS).await.unwrap();
    up.answer(1, "{}").await;
    // So says Go that the handler did not read it all.
    up.reset(1, NO_ERROR).await;
    assert_eq!(wire.answer().await.text(), "{}");
    wire.send("12345").await;
    wire.send(format!("67890{GET}")).await;
    assert_eq!(up.next(HEADERS).await.unwrap().stream, 3);
    up.answer(3, "{}").await;
    assert_eq!(wire.answer().await.text(), "{}");
}

#[tokio::test]
async fn a_lakefs_that_answers_too_late_or_takes_no_more_of_a_body_is_a_504_and_loses_the_stream_alone() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let plane = TestPlane::forwarding(&one_thread(), &lakefs.upstream(), PATIENCE);
    let mut wire = plane.connect().await;
    wire.send(GET).await;
    let mut up = lakefs.frames(100).await;
    assert_eq!(up.next(RST_STREAM).await.unwrap().stream, 1);
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status(), answer.header("x-lakegate-reason")),
        (504, Some("upstream-timeout"))
    );
    // More than the window of 64 KiB, which is never opened again.
    wire.send(format!("{UPLOAD}Content-Length: 200000\r\n\r\n")).await;
    wire.send(vec![b'x'; 200_000]).await;
    assert_eq!(up.next(RST_STREAM).await.unwrap().stream, 3);
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status(), answer.header("x-lakegate-reason")),
        (504, Some("upstream-timeout"))
    );
    let mut wire = plane.connect().await;
    wire.send(GET).await;
    assert_eq!(up.next(HEADERS).await.unwrap().stream, 5);
    up.answer(5, "{}").await;
    assert_eq!(wire.answer().await.text(), "{}");
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut_and_its_stream_reset() {
    let lakefs = TlsLakefs::listen(BOTH).await;
    let plane = TestPlane::forwarding(&patient(), &lakefs.upstream(), PATIENCE);
    let mut wire = plane.connect().await;
    wire.send(GET).await;
    let mut up = lakefs.frames(100).await;
    up.next(HEADERS).await.unwrap();
    up.send(HEADERS, 4, 1, &[0x88]).await;
    up.send(DATA, 0, 1, b"12345").await;
    let answer = wire.head().await.unwrap();
    assert!(wire.body(answer, true).await.is_err());
    assert_eq!(up.next(RST_STREAM).await.unwrap().stream, 1);
}
