//! `admin`: the listener for health and metrics, and the socket for commands.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::types;

/// The listener for health and metrics, and the socket for commands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Where `/livez`, `/readyz` and `/metrics` answer.
    #[serde(deserialize_with = "types::address")]
    #[schemars(with = "types::Address")]
    pub listen: SocketAddr,
    /// Host names it is called by, beside `localhost` and plain addresses; others are refused, so that no web page can reach it by
    /// a name of its own.
    pub hosts: Vec<String>,
    /// The unix socket of commands on the running process (mode 0600).
    pub socket: PathBuf,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            hosts: Vec::new(),
            socket: "lakegate.sock".into(),
        }
    }
}
