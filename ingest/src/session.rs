//! What is known of the sessions of a server: the facts of each connection, and the last statement.

use bounded::BoundedMap;
use event::vocabulary::StatementState;
use serde::{Deserialize, Serialize};

/// Bytes of a statement or its parameters that are kept for later rows of the same statement.
const CARRIED_BYTES_MAX: usize = 16 << 10;

/// Bytes of a statement that are kept to recognise it in an error.
const HEAD_BYTES: usize = 128;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Client<'a> {
    pub(crate) address: Option<&'a str>,
    pub(crate) port: Option<i32>,
    /// Its name, or `[local]`.
    pub(crate) host: Option<&'a str>,
}

/// One session, from its first record to its disconnection.
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
    /// The record of its connection was seen.
    pub(crate) received: bool,
    /// The record of its log-in was seen.
    pub(crate) authorized: bool,
    /// The highest number of a record so far, where records are numbered.
    pub(crate) line: u64,
    /// The last audited statement.
    pub(crate) statement: Option<Statement>,
    pub(crate) carried: Carried,
}

/// An audited statement, as far as it takes to recognise it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub(crate) number: i64,
    /// The head of its text, as its first record has it.
    pub(crate) head: String,
    pub(crate) transaction: String,
    /// Its last record was written after it had ended well.
    pub(crate) ended: bool,
}

/// A text that later rows of its statement refer to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) text: String,
    state: Option<StatementState>,
    pub(crate) parameters: String,
}

/// The sessions of one stream; beyond the limit the least recently active one is forgotten.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sessions {
    sessions: BoundedMap<Box<str>, Session>,
    /// Evictions of the runs before this one.
    evicted_before: u64,
    /// Time of the first record, in microseconds.
    pub(crate) first_time: Option<i64>,
    /// The server logs connections: a session without one was there before, or is none.
    pub(crate) logs_connections: bool,
    /// It also logs which of them came to be sessions.
    pub(crate) logs_authorizations: bool,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Sessions {
    pub(crate) fn new(sessions_max: usize) -> Self {
        Self {
            sessions: BoundedMap::new(sessions_max),
            evicted_before: 0,
            first_time: None,
            logs_connections: false,
            logs_authorizations: false,
        }
    }

    /// Continues from what was stored, under a limit that may be another.
    pub(crate) fn continued(mut stored: Self, sessions_max: usize) -> Self {
        stored.sessions.set_limit(sessions_max);
        stored
    }

    /// How many were forgotten because of the limit.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted_before + self.sessions.evictions()
    }

    /// What is to be stored.
    pub(crate) fn stored(&self) -> Self {
        Self { evicted_before: self.evicted(), ..self.clone() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Session> {
        self.sessions.peek(key)
    }

    /// The session of that key, new if it is not known.
    pub(crate) fn open(&mut self, key: &str) -> &mut Session {
        self.sessions.get_or_insert_with(key, Session::default)
    }

    pub(crate) fn close(&mut self, key: &str) {
        self.sessions.remove(key);
    }
}

impl<'a> Client<'a> {
    /// Reads `host`, which is an address, a name or `[local]`, and `port`.
    pub(crate) fn new(host: &'a str, port: Option<i32>) -> Self {
        if host.is_empty() {
            return Self::default();
        }
        // Numbers only when all of it is: a name may begin with a digit.
        let address =
            host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || host.contains(':');
        if address {
            Self { address: Some(host), port, host: None }
        } else {
            Self { address: None, port, host: Some(host) }
        }
    }

    /// Reads `host:port`; the last colon counts, because an IPv6 address has no brackets.
    pub(crate) fn read(text: &'a str) -> Self {
        match text.rsplit_once(':') {
            Some((host, port)) => match port.parse() {
                Ok(port) => Self::new(host, Some(port)),
                Err(_) => Self::new(text, None),
            },
            None => Self::new(text, None),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.address.is_none() && self.host.is_none()
    }

    pub(crate) fn is_local(&self) -> bool {
        self.host == Some("[local]")
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

    /// Remembers the statement that an audit record is about; its text is `carried` already.
    pub(crate) fn set_statement(
        &mut self,
        number: i64,
        head: &str,
        transaction: &str,
        ended: bool,
    ) {
        let statement =
            self.statement.get_or_insert_with(|| Statement { number: -1, ..Statement::default() });
        if statement.number != number {
            statement.number = number;
            statement.head.clear();
            statement.head.push_str(head_of(head));
            statement.transaction.clear();
            statement.transaction.push_str(transaction);
        }
        statement.ended = ended;
    }
}

/// As much of a statement as it takes to recognise it.
pub(crate) fn head_of(statement: &str) -> &str {
    let statement = statement.trim();
    &statement[..statement.floor_char_boundary(HEAD_BYTES)]
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
    fn the_least_recently_active_is_forgotten_and_counted() {
        let mut sessions = Sessions::new(3);
        for key in ["a", "b", "c", "a", "d"] {
            sessions.open(key).line += 1;
        }
        assert_eq!(sessions.get("a").map(|session| session.line), Some(2));
        assert!(sessions.get("b").is_none());
        let stored = rmp_serde::to_vec(&sessions.stored()).expect("stored");
        let stored = rmp_serde::from_slice(&stored).expect("its own bytes");
        let mut continued = Sessions::continued(stored, 3);
        continued.open("e");
        assert_eq!(continued.evicted(), 2);
        assert!(continued.get("c").is_none(), "the order is kept over a restart");
    }
}
