//! Moments, as seawall writes them: whole seconds in UTC.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};

/// A moment: whole seconds since 1970 in UTC, written `2026-11-22T20:40:05Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The last second that four digits of a year can name.
const LAST: i64 = 253_402_300_799;

impl Timestamp {
    /// From seconds since 1970; `None` outside of the years 1970 to 9999.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        (0..=LAST).contains(&seconds).then_some(Self(seconds))
    }

    /// From a system time, cut to whole seconds and clamped to the years 1970 to 9999.
    pub fn from_system(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(i64::try_from(seconds).unwrap_or(LAST).min(LAST))
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// The moment that much later; at most the end of 9999.
    #[must_use]
    pub fn plus(self, while_: Duration) -> Self {
        let seconds = i64::try_from(while_.as_secs()).unwrap_or(LAST);
        Self(self.0.saturating_add(seconds).min(LAST))
    }

    /// The time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    fn date_time(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0, 0).unwrap_or_default()
    }

    /// `2026-11-22T20-40-05Z`, as snapshot names begin. It has no colons.
    pub fn file_name(self) -> String {
        self.date_time().format("%Y-%m-%dT%H-%M-%SZ").to_string()
    }

    /// Reads [`Self::file_name`] back. Accepts no other spelling.
    pub fn from_file_name(text: &str) -> Option<Self> {
        let parsed = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H-%M-%SZ").ok()?;
        let time = Self::from_seconds(parsed.and_utc().timestamp())?;
        (time.file_name() == text).then_some(time)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.date_time().to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// A text that is not a moment in the form `2026-11-22T20:40:05Z`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-11-22T20:40:05Z")]
pub struct ParseTimeError;

impl FromStr for Timestamp {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| ParseTimeError)?;
        let time = Self::from_seconds(parsed.timestamp()).ok_or(ParseTimeError)?;
        if time.to_string() == text { Ok(time) } else { Err(ParseTimeError) }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A day in UTC, written `2026-12-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(chrono::NaiveDate);

impl Day {
    /// Whether the next day (UTC) has begun.
    pub fn is_over(self, now: Timestamp) -> bool {
        now.date_time().date_naive() > self.0
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d"))
    }
}

/// A text that is not a day in the form `2026-12-31`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a day of the form 2026-12-31")]
pub struct ParseDayError;

impl FromStr for Day {
    type Err = ParseDayError;

    fn from_str(text: &str) -> Result<Self, ParseDayError> {
        let parsed = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d");
        let day = Self(parsed.map_err(|_| ParseDayError)?);
        // Only one spelling, and years of four digits.
        if text.len() == 10 && day.to_string() == text { Ok(day) } else { Err(ParseDayError) }
    }
}

impl serde::Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Tells the time. Tests set their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The computer's clock.
    pub fn system() -> Self {
        Self::new(SystemTime::now)
    }

    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_system((self.0)())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_forms_round_trip(seconds in 0..=LAST) {
            let time = Timestamp::from_seconds(seconds).unwrap();
            prop_assert_eq!(time.to_string().parse(), Ok(time));
            prop_assert_eq!(Timestamp::from_file_name(&time.file_name()), Some(time));
        }

        #[test]
        fn other_texts_are_refused(text in "[0-9TZ:.+-]{0,24}") {
            if let Some(time) = Timestamp::from_file_name(&text) {
                prop_assert_eq!(time.file_name(), text);
            }
        }
    }

    #[test]
    fn a_day_is_over_when_the_next_one_begins() {
        let day: Day = "2026-11-22".parse().unwrap();
        let over = |text: &str| day.is_over(text.parse().unwrap());
        assert!(!over("2026-11-22T23:59:59Z") && over("2026-11-23T00:00:00Z"));
        assert_eq!(day.to_string(), "2026-11-22");
        for text in ["2026-11-31", "2026-1-2", "22.11.2026", "+12026-01-01", "", "2026-11-22 "] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_one_spelling_is_accepted() {
        assert!("2026-11-22T20:40:05+00:00".parse::<Timestamp>().is_err());
        assert!("2026-11-22T20:40:05.5Z".parse::<Timestamp>().is_err());
        assert!("2026-11-22T20:40:05Z".parse::<Timestamp>().is_ok());
        assert!(Timestamp::from_file_name("2026-11-22T20-40-60Z").is_none());
    }
}
