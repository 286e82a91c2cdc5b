//! What every event of a session has, before its own record says more.

use std::borrow::Cow;

use event::AuditEvent;
use event::vocabulary::StatementState;

use super::record::{Client, Record};
use super::session::Session;
use crate::format::Parsed;
use crate::format::parsed::Recent;

/// What every event of a session has.
pub(super) fn base<'a>(
    record: &Record<'a>,
    session: Option<&'a Session>,
    origin: &'a crate::format::Origin,
) -> AuditEvent<'a> {
    let mut event = Parsed::event(origin, record.position);
    event.time = record.time;
    event.time_basis = record.time_basis;
    event.evidence = record.evidence;
    event.session = some(record.session_key());
    event.user = some(record.user);
    event.database = some(record.database);
    event.application = some(record.application);
    let mut client = record.client;
    if let Some(session) = session {
        event.user = event.user.or(session.user.as_deref());
        event.database = event.database.or(session.database.as_deref());
        event.application = event.application.or(session.application.as_deref());
        event.authentication = session.authentication.as_deref();
        event.tls = session.tls.as_deref();
        if client.is_empty() || client.port.is_none() {
            client = if session.client().is_empty() { client } else { session.client() };
        }
    }
    let Client { address, port, host } = client;
    (event.client_address, event.client_port, event.client_host) = (address, port, host);
    event
}

#[expect(clippy::ptr_arg, reason = "whether it is owned is the answer")]
pub(super) fn is_masked(text: &Cow<'_, str>) -> bool {
    matches!(text, Cow::Owned(_))
}

/// The text, and whether masking changed it.
pub(super) fn set_statement<'a>(event: &mut AuditEvent<'a>, text: &'a str, is_masked: bool) {
    event.statement = some(text);
    event.statement_state = match text {
        "" => StatementState::Absent,
        _ if is_masked => StatementState::Redacted,
        _ => StatementState::Full,
    };
}

pub(super) fn some(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}

pub(super) fn note(recent: &mut Recent, record: &Record<'_>) {
    recent.session.push_str(record.session_key());
    recent.transaction.push_str(record.transaction);
}
