//! Times as signatures write them (`20060102T150405Z`), and how far they may be from now. Pure.

use std::time::Duration;

use crate::exchange::SignatureFault;

/// How far a request's time may be from the gateway's, either way: as S3, and as lakeFS.
pub(super) const SKEW: u64 = 15 * 60;
/// A presigned URL older than this goes to lakeFS with a new time: lakeFS measures it against the skew too, whatever its expiry
/// (pkg/gateway/sig/v4.go, `verifyExpiration`).
pub(super) const STALE: u64 = 10 * 60;
/// The longest life of a presigned URL: seven days.
pub(super) const EXPIRES_MAX: u64 = 604_800;

/// A time of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    text: String,
    /// Seconds since 1970.
    unix: u64,
}

impl Stamp {
    /// Reads exactly `YYYYMMDDThhmmssZ`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
        if bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            digits
                .bytes()
                .all(|digit| digit.is_ascii_digit())
                .then_some(digits)?
                .parse::<i16>()
                .ok()
        };
        let part = |from, to| i8::try_from(number(from, to)?).ok();
        let civil = jiff::civil::DateTime::new(
            number(0, 4)?,
            part(4, 6)?,
            part(6, 8)?,
            part(9, 11)?,
            part(11, 13)?,
            part(13, 15)?,
            0,
        );
        let seconds = civil
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second();
        Some(Self {
            text: text.to_owned(),
            unix: u64::try_from(seconds).ok()?,
        })
    }

    /// This time, in seconds since 1970.
    pub(super) fn of(unix: u64) -> Option<Self> {
        let seconds = i64::try_from(unix).ok()?;
        let time = jiff::Timestamp::from_second(seconds).ok()?;
        let text = time.strftime("%Y%m%dT%H%M%SZ").to_string();
        Some(Self { text, unix })
    }

    /// As it is written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Its day, as scopes write it.
    pub(super) fn day(&self) -> &str {
        self.text.get(..8).unwrap_or_default()
    }

    /// How old it is.
    pub(super) fn age(&self, now: Duration) -> u64 {
        now.as_secs().saturating_sub(self.unix)
    }

    /// Whether a request of this time may be served now (since 1970): of a presigned one, its life counts.
    pub(super) fn check(&self, expires: Option<u64>, now: Duration) -> Result<(), SignatureFault> {
        let now = now.as_secs();
        match expires {
            None if now.abs_diff(self.unix) > SKEW => Err(SignatureFault::Skewed),
            Some(_) if self.unix > now + SKEW => Err(SignatureFault::NotYet),
            Some(life) if now > self.unix + life => Err(SignatureFault::Expired),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(text: &str) -> Stamp {
        Stamp::parse(text).unwrap()
    }

    #[test]
    fn a_time_has_one_spelling() {
        assert_eq!(stamp("20150830T123600Z").unix, 1_440_938_160);
        assert_eq!(Stamp::of(1_440_938_160).unwrap(), stamp("20150830T123600Z"));
        assert_eq!(stamp("20150830T123600Z").day(), "20150830");
        for wrong in [
            "",
            "20150830",
            "20150830T123600",
            "20150830t123600z",
            "2015-08-30T12:36Z",
            "20150230T123600Z",
            "20151330T123600Z",
            "20150830T246000Z",
            "20150830T1236+0Z",
            "19690830T123600Z",
            "Sun, 30 Aug 2015 12:36:00 GMT",
            "２0150830T1236Z",
        ] {
            assert_eq!(Stamp::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_request_has_a_quarter_of_an_hour_and_a_url_its_own_time() {
        let stamp = stamp("20150830T123600Z");
        let at = |offset: i64| Duration::from_secs(stamp.unix.checked_add_signed(offset).unwrap());
        let cases = [
            (None, -900, Ok(())),
            (None, 900, Ok(())),
            (None, -901, Err(SignatureFault::Skewed)),
            (None, 901, Err(SignatureFault::Skewed)),
            (Some(1), 1, Ok(())),
            (Some(1), 2, Err(SignatureFault::Expired)),
            (Some(EXPIRES_MAX), EXPIRES_MAX.cast_signed(), Ok(())),
            (
                Some(EXPIRES_MAX),
                EXPIRES_MAX.cast_signed() + 1,
                Err(SignatureFault::Expired),
            ),
            (Some(60), -900, Ok(())),
            (Some(60), -901, Err(SignatureFault::NotYet)),
        ];
        for (expires, offset, expected) in cases {
            assert_eq!(stamp.check(expires, at(offset)), expected, "{expires:?} {offset}");
        }
    }
}
