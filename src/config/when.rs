//! `guard.rules[].when`: days, hours and dates.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::types::scalar;

/// When a rule holds: on these days and in these hours and between these dates; what is left out is always.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WhenConfig {
    /// Days of the week.
    pub days: Vec<Day>,
    /// Hours of the day: `08:00-18:00`; over midnight `22:00-06:00`, which is then the day on which it begins.
    pub hours: Option<Hours>,
    /// The time zone of days and hours, by its IANA name.
    pub timezone: Timezone,
    /// From this moment on, in RFC 3339 form.
    pub from: Option<Moment>,
    /// Until this moment, in RFC 3339 form.
    pub until: Option<Moment>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the days of the week")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Hours of the day, from one time up to another; the second may be on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// The first minute.
    pub from: Time,
    /// The first minute that is not in it. Midnight is the end of the day.
    pub until: Time,
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from, self.until);
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            from.hour(),
            from.minute(),
            until.hour(),
            until.minute()
        )
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let two = |digits: &str| (digits.len() == 2).then(|| digits.parse().ok()).flatten();
            Time::new(two(hour)?, two(minute)?, 0, 0).ok()
        };
        let hours = text
            .split_once('-')
            .and_then(|(from, until)| Some((time(from)?, time(until)?)));
        match hours {
            Some((from, until)) if from != until => Ok(Self { from, until }),
            _ => Err(format!("`{text}` is no span of hours: write `08:00-18:00`")),
        }
    }
}

scalar!(
    Hours,
    "Hours of the day",
    r"^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$",
    "08:00-18:00"
);

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timezone(pub TimeZone);

impl Default for Timezone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl fmt::Display for Timezone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl FromStr for Timezone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        TimeZone::get(text)
            .map(Self)
            .map_err(|_| format!("`{text}` is no time zone: write its IANA name, as `UTC` or `Europe/Berlin`"))
    }
}

scalar!(
    Timezone,
    "A time zone by its IANA name",
    r"^[A-Za-z0-9_+/-]+$",
    "Europe/Berlin"
);

/// A moment in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub jiff::Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| format!("`{text}` is no moment: write `2026-12-24T18:00:00Z`, or with an offset as `+01:00`"))
    }
}

scalar!(
    Moment,
    "A moment in RFC 3339 form",
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].*$",
    "2026-12-24T18:00:00Z"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["08:00-18:00", "22:30-06:00", "00:00-23:59"] {
            assert_eq!(text.parse::<Hours>().unwrap().to_string(), text);
        }
        for bad in ["8-18", "08:00-08:00", "08:00", "25:00-26:00", "08:00-18:00-20:00", ""] {
            assert!(bad.parse::<Hours>().is_err(), "{bad}");
        }
        assert_eq!(
            "Europe/Berlin".parse::<Timezone>().unwrap().to_string(),
            "Europe/Berlin"
        );
        assert!("Europe/Bärlin".parse::<Timezone>().is_err());
        assert_eq!(
            "2026-12-24T19:00:00+01:00".parse::<Moment>().unwrap().to_string(),
            "2026-12-24T18:00:00Z"
        );
        assert!("tomorrow".parse::<Moment>().is_err());
    }
}
