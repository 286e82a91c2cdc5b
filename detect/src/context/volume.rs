//! How much an identity does: rows that it reads or changes and statements that fail, one at a
//! time and on a day.

use event::AuditEvent;
use serde::{Deserialize, Serialize};

/// Counts by order of magnitude: bucket n holds the numbers from 2ⁿ−1 up to 2ⁿ⁺¹−2.
const BUCKETS: usize = 48;

/// How many days of the identity the guess before any day weighs.
const PRIOR_DAYS: f64 = 2.0;

/// Of an identity of which nothing is known, so many days in one are above any bound.
const PRIOR_CHANCE: f64 = 0.05;

/// What is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Measure {
    /// Rows that statements gave or changed.
    Rows,
    /// Statements that failed or were refused: guesses at names, rights and injections.
    Failures,
}

impl Measure {
    /// All of them, in the order in which profiles hold them.
    pub(crate) const ALL: [Self; 2] = [Self::Rows, Self::Failures];

    /// How much of it an event is; none if it is no matter of the measure.
    pub(super) fn of(self, event: &AuditEvent<'_>) -> Option<u64> {
        match self {
            Self::Rows => event.rows.and_then(|rows| u64::try_from(rows).ok()),
            Self::Failures => event.outcome.is_failure().then_some(1),
        }
    }

    /// Less on a day is never told.
    const fn day_min(self) -> u64 {
        match self {
            Self::Rows => 1_000,
            Self::Failures => 50,
        }
    }

    /// The word in ids and reasons.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Failures => "failures",
        }
    }

    /// What there is so much of.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Failures => "failed statements",
        }
    }
}

/// How much of one measure one identity has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Volume {
    measure: Measure,
    /// Decayed counts of statements, and of days, by their amount.
    statements: Vec<f32>,
    days: Vec<f32>,
    today: u64,
    /// The highest bucket that today has been told of.
    told: usize,
}

/// How unusual a day is so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct UnusualDay {
    /// Chance of such a day or a larger one.
    pub(super) chance: f64,
    /// So much today.
    pub(super) amount: u64,
    /// The most on a day before; a bound, within a factor of two.
    pub(super) usual_max: u64,
}

fn bucket(amount: u64) -> usize {
    (amount.saturating_add(1).ilog2() as usize).min(BUCKETS - 1)
}

impl Volume {
    pub(super) fn new(measure: Measure) -> Self {
        let (statements, days) = (vec![0.0; BUCKETS], vec![0.0; BUCKETS]);
        Self { measure, statements, days, today: 0, told: 0 }
    }

    pub(super) fn measure(&self) -> Measure {
        self.measure
    }

    /// Adds a statement. Says something when the day has doubled to more than any before.
    pub(super) fn add(&mut self, amount: u64) -> Option<UnusualDay> {
        self.statements[bucket(amount)] += 1.0;
        self.today = self.today.saturating_add(amount);
        let now = bucket(self.today);
        if self.today < self.measure.day_min() || now <= self.told {
            return None;
        }
        self.told = now;
        let unusual = self.unusual();
        (unusual.amount > unusual.usual_max).then_some(unusual)
    }

    /// Share of the statements so far with at most so much; none without any.
    pub(super) fn percentile(&self, amount: u64) -> Option<f64> {
        let total: f32 = self.statements.iter().sum();
        let at = bucket(amount);
        let below: f32 = self.statements[..at].iter().sum();
        let same = self.statements[at];
        (total > 0.0).then(|| f64::from((below + same / 2.0) / total))
    }

    /// So much today.
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

    /// Beyond the largest day known, the chance falls with the amount as a Pareto tail of index 1:
    /// a day ten times as large is a tenth as likely.
    fn unusual(&self) -> UnusualDay {
        let now = bucket(self.today);
        let days: f64 = self.days.iter().map(|count| f64::from(*count)).sum();
        let as_large: f64 = self.days[now..].iter().map(|count| f64::from(*count)).sum();
        let largest = self.days.iter().rposition(|count| *count > 0.01).unwrap_or(0);
        let chance = (as_large + PRIOR_DAYS * PRIOR_CHANCE) / (days + PRIOR_DAYS);
        let beyond = now.saturating_sub(largest.max(bucket(self.measure.day_min()) + 1) + 1) as i32;
        UnusualDay {
            chance: (chance * 0.5_f64.powi(beyond)).max(1e-9),
            amount: self.today,
            usual_max: (2_u64 << largest) - 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millions_are_rarer_than_thousands() {
        let mut rows = Volume::new(Measure::Rows);
        for _ in 0..60 {
            for number in 0..50 {
                rows.add(number * 10);
            }
            rows.close_day();
            rows.fade(0.98);
        }
        assert!(rows.percentile(5_000_000).is_some_and(|share| share > 0.999));
        assert_eq!(rows.add(900), None, "too few to tell");
        let twice = rows.add(30_000).expect("more than ever");
        let mass = rows.add(5_000_000).expect("far more than ever");
        assert!(twice.chance < 0.01 && mass.chance < 1e-4, "{twice:?} {mass:?}");
        assert!(mass.usual_max < 50_000 && mass.amount > 5_000_000);
    }
}
