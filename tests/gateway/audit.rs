//! The audit log of the whole gateway: as many lines as decisions, whatever happens on the way, and nothing in them that lets anybody in.

use std::path::PathBuf;
use std::time::Duration;

use lakegate::audit::{Entry, Kind, Outcome, files};
use lakegate::config::types::Period;
use lakegate::config::{Config, Preset, RuleConfig};

use super::support::gateway::TestGateway;
use super::support::lakefs::{RawLakefs, ok};
use super::support::raw::{Message, until};

fn guarded(config: &mut Config, file: PathBuf) {
    config.guard.rules = vec![RuleConfig {
        name: "main-stays".to_owned(),
        branches: Some(vec!["main".to_owned()]),
        preset: Some(Preset::Protect),
        ..RuleConfig::default()
    }];
    config.audit.file = Some(file);
}

fn sent(method: &str, target: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// The lines of an audit log, as text and read.
async fn lines(gateway: TestGateway) -> (String, Vec<Entry<'static>>) {
    let path = gateway.config.audit.file.clone().expect("a file");
    gateway.gateway.stop().await;
    let files = files::of_log(&path).expect("a folder");
    let text: String = files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("a file"))
        .collect();
    let entries = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line"))
        .collect();
    (text, entries)
}

const API: &str = "/api/v1/repositories/demo";

#[tokio::test(flavor = "multi_thread")]
async fn there_are_exactly_as_many_lines_as_decisions() {
    let lakefs = RawLakefs::listen().await;
    let address = lakefs.address();
    let served = lakefs.serve(|request| match request.start.contains("/broken") {
        true => b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_vec(),
        false => ok("{}"),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let gateway = TestGateway::before(address, |config| guarded(config, file.clone())).await;
    let keys: String = (0..1000)
        .map(|number| format!("<Object><Key>dev/k{number}</Key></Object>"))
        .collect();
    let bulk = format!("<Delete>{keys}</Delete>");
    let commit = sent(
        "POST",
        &format!("{API}/branches/dev/commits"),
        "",
        "{\"message\":\"m\"}",
    );
    let requests = [
        (commit.clone(), 200),
        (
            sent("PUT", &format!("{API}/branches/main/hard_reset?ref=x"), "", ""),
            403,
        ),
        (sent("DELETE", &format!("{API}/branches/d%65v"), "", ""), 400),
        (
            sent(
                "POST",
                "/demo?delete",
                "X-Amz-Signature: x\r\nContent-Type: application/xml\r\n",
                &bulk,
            ),
            200,
        ),
        (sent("POST", &format!("{API}/branches/broken/commits"), "", "{}"), 500),
        (sent("POST", "/api/v1/auth/login", "", "{}"), 200),
        (sent("GET", "/metrics", "", ""), 403),
        // Not one of these has a line.
        (sent("GET", &format!("{API}/branches/main"), "", ""), 200),
        (sent("GET", "/api/v1/healthcheck", "", ""), 200),
    ];
    for _ in 0..5 {
        for (request, status) in &requests {
            let answer = gateway.connect().await.ask(request).await;
            assert_eq!(answer.status(), *status, "{request:.100}");
        }
    }
    // Cut in the middle of its body, before and while lakeFS has it.
    let seen = served.requests().len();
    let mut cut = gateway.connect().await;
    cut.send(format!(
        "POST {API}/branches/dev/objects?path=a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"
    ))
    .await;
    let mut broken = gateway.connect().await;
    broken
        .send(format!(
            "POST {API}/branches/dev/commits HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"
        ))
        .await;
    drop((cut, broken));
    until("the cut upload", || served.requests().len() > seen).await;
    let (_, entries) = lines(gateway).await;
    let of = |kind, outcome| {
        entries
            .iter()
            .filter(|entry| (entry.kind, entry.outcome) == (kind, outcome))
            .count()
    };
    let counts = [
        of(Kind::Change, Outcome::Allowed),
        of(Kind::Change, Outcome::Refused),
        of(Kind::Change, Outcome::Failed),
        of(Kind::Login, Outcome::Allowed),
        of(Kind::Refusal, Outcome::Refused),
        of(Kind::Change, Outcome::Unknown),
    ];
    assert_eq!(counts.iter().sum::<usize>(), entries.len(), "{counts:?}");
    assert_eq!(counts[..5].iter().sum::<usize>() + counts[5], 5 * 7 + 2, "{counts:?}");
    assert_eq!((counts[0], counts[3], counts[4]), (10, 5, 5));
    let bulk = entries
        .iter()
        .find(|entry| entry.operation == "s3:DeleteObjects")
        .unwrap();
    assert_eq!((bulk.targets.len(), bulk.targets_more), (1000, 0));
    let refused = entries
        .iter()
        .find(|entry| entry.operation == "hardResetBranch")
        .unwrap();
    assert_eq!(
        (refused.rule.as_deref(), refused.reason.as_deref()),
        (Some("main-stays"), Some("guarded"))
    );
    let committed = entries.iter().find(|entry| entry.operation == "commit").unwrap();
    assert_eq!(
        (committed.received_bytes, committed.upstream_request_id.as_deref()),
        (15, Some("up-1"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_never_reach_it() {
    let lakefs = RawLakefs::listen().await;
    let address = lakefs.address();
    let _served =
        lakefs.serve(|_: &Message| ok("{\"token\":\"PLANTED-answer\",\"presigned_url\":\"https://s3/PLANTED-url\"}"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let gateway = TestGateway::before(address, |config| guarded(config, file.clone())).await;
    // `key:PLANTED-basic`
    let basic = "Authorization: Basic a2V5OlBMQU5URUQtYmFzaWM=\r\n";
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=AKIAKEY/20260101/r/s3/aws4_request, SignedHeaders=host, Signature=PLANTED-signature\r\n";
    let others = "Cookie: internal_auth_session=PLANTED-cookie\r\nX-Amz-Security-Token: PLANTED-session\r\n";
    let query = "X-Amz-Credential=AKIAKEY%2F20260101%2Fr%2Fs3%2Faws4_request&X-Amz-Signature=PLANTED-query&X-Amz-Security-Token=PLANTED-token";
    let requests = [
        sent(
            "POST",
            &format!("{API}/branches/dev/commits?token=PLANTED-parameter"),
            basic,
            "{\"message\":\"PLANTED-body\"}",
        ),
        sent(
            "POST",
            &format!("{API}/branches/dev/commits"),
            "Authorization: Bearer PLANTED.bearer.token\r\n",
            "{}",
        ),
        sent(
            "POST",
            "/api/v1/auth/login",
            others,
            "{\"access_key_id\":\"k\",\"secret_access_key\":\"PLANTED-login\"}",
        ),
        sent("PUT", "/demo/dev/a", &format!("{signed}{others}"), "data"),
        sent("PUT", &format!("/demo/dev/a?{query}"), "", "data"),
        sent(
            "PUT",
            &format!("{API}/branches/main/hard_reset?ref=x&secret=PLANTED-refused"),
            others,
            "",
        ),
        sent(
            "POST",
            &format!("{API}/branches/dev/staging/pmpu?path=a&parts=1"),
            basic,
            "",
        ),
        sent(
            "PUT",
            &format!("{API}/branches/dev/staging/pmpu/up?path=a"),
            basic,
            "{\"parts\":[],\"physical_address\":\"s3://b/PLANTED-address?X-Amz-Signature=PLANTED-deep\"}",
        ),
    ];
    for request in &requests {
        gateway.connect().await.ask(request).await;
    }
    let (text, entries) = lines(gateway).await;
    assert_eq!(entries.len(), requests.len());
    assert!(!text.contains("PLANTED"), "{text}");
    let keys: Vec<_> = entries.iter().filter_map(|entry| entry.key.as_deref()).collect();
    assert_eq!(keys.iter().filter(|key| **key == "AKIAKEY").count(), 2, "{keys:?}");
    assert!(keys.contains(&"key"), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_stops_changes_and_no_reads() {
    let lakefs = RawLakefs::listen().await;
    let address = lakefs.address();
    let _served = lakefs.serve(|_: &Message| ok("{}"));
    let gateway = TestGateway::before(address, |config| {
        config.audit.file = Some("/dev/full".into());
        config.limit.max_wait = Period(Duration::from_secs(5));
    })
    .await;
    let commit = sent(
        "POST",
        &format!("{API}/branches/dev/commits"),
        "",
        "{\"message\":\"m\"}",
    );
    // The first finds out.
    assert_eq!(gateway.connect().await.ask(&commit).await.status(), 200);
    while !gateway.metrics().await.contains("lakegate_audit_failing 1") {}
    let refused = gateway.connect().await.ask(&commit).await;
    assert_eq!(
        (refused.status(), refused.header("x-lakegate-reason")),
        (503, Some("cannot-record"))
    );
    assert!(refused.header("retry-after").is_some());
    let read = sent("GET", &format!("{API}/branches/dev"), "", "");
    assert_eq!(gateway.connect().await.ask(&read).await.status(), 200);
}
