//! What a rule has told before: the same act of the same identity, day after day, is its work.
//!
//! An act that was told on an earlier day is told with less severity on the next, by a step for
//! each such day, unless an analyst has called it an attack.

use bounded::BoundedMap;
use event::EventId;
use event::alert::Severity;
use event::decision::{Disposition, Verdict};
use serde::{Deserialize, Serialize};

use crate::rule_event::RuleEvent;
use crate::signal::Signal;

/// After so many days the severity is the lowest.
const SETTLED_DAYS: u32 = 3;

/// Acts remembered.
const ACTS_MAX: usize = 65_536;

/// Acts by a hash of instance, identity, detector and cause.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Repeats {
    acts: BoundedMap<[u8; 16], Act>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Act {
    /// Days on which it was told before the last.
    days: u32,
    last_day: i32,
    is_attack: bool,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { acts: BoundedMap::new(ACTS_MAX) }
    }
}

impl Repeats {
    /// Sets the limit again, which is not saved.
    pub(crate) fn set_limit(&mut self) {
        self.acts.set_limit(ACTS_MAX);
    }

    /// Notes a signal of a rule on `day`; returns on how many days before it was told.
    pub(crate) fn note(&mut self, signal: &Signal, event: &RuleEvent<'_>, day: i32) -> u32 {
        let (instance, identity) = (event.event.instance, event.event.identity());
        let key = key(instance, identity.unwrap_or_default(), &signal.detector, &signal.cause);
        let Some(act) = self.acts.get_mut(&key) else {
            self.acts.insert(key, Act { days: 0, last_day: day, is_attack: false });
            return 0;
        };
        if day > act.last_day {
            act.days += 1;
            act.last_day = day;
        }
        if act.is_attack { 0 } else { act.days }
    }

    /// Notes what an act turned out to be: an attack is told in full each time, and what was
    /// allowed as what was told for long.
    pub(crate) fn judge(&mut self, verdict: &Verdict) {
        let identity = verdict.identity.as_deref().unwrap_or_default();
        let is_attack = verdict.verdict == Disposition::True;
        for cause in &verdict.causes {
            let key = key(&verdict.instance, identity, &verdict.rule, cause);
            if self.acts.peek(&key).is_none() {
                self.acts.insert(key, Act { days: 0, last_day: i32::MIN, is_attack });
            }
            if let Some(act) = self.acts.peek_mut(&key) {
                act.is_attack = is_attack;
                act.days = if is_attack { 0 } else { act.days.max(SETTLED_DAYS) };
            }
        }
    }

    /// Whether an analyst has allowed what a baseline tells of: its acts are noted by verdicts
    /// alone, because what is usual is learnt as a habit.
    pub(crate) fn is_allowed(&self, signal: &Signal, event: &RuleEvent<'_>) -> bool {
        let (instance, identity) = (event.event.instance, event.event.identity());
        let key = key(instance, identity.unwrap_or_default(), &signal.detector, &signal.cause);
        self.acts.peek(&key).is_some_and(|act| !act.is_attack)
    }
}

/// A severity some steps lower, two at most.
pub(crate) fn eased(severity: Severity, steps: u32) -> Severity {
    let all = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    let index = all.iter().position(|known| *known == severity).unwrap_or(0);
    all[index.saturating_sub(steps.min(2) as usize)]
}

fn key(instance: &str, identity: &str, detector: &str, cause: &str) -> [u8; 16] {
    let parts = [instance, identity, detector, cause];
    EventId::of(&parts.map(str::as_bytes)).0
}
