//! The gateway as `lakegate serve` runs it, in this process, in front of the sandbox: what no layer's own tests can show.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use lakegate::config::types::Secret;
use lakegate::config::{
    Config, HardResetMember, LoginConfig, Mode, Preset, RuleConfig, RuleMode, StoreConfig, UpstreamIdentity,
};
use lakegate::lakefs_client::{Client, Dialer};
use lakegate::sandbox::{Sandbox, SandboxConfig};
use lakegate::store::{Filter, State, Store, StoreError};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::support::gateway::TestGateway;

const LONG: Duration = Duration::from_secs(30);

/// A gateway in front of a sandbox with a repository `demo`: two commits on `main`, a branch `dev`.
pub(crate) struct World {
    pub(crate) running: TestGateway,
    pub(crate) sandbox: Sandbox,
    client: Client,
}

impl World {
    pub(crate) async fn start(adapt: impl FnOnce(&mut Config)) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).await.unwrap();
        let setup = SandboxConfig::default();
        let running = TestGateway::before(sandbox.address(), |config| {
            config.auth.lakefs_secret = Some(Secret::new(setup.secret));
            config.auth.upstream = UpstreamIdentity::Login(LoginConfig {
                access_key_id: Secret::new(setup.access_key_id),
                secret_access_key: Secret::new(setup.secret_access_key),
            });
            adapt(config);
        })
        .await;
        let mut to = running.config.upstream.clone();
        to.url = format!("http://{}", running.gateway.addresses()[0]).parse().unwrap();
        let client = Client::new(Arc::new(Dialer::new(&to).unwrap()), &to.url, Handle::current());
        let world = Self {
            running,
            sandbox,
            client,
        };
        let repository = r#"{"name":"demo","storage_namespace":"s3://sandbox/demo","default_branch":"main"}"#;
        world.must("POST", "/repositories", repository).await;
        for message in ["one", "two"] {
            let body = format!(r#"{{"message":"{message}","allow_empty":true}}"#);
            world
                .must("POST", "/repositories/demo/branches/main/commits", &body)
                .await;
        }
        world
            .must(
                "POST",
                "/repositories/demo/branches",
                r#"{"name":"dev","source":"main"}"#,
            )
            .await;
        world
    }

    /// The credential of the sandbox's one user.
    pub(crate) fn basic() -> String {
        let setup = SandboxConfig::default();
        let pair = base64::engine::general_purpose::STANDARD
            .encode(format!("{}:{}", setup.access_key_id, setup.secret_access_key));
        format!("Basic {pair}")
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Response<Bytes> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, Self::basic());
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        self.client.send(request, LONG).await.unwrap()
    }

    pub(crate) async fn must(&self, method: &str, path: &str, body: &str) {
        let answer = self.ask(method, path, body).await;
        assert!(answer.status().is_success(), "{path}: {answer:?}");
    }

    pub(crate) async fn stop(self) {
        self.running.gateway.stop().await;
        self.sandbox.shutdown().await;
    }
}

fn protect(mode: RuleMode) -> RuleConfig {
    RuleConfig {
        name: "main-stays".to_owned(),
        branches: Some(vec!["main".to_owned()]),
        preset: Some(Preset::Protect),
        hard_reset: HardResetMember::Forced,
        mode,
        ..RuleConfig::default()
    }
}

const FORCED: &str = "/repositories/demo/branches/main/hard_reset?ref=main~1&force=true";

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_hard_reset_of_a_protected_branch_is_refused_and_nothing_reaches_lakefs() {
    let world = World::start(|config| config.guard.rules = vec![protect(RuleMode::Enforce)]).await;
    world.sandbox.clear();
    let answer = world.ask("PUT", FORCED, "").await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(answer.headers()["x-lakegate-reason"], "guarded");
    assert_eq!(answer.headers()["x-lakegate-rule"], "main-stays");
    let reset = |received: &lakegate::sandbox::Received| received.target.contains("hard_reset");
    assert!(!world.sandbox.received().iter().any(reset));
    world
        .must(
            "PUT",
            "/repositories/demo/branches/dev/hard_reset?ref=main~1&force=true",
            "",
        )
        .await;
    assert!(world.sandbox.received().iter().any(reset));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shadow_and_observe_refuse_nothing() {
    let shadow = World::start(|config| config.guard.rules = vec![protect(RuleMode::Shadow)]).await;
    shadow.must("PUT", FORCED, "").await;
    shadow.stop().await;
    let observe = World::start(|config| {
        config.guard.rules = vec![protect(RuleMode::Enforce)];
        config.mode = Mode::Observe;
    })
    .await;
    observe.must("PUT", FORCED, "").await;
    observe.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_rules_for_the_next_request() {
    let world = World::start(|_| {}).await;
    world.must("PUT", FORCED, "").await;
    let mut changed = world.running.config.clone();
    changed.guard.rules = vec![protect(RuleMode::Enforce)];
    world.running.gateway.reload(&changed);
    assert_eq!(world.ask("PUT", FORCED, "").await.status(), StatusCode::FORBIDDEN);
    world.running.gateway.reload(&world.running.config);
    world.must("PUT", FORCED, "").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_on_one_branch_wait_their_turn_and_none_is_refused() {
    let world = World::start(|_| {}).await;
    let commits = (0..24).map(|n| {
        let body = format!(r#"{{"message":"turn {n}","allow_empty":true}}"#);
        let world = &world;
        async move {
            world
                .ask("POST", "/repositories/demo/branches/dev/commits", &body)
                .await
                .status()
        }
    });
    let statuses = futures_util::future::join_all(commits).await;
    assert!(
        statuses.iter().all(|status| *status == StatusCode::CREATED),
        "{statuses:?}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_outlives_the_gateway() {
    let world = World::start(|_| {}).await;
    world
        .must(
            "POST",
            "/repositories/demo/branches/dev/staging/pmpu?path=big&parts=1",
            "",
        )
        .await;
    let World { running, sandbox, .. } = world;
    let TestGateway {
        gateway,
        config,
        folder,
    } = running;
    gateway.stop().await;
    let store = reopened(&config.store).await;
    let uploads = store.uploads(Filter::default(), 10).await.unwrap();
    assert_eq!(uploads.len(), 1);
    assert_eq!((&*uploads[0].path, uploads[0].state), ("big", State::Open));
    assert!(uploads[0].upload_id.is_some());
    sandbox.shutdown().await;
    drop(folder);
}

/// The store of a gateway that has stopped: its thread lets go of the file a moment later.
async fn reopened(config: &StoreConfig) -> Store {
    let deadline = Instant::now() + LONG;
    loop {
        match Store::open(config) {
            Err(StoreError::Locked { .. }) if Instant::now() < deadline => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}
