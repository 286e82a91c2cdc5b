//! What people decide about a case: where it stands, whose it is, what it turned out to be.
//!
//! A verdict is also a [`Decision`] that enters the stream; both are written as one.

use std::fmt;
use std::str::FromStr;

use event::decision::{DecisionKind, Disposition, Verdict};
use event::{Case, Decision, EventId, Timestamp};

use crate::cases::{KeptCase, find_case};
use crate::decisions::{DecideError, insert_decision};
use crate::state::State;
use crate::text::storable;

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CaseStatus {
    /// Nobody has looked yet, or it was closed and has become graver.
    Open,
    /// Somebody is at it.
    Acknowledged,
    /// It is done with.
    Closed,
}

/// What people decided about a case. Texts hold what people typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triage {
    /// Where it stands.
    pub status: CaseStatus,
    /// Whose it is.
    pub owner: Option<String>,
    /// What it turned out to be.
    pub verdict: Option<Disposition>,
    /// How that is known.
    pub reason: Option<String>,
    /// What else there is to say.
    pub note: Option<String>,
    /// Name of the token that decided last.
    pub decided_by: Option<String>,
    /// When that was.
    pub decided: Option<Timestamp>,
    /// When it was last opened again because it had become graver after it was closed.
    pub reopened: Option<Timestamp>,
}

/// What changes; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriageChange {
    /// Where it stands now.
    pub status: Option<CaseStatus>,
    /// Whose it is now; `Some(None)` for nobody's.
    pub owner: Option<Option<String>>,
    /// What else there is to say; `Some(None)` for nothing.
    pub note: Option<Option<String>>,
    /// What it turned out to be.
    pub verdict: Option<VerdictChange>,
}

/// A verdict on a case, or on one rule or cause of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictChange {
    /// What it turned out to be.
    pub verdict: Disposition,
    /// How that is known.
    pub reason: String,
    /// The rule that is judged; that of the worst signal if none.
    pub rule: Option<String>,
    /// The cause that is judged; every cause that the case lists of the rule if none.
    pub cause: Option<String>,
}

/// Most characters of an owner's name.
const OWNER_CHARACTERS_MAX: usize = 200;

/// Most characters of a note.
const NOTE_CHARACTERS_MAX: usize = 4_000;

impl State {
    /// Decides about a case. Returns it as it is then and, with a verdict, the decision that
    /// enters the stream; none if there is no such case.
    pub async fn decide(
        &self,
        id: EventId,
        change: &TriageChange,
        author: &str,
        now: Timestamp,
    ) -> Result<Option<(KeptCase, Option<Decision>)>, DecideError> {
        change.check()?;
        let mut transaction = self.begin().await?;
        let Some(mut kept) = find_case(&mut transaction, id).await? else { return Ok(None) };
        let decision = match &change.verdict {
            Some(verdict) => Some(verdict.decision(&kept.case, author, now)?),
            None => None,
        };
        if let Some(decision) = &decision {
            insert_decision(&mut transaction, decision).await?;
        }
        kept.triage.apply(change, author, now);
        let triage = &kept.triage;
        sqlx::query(
            "UPDATE cases SET status = $2, owner = $3, verdict = $4, reason = $5, note = $6, \
             decided_by = $7, decided = $8 WHERE id = $1",
        )
        .bind(id.to_string())
        .bind(triage.status.as_str())
        .bind(&triage.owner)
        .bind(triage.verdict.map(Disposition::as_str))
        .bind(&triage.reason)
        .bind(&triage.note)
        .bind(&triage.decided_by)
        .bind(now.0)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some((kept, decision)))
    }
}

impl Triage {
    fn apply(&mut self, change: &TriageChange, author: &str, now: Timestamp) {
        let text = |text: &String| storable(text);
        self.status = change.status.unwrap_or(self.status);
        if let Some(owner) = &change.owner {
            self.owner = owner.as_ref().map(text);
        }
        if let Some(note) = &change.note {
            self.note = note.as_ref().map(text);
        }
        if let Some(change) = &change.verdict {
            self.verdict = Some(change.verdict);
            self.reason = Some(text(&change.reason));
        }
        self.decided_by = Some(storable(author));
        self.decided = Some(now);
    }
}

impl TriageChange {
    fn check(&self) -> Result<(), DecideError> {
        if *self == Self::default() {
            return Err(DecideError::Nothing);
        }
        if let Some(Some(owner)) = &self.owner {
            let is_plain = !owner.trim().is_empty() && !owner.chars().any(char::is_control);
            if !is_plain || owner.chars().count() > OWNER_CHARACTERS_MAX {
                return Err(DecideError::Owner);
            }
        }
        if let Some(Some(note)) = &self.note
            && note.chars().count() > NOTE_CHARACTERS_MAX
        {
            return Err(DecideError::Note);
        }
        Ok(())
    }
}

impl VerdictChange {
    /// The decision about a case. What it names must be in the case.
    fn decision(&self, case: &Case, author: &str, now: Timestamp) -> Result<Decision, DecideError> {
        let rule = self.rule.as_ref().unwrap_or(&case.rule);
        let asked = |cause: &String| self.cause.as_ref().is_none_or(|asked| asked == cause);
        let judged = case.causes.iter().filter(|it| it.rule == *rule && asked(&it.cause));
        let causes: Vec<String> = judged.map(|it| it.cause.clone()).collect();
        // The rule of the worst signal is there, however many causes were not listed.
        let is_whole = self.cause.is_none() && *rule == case.rule;
        if !is_whole && causes.is_empty() {
            return Err(DecideError::NoSuchCause);
        }
        let verdict = Verdict {
            case_id: case.id,
            rule: rule.clone(),
            causes,
            identity: case.identity.clone(),
            instance: case.instance.clone(),
            verdict: self.verdict,
            reason: self.reason.clone(),
        };
        let decision = Decision::new(now, author, DecisionKind::Verdict(verdict));
        decision.check()?;
        Ok(decision)
    }
}

impl CaseStatus {
    /// Every status.
    pub const ALL: &'static [Self] = &[Self::Open, Self::Acknowledged, Self::Closed];

    /// The word as it stands in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for CaseStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word was not a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a status of a case; choose open, acknowledged or closed")]
pub struct UnknownStatus(String);

impl FromStr for CaseStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        let found = Self::ALL.iter().find(|status| status.as_str() == text);
        found.copied().ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}
