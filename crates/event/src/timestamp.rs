//! A moment in microseconds since 1970, UTC, shown as RFC 3339 with microseconds.

use std::fmt;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

const MICROS_PER_DAY: i64 = 86_400_000_000;

impl Timestamp {
    /// Reads RFC 3339, any offset.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros()))
    }

    /// Days since 1970-01-01, UTC: the `date` column and the partition of the table.
    pub fn day(self) -> i32 {
        // An i64 of microseconds spans ±106,751,991 days, which an i32 holds.
        self.0.div_euclid(MICROS_PER_DAY) as i32
    }

    /// Hour of the week, 0 = Monday 00:00–01:00 UTC, up to 167.
    pub fn hour_of_week(self) -> u8 {
        let hours = self.0.div_euclid(3_600_000_000);
        // 1970-01-01 was a Thursday, three days after a Monday.
        ((hours + 72).rem_euclid(168)) as u8
    }

    /// The moment so many seconds later; saturates.
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None => write!(f, "{}µs", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is not RFC 3339")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_microseconds_in_utc() {
        let time = Timestamp::parse("2025-03-02T12:11:12.345678+02:00").expect("valid");
        assert_eq!(time.to_string(), "2025-03-02T10:11:12.345678Z");
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn weeks_begin_on_monday() {
        let monday = Timestamp::parse("2026-11-16T00:59:59Z").expect("valid");
        assert_eq!(monday.hour_of_week(), 0);
        assert_eq!(monday.plus_seconds(-3600).hour_of_week(), 167);
        assert_eq!(Timestamp(-1).day(), -1);
    }
}
