//! `server`: threads, deadlines and sizes of the gateway's own server side.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::{self, ByteSize, Period};

/// Threads, deadlines and sizes of the gateway's own server side.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Data threads; 0 is one a core.
    pub threads: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// The largest request head.
    pub max_header_size: ByteSize,
    /// The most header lines of a request.
    pub max_headers: usize,
    /// How long a new connection may stay silent, and a request head may take.
    pub header_timeout: Period,
    /// How long a connection may rest between requests.
    pub keep_alive: Period,
    /// How long a client may stand still in the middle of a body, either way.
    pub idle_timeout: Period,
    /// The largest body that is read for judgement.
    pub inspected_body: ByteSize,
    /// All bodies that are being read for judgement, together.
    pub inspected_bodies: ByteSize,
    /// How long reading such a body may take.
    pub inspected_timeout: Period,
    /// How long a drain waits for requests under way.
    pub drain_timeout: Period,
    /// Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    #[serde(deserialize_with = "types::networks")]
    #[schemars(with = "Vec<types::Network>")]
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            max_connections: 20_000,
            max_header_size: ByteSize(64 << 10),
            max_headers: 100,
            header_timeout: Period(Duration::from_secs(10)),
            keep_alive: Period(Duration::from_secs(300)),
            idle_timeout: Period(Duration::from_secs(60)),
            inspected_body: ByteSize(4 << 20),
            inspected_bodies: ByteSize(64 << 20),
            inspected_timeout: Period(Duration::from_secs(10)),
            drain_timeout: Period(Duration::from_secs(30)),
            trusted_proxies: Vec::new(),
        }
    }
}
