//! `guard`: what is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RuleMode;

/// What is refused.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuardConfig {
    /// The rules. A request is refused if any rule refuses it.
    pub rules: Vec<RuleConfig>,
}

/// One rule: on these branches of these repositories, what the preset says.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Its name: what a refused client and the log are told.
    pub name: String,
    /// Repositories, in lakeFS's own glob syntax (`*`, `?`, `[a-c]`, `{a,b}`).
    #[serde(default = "everything")]
    pub repositories: Vec<String>,
    /// Branches, in the same syntax.
    pub branches: Vec<String>,
    /// What is refused there.
    #[serde(default)]
    pub preset: Preset,
    /// Which hard resets are refused.
    #[serde(default)]
    pub hard_reset: HardResetMember,
    /// Whether it bites.
    #[serde(default)]
    pub mode: RuleMode,
}

fn everything() -> Vec<String> {
    vec!["*".into()]
}

/// A named set of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Forced hard resets, and mutations that the gateway does not know.
    #[default]
    Protect,
}

/// Which hard resets are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HardResetMember {
    /// Those with `force`.
    #[default]
    Forced,
    /// All of them.
    Any,
}
