//! What the YAML file may say: one field a top-level key, one file a section, named like the feature's folder.
//!
//! `load` reads and parses, `check` looks across sections, `types` are the parsed scalars. Each feature sees only its own section.
//! Everything but `upstream.url` has a default that is safe.

mod load;
pub mod types;

mod admin;
mod audit;
mod auth;
mod certificates;
mod check;
mod environment;
mod guard;
mod layers;
mod limit;
mod listen;
mod log;
mod problem;
mod record;
pub mod reload;
mod replicas;
mod rules;
mod schema;
mod server;
mod shape;
mod store;
pub mod tls;
mod tree;
mod uploads;
mod upstream;
mod when;
mod written;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use admin::AdminConfig;
pub use audit::{AuditConfig, OnFull, ReadsConfig, RotateConfig, SyncPolicy};
pub use auth::{AuthConfig, BasicConfig, LoginConfig, MintConfig, S3KeyConfig, SignedCookieConfig, UpstreamIdentity};
pub use guard::{
    Effect, GuardConfig, GuardDefault, HardResetMember, LakefsRules, OperationId, Preset, Role, RoleConfig, RuleConfig,
    WhoConfig,
};
pub use limit::{BranchTurns, InFlight, InFlightRange, LimitConfig, PrincipalLimit, UpstreamLimit};
pub use listen::{ListenConfig, Listener};
pub use load::{Loaded, load};
pub use log::{LogConfig, LogFormat};
pub use problem::{Place, Problem, Problems, Severity};
pub use record::{ApprovalsConfig, RecordConfig, UndoConfig, UndoOperation, Unreadable};
pub use replicas::{RedisConfig, RedisUrl, ReplicasConfig};
pub use schema::schema;
pub use server::ServerConfig;
pub use store::{EmbeddedConfig, StoreConfig};
pub use uploads::{OnAbandoned, UploadsConfig};
pub use upstream::{UpstreamConfig, UpstreamTls};
pub use when::{Day, Hours, Moment, Timezone, WhenConfig};

/// The whole configuration file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect: `ADDRESS:PORT`, or a list of them; with TLS `{ address: ADDRESS:PORT, tls: ... }`.
    pub listen: ListenConfig,
    /// What browsers see in front of the gateway, if it is not the listen address: `https://lakefs.example.com`.
    pub public_url: Option<types::HttpUrl>,
    /// `enforce`, or `observe`: every refusal by policy is only recorded, for day one.
    pub mode: Mode,
    /// The lakeFS server behind the gateway.
    pub upstream: UpstreamConfig,
    /// Who the clients are, and as whom the gateway speaks to lakeFS.
    pub auth: AuthConfig,
    /// Who may do what, where and when.
    pub guard: GuardConfig,
    /// How much at a time, and how long to wait for a turn.
    pub limit: LimitConfig,
    /// What is written down before a destructive call goes.
    pub record: RecordConfig,
    /// The ledger of multipart uploads.
    pub uploads: UploadsConfig,
    /// The log of decisions, and who read how much.
    pub audit: AuditConfig,
    /// Where the gateway keeps what must survive.
    pub store: StoreConfig,
    /// Several gateways in front of one lakeFS.
    pub replicas: ReplicasConfig,
    /// Log lines.
    pub log: LogConfig,
    /// The listener for health and metrics, and the socket for commands.
    pub admin: AdminConfig,
    /// Threads, deadlines and sizes of the gateway's own server side.
    pub server: ServerConfig,
}

/// Whether refusals by policy bite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// Each is only logged and counted; framing errors still refuse.
    Observe,
}

/// Whether one rule or limit bites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleMode {
    /// It does.
    #[default]
    Enforce,
    /// It only says in log and metrics what it would have done.
    Shadow,
}

#[cfg(test)]
mod tests;
