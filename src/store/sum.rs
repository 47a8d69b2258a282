//! Who read how much in an hour.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Record, Timestamp};

/// One hour's sum of one kind of read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// When the hour begins.
    pub hour: Timestamp,
    /// Who read.
    pub principal: String,
    /// By which access key.
    pub key: Option<String>,
    /// The repository.
    pub repository: String,
    /// Branch, tag or commit; empty where the operation names none.
    pub reference: String,
    /// lakeFS's operation id.
    pub operation: String,
    /// Whether the bytes that were meant pass by the gateway: the answer gave a presigned URL, a redirect or a physical address.
    pub granted: bool,
    /// How often.
    pub count: u64,
    /// Bytes of the answers.
    pub bytes: u64,
}

impl Record for Sum {
    const TABLE: &'static str = "reads";

    /// In the order of hours; within one by what is summed up, so that one more of it is found.
    fn id(&self) -> Uuid {
        let mut digest = Context::new(&SHA256);
        let granted = if self.granted { "granted" } else { "served" };
        let key = self.key.as_deref().map_or(String::new(), |key| format!("={key}"));
        for part in [
            &self.principal,
            &key,
            &self.repository,
            &self.reference,
            &self.operation,
            granted,
        ] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let digest = digest.finish();
        let low = digest
            .as_ref()
            .iter()
            .take(12)
            .fold(0_u128, |low, byte| low << 8 | u128::from(*byte));
        Uuid::from_u128(Self::first_id(self.hour) | low)
    }
}

impl Sum {
    /// An hour, in milliseconds.
    pub const HOUR_MS: u64 = 3_600_000;

    /// The lowest id of the hour that a moment is in.
    pub fn first_id(time: Timestamp) -> u128 {
        u128::from(u32::try_from(time.0 / Self::HOUR_MS).unwrap_or(u32::MAX)) << 96
    }
}
