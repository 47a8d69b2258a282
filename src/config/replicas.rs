//! `replicas`: where several gateways in front of one lakeFS meet.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::tls::PemFile;
use super::types::{Period, Secret, scalar};

/// Several gateways in front of one lakeFS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReplicasConfig {
    /// The Redis they meet at. Without it this gateway is alone.
    pub redis: Option<RedisConfig>,
    /// What this one is called in log and commands; by default the machine's name.
    pub name: Option<String>,
}

/// The Redis that replicas meet at: it is the way between them, and never the only place of anything.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://HOST:PORT`, or `rediss://HOST:PORT` for TLS; with `/N` behind it the number of the database.
    pub url: RedisUrl,
    /// The user, if Redis has any.
    #[serde(default)]
    pub username: Option<String>,
    /// The password, by reference.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A PEM file of private certificate authorities, trusted instead of the machine's own.
    #[serde(default)]
    pub ca: Option<PemFile>,
    /// How all keys begin. Replicas of one lakeFS have the same, others another.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// How long a request may be held up by Redis, before the gateway goes on alone.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

impl RedisConfig {
    /// The defaults, for a Redis at an address.
    pub fn at(url: RedisUrl) -> Self {
        Self {
            url,
            username: None,
            password: None,
            ca: None,
            prefix: prefix(),
            timeout: timeout(),
        }
    }
}

fn prefix() -> String {
    "lakegate".to_owned()
}

fn timeout() -> Period {
    Period(Duration::from_millis(50))
}

/// Where Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Whether by TLS.
    pub secure: bool,
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The number of the database.
    pub database: u16,
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "rediss" } else { "redis" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)?;
        match self.database {
            0 => Ok(()),
            database => write!(f, "/{database}"),
        }
    }
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("this address {why}: write `redis://HOST:PORT`, or `rediss://HOST:PORT` for TLS");
        let uri: http::Uri = text.parse().map_err(|_| wrong("is none"))?;
        let secure = match uri.scheme_str() {
            Some("redis") => false,
            Some("rediss") => true,
            _ => return Err(wrong("does not begin with `redis://` or `rediss://`")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong(
                "holds a user or password, which `username` and `password` are for",
            ));
        }
        if uri.query().is_some() {
            return Err(wrong("has a query"));
        }
        let database = match uri.path().trim_start_matches('/') {
            "" => 0,
            number => number.parse().map_err(|_| wrong("ends with no number of a database"))?,
        };
        Ok(Self {
            secure,
            host: authority
                .host()
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: authority.port_u16().unwrap_or(6379),
            database,
        })
    }
}

scalar!(
    RedisUrl,
    "The address of a Redis server",
    r"^rediss?://[^/@?]+(/[0-9]*)?$",
    "redis://127.0.0.1:6379"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_redis_reads_back_as_written() {
        for text in [
            "redis://127.0.0.1:6379",
            "rediss://redis.example.com:6380/3",
            "redis://[::1]:6379",
        ] {
            assert_eq!(text.parse::<RedisUrl>().unwrap().to_string(), text);
        }
        assert_eq!("redis://cache".parse::<RedisUrl>().unwrap().port, 6379);
        for bad in [
            "cache:6379",
            "http://cache",
            "redis://:pw@cache",
            "redis://cache/x",
            "redis://cache?db=1",
            "",
        ] {
            let error = bad.parse::<RedisUrl>().unwrap_err();
            assert!(error.contains("redis://HOST:PORT") && !error.contains("pw"), "{error}");
        }
    }
}
