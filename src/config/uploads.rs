//! `uploads`: the ledger of multipart uploads.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::Period;

/// The ledger of multipart uploads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UploadsConfig {
    /// When an upload without a sign of life is called abandoned: before lakeFS's own 24 hours end.
    pub abandoned_after: Period,
    /// What becomes of an abandoned upload.
    pub on_abandoned: OnAbandoned,
    /// How long a finished upload stays in the ledger.
    pub retention: Period,
    /// The most uploads the ledger holds; the oldest finished ones go first.
    pub max_records: usize,
}

/// What becomes of an abandoned upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnAbandoned {
    /// It is told and counted, and stays.
    #[default]
    Report,
    /// It is aborted at lakeFS, as the gateway's own user.
    Abort,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        Self {
            abandoned_after: Period(Duration::from_secs(20 * 3600)),
            on_abandoned: OnAbandoned::default(),
            retention: Period(Duration::from_secs(30 * 86_400)),
            max_records: 1_000_000,
        }
    }
}
