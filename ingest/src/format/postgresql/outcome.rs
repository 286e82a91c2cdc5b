//! How a failed record ended: refused, or failed for another reason.

use event::vocabulary::Outcome;

use super::pgaudit::Payload;
use super::record::Record;
use super::severity::Severity;

/// Messages of refusals, for carriers without SQLSTATE; only a server in English can be read so.
const REFUSALS: &[&str] = &[
    "permission denied",
    "must be superuser",
    "must be owner of",
    "must be a superuser",
    "must have ",
    "must be member of",
];

/// Messages of logins that were refused, for carriers without SQLSTATE.
const REFUSED_LOGINS: &[&str] = &[
    "no pg_hba.conf entry for ",
    "pg_hba.conf rejects ",
    "permission denied for database ",
    "permission denied to set parameter ",
];

/// Messages of logins that failed for another reason.
const FAILED_LOGINS: &[&str] = &[
    "too many connections for ",
    "sorry, too many clients already",
    "remaining connection slots are reserved",
    "the database system is ",
    "unrecognized configuration parameter ",
];

/// What a row of pgaudit says of its own statement: only what was already certain when the server
/// wrote it.
///
/// Rows with a count are written when the executor ends. Utilities are logged once they have
/// worked, but for these: `DO`, `CALL` and functions are logged before they run, `COPY` when its
/// privileges are checked, extensions before their scripts. A commit may still fail afterwards, on
/// a deferred constraint. Source: `pgaudit_ProcessUtility_hook` and `pgaudit_ExecutorEnd_hook`.
pub(crate) fn of_row(payload: &Payload<'_>) -> Outcome {
    let is_before = payload.class == "FUNCTION"
        || matches!(
            payload.command,
            "DO" | "CALL"
                | "CREATE EXTENSION"
                | "ALTER EXTENSION"
                | "COMMIT"
                | "PREPARE TRANSACTION"
        );
    let is_utility =
        matches!(payload.class, "ROLE" | "DDL" | "MISC") || payload.command == "TRUNCATE TABLE";
    let is_after = is_utility || payload.rows.is_some();
    if is_after && !is_before { Outcome::Succeeded } else { Outcome::Unknown }
}

/// Denied for class 28, insufficient privilege and logins refused; failed for every other error.
pub(crate) fn of_error(record: &Record<'_>) -> Outcome {
    let starts = |starts: &[&str]| starts.iter().any(|start| record.message.starts_with(start));
    let denied = match record.code {
        "" => {
            login_is_denied(record.message) && record.severity >= Severity::Fatal
                || starts(REFUSALS)
        }
        "3D000" => record.severity >= Severity::Fatal,
        code => code.starts_with("28") || code == "42501",
    };
    if denied { Outcome::Denied } else { Outcome::Failed }
}

/// Whether the record says that somebody was not let in.
pub(crate) fn is_refused_login(record: &Record<'_>) -> bool {
    if record.severity < Severity::Fatal {
        return false;
    }
    let starts = |start: &&str| record.message.starts_with(start);
    match record.code {
        "" => login_is_denied(record.message) || FAILED_LOGINS.iter().any(starts),
        code => {
            record.is_before_login()
                || code.starts_with("28")
                || matches!(code, "3D000" | "53300" | "57P03")
        }
    }
}

fn login_is_denied(message: &str) -> bool {
    let unknown_name = message.ends_with("\" does not exist")
        && (message.starts_with("role \"") || message.starts_with("database \""));
    unknown_name
        || message.contains(" authentication failed for user \"")
        || message.starts_with("role \"") && message.ends_with(" is not permitted to log in")
        || REFUSED_LOGINS.iter().any(|start| message.starts_with(start))
}
