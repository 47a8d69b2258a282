//! A moment on the wall clock, in milliseconds: what survives a restart cannot count by the process's own clock.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Milliseconds since 1970; written as RFC 3339, as in `2026-11-24T15:00:00.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The present moment.
    pub fn now() -> Self {
        Self::of(SystemTime::now())
    }

    fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// How long before `self` the `earlier` moment was; nothing if the clock has been set back between them.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This long after.
    pub fn after(self, period: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(period.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// This long before.
    pub fn before(self, period: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(period.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime refuses years beyond 9999.
        let last = 253_402_300_799_999;
        let time = UNIX_EPOCH + Duration::from_millis(self.0.min(last));
        humantime::format_rfc3339_millis(time).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map(Self::of).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_as_written() {
        for moment in [0, 1_795_532_400_123, 253_402_300_799_999] {
            let written = serde_json::to_string(&Timestamp(moment)).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&written).unwrap(), Timestamp(moment));
        }
        assert_eq!(Timestamp(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_clock_set_back_makes_no_negative_age() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(5).before(Duration::from_secs(1)), Timestamp(0));
    }
}
