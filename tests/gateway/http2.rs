//! HTTP/2 with clients: what becomes of a request on its way to HTTP/1.1, bodies under flow control, limits, attacks, and ends.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use lakegate::config::ServerConfig;
use lakegate::config::tls::ClientCertificates;
use lakegate::config::types::Period;
use lakegate::exchange::{Body, BodyError};

use super::support::http2::TlsLakefs;
use super::support::lakefs::{RawLakefs, ok};
use super::support::log;
use super::support::plane::{TestPlane, upstream_at};
use super::support::raw::{Wire, soon, until};
use super::support::tls::{Authority, behind_tls, connect, patient};

const OBJECT: &str = "https://lakefs.test/api/v1/repositories/r/branches/main/objects?path=a%2Fb";

/// A client on a connection of its own.
struct Client {
    sender: SendRequest<Bytes>,
    driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    async fn new(plane: &TestPlane, authority: &Authority) -> Self {
        let stream = connect(&authority.client(None, &["h2"]), plane, "lakefs.test")
            .await
            .unwrap();
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 24)
            .handshake(stream)
            .await
            .unwrap();
        let driver = tokio::spawn(connection);
        Self { sender, driver }
    }

    async fn send(&mut self, request: Request<()>, ends: bool) -> (ResponseFuture, h2::SendStream<Bytes>) {
        poll_fn(|cx| self.sender.poll_ready(cx)).await.unwrap();
        self.sender.send_request(request, ends).unwrap()
    }

    async fn ask(&mut self, request: Request<()>) -> Result<(Response<()>, Vec<u8>, Option<HeaderMap>), h2::Error> {
        let (answer, _) = self.send(request, true).await;
        read(answer).await
    }
}

async fn read(answer: ResponseFuture) -> Result<(Response<()>, Vec<u8>, Option<HeaderMap>), h2::Error> {
    let (head, mut body) = soon("an answer", answer).await?.into_parts();
    let mut whole = Vec::new();
    while let Some(data) = soon("a body", body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok((Response::from_parts(head, ()), whole, body.trailers().await?))
}

/// Sends a body as the other side has room for it.
async fn upload(stream: &mut h2::SendStream<Bytes>, mut left: usize, trailers: Option<HeaderMap>) {
    let piece = Bytes::from(vec![7; 64 << 10]);
    while left > 0 {
        stream.reserve_capacity(piece.len().min(left));
        let room = soon("room", poll_fn(|cx| stream.poll_capacity(cx)))
            .await
            .unwrap()
            .unwrap();
        let length = room.min(left).min(piece.len());
        left -= length;
        stream
            .send_data(piece.slice(..length), left == 0 && trailers.is_none())
            .unwrap();
    }
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers).unwrap();
    }
}

fn request(method: &str, uri: &str, lines: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .version(http::Version::HTTP_2);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// A gateway with TLS whose stack is `plane`'s.
async fn before(plane: &TestPlane, config: &ServerConfig) -> (TestPlane, Client, Authority) {
    let authority = Authority::new();
    let server = authority.sign(&["lakefs.test"]);
    let secure = behind_tls(plane, config, authority.shows(&[&server], ClientCertificates::Off));
    let client = Client::new(&secure, &authority).await;
    (secure, client, authority)
}

#[tokio::test]
async fn a_request_arrives_at_lakefs_as_http1_would_have_brought_it() {
    let lakefs = RawLakefs::listen().await;
    let plane = TestPlane::forwarding(&patient(), &upstream_at(lakefs.address()), Duration::ZERO);
    let served = lakefs.serve(|_| {
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\
          Trailer: X-Sum\r\nX-Kept: 1\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n"
            .to_vec()
    });
    let (_plane, mut client, _authority) = before(&plane, &patient()).await;
    let asked = request(
        "GET",
        "https://lakefs.test:8443/api/v1/repositories/r/refs/m%61in/objects?path=a%2Fb+c%20d&&x=%zz",
        &[
            ("cookie", "a=1"),
            ("x", "1"),
            ("cookie", "b=2"),
            ("te", "trailers"),
            ("x-forwarded-for", "9.9.9.9"),
        ],
    );
    let (head, body, trailers) = client.ask(asked).await.unwrap();
    assert_eq!((head.status().as_u16(), &body[..]), (200, &b"hello"[..]));
    assert_eq!(trailers.unwrap().get("x-sum").unwrap(), "5");
    assert_eq!(head.headers().get("x-kept").unwrap(), "1");
    for gone in ["connection", "x-hop", "keep-alive", "transfer-encoding"] {
        assert!(!head.headers().contains_key(gone), "{gone}");
    }
    let seen = served.last();
    assert_eq!(
        seen.start,
        "GET /api/v1/repositories/r/refs/m%61in/objects?path=a%2Fb+c%20d&&x=%zz HTTP/1.1"
    );
    assert_eq!(
        seen.headers,
        [
            "host: lakefs.test:8443",
            "cookie: a=1; b=2",
            "x: 1",
            "te: trailers",
            "forwarded: for=127.0.0.1;proto=https",
            "x-forwarded-proto: https",
            "x-real-ip: 127.0.0.1",
            "x-forwarded-for: 127.0.0.1",
        ]
    );
}

#[tokio::test]
async fn a_request_goes_by_http2_all_the_way() {
    let lakefs = TlsLakefs::listen(&["h2"]).await;
    let plane = TestPlane::forwarding(&patient(), &lakefs.upstream(), Duration::ZERO);
    let sum = || HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
    let served = lakefs.serve(100, move |seen| async move {
        let frames = [Ok::<_, BodyError>(Frame::data(seen.body)), Ok(Frame::trailers(sum()))];
        Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames))))
    });
    let (plane, mut client, _authority) = before(&plane, &patient()).await;
    let lines = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("trailer", "x-sum"),
        ("te", "trailers"),
    ];
    let (answer, mut stream) = client.send(request("POST", OBJECT, &lines), false).await;
    upload(&mut stream, 100_000, Some(sum())).await;
    let (head, body, trailers) = read(answer).await.unwrap();
    assert_eq!(
        (head.status().as_u16(), body.len(), trailers),
        (200, 100_000, Some(sum()))
    );
    let seen = served.last();
    assert_eq!(
        (seen.head.uri, seen.body.len(), seen.trailers),
        (OBJECT.parse().unwrap(), 100_000, Some(sum()))
    );
    assert_eq!(
        (&seen.head.headers["cookie"], &seen.head.headers["te"]),
        (&"a=1; b=2".parse().unwrap(), &"trailers".parse().unwrap())
    );
    for none in ["host", "transfer-encoding", "content-length"] {
        assert!(!seen.head.headers.contains_key(none), "{none}");
    }
    client.driver.abort();
    plane.rests().await;
}

#[tokio::test]
async fn a_body_of_unknown_length_is_chunked_and_its_trailers_pass() {
    let lakefs = RawLakefs::listen().await;
    let plane = TestPlane::forwarding(&patient(), &upstream_at(lakefs.address()), Duration::ZERO);
    let served = lakefs.serve(|_| ok("{}"));
    let (plane, mut client, _authority) = before(&plane, &patient()).await;
    let (answer, mut stream) = client
        .send(request("POST", OBJECT, &[("trailer", "x-sum")]), false)
        .await;
    let sum = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
    upload(&mut stream, 100_000, Some(sum)).await;
    assert_eq!(read(answer).await.unwrap().0.status(), 200);
    let seen = served.last();
    assert_eq!(
        (
            seen.header("transfer-encoding"),
            seen.header("content-length"),
            seen.body.len()
        ),
        (Some("chunked"), None, 100_000)
    );
    assert_eq!(seen.trailers, ["x-sum: 7"]);
    let (answer, mut stream) = client
        .send(request("POST", OBJECT, &[("content-length", "70000")]), false)
        .await;
    upload(&mut stream, 70_000, None).await;
    assert_eq!(read(answer).await.unwrap().0.status(), 200);
    let seen = served.last();
    assert_eq!(
        (seen.header("content-length"), seen.body.len()),
        (Some("70000"), 70_000)
    );
    // No body and no length: lakeFS gets neither.
    assert_eq!(client.ask(request("GET", OBJECT, &[])).await.unwrap().0.status(), 200);
    let seen = served.last();
    assert_eq!(
        (seen.header("content-length"), seen.header("transfer-encoding")),
        (None, None)
    );
    client.driver.abort();
    plane.rests().await;
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_and_the_connection_goes_on() {
    let plane = TestPlane::answering(&patient(), |_| async { Response::new(Body::from("served".to_owned())) });
    let (plane, mut client, _authority) = before(&plane, &patient()).await;
    for (asked, status, reason) in [
        (
            request("GET", "https://lakefs.test/", &[("host", "other")]),
            400,
            "bad-request",
        ),
        (request("GET", "https://u@lakefs.test/", &[]), 400, "bad-request"),
        (request("GET", "https://lakefs.test/\u{fc}", &[]), 400, "bad-request"),
        (request("TRACE", "https://lakefs.test/", &[]), 405, "method-refused"),
        (
            request("GET", "https://lakefs.test/", &[("expect", "tea")]),
            417,
            "expectation-unknown",
        ),
        (
            request("GET", "https://lakefs.test/", &[("a", "b"); 201]),
            431,
            "head-too-large",
        ),
    ] {
        let told = format!("{:?}", asked.uri());
        let (head, body, _) = client.ask(asked).await.unwrap();
        assert_eq!(head.status().as_u16(), status, "{told}");
        assert_eq!(head.headers().get("x-lakegate-reason").unwrap(), reason, "{told}");
        assert!(body.starts_with(b"{\"message\":\""), "{told}");
    }
    let (head, _, _) = client
        .ask(request("GET", "https://lakefs.test/", &[("x", &"x".repeat(70_000))]))
        .await
        .unwrap();
    assert_eq!(head.status(), 431, "a head of more bytes than server.max_header_size");
    let reason = head.headers().get("x-lakegate-reason").unwrap();
    assert_eq!(reason, "head-too-large");
    let id = head.headers().get("x-request-id").unwrap().to_str().unwrap();
    let line = log::line(&["\"lakegate::access\"", id]).await;
    assert!(
        line.contains("\"status\":431") && line.contains("\"uri\":\"/\""),
        "{line}"
    );
    let connected = client.ask(request("CONNECT", "lakefs.test:80", &[])).await.unwrap();
    assert_eq!(connected.0.status(), 405);
    let (answer, mut stream) = client
        .send(
            request("PUT", "https://lakefs.test/", &[("content-length", "5")]),
            false,
        )
        .await;
    stream.send_data(Bytes::from_static(b"seven!!"), true).unwrap();
    assert_eq!(
        read(answer).await.unwrap_err().reason(),
        Some(Reason::PROTOCOL_ERROR),
        "more than it announced"
    );
    let (head, body, _) = client.ask(request("GET", "https://lakefs.test/", &[])).await.unwrap();
    assert_eq!((head.status().as_u16(), &body[..]), (200, &b"served"[..]));
    client.driver.abort();
    plane.rests().await;
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let stack = TestPlane::answering(&patient(), |_| async { Response::new(Body::from("early".to_owned())) });
    let (plane, mut client, _authority) = before(&stack, &patient()).await;
    let (answer, mut stream) = client.send(request("PUT", OBJECT, &[]), false).await;
    // More than the window of the stream: there is only room for it if somebody reads.
    upload(&mut stream, 2 << 20, None).await;
    assert_eq!(read(answer).await.unwrap().1, b"early");
    client.driver.abort();
    plane.rests().await;
}

#[tokio::test]
async fn frames_out_of_order_end_the_connection_with_a_reason() {
    let stack = TestPlane::answering(&patient(), |_| async { Response::new(Body::empty()) });
    let (plane, client, authority) = before(&stack, &patient()).await;
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let endless = {
        let mut frames = [PREFACE, SETTINGS, &[0, 0x40, 0, 1, 0, 0, 0, 0, 1]].concat();
        // A literal header, whose value is longer than any frame.
        frames.extend([0x40, 1, b'x', 0x7f, 0xff, 0xff, 0xff, 0x0f]);
        frames.extend([b'y'; 0x4000 - 8]);
        for _ in 0..40 {
            frames.extend([0, 0x40, 0, 9, 0, 0, 0, 0, 1]);
            frames.extend([b'y'; 0x4000]);
        }
        frames
    };
    for (what, frames) in [
        ("no preface", &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..]),
        ("half a preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
        ("headers without an end", &endless),
        (
            "data of no stream",
            &[PREFACE, SETTINGS, &[0, 0, 1, 0, 0, 0, 0, 0, 1, 7]].concat(),
        ),
        (
            "a continuation of nothing",
            &[PREFACE, SETTINGS, &[0, 0, 1, 9, 4, 0, 0, 0, 1, 0x82]].concat(),
        ),
        (
            "an even stream",
            &[PREFACE, SETTINGS, &[0, 0, 1, 1, 5, 0, 0, 0, 2, 0x82]].concat(),
        ),
        (
            "a frame larger than allowed",
            &[PREFACE, SETTINGS, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat(),
        ),
        (
            "headers that are no HPACK",
            &[PREFACE, SETTINGS, &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0xff]].concat(),
        ),
    ] {
        let stream = connect(&authority.client(None, &["h2"]), &plane, "lakefs.test")
            .await
            .unwrap();
        let from = format!("\"{}\"", stream.get_ref().0.local_addr().unwrap());
        let mut wire = Wire::over(stream);
        let _ = wire.try_send(frames).await;
        let rest = wire.rest().await;
        // A GOAWAY, whose code is not NO_ERROR; a client without the preface gets nothing but that, or nothing.
        let goaway = rest
            .windows(9)
            .any(|window| matches!(window, [0, 0, 8..=255, 7, 0, 0, 0, 0, 0]));
        assert!(goaway || what.ends_with("preface"), "{what}: {rest:?}");
        let line = log::line(&["a client broke the rules of HTTP", &from]).await;
        assert!(line.contains("connection error detected: "), "{what}: {line}");
    }
    client.driver.abort();
    plane.rests().await;
}

#[tokio::test]
async fn sixty_four_mebibytes_go_up_and_down_under_flow_control() {
    const SIZE: usize = 64 << 20;
    let echo = TestPlane::answering(&patient(), |request| async { Response::new(request.into_body()) });
    let (plane, mut client, _authority) = before(&echo, &patient()).await;
    let length = SIZE.to_string();
    let (answer, mut stream) = client
        .send(request("PUT", OBJECT, &[("content-length", &length)]), false)
        .await;
    let reading = async {
        let (head, mut body) = answer.await.unwrap().into_parts();
        assert_eq!(head.headers.get("content-length").unwrap(), &length);
        let mut read = 0;
        while let Some(data) = soon("a body", body.data()).await {
            let data = data.unwrap();
            assert!(data.iter().all(|byte| *byte == 7));
            read += data.len();
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        read
    };
    let ((), read) = tokio::join!(upload(&mut stream, SIZE, None), reading);
    assert_eq!(read, SIZE);
    drop((client, stream));
    plane.rests().await;
}

#[tokio::test]
async fn a_client_that_resets_frees_everything() {
    let lakefs = RawLakefs::listen().await;
    let plane = TestPlane::forwarding(&patient(), &upstream_at(lakefs.address()), Duration::ZERO);
    let (plane, mut client, _authority) = before(&plane, &patient()).await;
    let (answer, mut stream) = client.send(request("POST", OBJECT, &[]), false).await;
    stream.send_data(Bytes::from_static(b"half"), false).unwrap();
    let mut up = lakefs.accept().await;
    assert!(up.head().await.is_some());
    until("the request", || plane.metrics.in_flight.get() == 1).await;
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    until("the request to be gone", || plane.metrics.in_flight.get() == 0).await;
    let came = up.rest().await;
    assert!(
        came.is_empty() || came == b"4\r\nhalf\r\n",
        "no end of a body: {came:?}"
    );
    assert_eq!(plane.metrics.connections.get(), 1, "the connection goes on");
    drop((client, stream));
    plane.rests().await;
}

#[tokio::test]
async fn a_client_that_stands_still_loses_its_stream_and_not_its_connection() {
    let config = ServerConfig {
        idle_timeout: Period(Duration::from_millis(400)),
        ..patient()
    };
    let stack = TestPlane::answering(&config, |request| async {
        match request.uri().path() {
            "/long" => {
                let piece = || Ok::<_, BodyError>(Frame::data(Bytes::from(vec![b'x'; 8 << 10])));
                let pieces = futures_util::stream::iter(std::iter::repeat_with(piece));
                Response::new(Body::new(StreamBody::new(pieces)))
            }
            "/read" => {
                let failed = request.into_body().read_capped(100).await.is_err();
                Response::new(Body::from(failed.to_string()))
            }
            _ => Response::new(Body::empty()),
        }
    });
    let (plane, mut client, _authority) = before(&stack, &config).await;
    let (answer, _) = client.send(request("GET", "https://lakefs.test/long", &[]), true).await;
    let body: RecvStream = soon("an answer", answer).await.unwrap().into_body();
    let (failed, stream) = client
        .send(request("PUT", "https://lakefs.test/read", &[]), false)
        .await;
    assert_eq!(read(failed).await.unwrap().1, b"true", "an upload that stands still");
    let unread = unread_to_the_end(body).await;
    assert_eq!(unread, Some(Reason::CANCEL), "an answer that is not read");
    assert_eq!(
        client
            .ask(request("GET", "https://lakefs.test/", &[]))
            .await
            .unwrap()
            .0
            .status(),
        200
    );
    drop((client, stream));
    plane.rests().await;
}

/// Takes what came, but gives no room for more.
async fn unread_to_the_end(mut body: RecvStream) -> Option<Reason> {
    loop {
        match soon("the reset", body.data()).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error.reason(),
            None => return None,
        }
    }
}

#[tokio::test]
async fn a_resting_connection_is_told_goodbye() {
    let config = ServerConfig {
        keep_alive: Period(Duration::from_millis(400)),
        ..patient()
    };
    let stack = TestPlane::answering(&config, |_| async { Response::new(Body::empty()) });
    let (plane, mut client, _authority) = before(&stack, &config).await;
    assert_eq!(client.ask(request("GET", OBJECT, &[])).await.unwrap().0.status(), 200);
    // What it still had to say may have met a closed connection.
    let _ = soon("the goodbye", client.driver).await.unwrap();
    plane.rests().await;
    let config = ServerConfig {
        header_timeout: Period(Duration::from_millis(700)),
        ..patient()
    };
    let (plane, silent, _authority) = before(&stack, &config).await;
    let _ = soon("the goodbye", silent.driver).await.unwrap();
    plane.rests().await;
    drop(silent.sender);
}

#[tokio::test]
async fn a_drain_lets_streams_finish_and_takes_no_new_ones() {
    let (gate, begun) = (
        std::sync::Arc::new(tokio::sync::Semaphore::new(0)),
        std::sync::Arc::new(tokio::sync::Semaphore::new(0)),
    );
    let (held, begins) = (gate.clone(), begun.clone());
    let stack = TestPlane::answering(&patient(), move |_| {
        let held = held.clone();
        begins.add_permits(1);
        async move {
            let _permit = held.acquire().await;
            Response::new(Body::from("done".to_owned()))
        }
    });
    let (plane, mut client, _authority) = before(&stack, &patient()).await;
    let (answer, _) = client.send(request("GET", OBJECT, &[]), true).await;
    drop(soon("the request", begun.acquire()).await);
    let draining = async { assert_eq!(plane.plane.drain().await.cut, 0) };
    let finishing = async {
        let mut more = client.sender.clone();
        soon("the goodbye", async {
            while poll_fn(|cx| more.poll_ready(cx)).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        assert!(more.send_request(request("GET", OBJECT, &[]), true).is_err());
        gate.add_permits(1);
        assert_eq!(read(answer).await.unwrap().1, b"done");
        drop((client, more));
    };
    tokio::join!(draining, finishing);
    plane.rests().await;
}

#[tokio::test]
async fn ten_thousand_rapid_resets_end_their_connection_and_harm_nobody_else() {
    let stack = TestPlane::answering(&patient(), |_| async { Response::new(Body::from("served".to_owned())) });
    let (plane, mut good, authority) = before(&stack, &patient()).await;
    let attacking = async {
        let mut attacker = Client::new(&plane, &authority).await;
        for _ in 0..10_000 {
            if poll_fn(|cx| attacker.sender.poll_ready(cx)).await.is_err() {
                break;
            }
            let Ok((answer, mut stream)) = attacker.sender.send_request(request("GET", OBJECT, &[]), false) else {
                break;
            };
            stream.send_reset(Reason::CANCEL);
            drop(answer);
        }
        drop(attacker.sender);
        let _ = soon("the attacker's end", attacker.driver).await;
    };
    let working = async {
        for _ in 0..50 {
            assert_eq!(good.ask(request("GET", OBJECT, &[])).await.unwrap().1, b"served");
        }
    };
    tokio::join!(attacking, working);
    drop(good);
    plane.rests().await;
}
