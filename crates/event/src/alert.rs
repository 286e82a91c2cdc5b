//! What detection tells of a case as it happens, and why: an alert explains itself to an engineer
//! and to a manager.

use serde::{Deserialize, Serialize};

use crate::vocabulary::{CaseChange, CauseFamily, Evidence};
use crate::{EventId, Timestamp};

/// One event of a [case](crate::Case): it was opened, it became graver, or another cause joined.
/// Everything in it follows from the events and the models, so a replay gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Hash of the case, the rule and the event that told it.
    pub id: EventId,
    /// The case that it is about.
    pub case_id: EventId,
    /// What happened to the case.
    pub change: CaseChange,
    /// What kind of cause the case has.
    pub family: CauseFamily,
    /// What tells this act from others of the rule, such as `program /opt/etl/fetch.sh`; empty if
    /// nothing does.
    pub cause: String,
    /// Time of the event that told it.
    pub time: Timestamp,
    /// Time of the first event that counts towards it.
    pub first_time: Timestamp,
    /// Id of the rule or baseline, such as `D01` or `baseline.table`.
    pub rule: String,
    /// What it is, in a few words.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// Which layer found it.
    pub detector: Detector,
    /// Whom it is about: the person if known, else the account.
    pub identity: Option<String>,
    /// Configured name of the server.
    pub instance: String,
    /// Database.
    pub database: Option<String>,
    /// Account.
    pub user: Option<String>,
    /// Client's address or host.
    pub client: Option<String>,
    /// Application name.
    pub application: Option<String>,
    /// Session id.
    pub session: Option<String>,
    /// SQL text of that event, cut at [`STATEMENT_BYTES_MAX`].
    pub statement: Option<String>,
    /// Fingerprint of that statement, 16 hex digits.
    pub fingerprint: Option<String>,
    /// How far the weakest event can be trusted; `C` may have been forged by a client.
    pub evidence: Evidence,
    /// Ids of the events, the newest [`EVENTS_MAX`].
    pub events: Vec<EventId>,
    /// How many events count towards it.
    pub event_count: u64,
    /// Why: observed, usual, and what would have kept it silent.
    pub explanation: Explanation,
    /// MITRE ATT&CK techniques, such as `T1059.004`.
    pub attack: Vec<String>,
    /// Controls it is evidence for, such as `SOC 2 CC6.8`.
    pub controls: Vec<String>,
    /// Risk points, 0 and up.
    pub risk: f64,
    /// Versions of the models that it was judged with, such as `prior 2026-11-26-1a2b3c4d`.
    pub models: Vec<String>,
}

/// Most bytes of SQL text an alert carries.
pub const STATEMENT_BYTES_MAX: usize = 2_000;

/// Most event ids an alert carries.
pub const EVENTS_MAX: usize = 20;

/// The reasons of an alert.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was seen: a name and its value.
    pub observed: Vec<Fact>,
    /// What is usual for the identity, its peers, the organisation.
    pub usual: Vec<Fact>,
    /// How much the baseline knows, such as `6 days, 212 sessions`; none for a rule.
    pub maturity: Option<String>,
    /// For an engineer: fields, values, thresholds.
    pub engineer: String,
    /// For a manager: one or two plain sentences.
    pub manager: String,
    /// What would have kept it silent, for an engineer.
    pub counterfactual_engineer: String,
    /// What would have kept it silent, for a manager.
    pub counterfactual_manager: String,
}

/// A named value of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is: a column name or a measure.
    pub name: String,
    /// Its value, as text.
    pub value: String,
}

impl Fact {
    /// A named value.
    pub fn new(name: impl Into<String>, value: impl ToString) -> Self {
        Self { name: name.into(), value: value.to_string() }
    }
}

/// How bad it is, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth keeping.
    Low,
    /// Worth a look this week.
    Medium,
    /// Worth a look today.
    High,
    /// Worth waking someone.
    Critical,
}

impl Severity {
    /// The word as it stands in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// The layer that found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// One event matched a rule.
    Rule,
    /// Several events matched a correlation.
    Correlation,
    /// An identity left its baseline.
    Baseline,
    /// Many weak signals of one identity added up.
    Risk,
}
