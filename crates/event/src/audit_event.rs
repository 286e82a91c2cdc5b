//! One audit event, borrowed from the bytes it was read from or from the batch that holds it.

use crate::vocabulary::{
    AccessPath, Action, ActorBasis, ActorKind, Evidence, Outcome, StatementState, TimeBasis,
};
use crate::{EventId, Timestamp};

/// What one record of a log says, as far as its source can tell; the rest is `None`.
///
/// Field names are the column names of `events`. The columns that detection adds are not here:
/// see [`crate::Enrichment`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditEvent<'a> {
    /// Hash of the source's identity and the position.
    pub id: EventId,
    /// By the database's clock.
    pub time: Timestamp,
    /// How the zone of `time` is known.
    pub time_basis: TimeBasis,
    /// When the bytes were read.
    pub received: Timestamp,
    /// Configured name of the source.
    pub source: &'a str,
    /// Name of the log format.
    pub format: &'a str,
    /// Byte offset of the record in its file, or the source's own sequence.
    pub position: i64,
    /// How far the record can be trusted.
    pub evidence: Evidence,
    /// postgresql, mysql, mariadb…
    pub engine: &'a str,
    /// Configured name of the server or cluster.
    pub instance: &'a str,
    /// Database or schema.
    pub database: Option<&'a str>,
    /// Kind of thing done.
    pub action: Action,
    /// The engine's own tag.
    pub command: Option<&'a str>,
    /// The database account.
    pub user: Option<&'a str>,
    /// Who is behind the account.
    pub actor: Option<&'a str>,
    /// What the actor is.
    pub actor_kind: Option<ActorKind>,
    /// How the actor is known.
    pub actor_basis: Option<ActorBasis>,
    /// Direct, or through a proxy.
    pub path: Option<AccessPath>,
    /// Client's network address; none for a local socket.
    pub client_address: Option<&'a str>,
    /// Client's port.
    pub client_port: Option<i32>,
    /// Client's name where the source logs names; `[local]` for a local socket.
    pub client_host: Option<&'a str>,
    /// Application name the client gave.
    pub application: Option<&'a str>,
    /// Authentication method of the session.
    pub authentication: Option<&'a str>,
    /// TLS protocol of the session; `off` where the source says that there is none.
    pub tls: Option<&'a str>,
    /// Session id.
    pub session: Option<&'a str>,
    /// The source's own counter within the session.
    pub statement_number: Option<i64>,
    /// Kind of the object, as logged.
    pub object_kind: Option<&'a str>,
    /// Name of the object, as logged.
    pub object: Option<&'a str>,
    /// SQL text.
    pub statement: Option<&'a str>,
    /// What became of the text.
    pub statement_state: StatementState,
    /// Bind values.
    pub parameters: Option<&'a str>,
    /// Rows returned or affected.
    pub rows: Option<i64>,
    /// Duration in microseconds.
    pub duration_us: Option<i64>,
    /// Whether it worked.
    pub outcome: Outcome,
    /// SQLSTATE or errno.
    pub error_code: Option<&'a str>,
    /// Message of the error.
    pub error: Option<&'a str>,
    /// Lease, access request or proxy session that allowed it.
    pub grant_id: Option<&'a str>,
    /// Text of a log record that is neither a statement nor an error.
    pub message: Option<&'a str>,
}

impl<'a> AuditEvent<'a> {
    /// An event with only what every source knows; the rest empty.
    pub fn new(source: &'a str, format: &'a str, engine: &'a str, instance: &'a str) -> Self {
        Self {
            id: EventId::default(),
            time: Timestamp::default(),
            time_basis: TimeBasis::Assumed,
            received: Timestamp::default(),
            source,
            format,
            position: 0,
            evidence: Evidence::C,
            engine,
            instance,
            database: None,
            action: Action::Other,
            command: None,
            user: None,
            actor: None,
            actor_kind: None,
            actor_basis: None,
            path: None,
            client_address: None,
            client_port: None,
            client_host: None,
            application: None,
            authentication: None,
            tls: None,
            session: None,
            statement_number: None,
            object_kind: None,
            object: None,
            statement: None,
            statement_state: StatementState::Absent,
            parameters: None,
            rows: None,
            duration_us: None,
            outcome: Outcome::Unknown,
            error_code: None,
            error: None,
            grant_id: None,
            message: None,
        }
    }

    /// Whom the event is counted for: the person if known, else the account.
    pub fn identity(&self) -> Option<&'a str> {
        self.actor.or(self.user)
    }
}
