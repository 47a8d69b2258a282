//! `mode: observe` through the whole stack: what enforcing refuses by policy goes to lakeFS as it came, and is counted; what is broken
//! is refused all the same.

use std::time::Duration;

use lakegate::config::types::Period;
use lakegate::config::{Config, Mode, Preset, RuleConfig};

use super::support::gateway::TestGateway;
use super::support::lakefs::{RawLakefs, ok};
use super::support::raw::Message;

/// Refuses as much as a configuration can.
fn strict(config: &mut Config) {
    config.guard.rules = vec![RuleConfig {
        name: "main-stays".to_owned(),
        branches: Some(vec!["main".to_owned()]),
        preset: Some(Preset::Protect),
        ..RuleConfig::default()
    }];
    config.auth.basic.enabled = false;
    config.auth.failed_logins_per_minute = 1;
    config.server.inspected_body = "8B".parse().expect("a size");
}

fn posted(target: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: h\r\n{more}Content-Length: {length}\r\n\r\n{body}")
}

fn chunked(target: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

const COMMITS: &str = "/api/v1/repositories/demo/branches/dev/commits";
const MESSAGE: &str = "{\"message\":\"longer than eight bytes\"}";

/// What enforcing refuses: the request, its reason code, and what names it in the log.
fn table() -> Vec<(String, &'static str)> {
    let (begin, rest) = MESSAGE.split_at(5);
    let plain = |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n");
    vec![
        (
            plain("PUT", "/api/v1/repositories/demo/branches/main/hard_reset?ref=dev"),
            "guarded",
        ),
        (
            plain("POST", "/api/v1/repositories/demo/branches/main/of/tomorrow"),
            "guarded",
        ),
        (
            plain("DELETE", "/api/v1/repositories/demo/branches/d%65v"),
            "ambiguous-target",
        ),
        (
            "PUT /demo/d%zzev/a HTTP/1.1\r\nHost: h\r\nX-Amz-Signature: x\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "ambiguous-target",
        ),
        (plain("GET", "/metrics"), "closed"),
        (plain("GET", "/_pprof/heap"), "closed"),
        (plain("POST", "/api/v1/setup_lakefs"), "closed"),
        (posted(COMMITS, "", MESSAGE), "body-too-large"),
        (
            chunked(
                COMMITS,
                &format!("5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", begin, rest.len(), rest),
            ),
            "body-too-large",
        ),
        (
            "GET /api/v1/repositories HTTP/1.1\r\nHost: h\r\nAuthorization: Basic a2V5OnNlY3JldA==\r\n\r\n".to_owned(),
            "unauthenticated",
        ),
    ]
}

/// A lakeFS that knows nobody and answers everything else.
fn answer(request: &Message) -> Vec<u8> {
    match request.start.starts_with("GET /api/v1/user ") {
        true => b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec(),
        false => ok("{}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_enforcing_refuses_by_policy_goes_through_as_it_came_and_is_counted() {
    let lakefs = RawLakefs::listen().await;
    let address = lakefs.address();
    let served = lakefs.serve(answer);
    let enforcing = TestGateway::before(address, strict).await;
    let observing = TestGateway::before(address, |config| {
        strict(config);
        config.mode = Mode::Observe;
    })
    .await;
    for (request, reason) in table() {
        let refused = enforcing.connect().await.ask(&request).await;
        assert_eq!(refused.header("x-lakegate-reason"), Some(reason), "{request}");
        let s3 = request.contains("X-Amz-Signature");
        assert_eq!(
            refused.header("content-type"),
            Some(if s3 { "application/xml" } else { "application/json" })
        );
        let series = format!("lakegate_refusals_total{{reason=\"{reason}\",mode=\"shadow\"}}");
        let count = |page: &str| {
            let line = page.lines().find(|line| line.starts_with(&series));
            line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap())
        };
        let before = count(&observing.metrics().await);
        let answer = observing.connect().await.ask(&request).await;
        assert_eq!(
            (answer.status(), answer.header("x-lakegate-reason")),
            (200, None),
            "{request}"
        );
        let last = served.last();
        assert_eq!(last.start, request.lines().next().unwrap());
        let body = if request.contains(COMMITS) { MESSAGE } else { "" };
        assert_eq!(last.text(), body, "{request}");
        assert_eq!(
            last.header("transfer-encoding"),
            request.contains("chunked").then_some("chunked"),
            "{request}"
        );
        assert_eq!(count(&observing.metrics().await), before + 1, "{request}");
    }
    assert!(!enforcing.metrics().await.contains("mode=\"shadow\""));
    assert!(!observing.metrics().await.contains("mode=\"enforce\""));
    let broken = observing.connect().await.ask(chunked(COMMITS, "zz\r\n")).await;
    assert_eq!(
        (broken.status(), broken.header("x-lakegate-reason")),
        (400, Some("body-broken"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_read_too_slowly_goes_through_whole() {
    let lakefs = RawLakefs::listen().await;
    let mut wires = Vec::new();
    for mode in [Mode::Enforce, Mode::Observe] {
        let gateway = TestGateway::before(lakefs.address(), |config| {
            config.mode = mode;
            config.server.inspected_timeout = Period(Duration::from_millis(20));
        })
        .await;
        let mut wire = gateway.connect().await;
        let (begin, rest) = MESSAGE.split_at(9);
        let whole = posted(COMMITS, "", MESSAGE);
        wire.send(whole.strip_suffix(rest).unwrap()).await;
        if mode == Mode::Enforce {
            let late = wire.answer().await;
            assert_eq!(
                (late.status(), late.header("x-lakegate-reason")),
                (408, Some("body-timeout"))
            );
        } else {
            let mut upstream = lakefs.accept().await;
            let head = upstream.head().await.expect("the head, before the rest has come");
            assert_eq!(head.header("content-length"), Some(&*MESSAGE.len().to_string()));
            wire.send(rest).await;
            let request = upstream.body(head, false).await.expect("a whole request");
            assert_eq!(request.text(), format!("{begin}{rest}"));
            upstream.send(ok("{}")).await;
            assert_eq!(wire.answer().await.status(), 200);
        }
        wires.push((gateway, wire));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_share_a_branch_or_a_slot() {
    let lakefs = RawLakefs::listen().await;
    let gateway = TestGateway::before(lakefs.address(), |config| {
        config.mode = Mode::Observe;
        config.limit.principal.requests_per_second = 1;
        config.limit.principal.burst = 1;
        config.limit.principal.in_flight = 1;
        config.limit.upstream.in_flight = 1.into();
        config.limit.max_wait = Period(Duration::from_millis(1));
    })
    .await;
    let mut under_way = Vec::new();
    for _ in 0..3 {
        let mut wire = gateway.connect().await;
        wire.send(posted(COMMITS, "", MESSAGE)).await;
        let mut upstream = lakefs.accept().await;
        let request = upstream.request().await.expect("a request").expect("a whole one");
        assert_eq!(request.text(), MESSAGE);
        under_way.push((wire, upstream));
    }
    for (mut wire, mut upstream) in under_way {
        upstream.send(ok("{}")).await;
        assert_eq!(wire.answer().await.status(), 200);
    }
    let page = gateway.metrics().await;
    let refused = "lakegate_refusals_total{reason=\"over-share\",mode=\"shadow\"} 2";
    let waited = "lakegate_shadow_waits_total{reason=\"branch-busy\"} 2";
    assert!(page.contains(refused) && page.contains(waited), "{page}");
}
