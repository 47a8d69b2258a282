//! `limit`: how much at a time, and how long to wait for a turn.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::RuleMode;
use super::types::Period;

/// How much at a time, and how long to wait for a turn.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// Whether limits bite.
    pub mode: RuleMode,
    /// Each principal's share.
    pub principal: PrincipalLimit,
    /// Turns on one branch: `serialize`, `movers` or `off`.
    pub branch: BranchTurns,
    /// The whole upstream.
    pub upstream: UpstreamLimit,
    /// The longest wait for a turn, all queues together.
    pub max_wait: Period,
    /// The most requests that may wait at a time.
    pub max_waiting: usize,
    /// What an over-limit client gets, and what lakeFS's own 420, 423 and 429 become: 429, or 420 for clients of old API documents.
    #[schemars(extend("enum" = [429, 420]))]
    pub too_many_status: u16,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            mode: RuleMode::Enforce,
            principal: PrincipalLimit::default(),
            branch: BranchTurns::Serialize,
            upstream: UpstreamLimit::default(),
            max_wait: Period(Duration::from_secs(30)),
            max_waiting: 10_000,
            too_many_status: 429,
        }
    }
}

/// One principal's share, counted apart for each class of operation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrincipalLimit {
    /// Requests a second, per class of operation.
    #[schemars(range(min = 1))]
    pub requests_per_second: u32,
    /// How many may come at once after a pause.
    #[schemars(range(min = 1))]
    pub burst: u32,
    /// Requests on their way at a time.
    #[schemars(range(min = 1))]
    pub in_flight: usize,
}

impl Default for PrincipalLimit {
    fn default() -> Self {
        Self {
            requests_per_second: 500,
            burst: 1000,
            in_flight: 256,
        }
    }
}

/// Turns on one branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BranchTurns {
    /// What moves a branch goes one at a time, and no write to its staging area ends beside it.
    #[default]
    Serialize,
    /// What moves a branch goes one at a time; writes take no turn.
    Movers,
    /// No turns.
    Off,
}

/// The whole upstream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamLimit {
    /// Requests on their way to lakeFS at a time: a number, or `auto`, or `{ min: ..., max: ... }`, between which it is learned from
    /// lakeFS's answers. Streaming bodies count in `streams`.
    pub in_flight: InFlight,
    /// Streaming bodies at a time.
    #[schemars(range(min = 1))]
    pub streams: usize,
}

impl Default for UpstreamLimit {
    fn default() -> Self {
        Self {
            in_flight: InFlight::Fixed(512),
            streams: 4096,
        }
    }
}

/// How many requests may be on their way to lakeFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InFlight {
    /// So many.
    Fixed(usize),
    /// Learned, between two numbers.
    Learned(InFlightRange),
}

/// Between which numbers it is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InFlightRange {
    /// The least.
    #[schemars(range(min = 1))]
    pub min: usize,
    /// The most.
    #[schemars(range(min = 1))]
    pub max: usize,
}

impl Default for InFlightRange {
    fn default() -> Self {
        Self { min: 16, max: 1024 }
    }
}

impl InFlight {
    /// The least and the most that it may be.
    pub fn bounds(self) -> (usize, usize) {
        match self {
            Self::Fixed(number) => (number, number),
            Self::Learned(InFlightRange { min, max }) => (min, max),
        }
    }
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(number) => number.fmt(f),
            Self::Learned(InFlightRange { min, max }) => write!(f, "{min} to {max}, learned"),
        }
    }
}

impl From<usize> for InFlight {
    fn from(number: usize) -> Self {
        Self::Fixed(number)
    }
}

impl JsonSchema for InFlight {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "InFlight".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 1 },
            { "type": "string", "enum": ["auto"] },
            generator.subschema_for::<InFlightRange>(),
        ] })
    }
}

// Only so that the schema can tell editors the default.
impl Serialize for InFlight {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(number) => serializer.serialize_u64(*number as u64),
            Self::Learned(_) => serializer.serialize_str("auto"),
        }
    }
}

// By hand, because serde's untagged enums lose what was wrong.
impl<'de> Deserialize<'de> for InFlight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = InFlight;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, `auto`, or `{ min: ..., max: ... }`")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<InFlight, E> {
                Ok(InFlight::Fixed(usize::try_from(number).map_err(E::custom)?))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<InFlight, E> {
                Ok(InFlight::Fixed(usize::try_from(number).map_err(E::custom)?))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<InFlight, E> {
                match text {
                    "auto" => Ok(InFlight::Learned(InFlightRange::default())),
                    // From a variable of the environment.
                    number => number.parse().map(InFlight::Fixed).map_err(E::custom),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<InFlight, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(InFlight::Learned)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn requests_in_flight_are_a_number_or_learned_between_two() {
        let read = |yaml: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("lakegate.yaml");
            let yaml =
                format!("upstream: {{url: \"http://127.0.0.1:8000\"}}\nlimit: {{upstream: {{in_flight: {yaml}}}}}\n");
            std::fs::write(&file, yaml).unwrap();
            let loaded = crate::config::load(Some(&file));
            loaded.map(|loaded| loaded.config.limit.upstream.in_flight.bounds())
        };
        assert_eq!(read("7").unwrap(), (7, 7));
        assert_eq!(read("auto").unwrap(), (16, 1024));
        assert_eq!(read("{max: 64}").unwrap(), (16, 64));
        for wrong in ["0", "some", "{min: 8, max: 4}", "{min: 0}", "{most: 4}", "2000000"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
