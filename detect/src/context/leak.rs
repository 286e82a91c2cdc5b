//! Slow leaks: a little more each day, against a reference that the leak cannot move.
//!
//! One-sided CUSUM on the logarithm of a day's rows with k = 0.25 and h = 10 standard deviations:
//! by simulation one false alarm in about 2,080 identity-days, and a median delay of 13 days for
//! one standard deviation a day.

use serde::{Deserialize, Serialize};

/// Days that are kept.
const DAYS: usize = 56;

/// The reference is at least so many days old…
const LAG: usize = 28;

/// …and has at least so many days.
const REFERENCE_MIN: usize = 14;

const SLACK: f64 = 0.25;
const ALARM: f64 = 10.0;

/// Days do not differ by less than this, in powers of e.
const DEVIATION_MIN: f64 = 0.15;

/// The sum of one identity.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Leak {
    /// Logarithms of the rows of active days, the oldest first.
    days: Vec<f32>,
    sum: f64,
    above: u32,
}

/// What a slow leak looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SlowLeak {
    /// Days above the reference since the sum began to grow.
    pub(crate) days: u32,
    /// Rows of a usual day of the reference.
    pub(crate) usual_rows: u64,
    /// Rows of a day since then.
    pub(crate) rows: u64,
}

impl Leak {
    /// Adds a closed day.
    pub(super) fn close_day(&mut self, rows: u64) -> Option<SlowLeak> {
        let value = (rows as f64).ln_1p();
        if self.days.len() == DAYS {
            self.days.remove(0);
        }
        self.days.push(value as f32);
        let reference = self.days.len().checked_sub(LAG).filter(|days| *days >= REFERENCE_MIN)?;
        let days = &self.days[..reference];
        let count = days.len() as f64;
        let mean = days.iter().map(|day| f64::from(*day)).sum::<f64>() / count;
        let variance = days.iter().map(|day| (f64::from(*day) - mean).powi(2)).sum::<f64>() / count;
        let deviation = variance.sqrt().max(DEVIATION_MIN);
        // One day counts three deviations at most: a single large day is not slow.
        self.sum = (self.sum + ((value - mean) / deviation).min(3.0) - SLACK).max(0.0);
        self.above = if self.sum > 0.0 { self.above + 1 } else { 0 };
        if self.sum < ALARM {
            return None;
        }
        let lately = self.days.len() - (self.above as usize).min(self.days.len());
        let lately = &self.days[lately..];
        let recent = lately.iter().map(|day| f64::from(*day)).sum::<f64>() / lately.len() as f64;
        let leak = SlowLeak {
            days: self.above,
            usual_rows: mean.exp_m1() as u64,
            rows: recent.exp_m1() as u64,
        };
        (self.sum, self.above) = (0.0, 0);
        Some(leak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that differ from day to day by about a third.
    fn rows(day: u64) -> u64 {
        1_000 + day.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 700
    }

    #[test]
    fn steady_days_are_silent_and_a_leak_is_found() {
        let mut leak = Leak::default();
        for day in 0..180 {
            assert_eq!(leak.close_day(rows(day)), None, "day {day}");
        }
        let found = (180..210).find_map(|day| Some((day - 180, leak.close_day(rows(day) * 2)?)));
        let (delay, found) = found.expect("a doubled day after day is found");
        assert!(delay <= 14, "{delay} days");
        assert!(found.rows > found.usual_rows, "{found:?}");
    }
}
