//! Whether the audit records of a session follow one another. pgaudit numbers what it logs: a
//! number that is left out is a record that the server wrote and that never came, be it dropped by
//! `log_min_messages`, lost or cut. A session without any record may have begun with the audit off.
//!
//! What it cannot see is an audit that is switched off in the midst of a session: pgaudit stops
//! counting with it, logs not even that `SET`, and goes on without a hole.

use bounded::BoundedMap;
use event::AuditEvent;
use event::vocabulary::{Action, Outcome};
use serde::{Deserialize, Serialize};

/// Sessions watched at once; beyond it the one that was quiet longest is let go.
const SESSIONS_MAX: usize = 65_536;

/// Accounts whose habit is known; beyond it the one that was quiet longest is let go.
const ACCOUNTS_MAX: usize = 65_536;

/// Sessions of an account before a silent one counts as unusual for it.
const SESSIONS_MIN: u64 = 3;

/// One silent session in so many is still unusual.
const SILENT_SHARE: u64 = 20;

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuditGap {
    /// Numbers were left out before this record.
    Missing,
    /// The session ended and left no record, which is not its account's habit.
    Silent,
}

impl AuditGap {
    /// The flag that rules see.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Missing => "audit_gap",
            Self::Silent => "silent_session",
        }
    }

    /// Its bit among the flags of a statement, which grow from the other end.
    pub(crate) const fn bit(self) -> u64 {
        match self {
            Self::Missing => 1 << 63,
            Self::Silent => 1 << 62,
        }
    }
}

/// Watches sessions. Instances and sessions are told apart by their names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AuditGaps {
    sessions: BoundedMap<String, Session>,
    habits: BoundedMap<String, Habit>,
    /// Kept to reuse its memory.
    #[serde(skip)]
    key: String,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Session {
    last: i64,
    records: u64,
    is_whole: bool,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Habit {
    sessions: u64,
    silent: u64,
}

impl Default for AuditGaps {
    fn default() -> Self {
        Self {
            sessions: BoundedMap::new(SESSIONS_MAX),
            habits: BoundedMap::new(ACCOUNTS_MAX),
            key: String::new(),
        }
    }
}

impl AuditGaps {
    /// Sets the limits again, which are not saved.
    pub(crate) fn set_limits(&mut self) {
        self.sessions.set_limit(SESSIONS_MAX);
        self.habits.set_limit(ACCOUNTS_MAX);
    }

    /// Looks at one event, in the order of its source.
    pub(crate) fn observe(&mut self, event: &AuditEvent<'_>) -> Option<AuditGap> {
        // Only pgaudit numbers the records of a session; a number of MariaDB's is the server's.
        let session = event.session.filter(|_| event.engine == "postgresql")?;
        let begins = event.command == Some("connection authorized");
        if !begins
            && event.statement_number.is_none()
            && event.statement.is_none()
            && event.action != Action::Logout
        {
            return None;
        }
        self.key.clear();
        for part in [event.instance, "\0", session] {
            self.key.push_str(part);
        }
        if begins {
            let session = Session { is_whole: true, ..Session::default() };
            self.sessions.insert(self.key.clone(), session);
            return None;
        }
        if event.action == Action::Logout {
            return self.end(event);
        }
        // Of a session whose beginning was not seen, the first number says nothing.
        let session = self.sessions.get_or_insert_with(self.key.as_str(), Session::default);
        session.records += 1;
        let number = event.statement_number?;
        let is_known = session.is_whole || session.last > 0;
        let is_missing = is_known && number > session.last + 1;
        session.last = session.last.max(number);
        is_missing.then_some(AuditGap::Missing)
    }

    fn end(&mut self, event: &AuditEvent<'_>) -> Option<AuditGap> {
        let session = self.sessions.remove(self.key.as_str())?;
        if !session.is_whole || event.outcome == Outcome::Denied {
            return None;
        }
        let account = format!("{}\0{}", event.instance, event.user?);
        let habit = self.habits.get_or_insert_with(account.as_str(), Habit::default);
        let is_silent = session.records == 0;
        let is_unusual =
            habit.sessions >= SESSIONS_MIN && habit.silent * SILENT_SHARE <= habit.sessions;
        habit.sessions += 1;
        habit.silent += u64::from(is_silent);
        (is_silent && is_unusual).then_some(AuditGap::Silent)
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

    fn play(gaps: &mut AuditGaps, session: &str, numbers: &[i64]) -> Vec<AuditGap> {
        let mut found = Vec::new();
        found.extend(gaps.observe(&event(session, "connection authorized", None)));
        for number in numbers {
            found.extend(gaps.observe(&event(session, "SELECT", Some(*number))));
        }
        found.extend(gaps.observe(&event(session, "disconnection", None)));
        found
    }

    #[test]
    fn a_number_left_out_is_a_gap() {
        let mut gaps = AuditGaps::default();
        assert_eq!(play(&mut gaps, "a", &[1, 2, 2, 3]), []);
        assert_eq!(play(&mut gaps, "a", &[1, 4, 5]), [AuditGap::Missing]);
        assert_eq!(play(&mut gaps, "a", &[3]), [AuditGap::Missing]);
        // A session whose beginning was not seen may begin with any number.
        assert_eq!(gaps.observe(&event("b", "SELECT", Some(17))), None);
        assert_eq!(gaps.observe(&event("b", "SELECT", Some(19))), Some(AuditGap::Missing));
    }

    #[test]
    fn silence_is_judged_by_habit() {
        let mut gaps = AuditGaps::default();
        assert_eq!(play(&mut gaps, "a", &[]), [], "nothing is known of the account");
        let mut gaps = AuditGaps::default();
        for _ in 0..3 {
            assert_eq!(play(&mut gaps, "a", &[1]), []);
        }
        let mut restored = gaps.clone();
        restored.set_limits();
        assert_eq!(play(&mut gaps, "a", &[]), [AuditGap::Silent]);
        assert_eq!(play(&mut restored, "a", &[]), [AuditGap::Silent]);
        assert_eq!(play(&mut gaps, "a", &[]), [], "once is unusual, twice is a habit");
    }
}
