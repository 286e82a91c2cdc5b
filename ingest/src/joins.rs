//! What a record does not say itself but earlier records of its session said.
//!
//! Records join backwards only: an event never takes anything from a record behind it. So rows do
//! not depend on how far the log had been read when they left.

use event::AuditEvent;

use crate::session::{Client, Session, head_of};

/// Fills in what the session's log-in said, where the record itself is silent. `client` is what the
/// record says of the other end.
pub(crate) fn connection<'a>(
    event: &mut AuditEvent<'a>,
    mut client: Client<'a>,
    session: Option<&'a Session>,
) {
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
}

/// The number of the audited statement that an error ended, if its `statement` shows that it is the
/// session's last one, in the same `transaction`, and not one that had ended well.
pub(crate) fn failed_statement(
    session: Option<&Session>,
    statement: &str,
    transaction: &str,
) -> Option<i64> {
    let session = session?;
    let last = session.statement.as_ref().filter(|last| !last.ended)?;
    let same = |one: &str, other: &str| one.is_empty() || other.is_empty() || one == other;
    // Rows of inner statements have other texts than the statement of the error.
    let is_its_text = !statement.is_empty()
        && (statement.contains(&last.head) || statement.contains(head_of(&session.carried.text)));
    (is_its_text && same(&last.transaction, transaction)).then_some(last.number)
}
