//! Times as PostgreSQL writes them: `2025-03-02 10:11:12.345 UTC`, the zone as an abbreviation.

use chrono::offset::LocalResult;
use chrono::{NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::{OffsetName, Tz};
use event::Timestamp;
use event::vocabulary::TimeBasis;
use serde::{Deserialize, Serialize};

/// Length of `YYYY-MM-DD HH:MM:SS`.
const SECONDS_LENGTH: usize = 19;

/// Reads times; remembers the last second, because log lines come in bursts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Clock {
    #[serde(skip)]
    zone: Option<Tz>,
    #[serde(skip)]
    last: Option<Second>,
    assumed: u64,
}

#[derive(Clone, Debug)]
struct Second {
    digits: [u8; SECONDS_LENGTH],
    zone: String,
    micros: i64,
    basis: TimeBasis,
}

impl Clock {
    pub(crate) fn new(zone: Option<Tz>) -> Self {
        Self { zone, last: None, assumed: 0 }
    }

    /// Takes over the count of a clock that was stored.
    pub(crate) fn continue_from(&mut self, stored: &Self) {
        self.assumed = stored.assumed;
    }

    /// How many times were read whose zone was not known.
    pub(crate) fn assumed(&self) -> u64 {
        self.assumed
    }

    /// Reads `YYYY-MM-DD HH:MM:SS[.fraction][ zone]`.
    pub(crate) fn read(&mut self, text: &str) -> Option<(Timestamp, TimeBasis)> {
        let (digits, rest) = text.as_bytes().split_first_chunk::<SECONDS_LENGTH>()?;
        let (fraction, rest) = fraction(rest)?;
        let zone = match rest {
            [] => "",
            [b' ', ..] => text.get(text.len() - rest.len() + 1..)?,
            _ => return None,
        };
        if self.last.as_ref().is_none_or(|last| last.digits != *digits || last.zone != zone) {
            let local = local_time(digits)?;
            let (micros, basis) = self.resolve(local, zone);
            self.last = Some(Second { digits: *digits, zone: zone.to_owned(), micros, basis });
        }
        let second = self.last.as_ref()?;
        self.assumed += u64::from(second.basis == TimeBasis::Assumed);
        Some((Timestamp(second.micros + fraction), second.basis))
    }

    /// Reads `%n`: seconds since 1970, a point, milliseconds.
    pub(crate) fn read_epoch(text: &str) -> Option<(Timestamp, TimeBasis)> {
        let (seconds, rest) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = seconds.parse().ok()?;
        let (fraction, rest) = if rest.is_empty() {
            (0, &b""[..])
        } else {
            fraction(&text.as_bytes()[text.len() - rest.len() - 1..])?
        };
        let micros = seconds.checked_mul(1_000_000)?.checked_add(fraction)?;
        rest.is_empty().then_some((Timestamp(micros), TimeBasis::Epoch))
    }

    /// What the local time is in UTC.
    fn resolve(&self, local: NaiveDateTime, zone: &str) -> (i64, TimeBasis) {
        let micros = local.and_utc().timestamp_micros();
        if matches!(zone, "UTC" | "GMT" | "Z" | "UCT" | "Etc/UTC") {
            return (micros, TimeBasis::Offset);
        }
        if let Some(seconds) = offset_seconds(zone) {
            return (micros - seconds * 1_000_000, TimeBasis::Offset);
        }
        let Some(configured) = self.zone else { return (micros, TimeBasis::Assumed) };
        let candidates = configured.from_local_datetime(&local);
        let named = |time: &chrono::DateTime<Tz>| time.offset().abbreviation() == Some(zone);
        match candidates {
            LocalResult::Single(time) if named(&time) => {
                (time.timestamp_micros(), TimeBasis::Abbreviation)
            }
            // The hour that comes twice: the abbreviation says which one it is.
            LocalResult::Ambiguous(first, second) if named(&first) || named(&second) => {
                let time = if named(&first) { first } else { second };
                (time.timestamp_micros(), TimeBasis::Abbreviation)
            }
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => {
                (time.timestamp_micros(), TimeBasis::Assumed)
            }
            LocalResult::None => (micros, TimeBasis::Assumed),
        }
    }
}

/// Microseconds of `.d…`, if it begins with a point, and what follows.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = rest.split_first() else { return Some((0, rest)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 || length > 6 {
        return None;
    }
    let (digits, rest) = digits.split_at(length);
    let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((value * 10_i64.pow(6 - length as u32), rest))
}

fn local_time(digits: &[u8; SECONDS_LENGTH]) -> Option<NaiveDateTime> {
    let separators = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, separator)| digits[*at] != *separator) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        digits[range].iter().try_fold(0_u32, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0'))
        })
    };
    // A year of four digits fits.
    let date = NaiveDate::from_ymd_opt(number(0..4)? as i32, number(5..7)?, number(8..10)?)?;
    date.and_hms_opt(number(11..13)?, number(14..16)?, number(17..19)?)
}

/// Seconds east of Greenwich of `+HH`, `-HHMM`, `+HH:MM` or `+HH:MM:SS`.
fn offset_seconds(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = zone[1..].chars().filter(|character| *character != ':').collect();
    if !matches!(digits.len(), 2 | 4 | 6) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |part| part.parse::<i64>().ok());
    Some(sign * (part(0)? * 3600 + part(2)? * 60 + part(4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(zone: Option<Tz>, text: &str) -> Option<(String, TimeBasis)> {
        let (time, basis) = Clock::new(zone).read(text)?;
        Some((time.to_string(), basis))
    }

    #[test]
    fn zones_become_utc() {
        let berlin = Some(chrono_tz::Europe::Berlin);
        let cases = [
            (None, "2025-03-02 10:11:12.345 UTC", "2025-03-02T10:11:12.345000Z", "offset"),
            (None, "2025-03-02 10:11:12 +05:30", "2025-03-02T04:41:12.000000Z", "offset"),
            (None, "2025-03-02 10:11:12 -03", "2025-03-02T13:11:12.000000Z", "offset"),
            (None, "2025-03-02 10:11:12 CET", "2025-03-02T10:11:12.000000Z", "assumed"),
            (berlin, "2025-03-02 10:11:12 CET", "2025-03-02T09:11:12.000000Z", "abbreviation"),
            (berlin, "2025-03-02 10:11:12 IST", "2025-03-02T09:11:12.000000Z", "assumed"),
            (berlin, "2025-10-26 02:30:00 CEST", "2025-10-26T00:30:00.000000Z", "abbreviation"),
            (berlin, "2025-10-26 02:30:00 CET", "2025-10-26T01:30:00.000000Z", "abbreviation"),
        ];
        for (zone, text, expected, basis) in cases {
            let (time, actual) = read(zone, text).expect(text);
            assert_eq!((time.as_str(), actual.as_str()), (expected, basis), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2025-03-02",
            "2025-03-02T10:11:12 UTC",
            "2025-13-02 10:11:12 UTC",
            "2025-03-02 10:11:12. UTC",
            "2025-03-02 10:11:12.1234567 UTC",
            "２025-03-02 10:11:12",
        ] {
            assert_eq!(read(None, text), None, "{text}");
        }
    }

    #[test]
    fn epochs_are_exact() {
        let (time, basis) = Clock::read_epoch("1763689312.345").expect("valid");
        assert_eq!((time.0, basis), (1_763_689_312_345_000, TimeBasis::Epoch));
    }
}
