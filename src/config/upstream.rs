//! `upstream`: the lakeFS server behind the gateway.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::{HttpUrl, Period, Secret};

/// The lakeFS server behind the gateway.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Its address. There is no default in production: name it.
    pub url: HttpUrl,
    /// lakeFS's own `gateways.s3.domain_name`, one or several: what S3 clients use as host.
    pub s3_domains: Vec<String>,
    /// TLS to lakeFS, for an `https` address.
    pub tls: UpstreamTls,
    /// How long a new connection may take.
    pub connect_timeout: Period,
    /// How long lakeFS may take to begin its answer, once it has the whole request. A merge may take minutes.
    pub response_timeout: Period,
    /// How long a body may stand still, either way.
    pub idle_timeout: Period,
    /// How long an unused connection is kept.
    pub keep_alive: Period,
    /// How many unused connections each data thread keeps.
    pub max_idle_connections: usize,
    /// The most header lines of an answer. S3 objects bring a line for each piece of user metadata.
    pub max_headers: usize,
    /// Whether `/metrics` of lakeFS may be reached through the gateway.
    pub expose_metrics: bool,
    /// Whether `/_pprof/` of lakeFS may be reached through the gateway.
    pub expose_pprof: bool,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            url: HttpUrl {
                secure: false,
                host: "127.0.0.1".into(),
                port: 8000,
            },
            s3_domains: vec!["s3.local.lakefs.io".into()],
            tls: UpstreamTls::default(),
            connect_timeout: Period(Duration::from_secs(5)),
            response_timeout: Period(Duration::from_secs(600)),
            idle_timeout: Period(Duration::from_secs(120)),
            keep_alive: Period(Duration::from_secs(55)),
            max_idle_connections: 128,
            max_headers: 100,
            expose_metrics: false,
            expose_pprof: false,
        }
    }
}

/// TLS to lakeFS.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// A PEM file of private certificate authorities, trusted beside the machine's own.
    pub ca: Option<PathBuf>,
    /// A PEM file with the gateway's client certificate and its chain.
    pub certificate: Option<PathBuf>,
    /// The client certificate's key, as PEM, by reference: `${file:/etc/lakegate/client.key}`.
    pub key: Option<Secret>,
    /// The name to expect in lakeFS's certificate, if it is not the host of `url`.
    pub server_name: Option<String>,
    /// Whether HTTP/2 is offered to lakeFS, beside HTTP/1.1. Many requests then share a connection.
    pub http2: bool,
}
