//! Keeps passwords from leaving: the one place that asks for a text to be masked.

use std::borrow::Cow;

use statement::{Dialect, redact_secrets};

/// What stands in place of bind values that may be passwords.
pub(crate) const MASKED_PARAMETERS: &str = "[\"<redacted>\"]";

/// The text with `<redacted>` for the secrets in it.
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    redact_secrets(text, Dialect::PostgreSql)
}

/// Whether bind values of the statement may be passwords.
pub(crate) fn may_bind_secrets(statement: &str) -> bool {
    memchr::memchr2_iter(b'w', b'W', statement.as_bytes()).any(|at| {
        let word = at.checked_sub(4).and_then(|from| statement.as_bytes().get(from..=at));
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"passw"))
    })
}

/// An error message about a statement that holds a secret: the server quotes the spot where the
/// syntax went wrong, which may be the secret.
pub(crate) fn redact_message(message: &str) -> Cow<'_, str> {
    match message.split_once(" at or near \"") {
        Some((what, _)) => Cow::Borrowed(what),
        None => redact(message),
    }
}
