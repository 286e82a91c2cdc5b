//! What speaks against a record being what the server wrote about the session it names.
//!
//! A client chooses its user and database names before anybody has authenticated it, and text
//! logs write them raw: one newline, and the rest of the name is a line of its own. Whoever has
//! logged in can also raise any message. Neither may pass for an audit row.

use event::vocabulary::Evidence;

use super::message::Message;
use super::outcome;
use super::record::Record;
use super::severity::Tag;
use crate::parsed::Parsed;
use crate::session::Sessions;

/// The column `command` of a record that may be forged.
pub(crate) const COMMAND: &str = "log forgery";

/// What `error` begins with.
pub(crate) const ERROR: &str = "possible log forgery: ";

/// Marks the audit rows right before `position`: a clean line there may be the forged one, and what
/// is at `position` the rest of the real one.
pub(crate) fn doubt_neighbours(position: u64, out: &mut Parsed) {
    out.doubt_before(position, &format!("{ERROR}beside a line that shows signs of it"));
}

/// The first thing that speaks against the record.
pub(crate) fn suspicion(
    record: &Record<'_>,
    message: &Message<'_>,
    sessions: &Sessions,
) -> Option<&'static str> {
    if let Some(suspicion) = record.suspicion {
        return Some(suspicion);
    }
    let is_audit = matches!(message, Message::Audit(_));
    if is_audit && record.is_before_login() {
        return Some("an audit row of a session that has not logged in");
    }
    if is_audit && ![record.detail, record.context, record.query].iter().all(|text| text.is_empty())
    {
        // pgaudit writes no detail and hides the others: whoever writes them is a RAISE.
        return Some("an audit row that was raised by a statement");
    }
    let speaks_for_client = match message {
        Message::Authenticated { .. } | Message::Authorized(_) => true,
        _ => outcome::is_refused_login(record),
    };
    let names = || [record.user, record.database, refused_user(record.message)];
    // Bytes of another encoding are odd only where they might end a line for somebody.
    let is_odd = |name: &&str| {
        has_control(name) || (record.evidence == Evidence::C && name.contains('\u{fffd}'))
    };
    if speaks_for_client && names().iter().any(is_odd) {
        return Some("control characters in the name of the user or the database");
    }
    if record.evidence == Evidence::C { in_text(record, is_audit, sessions) } else { None }
}

/// The signs that only matter where a client can begin a line.
fn in_text(record: &Record<'_>, is_audit: bool, sessions: &Sessions) -> Option<&'static str> {
    if [record.user, record.database]
        .iter()
        .any(|name| has_control(name) || name.contains('\u{fffd}'))
    {
        return Some("control characters in the name of the user or the database");
    }
    if has_tag(record.user) || has_tag(record.database) {
        return Some("a tag of the log in the name of the user or the database");
    }
    let refused = refused_user(record.message);
    if outcome::is_refused_login(record) && ![refused, record.user].contains(&"") {
        // The server writes the name twice, and a client cannot choose two.
        if refused != record.user {
            return Some("the refused user is not the one in front of the message");
        }
    }
    if has_login_tail(record.message) {
        return Some("the message ends as a refused login does");
    }
    if !record.session.is_empty() && !record.process.is_empty() {
        let process = record.session.split_once('.').map(|(_, process)| process);
        let process = process.and_then(|process| u64::from_str_radix(process, 16).ok());
        if process != record.process.parse().ok() {
            return Some("the process is not that of the session");
        }
    }
    let session = sessions.get(record.session_key());
    let is_reused = record.session.is_empty() && record.line.is_none_or(|line| line == 1);
    if let (Some(session), Some(line)) = (session, record.line)
        && line <= session.line
        && !is_reused
    {
        return Some("the line number of the session goes backwards");
    }
    let began_here = began(record).is_some_and(|began| {
        sessions.first_time.is_some_and(|first| began > first.saturating_add(1_000_000))
    });
    let received = session.is_some_and(|session| session.received);
    let authorized = session.is_some_and(|session| session.authorized);
    // Sessions without either were there before the log began.
    let is_stranger = sessions.logs_connections && began_here && !received;
    let is_unauthorized = sessions.logs_authorizations && received && !authorized;
    if is_audit && (is_stranger || is_unauthorized) {
        return Some("an audit row of a session that was not seen to log in");
    }
    None
}

/// Whether the audit row's number fits the session; the numbers of a session only grow.
pub(crate) fn number_goes_back(record: &Record<'_>, number: i64, sessions: &Sessions) -> bool {
    if record.evidence != Evidence::C {
        return false;
    }
    let last = sessions.get(record.session_key()).and_then(|session| session.statement.as_ref());
    // Process numbers come again; where connections are not logged, 1 is how that shows.
    let is_reused = record.session.is_empty() && !sessions.logs_connections && number == 1;
    last.is_some_and(|last| number < last.number) && !is_reused
}

/// Whether a line holds what the server writes when it lets somebody in or not.
pub(crate) fn has_login_tail(message: &str) -> bool {
    let bytes = message.as_bytes();
    // Looked for once: there may be a tag every few bytes.
    let refused = memchr::memmem::rfind(bytes, b" authentication failed for user \"");
    let mut tags = memchr::memmem::find_iter(bytes, b":  ");
    tags.any(|at| {
        let (before, after) = (&message[..at], &message[at + 3..]);
        let tagged = ["FATAL", "DETAIL", "LOG"].iter().any(|tag| before.ends_with(tag));
        let after = after.strip_prefix(|c: char| c.is_ascii_digit()).map_or(after, |_| {
            // With log_error_verbosity=verbose the SQLSTATE stands first.
            after.split_once(": ").map_or(after, |(_, after)| after)
        });
        let login = refused.is_some_and(|refused| refused >= message.len() - after.len())
            || LOGIN_MESSAGES.iter().any(|start| after.starts_with(start));
        tagged && login
    })
}

/// How the messages begin that the server writes while a client logs in.
const LOGIN_MESSAGES: &[&str] = &[
    "connection authenticated:",
    "connection authorized:",
    "replication connection authorized:",
    "disconnection: session time:",
    "no pg_hba.conf entry for",
    "pg_hba.conf rejects connection",
    "role \"",
    "database \"",
    "Role \"",
    "User \"",
    "Password does not match",
    "Connection matched",
    "too many connections for",
    "sorry, too many clients",
    "remaining connection slots",
    "the database system is",
    "unsupported frontend protocol",
    "invalid ",
    "permission denied for database",
    "unrecognized configuration parameter",
];

/// The name in a refusal: it is not escaped, so the last quote ends it.
pub(crate) fn refused_user(message: &str) -> &str {
    let start = message
        .find("user \"")
        .map(|at| at + 6)
        .or_else(|| message.strip_prefix("role \"").map(|_| 6));
    let Some(start) = start else { return "" };
    let rest = &message[start..];
    let ends_there = rest.rfind("\", database \"").or_else(|| rest.rfind('"'));
    ends_there.map_or("", |end| &rest[..end])
}

/// Control characters, and what some terminals and editors take for the end of a line.
pub(crate) fn has_control(name: &str) -> bool {
    let plain = name.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    !plain
        && name.chars().any(|character| {
            character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
        })
}

/// Whether a name holds what stands between prefix and message.
fn has_tag(name: &str) -> bool {
    memchr::memchr(b':', name.as_bytes()).is_some()
        && name.split(':').rev().skip(1).any(|before| {
            let word = before.rsplit(|c: char| !c.is_alphanumeric()).next();
            word.is_some_and(|word| Tag::read(word).is_some())
        })
}

/// When the session began, in microseconds: the first half of its id.
fn began(record: &Record<'_>) -> Option<i64> {
    let (seconds, _) = record.session.split_once('.')?;
    i64::from_str_radix(seconds, 16).ok()?.checked_mul(1_000_000)
}
