//! What belongs together of what detection found: one case for a person to judge.

use serde::{Deserialize, Serialize};

use crate::alert::{Explanation, Severity};
use crate::vocabulary::{CauseFamily, Evidence};
use crate::{EventId, Timestamp};

/// The signals of one identity, session lineage and family of causes within a day, with counts.
///
/// Detection tells the whole case anew whenever it has grown. Of two tellings of one case the one
/// with more [signals](Self::signals) is the later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Hash of what it is about and of the event that opened it.
    pub id: EventId,
    /// Configured name of the server.
    pub instance: String,
    /// Whom it is about: the person if known, else the account; none where no account is known.
    pub identity: Option<String>,
    /// The sessions it is about, by the client and the program they came from; empty for all.
    pub lineage: String,
    /// What kind of cause it has.
    pub family: CauseFamily,
    /// Id of the rule or baseline of its worst signal.
    pub rule: String,
    /// Title of its worst signal.
    pub title: String,
    /// Of its worst signal.
    pub severity: Severity,
    /// Time of its first event.
    pub opened: Timestamp,
    /// Time of its newest event.
    pub updated: Timestamp,
    /// How many signals it has.
    pub signals: u64,
    /// Every distinct cause in the order in which they came, at most [`Case::CAUSES_MAX`].
    pub causes: Vec<CaseCause>,
    /// How many distinct causes it has.
    pub causes_total: u64,
    /// How far its weakest event can be trusted.
    pub evidence: Evidence,
    /// Its newest events, at most [`crate::alert::EVENTS_MAX`].
    pub events: Vec<EventId>,
    /// Why, by its worst signal.
    pub explanation: Explanation,
    /// MITRE ATT&CK techniques of all its signals.
    pub attack: Vec<String>,
    /// Controls that it is evidence for.
    pub controls: Vec<String>,
    /// Risk points of its worst signal, with its best of every other family.
    pub risk: f64,
    /// Versions of the models that its worst signal was judged with.
    pub models: Vec<String>,
}

impl Case {
    /// Most causes that a case lists one by one; [`Case::causes_total`] counts them all.
    pub const CAUSES_MAX: usize = 64;
}

/// One distinct cause of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseCause {
    /// Id of the rule or baseline.
    pub rule: String,
    /// What tells this act from others of the rule; empty if nothing does.
    pub cause: String,
    /// The worst it was.
    pub severity: Severity,
    /// How many signals had it.
    pub signals: u64,
    /// Time of its first and of its newest event.
    pub first: Timestamp,
    /// See `first`.
    pub newest: Timestamp,
}
