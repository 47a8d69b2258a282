//! `listen`: where clients connect.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

/// One address, or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ListenConfig {
    /// `127.0.0.1:8080`
    One(SocketAddr),
    /// `["127.0.0.1:8080", "[::1]:8080"]`
    Many(Vec<SocketAddr>),
}

impl ListenConfig {
    /// All addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Many(addresses) => addresses,
        }
    }
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self::One(SocketAddr::from(([127, 0, 0, 1], 8080)))
    }
}
