//! What people have decided: exceptions and change windows, and what cases turned out to be.
//!
//! Decisions come with the stream, so that a replay decides the same. They hold for rules and for
//! baselines alike.

use event::decision::{Decision, DecisionKind, Scope};
use event::{EventId, Timestamp};
use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use crate::rule_event::RuleEvent;
use crate::signal::Signal;

/// Decisions that are held at once.
const DECISIONS_MAX: usize = 4_096;

/// The exceptions and change windows that hold.
#[derive(Default)]
pub(crate) struct Decisions {
    exceptions: Vec<Held>,
    windows: Vec<Held>,
}

/// A decision, and what it is about.
struct Held {
    decision: Decision,
    scope: ScopeMatcher,
}

/// Decisions as they are saved: in the order in which they came.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct SavedDecisions(Vec<Decision>);

/// The globs of a scope; what is none fits all.
struct ScopeMatcher {
    instance: Option<GlobMatcher>,
    identity: Option<GlobMatcher>,
    network: Option<GlobMatcher>,
    table: Option<GlobMatcher>,
    rule: Option<GlobMatcher>,
    cause: Option<GlobMatcher>,
}

impl Decisions {
    /// Takes an exception or a change window, or takes one back. A scope that is no glob matches
    /// nothing; it was refused where it was made.
    pub(crate) fn take(&mut self, decision: &Decision) {
        self.forget(decision.id);
        match &decision.kind {
            DecisionKind::Exception(exception) => {
                hold(&mut self.exceptions, decision, &exception.scope);
            }
            DecisionKind::ChangeWindow(window) => hold(&mut self.windows, decision, &window.scope),
            DecisionKind::Withdrawn { decision } => self.forget(*decision),
            DecisionKind::Verdict(_) => {}
        }
    }

    /// Whether somebody has said that such a signal is expected at this time.
    pub(crate) fn expects(&self, signal: &Signal, event: &RuleEvent<'_>, time: Timestamp) -> bool {
        self.exceptions.iter().any(|held| {
            let holds = match &held.decision.kind {
                DecisionKind::Exception(exception) => {
                    exception.expires.is_none_or(|expires| time < expires)
                }
                _ => false,
            };
            holds && held.scope.fits(event) && held.scope.fits_signal(signal)
        })
    }

    /// Whether a change is announced for the event; with a signal also for that.
    pub(crate) fn announces(
        &self,
        signal: Option<&Signal>,
        event: &RuleEvent<'_>,
        time: Timestamp,
    ) -> bool {
        self.windows.iter().any(|held| {
            let holds = match &held.decision.kind {
                DecisionKind::ChangeWindow(window) => window.from <= time && time < window.until,
                _ => false,
            };
            let fits = match signal {
                Some(signal) => held.scope.fits_signal(signal),
                None => held.scope.rule.is_none() && held.scope.cause.is_none(),
            };
            holds && fits && held.scope.fits(event)
        })
    }

    /// Whether there are change windows at all.
    pub(crate) fn has_windows(&self) -> bool {
        !self.windows.is_empty()
    }

    pub(crate) fn save(&self) -> SavedDecisions {
        let held = self.exceptions.iter().chain(&self.windows);
        SavedDecisions(held.map(|held| held.decision.clone()).collect())
    }

    pub(crate) fn load(&mut self, saved: &SavedDecisions) {
        saved.0.iter().for_each(|decision| self.take(decision));
    }

    fn forget(&mut self, id: EventId) {
        for held in [&mut self.exceptions, &mut self.windows] {
            held.retain(|known| known.decision.id != id);
        }
    }
}

/// Holds a decision; the oldest makes room.
fn hold(held: &mut Vec<Held>, decision: &Decision, scope: &Scope) {
    let Some(scope) = ScopeMatcher::of(scope) else { return };
    if held.len() >= DECISIONS_MAX {
        held.remove(0);
    }
    held.push(Held { decision: decision.clone(), scope });
}

impl ScopeMatcher {
    fn of(scope: &Scope) -> Option<Self> {
        let glob = |text: &Option<String>| match text {
            None => Some(None),
            Some(text) => {
                let glob = GlobBuilder::new(text).case_insensitive(true).build().ok()?;
                Some(Some(glob.compile_matcher()))
            }
        };
        Some(Self {
            instance: glob(&scope.instance)?,
            identity: glob(&scope.identity)?,
            network: glob(&scope.network)?,
            table: glob(&scope.table)?,
            rule: glob(&scope.rule)?,
            cause: glob(&scope.cause)?,
        })
    }

    /// Every table must be in scope: one that is excepted must not cover for another.
    fn fits(&self, event: &RuleEvent<'_>) -> bool {
        let fits = |glob: &Option<GlobMatcher>, text: Option<&str>| match glob {
            None => true,
            Some(glob) => text.is_some_and(|text| glob.is_match(text)),
        };
        let tables = match &self.table {
            None => true,
            Some(glob) => {
                let mut tables = event.analysis.tables().peekable();
                tables.peek().is_some() && tables.all(|table| glob.is_match(table))
            }
        };
        tables
            && fits(&self.instance, Some(event.event.instance))
            && fits(&self.identity, event.event.identity())
            && (fits(&self.network, Some(event.client_network))
                || fits(&self.network, event.client()))
    }

    fn fits_signal(&self, signal: &Signal) -> bool {
        let fits = |glob: &Option<GlobMatcher>, text: &str| {
            glob.as_ref().is_none_or(|glob| glob.is_match(text))
        };
        fits(&self.rule, &signal.detector) && fits(&self.cause, &signal.cause)
    }
}
