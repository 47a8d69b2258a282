//! The sandbox asked over real connections. What it must say to the byte is held by `tests/clients/parity.py`; here are its own promises.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::*;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// One request on a connection of its own; none if the answer did not come whole.
async fn try_ask(sandbox: &Sandbox, method: &str, target: &str, body: impl Into<Bytes>) -> Option<Answer> {
    let stream = tokio::net::TcpStream::connect(sandbox.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let keys = format!(
        "{}:{}",
        sandbox.inner.config.access_key_id, sandbox.inner.config.secret_access_key
    );
    let body = body.into();
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("Host", "lakefs")
        .header(
            "Authorization",
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(keys)),
        )
        .header(
            "Content-Type",
            if body.starts_with(b"{") || body.starts_with(b"[") {
                "application/json"
            } else {
                "text/x"
            },
        )
        .body(Full::new(body))
        .unwrap();
    let response = sender.send_request(request).await.ok()?;
    let (parts, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        body.extend_from_slice(frame.ok()?.data_ref()?);
    }
    Some(Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.into(),
    })
}

async fn ask(sandbox: &Sandbox, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
    let target = if path.starts_with("/_") {
        path.to_owned()
    } else {
        format!("/api/v1{path}")
    };
    try_ask(sandbox, method, &target, body).await.unwrap()
}

async fn start(config: SandboxConfig) -> Sandbox {
    let config = SandboxConfig {
        scripting: true,
        ..config
    };
    let sandbox = Sandbox::start(config).await.unwrap();
    let repository = json!({ "name": "repo", "storage_namespace": "s3://lake/repo" }).to_string();
    let made = ask(&sandbox, "POST", "/repositories", repository).await;
    assert!(
        made.status == StatusCode::CREATED || made.status == StatusCode::CONFLICT,
        "{}",
        made.text()
    );
    sandbox
}

async fn upload(sandbox: &Sandbox, path: &str, body: &'static str) -> StatusCode {
    ask(
        sandbox,
        "POST",
        &format!("/repositories/repo/branches/main/objects?path={path}"),
        body,
    )
    .await
    .status
}

async fn commit(sandbox: &Sandbox, message: &str) -> Answer {
    let body = json!({ "message": message }).to_string();
    ask(sandbox, "POST", "/repositories/repo/branches/main/commits", body).await
}

#[tokio::test]
async fn a_presigned_upload_in_parts_is_read_back_whole() {
    let sandbox = start(SandboxConfig::default()).await;
    let base = "/repositories/repo/branches/main/staging/pmpu";
    let created = ask(&sandbox, "POST", &format!("{base}?path=big&parts=2"), "")
        .await
        .json();
    let first = Bytes::from(vec![b'a'; 5 << 20]);
    let mut parts = Vec::new();
    for (number, (url, body)) in created["presigned_urls"]
        .as_array()
        .unwrap()
        .iter()
        .zip([first, "tail".into()])
        .enumerate()
    {
        let target = url.as_str().unwrap().strip_prefix(sandbox.url()).unwrap();
        let put = try_ask(&sandbox, "PUT", target, body).await.unwrap();
        assert_eq!(put.status, StatusCode::OK);
        parts.push(json!({ "part_number": number + 1, "etag": put.headers["etag"].to_str().unwrap() }));
    }
    let address = &created["physical_address"];
    let done = json!({ "physical_address": address, "parts": parts }).to_string();
    let target = format!("{base}/{}?path=big", created["upload_id"].as_str().unwrap());
    let completed = ask(&sandbox, "PUT", &target, done.clone()).await;
    assert_eq!(
        (completed.status, completed.json()["size_bytes"].as_u64()),
        (StatusCode::OK, Some((5 << 20) + 4))
    );
    assert_eq!(
        ask(&sandbox, "PUT", &target, done).await.body,
        completed.body,
        "repeated"
    );
    let read = ask(&sandbox, "GET", "/repositories/repo/refs/main/objects?path=big", "").await;
    assert_eq!((read.body.len(), &read.body[5 << 20..]), ((5 << 20) + 4, &b"tail"[..]));
}

#[tokio::test]
async fn a_part_is_refused_once_its_address_was_tampered_with_or_the_upload_aborted() {
    let sandbox = start(SandboxConfig::default()).await;
    let base = "/repositories/repo/branches/main/staging/pmpu";
    let created = ask(&sandbox, "POST", &format!("{base}?path=big&parts=1"), "")
        .await
        .json();
    let target = created["presigned_urls"][0]
        .as_str()
        .unwrap()
        .strip_prefix(sandbox.url())
        .unwrap();
    let tampered = try_ask(&sandbox, "PUT", &target.replace("partNumber=1", "partNumber=2"), "x")
        .await
        .unwrap();
    assert_eq!(tampered.status, StatusCode::FORBIDDEN);
    assert!(tampered.text().contains("<Code>SignatureDoesNotMatch</Code>"));
    let abort = json!({ "physical_address": created["physical_address"] }).to_string();
    let upload = format!("{base}/{}?path=big", created["upload_id"].as_str().unwrap());
    assert_eq!(
        ask(&sandbox, "DELETE", &upload, abort).await.status,
        StatusCode::NO_CONTENT
    );
    let late = try_ask(&sandbox, "PUT", target, "x").await.unwrap();
    assert_eq!(
        (late.status, late.text().contains("NoSuchUpload")),
        (StatusCode::NOT_FOUND, true)
    );
}

#[tokio::test]
async fn a_login_gives_a_token_and_a_cookie_that_both_name_the_user() {
    let sandbox = start(SandboxConfig::default()).await;
    let config = SandboxConfig::default();
    let keys =
        json!({ "access_key_id": config.access_key_id, "secret_access_key": config.secret_access_key }).to_string();
    let login = ask(&sandbox, "POST", "/auth/login", keys).await;
    let mut with_token = HeaderMap::new();
    let token = format!("Bearer {}", login.json()["token"].as_str().unwrap());
    with_token.insert("authorization", token.parse().unwrap());
    let mut with_cookie = HeaderMap::new();
    let cookie = login.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    with_cookie.insert("cookie", cookie.parse().unwrap());
    for headers in [&with_token, &with_cookie] {
        let user = sandbox.inner.authenticate(headers).unwrap().unwrap();
        assert_eq!(user.name, "admin");
    }
    with_token.insert("authorization", format!("{token}x").parse().unwrap());
    assert!(sandbox.inner.authenticate(&with_token).is_err());
}

#[tokio::test]
async fn what_was_kept_in_a_folder_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = SandboxConfig {
        data_dir: Some(dir.path().to_owned()),
        ..SandboxConfig::default()
    };
    let sandbox = start(config.clone()).await;
    assert_eq!(upload(&sandbox, "committed", "one").await, StatusCode::CREATED);
    let head = commit(&sandbox, "first").await.json()["id"].clone();
    assert_eq!(upload(&sandbox, "staged", "two").await, StatusCode::CREATED);
    sandbox.shutdown().await;

    let sandbox = start(config).await;
    for (path, content) in [("committed", "one"), ("staged", "two")] {
        let read = ask(
            &sandbox,
            "GET",
            &format!("/repositories/repo/refs/main/objects?path={path}"),
            "",
        )
        .await;
        assert_eq!(read.text(), content);
    }
    let branch = ask(&sandbox, "GET", "/repositories/repo/branches/main", "")
        .await
        .json();
    assert_eq!(branch["commit_id"], head);
}

#[tokio::test]
async fn committers_at_once_get_the_mix_of_a_real_server() {
    let config = SandboxConfig {
        commit_time: Duration::from_millis(20),
        ..SandboxConfig::default()
    };
    let sandbox = Arc::new(start(config).await);
    let clients = (0..20).map(|client| {
        let sandbox = Arc::clone(&sandbox);
        tokio::spawn(async move {
            let mut seen = Vec::new();
            for round in 0..4 {
                upload(&sandbox, &format!("{client}-{round}"), "x").await;
                let answer = commit(&sandbox, "c").await;
                seen.push((answer.status.as_u16(), answer.text().to_owned()));
            }
            seen
        })
    });
    let mut answers = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        answers.extend(client.await.unwrap());
    }
    let count = |status: u16| answers.iter().filter(|(given, _)| *given == status).count();
    assert!(count(201) > 0 && count(500) > 0, "{answers:?}");
    assert_eq!(
        count(201) + count(500) + count(400) + count(429),
        answers.len(),
        "{answers:?}"
    );
    assert!(
        answers
            .iter()
            .filter(|(status, _)| *status == 500)
            .all(|(_, text)| text == "{\"message\":\"predicate failed\"}\n")
    );
    let log = ask(&sandbox, "GET", "/repositories/repo/refs/main/commits?amount=1000", "")
        .await
        .json();
    assert_eq!(
        log["results"].as_array().unwrap().len(),
        count(201) + 1,
        "only what was told as done is in the log"
    );
}

#[tokio::test]
async fn scripted_answers_come_first_and_are_used_up() {
    let sandbox = start(SandboxConfig::default()).await;
    let script = json!({ "operation": "getBranch", "status": 420, "headers": { "Retry-After": "1" }, "body": { "message": "calm down" } });
    assert_eq!(
        ask(&sandbox, "POST", "/_sandbox/script", script.to_string())
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    let scripted = ask(&sandbox, "GET", "/repositories/repo/branches/main", "").await;
    assert_eq!(
        (scripted.status.as_u16(), scripted.text()),
        (420, "{\"message\":\"calm down\"}\n")
    );
    assert_eq!(scripted.headers["retry-after"], "1");
    assert_eq!(
        ask(&sandbox, "GET", "/repositories/repo/branches/main", "")
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn scripted_answers_can_break_off() {
    let sandbox = start(SandboxConfig::default()).await;
    for close in [Close::BeforeHead, Close::MidBody] {
        sandbox.script(Scripted {
            operation: "getBranch".into(),
            close: Some(close),
            ..Scripted::default()
        });
        assert!(
            try_ask(&sandbox, "GET", "/api/v1/repositories/repo/branches/main", "")
                .await
                .is_none()
        );
    }
    assert_eq!(
        ask(&sandbox, "GET", "/repositories/repo/branches/main", "")
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn received_requests_are_told_without_their_secrets() {
    let sandbox = start(SandboxConfig::default()).await;
    ask(&sandbox, "GET", "/user", "").await;
    let told = ask(&sandbox, "GET", "/_sandbox/requests", "").await;
    let last = told.json().as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["operation"], &last["authorization"]["scheme"]),
        (&json!("getCurrentUser"), &json!("Basic"))
    );
    let sent = sandbox.received().last().unwrap().headers["authorization"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(!told.text().contains(sent.trim_start_matches("Basic ")));
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_with_a_clear_text() {
    let sandbox = start(SandboxConfig {
        max_object: 10,
        max_bytes: 15,
        ..SandboxConfig::default()
    })
    .await;
    let path = "/repositories/repo/branches/main/objects?path=x";
    let large = ask(&sandbox, "POST", path, "12345678901").await;
    assert_eq!(
        (large.status, large.text().contains("at most 10 bytes")),
        (StatusCode::PAYLOAD_TOO_LARGE, true)
    );
    assert_eq!(
        ask(&sandbox, "POST", path, "1234567890").await.status,
        StatusCode::CREATED
    );
    assert_eq!(
        ask(&sandbox, "POST", path, "1234567890").await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
}

#[test]
fn path_parameters_are_decoded_twice_unless_one_escape_is_needless() {
    use super::route::{Destination, Route, bind, route};
    let named = |sent: &str| match route(&http::Method::GET, &format!("/api/v1/repositories/{sent}")) {
        Destination::Api(Route::GetBranch, sent) => bind(Route::GetBranch, 1, &sent[1]).ok(),
        _ => None,
    };
    for main in ["r/branches/main", "r/branches/%6Dain", "r/branches/%256Dain"] {
        assert_eq!(named(main).as_deref(), Some("main"), "{main}");
    }
    assert_eq!(
        named("%72/branches/%256Dain").as_deref(),
        Some("%6Dain"),
        "RawPath stays, so it is decoded once"
    );
    assert_eq!(named("r/branches/ma+in").as_deref(), Some("ma in"));
    assert_eq!(named("r/br%61nches/main"), None);
    assert_eq!(named("r/branches/main/"), None);
}

#[test]
fn a_forced_body_binds_as_go_binds_it() {
    use super::call::bind_json;
    use super::route::Route;
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    let force = |body: &str| bind_json(Route::Commit, &headers, body.as_bytes()).unwrap()["force"] == true;
    assert!(force(r#"{"message":"m","force":true}garbage"#));
    assert!(
        !force(r#"{"message":"m","Force":true}"#),
        "the default is added behind it"
    );
    assert!(
        force(r#"{"message":"m","allow_empty":false,"force":false,"Force":true}"#),
        "nothing added: the last one wins"
    );
    assert!(!force(r#"{"message":"m","force":true,"force":false}"#));
    assert!(!force(r#"{"message":"m","force":true,"force":null}"#));
    assert!(bind_json(Route::Commit, &headers, br#"{"message":"m","force":"true"}"#).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_branch_that_stays_contended_is_given_up_after_ten_tries() {
    let sandbox = Sandboxed::new(SandboxConfig::default(), SocketAddr::from(([127, 0, 0, 1], 1))).unwrap();
    let call = call::Call {
        json: json!({ "name": "repo", "storage_namespace": "s3://lake/repo" }),
        ..call::Call::default()
    };
    sandbox.create_repository(&call).unwrap();
    let on = change::On {
        repository: "repo",
        branch: "main",
    };
    let somebody_faster = async {
        loop {
            sandbox
                .update(on, Duration::ZERO, |_, _| Ok(change::Made::nothing()))
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut tries = 0;
    let slow = sandbox.update_retrying(on, Duration::from_millis(10), |_, _| {
        tries += 1;
        Ok(change::Made::nothing())
    });
    let lost = tokio::select! {
        lost = slow => lost,
        () = somebody_faster => unreachable!(),
    };
    assert_eq!(
        (lost.unwrap_err().parts().0, tries),
        (StatusCode::TOO_MANY_REQUESTS, 10)
    );
}

proptest::proptest! {
    #[test]
    fn nothing_sent_makes_it_panic(path in "/api/v1/[ -~]{0,60}", query in "[ -~]{0,60}", body in "[\\[{\"]?[ -~]{0,60}", reference in "[a-z0-9~^@$\u{fc} ]{0,12}") {
        use super::route::{Destination, Route, route};
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        for method in [http::Method::GET, http::Method::PUT, http::Method::POST] {
            if let Destination::Api(route, sent) = route(&method, &path) {
                let _ = call::bind_path(route, &sent);
            }
        }
        let query = call::Query::parse(&query);
        for route in Route::ALL {
            let _ = query.validate(*route).and_then(|()| query.bind(*route));
            let _ = call::bind_json(*route, &headers, body.as_bytes());
        }
        let sandbox = Sandboxed::new(SandboxConfig::default(), SocketAddr::from(([127, 0, 0, 1], 1))).unwrap();
        let call = call::Call {
            json: json!({ "name": "repo", "storage_namespace": "s3://lake/repo" }),
            ..call::Call::default()
        };
        sandbox.create_repository(&call).unwrap();
        let _ = sandbox.repository("repo", |repository| repository.resolve(&format!("main{reference}")).and_then(|_| repository.resolve(&reference)));
    }
}
