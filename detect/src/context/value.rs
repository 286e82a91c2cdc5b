//! What an identity can be used to: a table, a statement, a command, a network, a program, an hour.

use serde::{Deserialize, Serialize};

/// Longest text that is told apart, in bytes.
const TEXT_BYTES_MAX: usize = 128;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Family {
    Table,
    Statement,
    Command,
    Network,
    Application,
    Hour,
}

impl Family {
    /// How many there are.
    pub(crate) const COUNT: usize = 6;

    /// Those that are remembered value by value; hours have a place of their own.
    pub(crate) const REMEMBERED: [Self; 5] =
        [Self::Table, Self::Statement, Self::Command, Self::Network, Self::Application];

    /// The word in rule ids, fields and reasons.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Statement => "statement",
            Self::Command => "command",
            Self::Network => "network",
            Self::Application => "application",
            Self::Hour => "hour",
        }
    }

    /// The family of that word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::REMEMBERED.into_iter().chain([Self::Hour]).find(|family| family.as_str() == word)
    }
}

/// The bytes under which a text is remembered.
pub(crate) fn text_key(text: &str) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// A remembered value as people read it: a fingerprint as 16 hex digits.
pub(crate) fn shown(family: Family, key: &[u8]) -> String {
    match (family, <[u8; 8]>::try_from(key)) {
        (Family::Statement, Ok(bytes)) => format!("{:016x}", u64::from_be_bytes(bytes)),
        _ => String::from_utf8_lossy(key).into_owned(),
    }
}
