//! `auth`: who the clients are, and as whom the gateway speaks to lakeFS.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::{ByteSize, HttpUrl, Period, Secret};

/// Who the clients are, and as whom the gateway speaks to lakeFS.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// How a proved principal gets its lakeFS bearer: `passthrough`, `login` or `mint`.
    pub upstream: UpstreamIdentity,
    /// The gateway's own identity towards lakeFS, for its own calls (health needs none).
    pub service: Option<LoginConfig>,
    /// lakeFS's `auth.encrypt.secret_key`: lets the gateway verify lakeFS tokens and cookies itself. Where lakeFS does not see
    /// whose a request is (`login`, `mint` with a user), it is still asked whether a token's user is there.
    pub lakefs_secret: Option<Secret>,
    /// Basic credentials (lakeFS key pairs).
    pub basic: BasicConfig,
    /// `oidc_auth_session` cookies.
    pub oidc_cookie: SignedCookieConfig,
    /// `saml_auth_session` cookies.
    pub saml_cookie: SignedCookieConfig,
    /// Whose the access keys of S3 requests are, by their ids. Where a key's secret is not given only lakeFS verifies its signatures, so
    /// such a request gains no rights by the name.
    pub s3_keys: BTreeMap<String, S3KeyConfig>,
    /// The longest signed chunk of an S3 upload in aws-chunks: one is held in memory until its signature is verified.
    pub signed_chunk: ByteSize,
    /// How long a credential that lakeFS accepted is believed without asking again.
    pub proof_ttl: Period,
    /// Whether lakeFS's set-up endpoints may be reached through the gateway.
    pub allow_setup: bool,
    /// Failed logins an address may make in a minute before it has to wait.
    pub failed_logins_per_minute: u32,
    /// An HTTP proxy for calls to identity providers.
    pub egress_proxy: Option<HttpUrl>,
}

impl AuthConfig {
    /// Whether the gateway has a user of its own before lakeFS, for calls that no client's request carries.
    pub fn has_own_user(&self) -> bool {
        self.service.is_some()
            || match &self.upstream {
                UpstreamIdentity::Passthrough => false,
                UpstreamIdentity::Login(_) => true,
                UpstreamIdentity::Mint(mint) => mint.user.is_some(),
            }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            upstream: UpstreamIdentity::default(),
            service: None,
            lakefs_secret: None,
            basic: BasicConfig::default(),
            oidc_cookie: SignedCookieConfig::default(),
            saml_cookie: SignedCookieConfig::default(),
            s3_keys: BTreeMap::new(),
            signed_chunk: ByteSize(16 << 20),
            proof_ttl: Period(Duration::from_secs(20)),
            allow_setup: false,
            failed_logins_per_minute: 30,
            egress_proxy: None,
        }
    }
}

/// How a proved principal gets its lakeFS bearer.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum UpstreamIdentity {
    /// The client's own credential goes through as it came.
    #[default]
    Passthrough,
    /// A stored lakeFS key pair, exchanged at `/auth/login` and refreshed ahead of its end.
    Login(LoginConfig),
    /// Short HS256 tokens made with lakeFS's own secret (`auth.lakefs_secret`).
    Mint(MintConfig),
}

/// A lakeFS key pair.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginConfig {
    /// Its access key id.
    pub access_key_id: Secret,
    /// Its secret.
    pub secret_access_key: Secret,
}

/// Tokens made with lakeFS's own secret.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MintConfig {
    /// The lakeFS user that tokens are for; by default the principal's own name. One-user lakeFS needs its one user here.
    pub user: Option<String>,
    /// How long a token lives.
    pub lifetime: Period,
}

impl Default for MintConfig {
    fn default() -> Self {
        Self {
            user: None,
            lifetime: Period(Duration::from_secs(300)),
        }
    }
}

/// Basic credentials.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BasicConfig {
    /// Whether lakeFS key pairs are accepted as basic credentials.
    pub enabled: bool,
}

impl Default for BasicConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Whose an access key is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3KeyConfig {
    /// The name of its owner.
    pub principal: String,
    /// Its secret, if it is a key of the gateway's own: what is signed with it is verified, and signed anew for lakeFS.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// The owner's groups. Rules by group speak of proved principals only: without its secret, a key's signature proves nothing here.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// A session cookie in lakeFS's own signed form, verified with `auth.lakefs_secret`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SignedCookieConfig {
    /// Whether it is accepted.
    pub enabled: bool,
    /// The claim that names the user.
    pub user_claim: String,
    /// The claim that lists groups, separated by commas.
    pub groups_claim: Option<String>,
    /// Claims that must have exactly these values.
    pub required_claims: BTreeMap<String, String>,
    /// The longest age of a cookie.
    pub max_age: Period,
}

impl Default for SignedCookieConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            user_claim: "sub".into(),
            groups_claim: None,
            required_claims: BTreeMap::new(),
            max_age: Period(Duration::from_secs(30 * 86_400)),
        }
    }
}
