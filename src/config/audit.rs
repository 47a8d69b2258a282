//! `audit`: the log of decisions, and who read how much.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::{ByteSize, Period};

/// The log of decisions, and who read how much.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// The file that gets a line of JSON for each change, refusal and login. Without it there is none.
    pub file: Option<PathBuf>,
    /// When a new file is begun.
    pub rotate: RotateConfig,
    /// How long a file stays after a new one was begun.
    pub retention: Period,
    /// What becomes of a change that cannot be written down: `refuse` it, or `continue` and count it.
    pub on_full: OnFull,
    /// When the file is forced to the disk: `always` after each write, `each_second`, or `never`.
    pub sync: SyncPolicy,
    /// Reads, summed up by the hour.
    pub reads: ReadsConfig,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            file: None,
            rotate: RotateConfig::default(),
            retention: Period(Duration::from_secs(90 * 86_400)),
            on_full: OnFull::Refuse,
            sync: SyncPolicy::EachSecond,
            reads: ReadsConfig::default(),
        }
    }
}

/// When a new file is begun: whichever comes first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RotateConfig {
    /// The file's size.
    pub size: ByteSize,
    /// Its age, in whole periods of UTC: `24h` is at midnight.
    pub age: Period,
}

impl Default for RotateConfig {
    fn default() -> Self {
        Self {
            size: ByteSize(128 << 20),
            age: Period(Duration::from_secs(86_400)),
        }
    }
}

/// What becomes of a change that cannot be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// It is answered with 503 and not forwarded.
    #[default]
    Refuse,
    /// It is forwarded, counted and logged.
    Continue,
}

/// When the file is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncPolicy {
    /// After each write; lines that wait together are one.
    Always,
    /// Once a second, if there was a line.
    #[default]
    EachSecond,
    /// When the system likes.
    Never,
}

/// Reads, summed up by the hour.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReadsConfig {
    /// How long an hour's sums are kept.
    pub retention: Period,
    /// The most sums of one hour; what does not fit is counted under `(other)`. 0 keeps none.
    pub per_hour: usize,
    /// The most sums in all; the oldest go first.
    pub max_records: usize,
}

impl Default for ReadsConfig {
    fn default() -> Self {
        Self {
            retention: Period(Duration::from_secs(400 * 86_400)),
            per_hour: 10_000,
            max_records: 1_000_000,
        }
    }
}
