//! `listen`: where clients connect.

use std::fmt;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::types::Address;

/// One address, or several.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum ListenConfig {
    /// `127.0.0.1:8080`
    One(#[schemars(with = "Address")] SocketAddr),
    /// `["127.0.0.1:8080", "[::1]:8080"]`
    Many(#[schemars(with = "Vec<Address>")] Vec<SocketAddr>),
}

impl ListenConfig {
    /// All addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Many(addresses) => addresses,
        }
    }

    /// The path of the key that holds one of them.
    pub(super) fn key(&self, index: usize) -> String {
        match self {
            Self::One(_) => "listen".to_owned(),
            Self::Many(_) => format!("listen[{index}]"),
        }
    }
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self::One(SocketAddr::from(([127, 0, 0, 1], 8080)))
    }
}

// By hand, because serde's untagged enums lose which item was wrong, and why.
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
                Ok(ListenConfig::One(address.0))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ListenConfig, A::Error> {
                let mut addresses = Vec::new();
                while let Some(Address(address)) = items.next_element()? {
                    addresses.push(address);
                }
                Ok(ListenConfig::Many(addresses))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
