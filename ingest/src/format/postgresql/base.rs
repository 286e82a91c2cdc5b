//! What every event of a session has, before its own record says more.

use std::borrow::Cow;

use event::AuditEvent;
use event::vocabulary::StatementState;

use super::record::Record;
use crate::joins;
use crate::parsed::{Origin, Parsed};
use crate::session::Session;

/// What every event of a session has.
pub(super) fn base<'a>(
    record: &Record<'a>,
    session: Option<&'a Session>,
    origin: &'a Origin,
) -> AuditEvent<'a> {
    let mut event = Parsed::event(origin, record.position);
    event.time = record.time;
    event.time_basis = record.time_basis;
    event.evidence = record.evidence;
    event.session = some(record.session_key());
    event.user = some(record.user);
    event.database = some(record.database);
    event.application = some(record.application);
    joins::connection(&mut event, record.client, session);
    event
}

#[expect(clippy::ptr_arg, reason = "whether it is owned is the answer")]
pub(super) fn is_masked(text: &Cow<'_, str>) -> bool {
    matches!(text, Cow::Owned(_))
}

/// The text, whether masking changed it, and whether there was more of it.
pub(super) fn set_statement<'a>(
    event: &mut AuditEvent<'a>,
    text: &'a str,
    is_masked: bool,
    is_cut: bool,
) {
    event.statement = some(text);
    event.statement_state = match text {
        _ if is_cut => StatementState::Truncated,
        "" => StatementState::Absent,
        _ if is_masked => StatementState::Redacted,
        _ => StatementState::Full,
    };
}

pub(super) fn some(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}
