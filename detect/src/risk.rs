//! Risk: the best signal of each family, by what is at stake; and what adds up for an identity.

use event::Timestamp;
use event::vocabulary::{ActorKind, CauseFamily};
use serde::{Deserialize, Serialize};

use crate::signal::{Family, Signal};

/// Points for one unit of score, so that a critical rule by itself gives 60.
const POINTS: f64 = 10.0;

/// What is of today counts half after a day, what is of these weeks after ten.
const FAST_HALF_LIFE_SECONDS: f64 = 86_400.0;
const SLOW_HALF_LIFE_SECONDS: f64 = 10.0 * 86_400.0;

/// Different families of causes within this time are steps of one attack.
const STEPS_SECONDS: i64 = 8 * 3_600;

/// How much is at stake: 1 to 2.5 by sensitivity, 1 to 1.25 by privilege.
pub(crate) fn stake(sensitivity: Option<i32>, kind: ActorKind) -> f64 {
    let sensitivity = 1.0 + 0.5 * f64::from(sensitivity.unwrap_or(0).clamp(0, 3));
    let privilege = if kind == ActorKind::Dba { 1.25 } else { 1.0 };
    sensitivity * privilege
}

/// The best score of each family, added up.
pub(crate) fn fuse<'a>(signals: impl Iterator<Item = &'a Signal>) -> f64 {
    let mut best = [0.0_f64; Family::COUNT];
    for signal in signals {
        let known = &mut best[signal.family as usize];
        *known = known.max(signal.score());
    }
    best.iter().sum()
}

/// Risk points of a score.
pub(crate) fn points(score: f64, stake: f64) -> f64 {
    (score * stake * POINTS * 100.0).round() / 100.0
}

/// What adds up for one identity, in units of score.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct IdentityRisk {
    fast: f64,
    slow: f64,
    at: Timestamp,
    /// When each family of causes was last told.
    steps: Vec<(CauseFamily, Timestamp)>,
    /// When the sum was last told.
    told: Option<Timestamp>,
}

/// Why what added up is worth a case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Accumulated {
    /// Weak signals: the sum of a day.
    Sum(f64),
    /// Steps of one attack, of so many families.
    Steps(Vec<CauseFamily>),
}

impl IdentityRisk {
    /// Adds what an event brought, `score` beyond what was counted for the same thing before.
    pub(crate) fn add(&mut self, score: f64, time: Timestamp) {
        let passed = (time.0.saturating_sub(self.at.0)).max(0) as f64 / 1e6;
        self.fast *= 0.5_f64.powf(passed / FAST_HALF_LIFE_SECONDS);
        self.slow *= 0.5_f64.powf(passed / SLOW_HALF_LIFE_SECONDS);
        self.fast += score;
        self.slow += score;
        self.at = self.at.max(time);
    }

    /// Notes that a case of this family was told.
    pub(crate) fn step(&mut self, family: CauseFamily, time: Timestamp) {
        self.steps
            .retain(|(known, at)| *known != family && *at >= time.plus_seconds(-STEPS_SECONDS));
        self.steps.push((family, time));
    }

    /// Whether what added up is worth a case of its own; once a day.
    pub(crate) fn accumulated(&mut self, sum_min: f64, time: Timestamp) -> Option<Accumulated> {
        if self.told.is_some_and(|told| time < told.plus_seconds(86_400)) {
            return None;
        }
        let found = if self.steps.len() >= 3 {
            Accumulated::Steps(self.steps.iter().map(|(family, _)| *family).collect())
        } else if self.fast >= sum_min {
            Accumulated::Sum(self.fast)
        } else {
            return None;
        };
        self.told = Some(time);
        Some(found)
    }

    /// Points now: of today, and of these weeks.
    #[cfg(test)]
    fn points(&self) -> (f64, f64) {
        (points(self.fast, 1.0), points(self.slow, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn what_was_yesterday_counts_half() {
        let mut risk = IdentityRisk::default();
        risk.add(4.0, Timestamp(0));
        risk.add(0.0, Timestamp(DAY));
        let (fast, slow) = risk.points();
        assert!((fast - 20.0).abs() < 0.01 && slow > 37.0, "{fast} {slow}");
    }

    #[test]
    fn the_sum_is_told_once_a_day() {
        let mut risk = IdentityRisk::default();
        risk.add(10.0, Timestamp(0));
        assert_eq!(risk.accumulated(8.0, Timestamp(0)), Some(Accumulated::Sum(10.0)));
        assert_eq!(risk.accumulated(8.0, Timestamp(DAY - 1)), None);
    }

    #[test]
    fn three_steps_are_an_attack() {
        let mut risk = IdentityRisk::default();
        let steps = [CauseFamily::Access, CauseFamily::Privilege, CauseFamily::Exfiltration];
        for (index, family) in steps.into_iter().enumerate() {
            assert_eq!(risk.accumulated(100.0, Timestamp(0)), None);
            risk.step(family, Timestamp(index as i64));
        }
        let found = risk.accumulated(100.0, Timestamp(10));
        assert_eq!(found, Some(Accumulated::Steps(steps.to_vec())));
    }
}
