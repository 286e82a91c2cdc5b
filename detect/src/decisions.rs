//! What people have decided: exceptions and change windows, and what cases turned out to be.
//!
//! Decisions come with the stream, so that a replay decides the same. They hold for rules and for
//! baselines alike.

use bounded::BoundedMap;
use event::decision::{Decision, DecisionKind, HELD_MAX, Scope};
use event::{EventId, Timestamp};
use globset::GlobMatcher;
use serde::{Deserialize, Serialize};

use crate::rule_event::RuleEvent;
use crate::signal::Signal;

/// Clients of identities for which it is remembered which change windows are about them.
const ANNOUNCED_MAX: usize = 16_384;

/// The exceptions and change windows that hold.
pub(crate) struct Decisions {
    exceptions: Vec<Held>,
    windows: Vec<Held>,
    /// By instance, identity and client: the windows that are about them, whatever the tables.
    announced: BoundedMap<String, Vec<usize>>,
}

impl Default for Decisions {
    fn default() -> Self {
        let announced = BoundedMap::new(ANNOUNCED_MAX);
        Self { exceptions: Vec::new(), windows: Vec::new(), announced }
    }
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
    instance: Option<TextMatcher>,
    identity: Option<TextMatcher>,
    network: Option<TextMatcher>,
    table: Option<TextMatcher>,
    rule: Option<TextMatcher>,
    cause: Option<TextMatcher>,
}

/// A glob; most are a plain text, which takes a hundredth of the memory.
enum TextMatcher {
    Plain(String),
    Glob(GlobMatcher),
}

impl TextMatcher {
    fn of(text: &str) -> Option<Self> {
        if text.is_ascii() && !text.contains(['*', '?', '[', ']', '{', '}', '\\', '!', ',']) {
            return Some(Self::Plain(text.to_owned()));
        }
        Some(Self::Glob(event::decision::glob(text).ok()?.compile_matcher()))
    }

    fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Plain(plain) => plain.eq_ignore_ascii_case(text),
            Self::Glob(glob) => glob.is_match(text),
        }
    }
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

    /// Whether a change is announced for what was found in the event.
    pub(crate) fn announces(
        &self,
        signal: &Signal,
        event: &RuleEvent<'_>,
        time: Timestamp,
    ) -> bool {
        let mut windows = self.windows.iter();
        windows.any(|held| {
            held.is_open(time) && held.scope.fits_signal(signal) && held.scope.fits(event)
        })
    }

    /// Whether a change is announced for the event, whatever is found in it. Asked of every event:
    /// the windows of an identity that comes again are not looked for again.
    pub(crate) fn announces_event(&mut self, event: &RuleEvent<'_>, time: Timestamp) -> bool {
        if self.windows.is_empty() {
            return false;
        }
        let identity = event.event.identity().unwrap_or("\0");
        let client = event.client().unwrap_or_default();
        let key = [event.event.instance, identity, event.client_network, client].join("\0");
        let windows = &self.windows;
        let about = self.announced.get_or_insert_with(key.as_str(), || {
            let is_about = |held: &Held| {
                let scope = &held.scope;
                scope.rule.is_none() && scope.cause.is_none() && scope.fits_origin(event)
            };
            let about = windows.iter().enumerate().filter(|(_, held)| is_about(held));
            about.map(|(index, _)| index).collect()
        });
        about.iter().any(|index| {
            let held = &windows[*index];
            held.is_open(time) && held.scope.fits_tables(event)
        })
    }

    pub(crate) fn save(&self) -> SavedDecisions {
        let held = self.exceptions.iter().chain(&self.windows);
        SavedDecisions(held.map(|held| held.decision.clone()).collect())
    }

    pub(crate) fn load(&mut self, saved: &SavedDecisions) {
        saved.0.iter().for_each(|decision| self.take(decision));
    }

    fn forget(&mut self, id: EventId) {
        self.announced = BoundedMap::new(ANNOUNCED_MAX);
        for held in [&mut self.exceptions, &mut self.windows] {
            held.retain(|known| known.decision.id != id);
        }
    }
}

/// Holds a decision; what was over when it was made, then the oldest, makes room. There are no
/// more that hold: the state refuses them.
fn hold(held: &mut Vec<Held>, decision: &Decision, scope: &Scope) {
    let Some(scope) = ScopeMatcher::of(scope) else { return };
    if held.len() >= HELD_MAX {
        held.retain(|known| !known.is_over(decision.time));
    }
    if held.len() >= HELD_MAX {
        held.remove(0);
    }
    held.push(Held { decision: decision.clone(), scope });
}

impl Held {
    fn is_over(&self, time: Timestamp) -> bool {
        match &self.decision.kind {
            DecisionKind::Exception(exception) => exception.expires.is_some_and(|at| at <= time),
            DecisionKind::ChangeWindow(window) => window.until <= time,
            _ => true,
        }
    }

    /// Whether it is a change window that has begun and not ended.
    fn is_open(&self, time: Timestamp) -> bool {
        match &self.decision.kind {
            DecisionKind::ChangeWindow(window) => window.from <= time && time < window.until,
            _ => false,
        }
    }
}

impl ScopeMatcher {
    fn of(scope: &Scope) -> Option<Self> {
        let glob = |text: &Option<String>| match text {
            None => Some(None),
            Some(text) => TextMatcher::of(text).map(Some),
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

    fn fits(&self, event: &RuleEvent<'_>) -> bool {
        self.fits_tables(event) && self.fits_origin(event)
    }

    /// Every table must be in scope: one that is excepted must not cover for another.
    fn fits_tables(&self, event: &RuleEvent<'_>) -> bool {
        match &self.table {
            None => true,
            Some(glob) => {
                let mut tables = event.analysis.tables().peekable();
                tables.peek().is_some() && tables.all(|table| glob.is_match(table))
            }
        }
    }

    fn fits_origin(&self, event: &RuleEvent<'_>) -> bool {
        let fits = |glob: &Option<TextMatcher>, text: Option<&str>| match glob {
            None => true,
            Some(glob) => text.is_some_and(|text| glob.is_match(text)),
        };
        fits(&self.instance, Some(event.event.instance))
            && fits(&self.identity, event.event.identity())
            && (fits(&self.network, Some(event.client_network))
                || fits(&self.network, event.client()))
    }

    fn fits_signal(&self, signal: &Signal) -> bool {
        let fits = |glob: &Option<TextMatcher>, text: &str| {
            glob.as_ref().is_none_or(|glob| glob.is_match(text))
        };
        fits(&self.rule, &signal.detector) && fits(&self.cause, &signal.cause)
    }
}
