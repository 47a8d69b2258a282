//! The door: what is no request, clients that stand still, and how connections end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lakegate::config::ServerConfig;
use lakegate::config::types::{ByteSize, Period};
use lakegate::exchange::{Body, Request, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::support::log;
use super::support::plane::{TestPlane, quick};
use super::support::raw::{Message, Wire, soon, until};

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

/// Answers with the target, once the body has been read.
async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let read = body.read_capped(64 << 20).await;
    let mut response = Response::new(Body::from(head.uri.to_string()));
    if read.is_err() {
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
    }
    response
}

/// Counts the requests that reach the stack.
fn counting(config: &ServerConfig) -> (TestPlane, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let plane = TestPlane::answering(config, move |request| {
        counter.fetch_add(1, Ordering::Relaxed);
        echo(request)
    });
    (plane, seen)
}

fn refused(answer: &Message) -> (u16, &str) {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    assert!(answer.header("x-request-id").is_some(), "{answer:?}");
    let text = answer.text();
    assert!(text.starts_with("{\"message\":\"") && text.ends_with("\"}\n"), "{text}");
    (answer.status(), answer.header("x-lakegate-reason").unwrap_or_default())
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_lakefs_form_and_nothing_of_it_is_served() {
    let (plane, seen) = counting(&quick());
    for (bytes, status, reason) in [
        ("GARBAGE\r\n", 400, "bad-request"),
        ("GET /a#b HTTP/1.1\r\n", 400, "bad-request"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "bad-request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400, "bad-request"),
        ("GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n", 400, "bad-request"),
        ("GET / HTTP/1.1\nHost: h\n\n", 400, "bad-request"),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n", 400, "bad-request"),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
            400,
            "bad-request",
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello",
            400,
            "bad-request",
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "coding-unknown",
        ),
        (
            "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "bad-request",
        ),
        ("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", 405, "method-refused"),
        ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405, "method-refused"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version-unknown"),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n",
            417,
            "expectation-unknown",
        ),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\n", 400, "bad-request"),
    ] {
        let mut wire = plane.connect().await;
        wire.send(bytes).await;
        let answer = wire.answer().await;
        assert_eq!(refused(&answer), (status, reason), "{bytes}");
        assert_eq!(wire.rest().await, b"", "{bytes}");
        let id = answer.header("x-request-id").unwrap();
        let line = log::line(&[
            "\"lakegate::access\"",
            id,
            &format!("\"status\":{status}"),
            &format!("\"reason\":\"{reason}\""),
        ])
        .await;
        assert!(
            line.contains("\"decision\":\"refused\"") && line.contains("\"client.address\":\"127.0.0.1\""),
            "{line}"
        );
    }
    assert_eq!(seen.load(Ordering::Relaxed), 0);
    let page = plane.metrics.encode();
    assert!(
        page.contains("lakegate_refusals_total{reason=\"bad-request\",mode=\"enforce\"} 11"),
        "{page}"
    );
    assert!(
        page.contains("lakegate_requests_total{protocol=\"rest\",class=\"unknown\",status=\"505\"} 1"),
        "{page}"
    );
    assert_eq!(plane.connect().await.ask(GET).await.text(), "/a");
    plane.rests().await;
}

#[tokio::test]
async fn the_access_line_of_a_refusal_says_what_was_asked_if_that_may_be_written_down() {
    let (plane, _) = counting(&quick());
    for (bytes, method_and_uri) in [
        (
            "PUT /a?X-Amz-Signature=mark&b HTTP/1.1\r\nHost : h\r\n",
            Some(("PUT", "/a?X-Amz-Signature=REDACTED&b")),
        ),
        ("HEAD /a HTTP/1.1\r\n\r\n", Some(("HEAD", "/a"))),
        ("GET http://h/a HTTP/1.1\r\nHo", Some(("GET", "http://h/a"))),
        ("GET http://user:mark@h/ HTTP/1.1\r\nHost: h\r\n\r\n", None),
        ("GET /a#mark HTTP/1.1\r\nHost: h\r\n\r\n", None),
        ("Authorization: mark\r\n\r\n", None),
    ] {
        let mut wire = plane.connect().await;
        wire.send(bytes).await;
        let head = wire.head().await.unwrap();
        let line = log::line(&["\"lakegate::access\"", head.header("x-request-id").unwrap()]).await;
        let wanted = method_and_uri.map(|(method, uri)| format!("\"method\":\"{method}\",\"uri\":\"{uri}\""));
        match wanted {
            Some(wanted) => assert!(line.contains(&wanted), "{line}"),
            None => assert!(
                !line.contains("\"uri\"") && line.contains("no request -> 400"),
                "{line}"
            ),
        }
        assert!(!line.contains("mark"), "{line}");
    }
    plane.rests().await;
}

#[tokio::test]
async fn a_head_of_a_hundred_thousand_bytes_is_a_431_and_one_below_the_limit_is_served() {
    let (plane, _) = counting(&quick());
    for head in [
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "y".repeat(100_000)),
        format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "y".repeat(100_000)),
        format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(200)),
        "y".repeat(100_000),
    ] {
        let mut wire = plane.connect().await;
        let _ = wire.try_send(&head).await;
        assert_eq!(refused(&wire.answer().await), (431, "head-too-large"));
    }
    let mut wire = plane.connect().await;
    let long = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "y".repeat(65_000));
    for piece in long.as_bytes().chunks(1000) {
        wire.send(piece).await;
    }
    assert_eq!(wire.answer().await.text(), "/");
    assert_eq!(wire.ask(&long).await.text(), "/");
    assert_eq!(
        wire.ask(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "y".repeat(65_000)))
            .await
            .status(),
        200
    );
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn requests_before_a_bad_one_have_their_answers_first() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let plane = TestPlane::answering(&quick(), move |request| {
        let held = Arc::clone(&held);
        async move {
            let _permit = held.acquire().await;
            echo(request).await
        }
    });
    let mut wire = plane.connect().await;
    wire.send(format!("{GET}{GET}garbage\r\n\r\n{GET}")).await;
    gate.add_permits(1);
    assert_eq!(wire.answer().await.text(), "/a");
    assert_eq!(wire.answer().await.text(), "/a");
    assert_eq!(refused(&wire.answer().await), (400, "bad-request"));
    assert_eq!(wire.rest().await, b"");
    plane.rests().await;
}

#[tokio::test]
async fn a_long_answer_is_whole_though_garbage_follows_its_request() {
    let config = ServerConfig {
        idle_timeout: Period(Duration::from_secs(20)),
        ..quick()
    };
    let plane = TestPlane::answering(&config, |_| async { Response::new(Body::from("x".repeat(32 << 20))) });
    let mut wire = plane.connect().await;
    wire.send(format!("{GET}garbage\r\n\r\n")).await;
    // By now the sockets' buffers are full, and the rest waits for us.
    until("the connection", || plane.metrics.connections.get() == 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(wire.answer().await.body.len(), 32 << 20);
    assert_eq!(refused(&wire.answer().await), (400, "bad-request"));
    plane.rests().await;
}

#[tokio::test]
async fn silence_and_half_a_head_end_in_time() {
    let (plane, seen) = counting(&quick());
    let begun = Instant::now();
    let mut silent = plane.connect().await;
    let mut half = plane.connect().await;
    half.send("GET / HTTP/1.1\r\nHo").await;
    let trickle = async {
        let mut wire = plane.connect().await;
        for byte in GET.as_bytes().iter().cycle() {
            if !wire.try_send([*byte]).await || wire.try_fill(Duration::from_millis(50)).await {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "a byte at a time buys no time"
            );
        }
        assert_eq!(refused(&wire.answer().await), (408, "head-timeout"));
    };
    let (rest, answer, ()) = tokio::join!(silent.rest(), half.answer(), trickle);
    assert_eq!((rest, refused(&answer)), (Vec::new(), (408, "head-timeout")));
    assert_eq!(half.rest().await, b"");
    assert_eq!(seen.load(Ordering::Relaxed), 0);
    plane.rests().await;
}

#[tokio::test]
async fn a_connection_may_rest_between_requests_but_not_for_ever() {
    let (plane, _) = counting(&quick());
    let mut wire = plane.connect().await;
    for _ in 0..2 {
        assert_eq!(wire.ask(GET).await.text(), "/a");
        // Longer than a head may take.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(wire.ask(GET).await.text(), "/a");
    let begun = Instant::now();
    assert_eq!(wire.rest().await, b"");
    assert!(begun.elapsed() > Duration::from_millis(550), "{:?}", begun.elapsed());
    plane.rests().await;
}

#[tokio::test]
async fn the_time_of_an_answer_is_not_the_clients() {
    let plane = TestPlane::answering(&quick(), |request| async move {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        echo(request).await
    });
    let mut wire = plane.connect().await;
    assert_eq!(wire.ask(GET).await.text(), "/a");
    assert_eq!(wire.ask(GET).await.text(), "/a");
}

#[tokio::test]
async fn a_body_that_stands_still_ends_but_a_slow_one_does_not() {
    let (plane, _) = counting(&quick());
    for begin in [
        "Content-Length: 20\r\n\r\n12345",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ] {
        let mut wire = plane.connect().await;
        wire.send(format!("PUT /a HTTP/1.1\r\nHost: h\r\n{begin}")).await;
        assert_eq!(wire.answer().await.status(), 400, "the stack sees a broken body");
        assert_eq!(wire.rest().await, b"");
    }
    let mut wire = plane.connect().await;
    wire.send("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n")
        .await;
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        wire.send("x").await;
    }
    assert_eq!(wire.answer().await.text(), "/a");
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let plane = TestPlane::answering(&quick(), |_| async { Response::new(Body::from("x".repeat(64 << 20))) });
    let mut wire = plane.connect().await;
    wire.send(GET).await;
    plane.rests_after_one().await;
    let head = wire.head().await.unwrap();
    assert!(wire.body(head, true).await.is_err());
}

#[tokio::test]
async fn a_client_that_sends_no_more_still_gets_its_answer() {
    let plane = TestPlane::answering(&quick(), |request| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        echo(request).await
    });
    let mut wire = plane.connect().await;
    wire.send(GET).await;
    wire.end().await;
    assert_eq!(wire.answer().await.text(), "/a");
    assert_eq!(wire.rest().await, b"");
    plane.rests().await;
}

#[tokio::test]
async fn a_client_that_left_is_noticed_while_its_request_waits() {
    let plane = TestPlane::answering(&quick(), |_| std::future::pending());
    let mut wire = plane.connect().await;
    wire.send(GET).await;
    until("the connection", || plane.metrics.connections.get() == 1).await;
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn half_a_request_that_ends_is_no_request() {
    let (plane, seen) = counting(&quick());
    for half in ["", "GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: h\r\n", "\r\n"] {
        let mut wire = plane.connect().await;
        wire.send(half).await;
        wire.end().await;
        assert_eq!(wire.rest().await, b"", "{half}");
    }
    assert_eq!(seen.load(Ordering::Relaxed), 0);
    let mut wire = plane.connect().await;
    wire.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n1234")
        .await;
    wire.end().await;
    assert_eq!(wire.answer().await.status(), 400);
    plane.rests().await;
}

#[tokio::test]
async fn an_early_refusal_of_a_large_body_reaches_the_client() {
    let plane = TestPlane::answering(&quick(), |_| async {
        let mut response = Response::new(Body::from("no".to_owned()));
        *response.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
        response
    });
    for framing in ["Content-Length: 20000000", "Transfer-Encoding: chunked"] {
        let mut wire = plane.connect().await;
        wire.send(format!("PUT / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n"))
            .await;
        if framing.starts_with('T') {
            wire.send("1312d00\r\n").await;
        }
        // All of it is sent before anything is read, as many clients do.
        for _ in 0..20 {
            let _ = wire.try_send(vec![b'x'; 1_000_000]).await;
        }
        let answer = wire.answer().await;
        assert_eq!((answer.status(), answer.text()), (413, "no"), "{framing}");
    }
    plane.rests().await;
}

#[tokio::test]
async fn an_upgrade_is_a_request_like_any_other() {
    let (plane, _) = counting(&quick());
    let mut wire = plane.connect().await;
    let upgrade = "GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n\r\n";
    assert_eq!(wire.ask(upgrade).await.text(), "/a");
    assert_eq!(wire.ask(GET).await.text(), "/a");
}

#[tokio::test]
async fn requests_cut_anywhere_are_the_same_requests() {
    let (plane, seen) = counting(&quick());
    let stream = "\r\nPUT /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;e\r\nhello\r\n0\r\nT: v\r\n\r\nPUT /2 HTTP/1.1\r\nHost: h\r\n\
                  Content-Length: 5\r\n\r\nhelloGET /3 HTTP/1.1\r\nHost: h\r\n\r\n";
    for size in [1, 2, 3, 7, 20, 50] {
        let mut wire = plane.connect().await;
        for piece in stream.as_bytes().chunks(size) {
            wire.send(piece).await;
            tokio::task::yield_now().await;
        }
        for path in ["/1", "/2", "/3"] {
            assert_eq!(wire.answer().await.text(), path, "in pieces of {size}");
        }
    }
    assert_eq!(seen.load(Ordering::Relaxed), 18);
    plane.rests().await;
}

#[tokio::test]
async fn whatever_comes_is_either_served_or_refused_by_the_door() {
    let config = ServerConfig {
        max_header_size: ByteSize(2000),
        header_timeout: Period(Duration::from_secs(20)),
        ..quick()
    };
    let (plane, _) = counting(&config);
    let template = "PUT http://h/a%20b?x HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nContent-Length: 4\r\n\r\nbodyPUT / HTTP/1.1\r\nHost: h\r\n\
                    Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let alphabet = b"\r\n\t \0#:,;/?@%aZ09\x7f\x80\xff<>\"`^{|}[]\\()";
    let (mut random, mut served) = (0x2545_f491_4f6c_dd1d_u64, 0);
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 16).unwrap() % below
    };
    for _ in 0..400 {
        let mut bytes = template.as_bytes().to_vec();
        for _ in 0..=next(2) {
            let (at, with) = (next(bytes.len()), alphabet[next(alphabet.len())]);
            match next(3) {
                0 => bytes[at] = with,
                1 => bytes.insert(at, with),
                _ => drop(bytes.remove(at)),
            }
        }
        let mut wire = plane.connect().await;
        wire.send(&bytes).await;
        wire.end().await;
        while let Some(head) = wire.head().await {
            let answer = wire.body(head, true).await.unwrap();
            let shown = String::from_utf8_lossy(&bytes);
            match answer.status() {
                200 => served += 1,
                400 if answer.header("x-lakegate-reason").is_none() => {
                    assert_ne!(answer.text(), "", "hyper's: {shown}")
                }
                _ => drop(refused(&answer)),
            }
        }
    }
    assert!(served > 100, "{served}");
    plane.rests().await;
}

#[tokio::test]
async fn a_request_on_the_wire_when_a_drain_begins_is_served() {
    for _ in 0..5 {
        let (plane, _) = counting(&quick());
        let mut wires = Vec::new();
        for _ in 0..20 {
            wires.push(plane.connect().await);
        }
        let mut idle = plane.connect().await;
        assert_eq!(idle.ask(GET).await.text(), "/a");
        for wire in &mut wires {
            wire.send(GET).await;
        }
        let asking = async {
            for wire in &mut wires {
                assert_eq!(wire.answer().await.text(), "/a");
            }
            assert_eq!(idle.ask(GET).await.text(), "/a");
        };
        let (drained, ()) = tokio::join!(soon("the drain", plane.plane.drain()), asking);
        assert_eq!(drained.cut, 0);
        for mut wire in wires.into_iter().chain([idle]) {
            assert_eq!(wire.rest().await, b"");
        }
        plane.rests().await;
    }
}

#[tokio::test]
async fn many_connections_at_once_leave_nothing_behind() {
    let (plane, seen) = counting(&quick());
    let address = plane.plane.addresses()[0];
    let mut tasks = Vec::new();
    for number in 0..200 {
        tasks.push(tokio::spawn(async move {
            let mut wire = Wire::connect(address).await;
            match number % 4 {
                0 => drop(wire),
                1 => wire.send("GET / HT").await,
                2 => assert_eq!(wire.ask(GET).await.text(), "/a"),
                _ => {
                    wire.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx")
                        .await
                }
            }
        }));
    }
    for task in tasks {
        soon("a client", task).await.unwrap();
    }
    plane.rests().await;
    assert!(seen.load(Ordering::Relaxed) >= 50);
}
