//! What is unusual on a day of an identity: the chance of each thing, and of all together.

use event::vocabulary::ActorKind;
use serde::{Deserialize, Serialize};

use crate::context::{Conduct, Family, Measure};
use crate::signal;

/// Less is no anomaly worth a word.
const SCORE_MIN: f64 = 1.0;

/// One thing that is unusual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Anomaly {
    pub(crate) kind: AnomalyKind,
    /// Value as text, or `Tue 03:00 UTC`.
    pub(crate) shown: String,
    /// Chance of it on a day of this identity, 0–1.
    pub(crate) chance: f64,
    /// How telling it is for this conduct.
    pub(crate) weight: f64,
    /// Identities that have the value, of all; none without a model.
    pub(crate) share: Option<Share>,
    /// Whether peers judged it, because too little is known of the identity itself.
    pub(crate) by_peers: bool,
}

/// What an anomaly is about.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum AnomalyKind {
    /// A value that was seen on so many decayed days before; on none if it is new. Of new ones,
    /// how many the day has had.
    Value { family: Family, days: f64, new_today: u32 },
    /// An hour of the week near which the identity was active on so many decayed days.
    Hour { days: f64 },
    /// So much on a day, as is shown; at most this on a day before.
    Volume { measure: Measure, usual_max: u64 },
}

/// How many identities have a value, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) holders: u32,
    pub(crate) identities: u32,
    /// Whether only the identity's peers are counted.
    pub(crate) of_peers: bool,
}

impl Anomaly {
    /// −log10 of the chance, weighted.
    pub(crate) fn score(&self) -> f64 {
        (-self.chance.clamp(1e-9, 1.0).log10()).min(signal::SCORE_MAX) * self.weight
    }

    /// Whether it says anything.
    pub(crate) fn is_telling(&self) -> bool {
        self.score() >= SCORE_MIN
    }

    /// Whether the value was never seen before today.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self.kind, AnomalyKind::Value { days, .. } if days == 0.0)
    }

    /// The family of values; volumes have none.
    pub(crate) fn value_family(&self) -> Option<Family> {
        match self.kind {
            AnomalyKind::Value { family, .. } => Some(family),
            AnomalyKind::Hour { .. } => Some(Family::Hour),
            AnomalyKind::Volume { .. } => None,
        }
    }

    /// The word in ids of baselines.
    pub(crate) fn word(&self) -> &'static str {
        match self.kind {
            AnomalyKind::Value { family, .. } => family.as_str(),
            AnomalyKind::Hour { .. } => Family::Hour.as_str(),
            AnomalyKind::Volume { measure, .. } => measure.as_str(),
        }
    }

    /// The family of its signal.
    pub(crate) fn family(&self) -> signal::Family {
        match self.value_family() {
            Some(Family::Table | Family::Statement | Family::Command) => signal::Family::Novelty,
            Some(Family::Network) => signal::Family::Login,
            Some(Family::Application | Family::Hour) => signal::Family::Context,
            None => signal::Family::Volume,
        }
    }

    /// What tells it from others, such as `table hr.salaries`. A volume that grows is the same.
    pub(crate) fn cause(&self) -> String {
        match self.kind {
            AnomalyKind::Volume { .. } => self.word().to_owned(),
            _ => format!("{} {}", self.word(), self.shown),
        }
    }
}

/// How telling something unusual is: a program that asks a new question is, a person is not.
pub(crate) fn weight(family: Option<Family>, conduct: Conduct) -> f64 {
    let Some(family) = family else { return 1.0 };
    match (conduct, family) {
        (Conduct::Closed, Family::Hour) => 0.4,
        (Conduct::Closed, Family::Table | Family::Network | Family::Application) => 1.1,
        (Conduct::Closed, _) => 1.0,
        (Conduct::Inventive, Family::Network) => 1.0,
        (Conduct::Inventive, Family::Application) => 0.8,
        (Conduct::Inventive, Family::Statement) => 0.0,
        (Conduct::Inventive, _) => 0.5,
        (Conduct::Unknown, Family::Network) => 1.0,
        (Conduct::Unknown, Family::Table | Family::Application) => 0.8,
        (Conduct::Unknown, Family::Hour) => 0.4,
        (Conduct::Unknown, _) => 0.7,
    }
}

/// What was unusual on the current day: the best of each family.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct DayAnomalies {
    best: Vec<Anomaly>,
    /// Highest sensitivity among what was unusual.
    sensitivity: Option<i32>,
}

impl DayAnomalies {
    /// Adds those of one event.
    pub(crate) fn add(&mut self, anomalies: &[Anomaly], sensitivity: Option<i32>) {
        for anomaly in anomalies {
            let known = self.best.iter_mut().find(|known| known.family() == anomaly.family());
            match known {
                Some(known) if known.score() < anomaly.score() => *known = anomaly.clone(),
                Some(_) => {}
                None => self.best.push(anomaly.clone()),
            }
        }
        if !anomalies.is_empty() {
            self.sensitivity = self.sensitivity.max(sensitivity);
        }
        // Tables before statements at the same score: their names say more.
        self.best.sort_by(|a, b| {
            let order = b.score().total_cmp(&a.score());
            order.then_with(|| a.value_family().cmp(&b.value_family()))
        });
    }

    /// The best of each family, the strongest first.
    pub(crate) fn best(&self) -> &[Anomaly] {
        &self.best
    }

    /// The sum of the best of each family, by how much is at stake.
    pub(crate) fn score(&self, kind: ActorKind) -> f64 {
        let sum: f64 = self.best.iter().map(Anomaly::score).sum();
        sum * crate::risk::stake(self.sensitivity, kind)
    }

    /// Whether something was done: to be active at an hour is no cause by itself.
    pub(crate) fn is_more_than_an_hour(&self) -> bool {
        self.best.first().is_some_and(|best| best.value_family() != Some(Family::Hour))
    }
}
