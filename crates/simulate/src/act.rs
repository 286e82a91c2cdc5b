//! What one session does, moment by moment, before the server writes it down.

use crate::company::Statement;

/// Who is at the other end of a session.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) application: String,
    pub(crate) address: String,
    pub(crate) port: u16,
}

/// One thing that makes the server write to its log.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// Microseconds since 1970.
    pub(crate) time: i64,
    /// Which of the planned sessions does it.
    pub(crate) session: usize,
    pub(crate) kind: ActKind,
}

/// What it does.
#[derive(Clone, Debug)]
pub(crate) enum ActKind {
    Connect,
    /// A wrong password: the session ends before it began.
    FailToConnect,
    Run(Statement),
    /// The statement is refused with this SQLSTATE and text before it is audited.
    Fail(Statement, &'static str, &'static str),
    Disconnect,
}

/// Sessions and their acts, in the order in which they were planned.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) clients: Vec<Client>,
    pub(crate) acts: Vec<Act>,
}

impl Plan {
    /// Opens a session; its acts refer to the number returned.
    pub(crate) fn session(&mut self, client: Client) -> usize {
        self.clients.push(client);
        self.clients.len() - 1
    }

    /// Adds something that the session does.
    pub(crate) fn act(&mut self, session: usize, time: i64, kind: ActKind) {
        self.acts.push(Act { time, session, kind });
    }

    /// Acts in the order of time; those of one moment stay as planned.
    pub(crate) fn in_order(mut self) -> (Vec<Client>, Vec<Act>) {
        self.acts.sort_by_key(|act| act.time);
        (self.clients, self.acts)
    }
}
