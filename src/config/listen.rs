//! `listen`: where clients connect, and where with TLS.

use std::fmt;
use std::net::SocketAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::tls::ListenTls;
use super::types::{self, Address};

/// One address, or several.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub enum ListenConfig {
    /// `127.0.0.1:8080`
    One(Listener),
    /// `["127.0.0.1:8080", "[::1]:8080"]`
    Many(Vec<Listener>),
}

/// One address: `127.0.0.1:8080`, or `{ address: 0.0.0.0:8443, tls: { ... } }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// Its TLS; plain HTTP without.
    pub tls: Option<ListenTls>,
}

/// An address with what belongs to it.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Full {
    /// An IP address with its port.
    #[serde(deserialize_with = "types::address")]
    #[schemars(with = "Address")]
    address: SocketAddr,
    /// TLS on it; plain HTTP without.
    #[serde(default)]
    tls: Option<ListenTls>,
}

impl ListenConfig {
    /// All listeners.
    pub fn listeners(&self) -> &[Listener] {
        match self {
            Self::One(listener) => std::slice::from_ref(listener),
            Self::Many(listeners) => listeners,
        }
    }

    /// The path of the key that holds one of them.
    pub(super) fn key(&self, index: usize) -> String {
        match self {
            Self::One(_) => "listen".to_owned(),
            Self::Many(_) => format!("listen[{index}]"),
        }
    }

    /// Whether both take the same addresses, with TLS on the same ones.
    pub(super) fn opens_as(&self, other: &Self) -> bool {
        let open = |config: &Self| -> Vec<(SocketAddr, bool)> {
            let listeners = config.listeners().iter();
            listeners
                .map(|listener| (listener.address, listener.tls.is_some()))
                .collect()
        };
        open(self) == open(other)
    }

    /// These addresses with the certificates that `new` has for them: an open socket stays, what it shows may change.
    pub(super) fn renewed(&self, new: &Self) -> Self {
        let renew = |listener: &Listener| {
            let same = |other: &&Listener| other.address == listener.address && other.tls.is_some();
            let found = new.listeners().iter().find(same).filter(|_| listener.tls.is_some());
            found.unwrap_or(listener).clone()
        };
        match self {
            Self::One(listener) => Self::One(renew(listener)),
            Self::Many(listeners) => Self::Many(listeners.iter().map(renew).collect()),
        }
    }
}

impl Default for ListenConfig {
    fn default() -> Self {
        SocketAddr::from(([127, 0, 0, 1], 8080)).into()
    }
}

impl From<SocketAddr> for Listener {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }
}

impl From<SocketAddr> for ListenConfig {
    fn from(address: SocketAddr) -> Self {
        Self::One(address.into())
    }
}

impl JsonSchema for Listener {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Listener".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<Address>(), generator.subschema_for::<Full>()] })
    }
}

// By hand, because serde's untagged enums lose which item was wrong, and why.
impl<'de> Deserialize<'de> for Listener {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Listener;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or a mapping with one")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Listener, E> {
                let address: Address = text.parse().map_err(E::custom)?;
                Ok(address.0.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listener, A::Error> {
                let Full { address, tls } = serde::Deserialize::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Listener { address, tls })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for ListenConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = ListenConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a list of addresses")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ListenConfig, E> {
                let address: Address = text.parse().map_err(E::custom)?;
                Ok(address.0.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListenConfig, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(ListenConfig::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ListenConfig, A::Error> {
                let mut listeners = Vec::new();
                while let Some(listener) = items.next_element()? {
                    listeners.push(listener);
                }
                Ok(ListenConfig::Many(listeners))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tls::{CertificateConfig, ClientCertificates, PemFile};
    use crate::config::types::Secret;

    fn listener(port: u16, key: Option<&str>) -> Listener {
        let tls = key.map(|key| ListenTls {
            certificates: vec![CertificateConfig {
                certificate: PemFile::read(std::path::Path::new("nowhere")),
                key: Secret::new(key),
            }],
            client_ca: None,
            client_certificates: ClientCertificates::Off,
        });
        Listener {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            tls,
        }
    }

    #[test]
    fn a_reload_renews_certificates_and_opens_nothing() {
        let running = ListenConfig::Many(vec![listener(1, None), listener(2, Some("old"))]);
        let renewed = ListenConfig::Many(vec![listener(1, None), listener(2, Some("new"))]);
        assert!(running.opens_as(&renewed));
        assert_eq!(running.renewed(&renewed), renewed);
        for other in [
            vec![
                listener(2, Some("new")),
                listener(1, Some("new")),
                listener(3, Some("new")),
            ],
            vec![listener(2, Some("new"))],
        ] {
            let other = ListenConfig::Many(other);
            assert!(!running.opens_as(&other));
            assert_eq!(running.renewed(&other), renewed);
        }
        let plain = ListenConfig::Many(vec![listener(1, None), listener(2, None)]);
        assert!(!running.opens_as(&plain));
        assert_eq!(running.renewed(&plain), running);
    }
}
