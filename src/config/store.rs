//! `store`: where the gateway keeps what must survive.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::Secret;

/// Where the gateway keeps what must survive: `memory`, or `embedded` in a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StoreConfig {
    /// Nothing survives a restart.
    Memory,
    /// One file.
    Embedded(EmbeddedConfig),
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self::Embedded(EmbeddedConfig::default())
    }
}

/// The embedded store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// Its file.
    pub path: PathBuf,
    /// What the signed addresses of uploads are sealed with: at least 32 characters. Without it a key is made once, in a file beside the
    /// store's, of its name and `.key`.
    pub sealing_key: Option<Secret>,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            path: "lakegate.redb".into(),
            sealing_key: None,
        }
    }
}
