//! What is known of the sessions of a server: facts of the connection, and the last statement.

use event::vocabulary::StatementState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::record::Client;

/// Bytes of a statement or its parameters that are kept for `<previously logged>` rows.
const CARRIED_BYTES_MAX: usize = 16 << 10;

/// One session, from its first line to its disconnection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) user: Option<Box<str>>,
    pub(crate) database: Option<Box<str>>,
    pub(crate) application: Option<Box<str>>,
    pub(crate) authentication: Option<Box<str>>,
    pub(crate) tls: Option<Box<str>>,
    address: Option<Box<str>>,
    port: Option<i32>,
    host: Option<Box<str>>,
    /// Its `connection received` was seen.
    pub(crate) received: bool,
    /// Its `connection authorized` was seen.
    pub(crate) authorized: bool,
    /// The highest line number so far.
    pub(crate) line: u64,
    /// Number and text of the last audited statement.
    pub(crate) statement: Option<i64>,
    pub(crate) carried: Carried,
}

/// A text that later rows of its statement refer to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) text: String,
    state: Option<StatementState>,
    pub(crate) parameters: String,
}

/// The sessions of one stream. When there are too many, those go that were silent the longest:
/// two generations stand in for an exact order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sessions {
    #[serde(skip)]
    generation_max: usize,
    young: HashMap<Box<str>, Session>,
    old: HashMap<Box<str>, Session>,
    evicted: u64,
    /// Time of the first record, in microseconds.
    pub(crate) first_time: Option<i64>,
    /// The server logs connections: a session without one was there before, or is none.
    pub(crate) logs_connections: bool,
    /// It also logs which of them came to be sessions.
    pub(crate) logs_authorizations: bool,
}

impl Sessions {
    pub(crate) fn new(sessions_max: usize) -> Self {
        Self { generation_max: (sessions_max / 2).max(1), ..Self::default() }
    }

    /// Takes over what was stored, under the limit of `self`.
    pub(crate) fn continue_from(&mut self, stored: Self) {
        *self = Self { generation_max: self.generation_max, ..stored };
    }

    /// How many were forgotten because of the limit.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Session> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The session of that key, new if it is not known.
    pub(crate) fn open(&mut self, key: &str) -> &mut Session {
        if self.young.len() >= self.generation_max && !self.young.contains_key(key) {
            let kept = self.old.remove(key);
            self.evicted += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
            self.old.extend(kept.map(|session| (key.into(), session)));
        }
        let old = &mut self.old;
        self.young.entry_ref(key).or_insert_with(|| old.remove(key).unwrap_or_default())
    }

    pub(crate) fn close(&mut self, key: &str) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

impl Session {
    pub(crate) fn client(&self) -> Client<'_> {
        Client { address: self.address.as_deref(), port: self.port, host: self.host.as_deref() }
    }

    pub(crate) fn set_client(&mut self, client: Client<'_>) {
        self.address = client.address.map(Into::into);
        self.port = client.port;
        self.host = client.host.map(Into::into);
    }
}

impl Carried {
    /// Remembers the text of a statement, what became of it, and its parameters.
    pub(crate) fn set(&mut self, text: &str, state: StatementState, parameters: &str) {
        self.text.clear();
        self.text.push_str(text);
        self.parameters.clear();
        self.parameters.push_str(parameters);
        self.state = Some(state);
    }

    pub(crate) fn state(&self) -> StatementState {
        self.state.unwrap_or(StatementState::Absent)
    }

    /// Cuts what would take too much memory for a session that may never end.
    pub(crate) fn limit(&mut self) {
        if self.text.len() > CARRIED_BYTES_MAX {
            self.text.truncate(self.text.floor_char_boundary(CARRIED_BYTES_MAX));
            self.text.shrink_to_fit();
            self.state = Some(StatementState::Truncated);
        }
        if self.parameters.len() > CARRIED_BYTES_MAX {
            // A cut list would be none any more.
            self.parameters = String::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_are_forgotten_and_counted() {
        let mut sessions = Sessions::new(4);
        for key in ["a", "b", "c", "a", "d", "e"] {
            sessions.open(key).line += 1;
        }
        assert_eq!(sessions.get("a").map(|session| session.line), Some(2));
        assert!(sessions.get("b").is_none());
        assert_eq!(sessions.evicted(), 1);
    }
}
