//! The S3 gateway's requests through the whole stack: what is signed arrives byte for byte, in the client's own framing, and what is
//! refused is refused in S3's own words.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use lakegate::config::tls::ClientCertificates;
use lakegate::config::{Config as GatewayConfig, HardResetMember, Preset, RuleConfig};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::support::gateway::TestGateway;
use super::support::lakefs::{RawLakefs, ok};
use super::support::raw::{Message, soon};
use super::support::tls::{Authority, http2, listen};

const AUTHORIZATION: &str = "Authorization: AWS4-HMAC-SHA256 Credential=AKIAX/20261123/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=0a1b";
const LISTING: &str = "<Delete><Object><Key>main/a</Key></Object><Object><Key>dev/b</Key></Object></Delete>";

/// A signed request as its client writes it.
#[derive(Debug, Clone)]
struct Signed {
    method: &'static str,
    /// The host of an absolute target.
    absolute: Option<&'static str>,
    target: String,
    headers: Vec<String>,
    body: Vec<u8>,
    /// The sizes of its chunks, if it is chunked.
    chunks: Option<Vec<usize>>,
    trailer: Option<String>,
}

impl Signed {
    /// The first line of HTTP/1.1.
    fn start(&self) -> String {
        let before = self.absolute.map_or(String::new(), |host| format!("http://{host}"));
        format!("{} {before}{} HTTP/1.1", self.method, self.target)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n{}\r\n", self.start(), self.headers.join("\r\n")).into_bytes();
        let Some(sizes) = &self.chunks else {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", self.body.len()).bytes());
            bytes.extend(&self.body);
            return bytes;
        };
        bytes.extend(b"Transfer-Encoding: chunked\r\n");
        if self.trailer.is_some() {
            bytes.extend(b"Trailer: X-Amz-Checksum-Crc32\r\n");
        }
        bytes.extend(b"\r\n");
        let (mut left, mut sizes) = (&self.body[..], sizes.iter().copied());
        while !left.is_empty() {
            let (chunk, rest) = left.split_at(sizes.next().unwrap_or(left.len()).clamp(1, left.len()));
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk.iter().chain(b"\r\n"));
            left = rest;
        }
        bytes.extend(b"0\r\n");
        bytes.extend(self.trailer.iter().flat_map(|line| line.bytes().chain(*b"\r\n")));
        bytes.extend(b"\r\n");
        bytes
    }

    /// Sends it over HTTP/2: in frames where it was chunks.
    async fn over_http2(&self, gateway: &TestGateway, authority: &Authority) -> u16 {
        let mut sender = http2(authority, gateway.gateway.addresses()[0]).await;
        let host = self.headers[0].split_once(": ").unwrap().1;
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(format!("https://{host}{}", self.target))
            .version(http::Version::HTTP_2);
        for line in &self.headers[1..] {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        if self.chunks.is_none() {
            request = request.header("content-length", self.body.len());
        }
        if self.trailer.is_some() {
            request = request.header("trailer", "x-amz-checksum-crc32");
        }
        let (answer, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        for piece in self.body.chunks(1000) {
            body.send_data(Bytes::copy_from_slice(piece), false).unwrap();
        }
        match self.trailer.as_deref().and_then(|line| line.split_once(": ")) {
            Some((name, value)) => {
                let pair = (
                    name.parse::<HeaderName>().unwrap(),
                    value.parse::<HeaderValue>().unwrap(),
                );
                body.send_trailers(HeaderMap::from_iter([pair])).unwrap();
            }
            None => body.send_data(Bytes::new(), true).unwrap(),
        }
        soon("an answer", answer).await.unwrap().status().as_u16()
    }

    /// `spelt`: names keep their case, which HTTP/2 does not have.
    fn assert_arrived(&self, arrived: &Message, spelt: bool) {
        assert_eq!(arrived.start, self.start());
        let name = |line: &str| line.split(':').next().unwrap().to_ascii_lowercase();
        for sent in &self.headers {
            let same = |lines: &[String]| -> Vec<String> {
                let of_name = lines.iter().filter(|line| name(line) == name(sent));
                let lines = of_name.map(|line| match (name(line) == "host", self.absolute) {
                    // The host of the target is the one, on both lines.
                    (true, Some(host)) => format!("{}: {host}", line.split(':').next().unwrap()),
                    _ => line.clone(),
                });
                let spelt_or_not = |line: String| match line.split_once(':') {
                    Some((name, value)) if !spelt => format!("{}:{value}", name.to_ascii_lowercase()),
                    _ => line,
                };
                lines.map(spelt_or_not).collect()
            };
            assert_eq!(same(&arrived.headers), same(&self.headers), "{sent}");
        }
        assert_eq!(arrived.header("host").map(str::to_owned), {
            let line = self.headers[0].split_once(": ").unwrap().1;
            Some(self.absolute.unwrap_or(line).to_owned())
        });
        assert_eq!(arrived.body, self.body);
        let length = self.body.len().to_string();
        let framing = match self.chunks {
            Some(_) => (Some("chunked"), None),
            None => (None, Some(&*length)),
        };
        assert_eq!(
            (arrived.header("transfer-encoding"), arrived.header("content-length")),
            framing
        );
        assert_eq!(arrived.trailers, Vec::from_iter(self.trailer.clone()));
    }
}

fn signed() -> impl Strategy<Value = Signed> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9._~!$&'()*+,;=:@-]{1,6}",
        1 => prop::sample::select(vec!["/", "//", "..", ".", "%2F", "%2f", "%20", "%25", "%C3%BC", "%00", "+"]).prop_map(str::to_owned),
    ];
    let path = prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("/repo/main/{}", pieces.concat()));
    let query = prop_oneof![
        Just(String::new()),
        Just("?delete".to_owned()),
        Just("?delete=x&y".to_owned()),
        "[a-zA-Z0-9=&+/?;:@!$'()*,._~-]{0,12}".prop_map(|query| format!("?{query}")),
        Just(
            "?X-Amz-Credential=AKIAX%2F20261123%2Fr%2Fs3%2Faws4_request&X-Amz-Signature=00&partNumber=1&uploadId=u"
                .to_owned()
        ),
    ];
    let bucket = Just("/repo?delete".to_owned());
    let target = prop_oneof![4 => (path, query).prop_map(|(path, query)| path + &query), 1 => bucket];
    let host = prop::sample::select(vec![
        "h",
        "H.example:8000",
        "s3.local.lakefs.io",
        "repo.s3.local.lakefs.io:80",
        "[::1]:9",
    ]);
    let value = "[!-~]([ -~]{0,10}[!-~])?";
    let header = (
        prop::sample::select(vec![
            "X-Amz-Date",
            "x-amz-meta-A",
            "X-AMZ-Content-SHA256",
            "Content-MD5",
            "content-type",
            "Accept-Encoding",
            "User-Agent",
            "amz-sdk-invocation-id",
            "X-Amz-Security-Token",
            "Range",
            "If-None-Match",
            "x-amz-decoded-content-length",
        ]),
        value,
    );
    let body = prop_oneof![
        Just(Vec::new()),
        Just(LISTING.as_bytes().to_vec()),
        Just(b"5;chunk-signature=00\r\nhello\r\n0;chunk-signature=01\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..3000),
    ];
    let chunks = prop::option::of(prop::collection::vec(1..2000_usize, 0..5));
    let methods = prop::sample::select(vec!["PUT", "POST", "GET", "DELETE", "HEAD"]);
    let absolute = prop::option::weighted(0.3, host.clone());
    (
        methods,
        (absolute, target),
        (host, prop::bool::weighted(0.3)),
        prop::collection::vec(header, 0..6),
        body,
        chunks,
        any::<bool>(),
    )
        .prop_map(
            |(method, (absolute, target), (host, asks), more, body, chunks, trailed)| {
                let mut headers = vec![format!("Host: {host}"), AUTHORIZATION.to_owned()];
                headers.extend(asks.then(|| "Expect: 100-continue".to_owned()));
                headers.extend(more.into_iter().map(|(name, value)| format!("{name}: {value}")));
                let trailer = (trailed && chunks.is_some()).then(|| "x-amz-checksum-crc32: AAAAAA==".to_owned());
                Signed {
                    method,
                    absolute,
                    target,
                    headers,
                    body,
                    chunks,
                    trailer,
                }
            },
        )
}

fn main_stays() -> RuleConfig {
    RuleConfig {
        name: "main-stays".to_owned(),
        branches: Some(vec!["main".to_owned()]),
        preset: Some(Preset::Protect),
        hard_reset: HardResetMember::Forced,
        ..RuleConfig::default()
    }
}

/// Sends signed requests, and looks at what arrives.
fn run(
    cases: u32,
    adapt: impl FnOnce(&mut GatewayConfig),
    check: impl Fn(&TestGateway, &Signed) -> (u16, bool, Signed),
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let (gateway, served) = runtime.block_on(async {
        let lakefs = RawLakefs::listen().await;
        let gateway = TestGateway::before(lakefs.address(), adapt).await;
        let served = lakefs.serve(|request| match request.start.starts_with("HEAD ") {
            true => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".to_vec(),
            false => ok("{}"),
        });
        (gateway, served)
    });
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    });
    let result = runner.run(&signed(), |request| {
        let (status, spelt, request) = check(&gateway, &request);
        prop_assert_eq!(status, 200);
        request.assert_arrived(&served.last(), spelt);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn signed_requests_arrive_byte_for_byte() {
    run(
        256,
        |_| {},
        |gateway, request| {
            let answer = tokio::runtime::Handle::current().block_on(async {
                let mut wire = gateway.connect().await;
                wire.send(request.bytes()).await;
                wire.answer_to(request.method).await
            });
            (answer.status(), true, request.clone())
        },
    );
}

#[test]
fn signed_requests_over_http2_arrive_with_the_same_bytes() {
    let authority = Authority::new();
    let tls = authority.shows(&[&authority.sign(&["lakefs.test"])], ClientCertificates::Off);
    run(
        128,
        |config| config.listen = listen(tls),
        |gateway, request| {
            let request = Signed {
                absolute: None,
                ..request.clone()
            };
            let status = tokio::runtime::Handle::current().block_on(request.over_http2(gateway, &authority));
            (status, false, request)
        },
    );
}

#[test]
fn a_chunk_that_is_none_never_ends_an_upload() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lakefs = runtime.block_on(RawLakefs::listen());
    let gateway = runtime.block_on(TestGateway::before(lakefs.address(), |_| {}));
    let bad = prop::sample::select(vec![
        "zz\r\n",
        "-1\r\n",
        "0x1\r\n1\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        " 0\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\n: x\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "10000000000000000\r\n",
        "0;\0\r\n\r\n",
        // Cut, and not malformed.
        "",
        "5\r\nhel",
        "0\r\n",
        "0\r\nx-amz-checksum-crc32: AAAAAA==\r\n",
    ]);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(96)
    });
    let result = runner.run(&(signed(), bad), |(request, bad)| {
        let request = Signed {
            method: "PUT",
            chunks: Some(request.chunks.unwrap_or_default()),
            trailer: None,
            ..request
        };
        let bytes = request.bytes();
        let good = bytes.strip_suffix(b"0\r\n\r\n").unwrap();
        let (arrived, answer) = runtime.block_on(async {
            let mut wire = gateway.connect().await;
            wire.send(good).await;
            let mut up = lakefs.accept().await;
            let head = up.head().await.unwrap();
            if head.header("expect").is_some() {
                up.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            }
            wire.send(bad).await;
            wire.end().await;
            (up.body(head, false).await, wire.answer().await)
        });
        prop_assert!(arrived.is_err(), "{:?}", arrived);
        let refused = (answer.status(), answer.header("x-lakegate-reason"));
        prop_assert_eq!(refused, (400, Some("body-broken")));
        Ok(())
    });
    result.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_of_an_absolute_target_decides_whatever_host_says() {
    let lakefs = RawLakefs::listen().await;
    let gateway = TestGateway::before(lakefs.address(), |config| {
        config.guard.rules = vec![main_stays()];
    })
    .await;
    let served = lakefs.serve(|_| ok("{}"));
    // To the S3 gateway this names an object, to the API what the rule refuses.
    const RESET: &str = "/api/v1/repositories/r/branches/main/hard_reset?ref=dev&force=true";
    let ask = |origin: &str, host: &str| {
        let request = format!("PUT {origin}{RESET} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        let connecting = gateway.connect();
        async move { connecting.await.ask(request).await }
    };
    for (origin, host, is_s3) in [
        ("http://s3.local.lakefs.io", "other", true),
        ("http://s3.local.lakefs.io", "", true),
        ("https://s3.local.lakefs.io:8000", "other:1", true),
        ("http://repo.s3.local.lakefs.io", "127.0.0.1", true),
        ("http://other", "s3.local.lakefs.io", false),
        ("http://S3.local.lakefs.io", "s3.local.lakefs.io", false),
        ("http://a.b.s3.local.lakefs.io", "s3.local.lakefs.io", false),
    ] {
        let answer = ask(origin, host).await;
        let refused = answer.header("x-lakegate-reason");
        assert_eq!(refused, (!is_s3).then_some("guarded"), "{origin} {host}");
        if is_s3 {
            let seen = served.last();
            assert_eq!(seen.header("host"), origin.split('/').nth(2), "{origin} {host}");
            assert_eq!(seen.start, format!("PUT {origin}{RESET} HTTP/1.1"));
        }
    }
    for (origin, host) in [
        ("http://u@s3.local.lakefs.io", "s3.local.lakefs.io"),
        ("http://:80", "h"),
        ("http://", "h"),
        ("http://s3.local.lakefs.io", "u@h"),
        ("http://s3.local.lakefs.io", "h\r\nHost: h"),
    ] {
        let answer = ask(origin, host).await;
        let refused = (answer.status(), answer.header("x-lakegate-reason"));
        assert_eq!(refused, (400, Some("bad-request")), "{origin} {host}");
    }
    let mut wire = gateway.connect().await;
    // Without a path it is that of the root (RFC 3986 6.2.3), and a scheme has no case.
    wire.ask("GET HTTP://other?x HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(served.last().start, "GET http://other/?x HTTP/1.1");
    let old = format!("PUT http://other{RESET} HTTP/1.0\r\n\r\n");
    assert_eq!(wire.ask(old).await.header("x-lakegate-reason"), Some("guarded"));
    let old = "GET http://s3.local.lakefs.io/r HTTP/1.0\r\n\r\n";
    assert_eq!(gateway.connect().await.ask(old).await.status(), 200);
    assert_eq!(served.last().header("host"), Some("s3.local.lakefs.io"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_says_slow_down_and_nothing_to_head() {
    let lakefs = RawLakefs::listen().await;
    let gateway = TestGateway::before(lakefs.address(), |config| {
        config.limit.principal.requests_per_second = 1;
        config.limit.principal.burst = 1;
        config.limit.max_wait = "1ms".parse().unwrap();
        config.limit.too_many_status = 420;
    })
    .await;
    let _served = lakefs.serve(|_| ok("{}"));
    let mut wire = gateway.connect().await;
    let get = format!("GET /repo/main/a HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n{AUTHORIZATION}\r\n\r\n");
    assert_eq!(wire.ask(&get).await.status(), 200);
    let refused = wire.ask(&get).await;
    assert_eq!(
        (refused.status(), refused.header("x-lakegate-reason")),
        (503, Some("over-share"))
    );
    assert_eq!(refused.header("content-type"), Some("text/xml; charset=utf-8"));
    assert!(refused.header("retry-after").is_some());
    assert!(refused.text().contains("<Code>SlowDown</Code>"), "{}", refused.text());
    wire.send(get.replacen("GET", "HEAD", 1)).await;
    let head = wire.answer_to("HEAD").await;
    assert_eq!(
        (head.status(), head.header("x-lakegate-reason")),
        (503, Some("over-share"))
    );
    let again = wire.ask(&get).await;
    assert_eq!(again.status(), 503, "no body stood between the two");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_of_a_listing_goes_up_where_nothing_is_protected_and_what_is_too_long_is_refused_in_xml() {
    let lakefs = RawLakefs::listen().await;
    let gateway = TestGateway::before(lakefs.address(), |config| {
        config.server.inspected_body = "1KiB".parse().unwrap();
    })
    .await;
    let guarded = TestGateway::before(lakefs.address(), |config| {
        config.guard.rules = vec![main_stays()];
    })
    .await;
    let served = lakefs.serve(|_| ok("{}"));
    let delete = |body: &str| {
        let length = body.len();
        format!("POST /repo?delete HTTP/1.1\r\nHost: h\r\n{AUTHORIZATION}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    for body in ["<Delete><Object>", "", "\u{fc}\0"] {
        assert_eq!(gateway.connect().await.ask(delete(body)).await.status(), 200, "{body}");
        assert_eq!(served.last().text(), body);
        let refused = guarded.connect().await.ask(delete(body)).await;
        assert_eq!(
            refused.status(),
            403,
            "it could name objects of a protected branch: {body}"
        );
    }
    let long = gateway.connect().await.ask(delete(&LISTING.repeat(20))).await;
    assert_eq!(
        (long.status(), long.header("content-type")),
        (413, Some("application/xml"))
    );
    assert!(long.text().contains("<Code>EntityTooLarge</Code>"), "{}", long.text());
}
