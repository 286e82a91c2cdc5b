//! Whether the audit records of a session follow one another. pgaudit numbers what it logs: a
//! number that is left out is a record that the server wrote and that never came, be it dropped by
//! `log_min_messages`, lost or cut. A session without any record may have begun with the audit off.
//!
//! What it cannot see is an audit that is switched off in the midst of a session: pgaudit stops
//! counting with it, logs not even that `SET`, and goes on without a hole.

use std::collections::{HashMap, VecDeque};

use event::AuditEvent;
use event::vocabulary::{Action, Outcome};
use serde::{Deserialize, Serialize};

/// Sessions watched at once; beyond it the oldest are let go.
const SESSIONS_MAX: usize = 65_536;

/// Accounts whose habit is known; beyond it new ones are not counted.
const ACCOUNTS_MAX: usize = 65_536;

/// Sessions of an account before a silent one counts as unusual for it.
const SESSIONS_MIN: u64 = 3;

/// One silent session in so many is still unusual.
const SILENT_SHARE: u64 = 20;

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Numbers were left out before this record.
    Gap,
    /// The session ended and left no record, which is not its account's habit.
    Silent,
}

impl Break {
    /// The flag that rules see.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Gap => "audit_gap",
            Self::Silent => "silent_session",
        }
    }

    /// Its bit among the flags of a statement, which grow from the other end.
    pub(crate) const fn bit(self) -> u64 {
        match self {
            Self::Gap => 1 << 63,
            Self::Silent => 1 << 62,
        }
    }
}

/// Watches sessions. Instances and sessions are told apart by their names.
#[derive(Debug, Default)]
pub(crate) struct Continuity {
    sessions: HashMap<String, Session>,
    /// Keys in the order in which they came.
    order: VecDeque<String>,
    habits: HashMap<String, Habit>,
}

#[derive(Debug, Default)]
struct Session {
    last: i64,
    records: u64,
    is_whole: bool,
}

#[derive(Debug, Default)]
struct Habit {
    sessions: u64,
    silent: u64,
}

/// The state in an order of its own, so that the same state is the same bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedContinuity {
    sessions: Vec<(String, i64, u64, bool)>,
    habits: Vec<(String, u64, u64)>,
}

impl Continuity {
    /// Looks at one event, in the order of its source.
    pub(crate) fn observe(&mut self, event: &AuditEvent<'_>) -> Option<Break> {
        let session = event.session?;
        let begins = event.command == Some("connection authorized");
        if !begins
            && event.statement_number.is_none()
            && event.statement.is_none()
            && event.action != Action::Logout
        {
            return None;
        }
        let key = format!("{}\0{session}", event.instance);
        if begins {
            self.begin(key);
            return None;
        }
        if event.action == Action::Logout {
            return self.end(&key, event);
        }
        self.record(key, event.statement_number)
    }

    fn begin(&mut self, key: String) {
        let whole = Session { is_whole: true, ..Session::default() };
        if self.sessions.insert(key.clone(), whole).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > SESSIONS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.sessions.remove(&oldest);
            }
        }
    }

    fn record(&mut self, key: String, number: Option<i64>) -> Option<Break> {
        if !self.sessions.contains_key(&key) {
            // Its beginning was not seen, so the first number says nothing.
            self.begin(key.clone());
            if let Some(session) = self.sessions.get_mut(&key) {
                session.is_whole = false;
            }
        }
        let session = self.sessions.get_mut(&key)?;
        session.records += 1;
        let number = number?;
        let is_known = session.is_whole || session.last > 0;
        let is_gap = is_known && number > session.last + 1;
        session.last = session.last.max(number);
        is_gap.then_some(Break::Gap)
    }

    fn end(&mut self, key: &str, event: &AuditEvent<'_>) -> Option<Break> {
        let session = self.sessions.remove(key)?;
        if !session.is_whole || event.outcome == Outcome::Denied {
            return None;
        }
        let account = format!("{}\0{}", event.instance, event.user?);
        if self.habits.len() >= ACCOUNTS_MAX && !self.habits.contains_key(&account) {
            return None;
        }
        let habit = self.habits.entry(account).or_default();
        let is_silent = session.records == 0;
        let is_unusual =
            habit.sessions >= SESSIONS_MIN && habit.silent * SILENT_SHARE <= habit.sessions;
        habit.sessions += 1;
        habit.silent += u64::from(is_silent);
        (is_silent && is_unusual).then_some(Break::Silent)
    }

    /// The state, to be kept.
    pub(crate) fn save(&self) -> SavedContinuity {
        let known = self.order.iter().filter_map(|key| Some((key, self.sessions.get(key)?)));
        let sessions = known.map(|(key, s)| (key.clone(), s.last, s.records, s.is_whole)).collect();
        let mut habits: Vec<_> =
            self.habits.iter().map(|(key, h)| (key.clone(), h.sessions, h.silent)).collect();
        habits.sort();
        SavedContinuity { sessions, habits }
    }

    /// Continues from a kept state.
    pub(crate) fn load(&mut self, state: SavedContinuity) {
        self.order = state.sessions.iter().map(|(key, ..)| key.clone()).collect();
        let session = |(key, last, records, is_whole)| (key, Session { last, records, is_whole });
        self.sessions = state.sessions.into_iter().map(session).collect();
        let habit = |(key, sessions, silent)| (key, Habit { sessions, silent });
        self.habits = state.habits.into_iter().map(habit).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(session: &'a str, command: &'a str, number: Option<i64>) -> AuditEvent<'a> {
        let action = if command == "disconnection" { Action::Logout } else { Action::Other };
        AuditEvent {
            session: Some(session),
            command: Some(command),
            statement_number: number,
            user: Some("bo"),
            action,
            ..AuditEvent::new("files", "postgresql_csvlog", "postgresql", "orders")
        }
    }

    fn play(continuity: &mut Continuity, session: &str, numbers: &[i64]) -> Vec<Break> {
        let mut breaks = Vec::new();
        breaks.extend(continuity.observe(&event(session, "connection authorized", None)));
        for number in numbers {
            breaks.extend(continuity.observe(&event(session, "SELECT", Some(*number))));
        }
        breaks.extend(continuity.observe(&event(session, "disconnection", None)));
        breaks
    }

    #[test]
    fn a_number_left_out_is_a_gap() {
        let mut continuity = Continuity::default();
        assert_eq!(play(&mut continuity, "a", &[1, 2, 2, 3]), []);
        assert_eq!(play(&mut continuity, "a", &[1, 4, 5]), [Break::Gap]);
        assert_eq!(play(&mut continuity, "a", &[3]), [Break::Gap]);
        // A session whose beginning was not seen may begin with any number.
        assert_eq!(continuity.observe(&event("b", "SELECT", Some(17))), None);
        assert_eq!(continuity.observe(&event("b", "SELECT", Some(19))), Some(Break::Gap));
    }

    #[test]
    fn silence_is_judged_by_habit() {
        let mut continuity = Continuity::default();
        assert_eq!(play(&mut continuity, "a", &[]), [], "nothing is known of the account");
        let mut continuity = Continuity::default();
        for _ in 0..3 {
            assert_eq!(play(&mut continuity, "a", &[1]), []);
        }
        let mut restored = Continuity::default();
        restored.load(continuity.save());
        assert_eq!(play(&mut continuity, "a", &[]), [Break::Silent]);
        assert_eq!(play(&mut restored, "a", &[]), [Break::Silent]);
        assert_eq!(play(&mut continuity, "a", &[]), [], "once is unusual, twice is a habit");
    }
}
