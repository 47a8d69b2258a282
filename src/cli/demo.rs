//! What `lakegate serve --sandbox` adds: the look-alike with something in it, a configuration in front of it, and lines to paste.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, header};
use tokio::runtime::Handle;

use crate::config::types::Secret;
use crate::config::{Config, LoginConfig, Preset, RuleConfig, UpstreamIdentity};
use crate::lakefs_client::{Client, Dialer};
use crate::sandbox::{Sandbox, SandboxConfig};

/// A running demonstration.
pub(super) struct Demo {
    sandbox: Sandbox,
    setup: SandboxConfig,
}

impl Demo {
    /// Starts the sandbox, puts a repository into it, and points `config` at it.
    pub(super) async fn start(config: &mut Config) -> anyhow::Result<Self> {
        let setup = SandboxConfig::default();
        let sandbox = Sandbox::start(setup.clone()).await.context("starting the sandbox")?;
        config.upstream.url = sandbox.url().parse().map_err(anyhow::Error::msg)?;
        config.auth.lakefs_secret = Some(Secret::new(setup.secret.clone()));
        config.auth.upstream = UpstreamIdentity::Login(LoginConfig {
            access_key_id: Secret::new(setup.access_key_id.clone()),
            secret_access_key: Secret::new(setup.secret_access_key.clone()),
        });
        if config.guard.rules.is_empty() {
            config.guard.rules.push(protect_main());
        }
        let demo = Self { sandbox, setup };
        demo.fill(config).await.context("filling the sandbox")?;
        Ok(demo)
    }

    /// A repository `demo`: two commits on `main`, a branch `dev`.
    async fn fill(&self, config: &Config) -> anyhow::Result<()> {
        let dialer = Dialer::new(&config.upstream)?.into();
        let client = Client::new(dialer, &config.upstream.url, Handle::current());
        let repository = r#"{"name":"demo","storage_namespace":"s3://sandbox/demo","default_branch":"main"}"#;
        self.post(&client, "/repositories", repository).await?;
        for (object, message) in [("readme.md", "first light"), ("data.csv", "some data")] {
            self.post(
                &client,
                &format!("/repositories/demo/branches/main/objects?path={object}"),
                "hello",
            )
            .await?;
            let commit = format!(r#"{{"message":"{message}"}}"#);
            self.post(&client, "/repositories/demo/branches/main/commits", &commit)
                .await?;
        }
        self.post(
            &client,
            "/repositories/demo/branches",
            r#"{"name":"dev","source":"main"}"#,
        )
        .await
    }

    async fn post(&self, client: &Client, path: &str, body: &str) -> anyhow::Result<()> {
        let pair = STANDARD.encode(format!("{}:{}", self.setup.access_key_id, self.setup.secret_access_key));
        let kind = if path.contains("/objects") {
            "application/octet-stream"
        } else {
            "application/json"
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Basic {pair}"))
            .header(header::CONTENT_TYPE, kind)
            .body(Bytes::copy_from_slice(body.as_bytes()))?;
        let answer = client.send(request, Duration::from_secs(10)).await?;
        let said = String::from_utf8_lossy(answer.body());
        ensure!(answer.status().is_success(), "{path}: {} {said}", answer.status());
        Ok(())
    }

    /// What listens where, the keys, and lines to paste.
    pub(super) fn page(&self, gateway: SocketAddr, admin: SocketAddr) -> String {
        include_str!("demo.txt")
            .replace("{gateway}", &gateway.to_string())
            .replace("{admin}", &admin.to_string())
            .replace("{sandbox}", self.sandbox.url())
            .replace("{key}", &self.setup.access_key_id)
            .replace("{secret}", &self.setup.secret_access_key)
    }

    /// Ends the sandbox.
    pub(super) async fn end(self) {
        self.sandbox.shutdown().await;
    }
}

fn protect_main() -> RuleConfig {
    RuleConfig {
        name: "main-stays".to_owned(),
        branches: Some(vec!["main".to_owned()]),
        preset: Some(Preset::Protect),
        ..RuleConfig::default()
    }
}
