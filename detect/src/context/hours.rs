//! At which hours of the week an identity is active, and how long it is quiet in between.

use event::Timestamp;
use serde::{Deserialize, Serialize};

/// Hours of a week.
const WEEK: usize = 168;

/// Gaps longer than this many hours count as this long.
const GAP_MAX: usize = 96;

/// Gaps that have to be known before a longer one means something.
const GAPS_MIN: f64 = 50.0;

/// A silence that misses fewer hours of an ordinary week is none: who never works at weekends is
/// not silent then.
const MISSED_MIN: f64 = 2.0;

/// The hours of one identity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Hours {
    /// Decayed active days by hour of the week.
    week: Vec<f32>,
    /// Hours of today, and of the day ever, as bits.
    pub(super) today: u32,
    ever: u32,
    /// Different (day, hour) pairs.
    pub(super) active: u32,
    /// Decayed counts of gaps between active hours, by their length in hours.
    gaps: Vec<f32>,
    last: i64,
    /// Whether the present silence was told.
    is_told: bool,
}

impl Default for Hours {
    fn default() -> Self {
        Self {
            week: vec![0.0; WEEK],
            today: 0,
            ever: 0,
            active: 0,
            gaps: vec![0.0; GAP_MAX + 1],
            last: i64::MIN,
            is_told: false,
        }
    }
}

impl Hours {
    /// Notes activity. For the first event of an hour of the day: the hour of the week, and on how
    /// many decayed days the identity was active near it.
    pub(super) fn touch(&mut self, time: Timestamp) -> Option<(u8, f64)> {
        let hour = time.hour_of_week();
        let bit = 1_u32 << (hour % 24);
        if self.today & bit != 0 {
            return None;
        }
        self.note_gap(time.0.div_euclid(3_600_000_000));
        let usual = self.days_near(hour);
        self.today |= bit;
        self.ever |= bit;
        self.active += 1;
        if let Some(days) = self.week.get_mut(usize::from(hour)) {
            *days += 1.0;
        }
        Some((hour, usual))
    }

    /// Different hours of the day in which there ever was activity.
    pub(super) fn of_day(&self) -> u32 {
        self.ever.count_ones()
    }

    /// A silence that is unusual at the end of `hour` (hours since 1970): its length and the
    /// usual one, in hours; once for each silence.
    pub(super) fn silence(&mut self, hour: i64) -> Option<(u32, u32)> {
        let length = hour.checked_sub(self.last).filter(|length| *length >= 3)?;
        let total: f32 = self.gaps.iter().sum();
        if self.is_told || f64::from(total) < GAPS_MIN {
            return None;
        }
        let mut left = total * 0.99;
        let usual = self.gaps.iter().position(|count| {
            left -= count;
            left <= 0.0
        })?;
        if length < 5 * usual.max(1) as i64 || self.missed_before(hour) < MISSED_MIN {
            return None;
        }
        self.is_told = true;
        Some((u32::try_from(length).unwrap_or(u32::MAX), usual as u32))
    }

    /// In how many of the hours since the last activity there is some in an ordinary week.
    fn missed_before(&self, hour: i64) -> f64 {
        let weeks = self.week.iter().copied().fold(0.0, f32::max);
        let silent = self.last.saturating_add(1).max(hour - WEEK as i64)..hour;
        let active = silent.map(|hour| {
            let of_week = Timestamp(hour.saturating_mul(3_600_000_000)).hour_of_week();
            f64::from(self.week.get(usize::from(of_week)).copied().unwrap_or(0.0))
        });
        active.sum::<f64>() / f64::from(weeks.max(1.0))
    }

    /// Ends the day.
    pub(super) fn close_day(&mut self) {
        self.today = 0;
    }

    /// What was seen counts less by `decay`.
    pub(super) fn fade(&mut self, decay: f64) {
        self.week.iter_mut().chain(&mut self.gaps).for_each(|count| *count *= decay as f32);
    }

    fn note_gap(&mut self, hour: i64) {
        if self.last != i64::MIN && hour > self.last {
            let gap = usize::try_from(hour - self.last).unwrap_or(GAP_MAX).min(GAP_MAX);
            if let Some(count) = self.gaps.get_mut(gap) {
                *count += 1.0;
            }
        }
        self.last = self.last.max(hour);
        self.is_told = false;
    }

    /// Decayed days with activity at the same or a neighbouring hour, on the same kind of day.
    fn days_near(&self, hour: u8) -> f64 {
        let weekend = hour >= 120;
        let near = |other: usize| {
            let same_kind = (other >= 120) == weekend;
            let distance = (other % 24).abs_diff(usize::from(hour) % 24);
            same_kind && (distance <= 1 || distance == 23)
        };
        let days = self.week.iter().enumerate().filter(|(other, _)| near(*other));
        days.map(|(_, days)| f64::from(*days)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(number: i64) -> Timestamp {
        Timestamp(number * 3_600_000_000)
    }

    #[test]
    fn a_steady_service_that_stops_is_told_once() {
        let mut hours = Hours::default();
        for number in 0..240 {
            hours.touch(hour(number));
            assert_eq!(hours.silence(number), None);
            if number % 24 == 23 {
                hours.close_day();
            }
        }
        assert_eq!(hours.silence(243), None);
        assert_eq!(hours.silence(244), Some((5, 1)));
        assert_eq!(hours.silence(245), None, "told already");
    }

    #[test]
    fn weekends_are_no_silence_of_one_who_never_works_then() {
        let mut hours = Hours::default();
        // The first day is a Thursday.
        for number in 0..8 * 168 {
            let is_weekend = matches!((number / 24 + 3) % 7, 5 | 6);
            assert_eq!(hours.silence(number), None, "hour {number}");
            if !is_weekend {
                hours.touch(hour(number));
            }
            if number % 24 == 23 {
                hours.close_day();
            }
        }
        let begun = 8 * 168;
        let told = (begun..begun + 24).find_map(|number| hours.silence(number));
        assert!(told.is_some_and(|(length, _)| length < 8), "a Thursday is none: {told:?}");
    }

    #[test]
    fn nights_are_no_silence_of_one_who_sleeps() {
        let mut hours = Hours::default();
        for day in 0..30 {
            for number in 8..18 {
                hours.touch(hour(day * 24 + number));
            }
            hours.close_day();
        }
        assert_eq!(hours.silence(30 * 24 + 6), None);
        assert!(hours.silence(30 * 24 + 18 + 72).is_some(), "three days");
    }
}
