//! Parsed scalars: a bad value fails at its own line, with what would have been right.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

/// A secret: never printed, never serialized, wiped when dropped. In YAML only by reference: `${env:NAME}` or `${file:PATH}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret into keeping.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself. Whoever calls this must not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

macro_rules! scalar {
    ($name:ident, $what:literal, $pattern:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        // Only so that the schema can tell editors the defaults.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $what, "pattern": $pattern, "examples": [$example] })
            }
        }
    };
}

pub(super) use scalar;

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A reference to a secret", "pattern": r"^\$\{(env|file):[^}]+\}$", "examples": ["${env:LAKEFS_SECRET}"] })
    }
}

/// A length of time with its unit: `250ms`, `30s`, `5m`, `20h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("`{text}` {why}: write a number with its unit, as in `250ms`, `30s`, `5m` or `20h`");
        let period = humantime::parse_duration(text).map_err(|_| wrong("is not a length of time"))?;
        if period > MAX_PERIOD {
            return Err(wrong("is more than ten years"));
        }
        Ok(Self(period))
    }
}

/// Far beyond any use, and short enough that no clock overflows.
const MAX_PERIOD: Duration = Duration::from_secs(10 * 366 * 86_400);

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if self.0.subsec_nanos() != 0 || seconds == 0 {
            return humantime::format_duration(self.0).fmt(f);
        }
        match (seconds % 3600, seconds % 60) {
            (0, _) => write!(f, "{}h", seconds / 3600),
            (_, 0) => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{seconds}s"),
        }
    }
}

scalar!(
    Period,
    "A length of time with its unit",
    r"^[0-9]+ *(ms|s|m|h|d).*$",
    "30s"
);

/// A number of bytes with its unit: `64KiB`, `4MiB`, `1GiB`, or plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// As a length in memory, at most what an address can hold.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units
            .into_iter()
            .find(|(factor, _)| self.0 >= *factor && self.0.is_multiple_of(*factor))
        {
            Some((factor, unit)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size: write bytes with a unit, as in `64KiB`, `4MiB` or `1GiB`");
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "KB" | "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(wrong)
    }
}

scalar!(
    ByteSize,
    "A number of bytes with its unit",
    r"^[0-9]+ *(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB)?$",
    "4MiB"
);

/// An `http://` or `https://` address without path, query or user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Whether it is `https`.
    pub secure: bool,
    /// Host name or address, IPv6 in brackets.
    pub host: String,
    /// The port, by default the scheme's.
    pub port: u16,
}

impl HttpUrl {
    /// `host:port`, for dialling.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` {why}: write it as `http://HOST:PORT` or `https://HOST`");
        let uri: http::Uri = text.parse().map_err(|_| wrong("is not an address"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("has no scheme")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("holds a user name"));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(wrong("has a path"));
        }
        Ok(Self {
            secure,
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
        })
    }
}

scalar!(
    HttpUrl,
    "An http or https address without a path",
    r"^https?://[^/@]+/?$",
    "http://127.0.0.1:8000"
);

/// An IP address with its port: `127.0.0.1:8080`, `[::1]:8080`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address(pub(super) SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an IP address with a port: write `127.0.0.1:8080` or `[::1]:8080`");
        text.parse().map(Self).map_err(|_| wrong())
    }
}

scalar!(
    Address,
    "An IP address with its port",
    r"^(([0-9]{1,3}\.){3}[0-9]{1,3}|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$",
    "127.0.0.1:8080"
);

/// Reads a key that is one address, for `serde(deserialize_with)`.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    Address::deserialize(deserializer).map(|address| address.0)
}

/// A network of IP addresses: `10.0.0.0/8`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network(pub(super) ipnet::IpNet);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not a network: write `10.0.0.0/8` or `fd00::/8`, and `/32` or `/128` for one address")
        };
        text.parse().map(Self).map_err(|_| wrong())
    }
}

scalar!(
    Network,
    "A network of IP addresses",
    r"^[0-9a-fA-F:.]+/[0-9]{1,3}$",
    "10.0.0.0/8"
);

/// Reads a key that is a list of networks, for `serde(deserialize_with)`.
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ipnet::IpNet>, D::Error> {
    let networks = Vec::<Network>::deserialize(deserializer)?;
    Ok(networks.into_iter().map(|network| network.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_units() {
        assert_eq!("64KiB".parse(), Ok(ByteSize(65_536)));
        assert_eq!("5".parse(), Ok(ByteSize(5)));
        assert!("5 parsecs".parse::<ByteSize>().is_err());
        assert!("99999999999TiB".parse::<ByteSize>().is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["250ms", "30s", "5m", "20h", "90s", "0s"] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.to_string().parse(), Ok(period), "{text}");
        }
        for text in ["64KiB", "5", "1536KiB", "2GiB"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        assert!("11years".parse::<Period>().is_err());
        assert!("30".parse::<Period>().is_err());
    }

    #[test]
    fn urls_name_only_a_server() {
        assert_eq!(
            "https://lakefs.example.com".parse::<HttpUrl>().unwrap().authority(),
            "lakefs.example.com:443"
        );
        for bad in ["lakefs:8000", "ftp://x", "http://u:p@h", "http://h/path", ""] {
            assert!(bad.parse::<HttpUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[redacted]");
    }
}
