//! `Expect: 100-continue`: who is refused before the body came is not asked for it, by HTTP/1.1 and by HTTP/2, and lakeFS sees nothing.

use bytes::Bytes;
use lakegate::config::tls::ClientCertificates;
use lakegate::config::{Config, HardResetMember, ListenConfig, Preset, RuleConfig};

use super::support::gateway::TestGateway;
use super::support::lakefs::{RawLakefs, ok};
use super::support::log;
use super::support::raw::soon;
use super::support::tls::{Authority, http2, listen};

const RESET: &str = "/api/v1/repositories/r/branches/main/hard_reset?ref=dev&force=true";
const COMMIT: &str = "/api/v1/repositories/r/branches/dev/commits";
const OBJECT: &str = "/api/v1/repositories/r/branches/dev/objects?path=a";

/// Method, target, expectation, length, and how it is refused without its body.
const REFUSED: [(&str, &str, &str, &str, u16, &str); 5] = [
    ("PUT", RESET, "100-continue", "4", 403, "guarded"),
    ("POST", COMMIT, "100-continue", "100", 413, "body-too-large"),
    ("POST", "/api/v1/setup_lakefs", "100-Continue", "4", 403, "closed"),
    ("POST", OBJECT, "200-ok", "4", 417, "expectation-unknown"),
    ("POST", OBJECT, "100-continue, x", "4", 417, "expectation-unknown"),
];

fn strict(config: &mut Config) {
    config.guard.rules = vec![RuleConfig {
        name: "main-stays".to_owned(),
        branches: Some(vec!["main".to_owned()]),
        preset: Some(Preset::Protect),
        hard_reset: HardResetMember::Forced,
        ..RuleConfig::default()
    }];
    config.server.inspected_body = "8B".parse().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_instead_of_100_and_ends_the_connection() {
    let lakefs = RawLakefs::listen().await;
    let gateway = TestGateway::before(lakefs.address(), strict).await;
    let served = lakefs.serve(|_| ok("{}"));
    for (method, target, expected, length, status, reason) in REFUSED {
        let mut wire = gateway.connect().await;
        wire.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nExpect: {expected}\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
        let first = wire.head().await.unwrap();
        assert_eq!(
            (first.status(), first.header("x-lakegate-reason")),
            (status, Some(reason)),
            "{target}"
        );
        assert_eq!(first.header("connection"), Some("close"), "{target}");
        let id = first.header("x-request-id").unwrap();
        log::line(&["\"lakegate::access\"", id, &format!("\"reason\":\"{reason}\"")]).await;
        // What would have been the body is not taken for a request.
        let _ = wire.try_send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let body = wire.body(first, true).await.unwrap();
        assert!(body.text().starts_with("{\"message\":"), "{target}");
        assert_eq!(wire.rest().await, b"", "{target}");
    }
    assert!(served.requests().is_empty());
    // How long a chunked body is can only be told by reading it.
    let mut wire = gateway.connect().await;
    wire.send(format!(
        "POST {COMMIT} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.head().await.unwrap().status(), 100);
    wire.send("9\r\n123456789\r\n0\r\n\r\n").await;
    assert_eq!(wire.answer().await.status(), 413);
    assert!(served.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_a_refusal_comes_before_the_body_and_a_body_may_come_unasked() {
    let lakefs = RawLakefs::listen().await;
    let authority = Authority::new();
    let tls = authority.shows(&[&authority.sign(&["lakefs.test"])], ClientCertificates::Off);
    let on: ListenConfig = listen(tls);
    let gateway = TestGateway::before(lakefs.address(), |config| {
        strict(config);
        config.listen = on;
    })
    .await;
    let served = lakefs.serve(|_| ok("{}"));
    let mut sender = http2(&authority, gateway.gateway.addresses()[0]).await;
    let request = |method: &str, target: &str, expected: &str, length: &str| {
        http::Request::builder()
            .method(method)
            .uri(format!("https://lakefs.test{target}"))
            .version(http::Version::HTTP_2)
            .header("expect", expected)
            .header("content-length", length)
            .body(())
            .unwrap()
    };
    for (method, target, expected, length, status, reason) in REFUSED {
        let (answer, _body) = sender
            .send_request(request(method, target, expected, length), false)
            .unwrap();
        let answer = soon("an answer", answer).await.unwrap();
        let told = answer.headers().get("x-lakegate-reason").unwrap();
        assert_eq!(
            (answer.status().as_u16(), told.to_str().unwrap()),
            (status, reason),
            "{target}"
        );
        let id = answer.headers().get("x-request-id").unwrap().to_str().unwrap();
        log::line(&["\"lakegate::access\"", id, &format!("\"reason\":\"{reason}\"")]).await;
        sender = soon("room", sender.ready()).await.unwrap();
    }
    assert!(served.requests().is_empty());
    let (answer, mut body) = sender
        .send_request(request("POST", OBJECT, "100-continue", "4"), false)
        .unwrap();
    body.send_data(Bytes::from_static(b"body"), true).unwrap();
    assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
    let seen = served.last();
    assert_eq!((seen.text(), seen.header("expect")), ("body", Some("100-continue")));
}
