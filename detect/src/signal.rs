//! The one currency of detection: what rules, baselines and models say of an event.

use event::EventId;
use event::alert::{Detector, Explanation, Severity};
use event::vocabulary::CauseFamily;
use serde::{Deserialize, Serialize};

/// What kind of evidence a signal is. The signals of one family depend on each other, so that only
/// the best of each counts towards the risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Family {
    /// A rule on one event, or a correlation.
    Rule,
    /// Where it came from.
    Login,
    /// With what program, and when.
    Context,
    /// Tables, statements and commands that are new.
    Novelty,
    /// How many rows.
    Volume,
    /// What stopped coming.
    Silence,
}

impl Family {
    /// How many there are.
    pub(crate) const COUNT: usize = 6;
}

/// Whose case a signal belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum About {
    /// Sessions of one identity that come from one place with one program.
    Lineage,
    /// An identity, whatever its sessions.
    Identity,
    /// A client, whatever it logs in as.
    Client,
}

/// One thing that speaks for a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Signal {
    /// Id of the rule or baseline, such as `D01` or `baseline.table`.
    pub(crate) detector: String,
    pub(crate) layer: Detector,
    pub(crate) family: Family,
    /// The family of the case that it belongs to.
    pub(crate) case_family: CauseFamily,
    /// Chance that an ordinary day of an ordinary identity brings it, 0–1.
    pub(crate) p: f64,
    /// How telling the family is for this kind of identity; multiplies −log10 p.
    pub(crate) weight: f64,
    pub(crate) severity: Severity,
    /// What makes two acts of one detector different: program, path, URL, role, table.
    pub(crate) cause: String,
    /// Whether it may open a case, or only joins one.
    pub(crate) opens_case: bool,
    /// Whose case it belongs to.
    pub(crate) about: About,
    /// The statement of a session that caused it, if the source numbers them: what runs inside of
    /// it is the same act.
    pub(crate) act: Option<u64>,
}

/// What people read of a signal: observed, usual, and the counterfactual are its explanation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) title: String,
    pub(crate) explanation: Explanation,
    pub(crate) attack: Vec<String>,
    pub(crate) controls: Vec<String>,
    /// Events that count towards it, the newest last; empty for the event itself.
    pub(crate) events: Vec<EventId>,
}

impl Signal {
    /// What a baseline or the risk says of an identity, whatever its sessions.
    pub(crate) fn of_identity(
        detector: &str,
        (layer, family): (Detector, Family),
        case_family: CauseFamily,
        severity: Severity,
        cause: String,
    ) -> Self {
        Self {
            detector: detector.to_owned(),
            layer,
            family,
            case_family,
            p: chance_of(severity),
            weight: 1.0,
            severity,
            cause,
            opens_case: true,
            about: About::Identity,
            act: None,
        }
    }

    /// −log10 of the chance by how telling it is; no single thing counts more than one day in a
    /// million.
    pub(crate) fn score(&self) -> f64 {
        (-self.p.clamp(1e-9, 1.0).log10()).min(SCORE_MAX) * self.weight
    }
}

impl Told {
    /// What is told of how an identity behaves, which is evidence of monitoring for anomalies.
    pub(crate) fn of_behaviour(title: String, explanation: Explanation) -> Self {
        Self { title, explanation, controls: vec!["SOC 2 CC7.2".into()], ..Self::default() }
    }
}

/// The most that one signal counts.
pub(crate) const SCORE_MAX: f64 = 6.0;

/// The chance that a rule of this severity stands for: what an operator would expect of it on an
/// ordinary day.
pub(crate) fn chance_of(severity: Severity) -> f64 {
    match severity {
        Severity::Low => 1e-1,
        Severity::Medium => 1e-2,
        Severity::High => 1e-4,
        Severity::Critical => 1e-6,
    }
}
