//! lakeFS's own branch protection rules at the gateway, and listings cut to what one may know of, in front of the sandbox.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use lakegate::config::{LakefsRules, Role, RoleConfig};
use lakegate::lakefs_client::{Client, Dialer};
use tokio::runtime::Handle;

use super::whole::World;

const RULES: &str = "/repositories/demo/settings/branch_protection";
const RESET: &str = "/repositories/demo/branches/main/hard_reset?ref=main";

fn rule(answer: &Response<Bytes>) -> Option<&str> {
    answer.headers().get("x-lakegate-rule")?.to_str().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_lakefs_protects_is_protected_from_what_lakefs_lets_pass() {
    let world = World::start(|_| {}).await;
    // Known to have none by now.
    world.must("PUT", RESET, "").await;
    world.must("PUT", RULES, r#"[{"pattern":"ma?n"}]"#).await;
    for (method, path, body) in [
        ("PUT", RESET, ""),
        ("DELETE", "/repositories/demo/branches/main", ""),
        (
            "POST",
            "/repositories/demo/branches/main/revert",
            r#"{"ref":"main","parent_number":0}"#,
        ),
        (
            "POST",
            "/repositories/demo/branches/main/cherry-pick",
            r#"{"ref":"dev"}"#,
        ),
        (
            "POST",
            "/repositories/demo/refs/dev/merge/main",
            r#"{"strategy":"source-wins"}"#,
        ),
        ("DELETE", "/repositories/demo", ""),
        (
            "DELETE",
            "/repositories/demo/branches/dev/objects?path=_lakefs_actions/a.yaml",
            "",
        ),
    ] {
        let answer = world.ask(method, path, body).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {path}");
        assert_eq!(rule(&answer), Some("lakefs:ma?n"), "{method} {path}");
    }
    world.must("DELETE", "/repositories/demo/branches/dev", "").await;
    // Whoever may set them may take them back; and then all is as before, at once.
    world.must("PUT", RULES, "[]").await;
    world.must("PUT", RESET, "").await;
    let one = r#"{"pattern":"main"}"#;
    world.must("POST", "/repositories/demo/branch_protection", one).await;
    assert_eq!(rule(&world.ask("PUT", RESET, "").await), Some("lakefs:main"));
    world.must("DELETE", "/repositories/demo/branch_protection", one).await;
    world.must("PUT", RESET, "").await;
    let own = world.sandbox.received();
    let asked = own.iter().filter(|received| received.is_own_reading_of_rules()).count();
    assert!(asked >= 4, "{asked}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_lakefs_cannot_read_protects_everything() {
    let world = World::start(|_| {}).await;
    world.must("PUT", RULES, r#"[{"pattern":"[z-a"}]"#).await;
    let answer = world.ask("DELETE", "/repositories/demo/branches/dev", "").await;
    assert_eq!(rule(&answer), Some("lakefs:[z-a"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_they_are_only_told_of_and_off_they_are_not_asked_for() {
    for (how, told) in [(LakefsRules::Shadow, Some("lakefs:dev")), (LakefsRules::Off, None)] {
        let world = World::start(|config| config.guard.lakefs_rules = Some(how)).await;
        world.must("PUT", RULES, r#"[{"pattern":"dev"}]"#).await;
        world.sandbox.clear();
        let answer = world.ask("DELETE", "/repositories/demo/branches/dev", "").await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let shadow = answer.headers().get("x-lakegate-shadow");
        assert_eq!(shadow.map(|shadow| shadow.to_str().unwrap()), told);
        let asked = world.sandbox.received();
        let asked = asked.iter().any(|received| received.is_own_reading_of_rules());
        assert_eq!(asked, told.is_some());
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_ordinary_writes_ask_lakefs_nothing_more() {
    let world = World::start(|_| {}).await;
    world.sandbox.clear();
    world.must("GET", "/repositories/demo/branches/main", "").await;
    let commit = r#"{"message":"m","allow_empty":true}"#;
    world
        .must("POST", "/repositories/demo/branches/dev/commits", commit)
        .await;
    // There is nothing to merge, and that is lakeFS's answer.
    let merge = world.ask("POST", "/repositories/demo/refs/dev/merge/main", "{}").await;
    assert!(!merge.headers().contains_key("x-lakegate-reason"), "{merge:?}");
    assert!(
        !world
            .sandbox
            .received()
            .iter()
            .any(|received| received.is_own_reading_of_rules())
    );
    world.stop().await;
}

trait OwnReading {
    fn is_own_reading_of_rules(&self) -> bool;
}

impl OwnReading for lakegate::sandbox::Received {
    fn is_own_reading_of_rules(&self) -> bool {
        let agent = self
            .headers
            .get(header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        self.operation == "getBranchProtectionRules"
            && agent.is_some_and(|agent| agent.starts_with("lakegate/"))
            && self.headers.contains_key(header::AUTHORIZATION)
            && self.method == "GET"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_repositories_shows_what_its_caller_may_know_of_page_by_page() {
    let world = World::start(|_| {}).await;
    let mut with_a_role = world.running.config.clone();
    with_a_role.guard.roles = vec![RoleConfig {
        role: Role::Admin,
        users: vec!["admin".to_owned()],
        groups: Vec::new(),
        keys: Vec::new(),
        addresses: Vec::new(),
        repositories: vec!["demo".to_owned(), "lake-*".to_owned()],
        branches: None,
    }];
    world.running.gateway.reload(&with_a_role);
    let mut direct = world.running.config.upstream.clone();
    direct.url = format!("http://{}", world.sandbox.address()).parse().unwrap();
    let direct = Client::new(
        std::sync::Arc::new(Dialer::new(&direct).unwrap()),
        &direct.url,
        Handle::current(),
    );
    let names = ["aaa-secret", "lake-1", "lake-1-secret", "lake-2", "lake-3"];
    let hidden = (0..5).map(|n| format!("hidden-{n}"));
    for name in names.iter().map(|&name| name.to_owned()).chain(hidden) {
        let body = format!(r#"{{"name":"{name}","storage_namespace":"s3://sandbox/{name}","default_branch":"main"}}"#);
        let made = world.send_to(&direct, "POST", "/repositories", &body).await;
        assert_eq!(made.status(), StatusCode::CREATED);
    }
    let (mut after, mut pages) = (String::new(), Vec::new());
    loop {
        let path = format!("/repositories?amount=2&after={after}");
        let answer = world.ask("GET", &path, "").await;
        assert_eq!(answer.status(), StatusCode::OK);
        let length: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
        assert_eq!(length, answer.body().len());
        let page: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert!(
            !page.to_string().contains("hidden") && !page.to_string().contains("aaa"),
            "{page}"
        );
        let ids = page["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap());
        pages.push(ids.map(str::to_owned).collect::<Vec<_>>());
        if page["pagination"]["has_more"] == false {
            break;
        }
        after = page["pagination"]["next_offset"].as_str().unwrap().to_owned();
    }
    let expected = [vec!["demo", "lake-1"], vec!["lake-1-secret", "lake-2"], vec!["lake-3"]];
    assert_eq!(pages, expected);
    let gone = world.ask("GET", "/repositories/hidden-1", "").await;
    assert_eq!(gone.status(), StatusCode::FORBIDDEN);
    world.stop().await;
}

impl World {
    async fn send_to(&self, client: &Client, method: &str, path: &str, body: &str) -> Response<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, Self::basic())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap();
        client.send(request, std::time::Duration::from_secs(30)).await.unwrap()
    }
}
