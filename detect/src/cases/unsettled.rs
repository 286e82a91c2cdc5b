//! Statements that were told of before the log said how they ended: pgaudit writes some rows before
//! the server runs the statement. The error that ends one amends the case.

use bounded::BoundedMap;
use event::vocabulary::{CaseChange, Outcome};
use event::{Alert, EventId};
use serde::{Deserialize, Serialize};

use super::{Cases, Scene};
use crate::explanation;
use crate::signal::{Signal, Told};

/// Statements remembered at once. Their errors come in the same session, most often next.
const STATEMENTS_MAX: usize = 4_096;

/// Statements by their act, each with what was told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Unsettled(BoundedMap<u64, Vec<Telling>>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Telling {
    /// Key and id of the case.
    key: String,
    case: EventId,
    signal: Signal,
    title: String,
}

impl Default for Unsettled {
    fn default() -> Self {
        Self(BoundedMap::new(STATEMENTS_MAX))
    }
}

impl Unsettled {
    /// Sets the limit again, which is not saved.
    pub(super) fn set_limit(&mut self) {
        self.0.set_limit(STATEMENTS_MAX);
    }

    /// Remembers what was told of a statement, if how it ended is not known.
    pub(super) fn note(&mut self, key: &str, signal: &Signal, scene: &Scene<'_>, alert: &Alert) {
        let is_open = scene.event.event.outcome == Outcome::Unknown;
        let Some(act) = signal.act.filter(|_| is_open) else { return };
        let (key, title) = (key.to_owned(), alert.title.clone());
        let telling = Telling { key, case: alert.case_id, signal: signal.clone(), title };
        match self.0.get_mut(&act) {
            Some(tellings) => tellings.push(telling),
            None => drop(self.0.insert(act, vec![telling])),
        }
    }
}

impl Cases {
    /// Takes the error that ended a statement; amends the cases that it was told in.
    pub(crate) fn settle(&mut self, scene: &Scene<'_>) -> Vec<Alert> {
        if self.unsettled.0.is_empty() {
            return Vec::new();
        }
        let Some(act) = scene.event.act() else { return Vec::new() };
        let tellings = self.unsettled.0.remove(&act).unwrap_or_default();
        let alerts = tellings.into_iter().filter_map(|telling| self.amend(&telling, scene));
        alerts.collect()
    }

    fn amend(&mut self, telling: &Telling, scene: &Scene<'_>) -> Option<Alert> {
        let Telling { key, case, signal, title } = telling;
        let open = self.open.get_mut(key.as_str()).filter(|open| open.case.id == *case)?;
        let (title, explanation) = explanation::explain_error(title, scene.event.event);
        let told = Told { title, explanation, ..Told::default() };
        open.case.updated = open.case.updated.max(scene.time);
        open.name(scene.event.event.id);
        if open.act == signal.act && open.case.rule == signal.detector {
            explanation::add_error(&mut open.case.explanation, scene.event.event);
        }
        self.grown.insert(key.clone());
        let scene = Scene { risk: open.case.risk, ..*scene };
        Some(open.alert(signal, &scene, told, CaseChange::Amended))
    }
}
