//! When a rule holds. Pure: it is told what time it is.

use jiff::civil::{Time, Weekday};
use jiff::{Timestamp, ToSpan as _, Zoned};

use crate::config::{Day, Hours, WhenConfig};

/// Days, hours and dates, in one time zone.
#[derive(Debug)]
pub(super) struct When(WhenConfig);

impl When {
    pub(super) fn new(config: &WhenConfig) -> Self {
        Self(config.clone())
    }

    pub(super) fn holds(&self, now: Timestamp) -> bool {
        let Self(config) = self;
        if config.from.is_some_and(|from| now < from.0) || config.until.is_some_and(|until| now >= until.0) {
            return false;
        }
        if config.days.is_empty() && config.hours.is_none() {
            return true;
        }
        self.begun(&now.to_zoned(config.timezone.0.clone())).is_some()
    }

    /// Until when it holds from `now` on, as far as that can be said: the end of these hours, or of this day, or its last moment.
    pub(super) fn end(&self, now: Timestamp) -> Option<Timestamp> {
        let Self(config) = self;
        let local = now.to_zoned(config.timezone.0.clone());
        let daily = (!config.days.is_empty() || config.hours.is_some())
            .then(|| self.begun(&local))
            .flatten();
        let until = config.until.map(|until| until.0);
        match (daily, until) {
            (Some(daily), Some(until)) => Some(daily.min(until)),
            (daily, until) => daily.or(until),
        }
    }

    /// The end of the day or hours that `now` is in.
    fn begun(&self, now: &Zoned) -> Option<Timestamp> {
        let yesterday = now.checked_sub(1.day()).ok()?;
        [now, &yesterday].into_iter().find_map(|day| {
            if !self.is_day(day.weekday()) {
                return None;
            }
            let (from, until, overnight) = match self.0.hours {
                None => (Time::midnight(), Time::midnight(), true),
                Some(Hours { from, until }) => (from, until, until <= from),
            };
            let date = day.date();
            let last = if overnight { date.tomorrow().ok()? } else { date };
            let zone = now.time_zone().clone();
            let begin = date.to_datetime(from).to_zoned(zone.clone()).ok()?.timestamp();
            let end = last.to_datetime(until).to_zoned(zone).ok()?.timestamp();
            (begin..end).contains(&now.timestamp()).then_some(end)
        })
    }

    fn is_day(&self, day: Weekday) -> bool {
        let day = match day {
            Weekday::Monday => Day::Mon,
            Weekday::Tuesday => Day::Tue,
            Weekday::Wednesday => Day::Wed,
            Weekday::Thursday => Day::Thu,
            Weekday::Friday => Day::Fri,
            Weekday::Saturday => Day::Sat,
            Weekday::Sunday => Day::Sun,
        };
        self.0.days.is_empty() || self.0.days.contains(&day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn when(days: &[Day], hours: Option<&str>, zone: &str) -> When {
        When(WhenConfig {
            days: days.to_vec(),
            hours: hours.map(|hours| hours.parse().unwrap()),
            timezone: zone.parse().unwrap(),
            ..WhenConfig::default()
        })
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// 2026-11-27 is a Friday.
    #[test]
    fn days_and_hours_are_of_the_rules_own_zone() {
        let office = when(&[Day::Mon, Day::Fri], Some("08:00-18:00"), "Europe/Berlin");
        for (now, holds) in [
            ("2026-11-27T06:59:59Z", false),
            ("2026-11-27T07:00:00Z", true),
            ("2026-11-27T16:59:59Z", true),
            ("2026-11-27T17:00:00Z", false),
            ("2026-11-26T12:00:00Z", false),
            ("2026-07-03T06:00:00Z", true),
        ] {
            assert_eq!(office.holds(at(now)), holds, "{now}");
        }
        assert_eq!(office.end(at("2026-11-27T07:00:00Z")), Some(at("2026-11-27T17:00:00Z")));
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_they_begin_on() {
        let night = when(&[Day::Fri], Some("22:00-06:00"), "UTC");
        for (now, holds) in [
            ("2026-11-27T05:00:00Z", false),
            ("2026-11-27T22:00:00Z", true),
            ("2026-11-28T05:59:59Z", true),
            ("2026-11-28T06:00:00Z", false),
            ("2026-11-28T22:00:00Z", false),
        ] {
            assert_eq!(night.holds(at(now)), holds, "{now}");
        }
        assert_eq!(night.end(at("2026-11-28T05:00:00Z")), Some(at("2026-11-28T06:00:00Z")));
    }

    #[test]
    fn a_day_ends_at_midnight_and_dates_bound_everything() {
        let mut friday = when(&[Day::Fri], None, "UTC");
        assert!(friday.holds(at("2026-11-27T00:00:00Z")) && friday.holds(at("2026-11-27T23:59:59Z")));
        assert_eq!(friday.end(at("2026-11-27T10:00:00Z")), Some(at("2026-11-28T00:00:00Z")));
        friday.0.from = Some("2026-11-27T09:00:00Z".parse().unwrap());
        friday.0.until = Some("2026-11-27T11:00:00Z".parse().unwrap());
        assert!(!friday.holds(at("2026-11-27T08:59:59Z")) && !friday.holds(at("2026-11-27T11:00:00Z")));
        assert_eq!(friday.end(at("2026-11-27T10:00:00Z")), Some(at("2026-11-27T11:00:00Z")));
    }

    /// In New York, 2026-03-08 has no 02:30.
    #[test]
    fn a_time_that_the_clock_skips_does_not_end_the_rule() {
        let night = when(&[], Some("02:30-04:00"), "America/New_York");
        assert!(night.holds(at("2026-03-08T07:45:00Z")));
        assert!(!night.holds(at("2026-03-08T08:00:00Z")));
    }
}
