//! `limit`: how much at a time, and how long to wait for a turn.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RuleMode;
use super::types::Period;

/// How much at a time, and how long to wait for a turn.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// Whether limits bite.
    pub mode: RuleMode,
    /// Each principal's share.
    pub principal: PrincipalLimit,
    /// Turns on one branch: `serialize`, `movers` or `off`.
    pub branch: BranchTurns,
    /// The whole upstream.
    pub upstream: UpstreamLimit,
    /// The longest wait for a turn, all queues together.
    pub max_wait: Period,
    /// The most requests that may wait at a time.
    pub max_waiting: usize,
    /// What an over-limit client gets, and what lakeFS's own 420, 423 and 429 become: 429, or 420 for clients of old API documents.
    #[schemars(extend("enum" = [429, 420]))]
    pub too_many_status: u16,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            mode: RuleMode::Enforce,
            principal: PrincipalLimit::default(),
            branch: BranchTurns::Serialize,
            upstream: UpstreamLimit::default(),
            max_wait: Period(Duration::from_secs(30)),
            max_waiting: 10_000,
            too_many_status: 429,
        }
    }
}

/// One principal's share, counted apart for each class of operation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrincipalLimit {
    /// Requests a second, per class of operation.
    #[schemars(range(min = 1))]
    pub requests_per_second: u32,
    /// How many may come at once after a pause.
    #[schemars(range(min = 1))]
    pub burst: u32,
    /// Requests on their way at a time.
    #[schemars(range(min = 1))]
    pub in_flight: usize,
}

impl Default for PrincipalLimit {
    fn default() -> Self {
        Self {
            requests_per_second: 500,
            burst: 1000,
            in_flight: 256,
        }
    }
}

/// Turns on one branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BranchTurns {
    /// What moves a branch goes one at a time, and no write to its staging area ends beside it.
    #[default]
    Serialize,
    /// What moves a branch goes one at a time; writes take no turn.
    Movers,
    /// No turns.
    Off,
}

/// The whole upstream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamLimit {
    /// Requests on their way to lakeFS at a time; streaming bodies count in `streams`.
    #[schemars(range(min = 1))]
    pub in_flight: usize,
    /// Streaming bodies at a time.
    #[schemars(range(min = 1))]
    pub streams: usize,
}

impl Default for UpstreamLimit {
    fn default() -> Self {
        Self {
            in_flight: 512,
            streams: 4096,
        }
    }
}
