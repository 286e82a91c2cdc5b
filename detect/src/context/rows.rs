//! How many rows an identity reads or changes, in a statement and on a day.

use serde::{Deserialize, Serialize};

/// Counts by order of magnitude: bucket n holds the numbers from 2ⁿ−1 up to 2ⁿ⁺¹−2.
const BUCKETS: usize = 48;

/// How many days of the identity the guess before any day weighs.
const PRIOR_DAYS: f64 = 2.0;

/// Of an identity of which nothing is known, so many days in one are above any bound.
const PRIOR_CHANCE: f64 = 0.05;

/// The rows of one identity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rows {
    /// Decayed counts of statements, and of days, by their rows.
    statements: Vec<f32>,
    days: Vec<f32>,
    today: u64,
    /// The highest bucket that today has been told of.
    told: usize,
}

/// How unusual the rows of a day are so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Volume {
    /// Chance of such a day or a larger one.
    pub(super) chance: f64,
    /// Rows of today.
    pub(super) rows: u64,
    /// The most on a day before; a bound, within a factor of two.
    pub(super) usual_max: u64,
}

impl Default for Rows {
    fn default() -> Self {
        Self { statements: vec![0.0; BUCKETS], days: vec![0.0; BUCKETS], today: 0, told: 0 }
    }
}

fn bucket(rows: u64) -> usize {
    (rows.saturating_add(1).ilog2() as usize).min(BUCKETS - 1)
}

impl Rows {
    /// Adds a statement. Says something when the day has grown by an order of magnitude to
    /// `rows_min` or more.
    pub(super) fn add(&mut self, rows: u64, rows_min: u64) -> Option<Volume> {
        self.statements[bucket(rows)] += 1.0;
        self.today = self.today.saturating_add(rows);
        let now = bucket(self.today);
        if self.today < rows_min || now <= self.told {
            return None;
        }
        self.told = now;
        let volume = self.volume();
        (volume.rows > volume.usual_max).then_some(volume)
    }

    /// Share of the statements so far that gave at most so many rows; none without any.
    pub(super) fn percentile(&self, rows: u64) -> Option<f64> {
        let total: f32 = self.statements.iter().sum();
        let at = bucket(rows);
        let below: f32 = self.statements[..at].iter().sum();
        let same = self.statements[at];
        (total > 0.0).then(|| f64::from((below + same / 2.0) / total))
    }

    /// Rows of today.
    pub(super) fn today(&self) -> u64 {
        self.today
    }

    /// Ends the day.
    pub(super) fn close_day(&mut self) {
        self.days[bucket(self.today)] += 1.0;
        (self.today, self.told) = (0, 0);
    }

    /// What was seen counts less by `decay`.
    pub(super) fn fade(&mut self, decay: f64) {
        self.statements.iter_mut().chain(&mut self.days).for_each(|count| *count *= decay as f32);
    }

    /// Beyond the largest day known, the chance falls with the rows as a Pareto tail of index 1:
    /// a day ten times as large is a tenth as likely.
    fn volume(&self) -> Volume {
        let now = bucket(self.today);
        let days: f64 = self.days.iter().map(|count| f64::from(*count)).sum();
        let as_large: f64 = self.days[now..].iter().map(|count| f64::from(*count)).sum();
        let largest = self.days.iter().rposition(|count| *count > 0.01).unwrap_or(0);
        let chance = (as_large + PRIOR_DAYS * PRIOR_CHANCE) / (days + PRIOR_DAYS);
        let beyond = now.saturating_sub(largest.max(10) + 1) as i32;
        Volume {
            chance: (chance * 0.5_f64.powi(beyond)).max(1e-9),
            rows: self.today,
            usual_max: (2_u64 << largest) - 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millions_are_rarer_than_thousands() {
        let mut rows = Rows::default();
        for _ in 0..60 {
            for number in 0..50 {
                rows.add(number * 10, 1_000);
            }
            rows.close_day();
            rows.fade(0.98);
        }
        assert!(rows.percentile(5_000_000).is_some_and(|share| share > 0.999));
        assert_eq!(rows.add(900, 1_000), None, "too few to tell");
        let twice = rows.add(30_000, 1_000).expect("more than ever");
        let mass = rows.add(5_000_000, 1_000).expect("far more than ever");
        assert!(twice.chance < 0.01 && mass.chance < 1e-4, "{twice:?} {mass:?}");
        assert!(mass.usual_max < 50_000 && mass.rows > 5_000_000);
    }
}
