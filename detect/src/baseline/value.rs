//! What an identity can be used to: a table, a statement, a command, a network, a program.

use hashbrown::Equivalent;
use serde::{Deserialize, Serialize};

/// Longest text that is told apart, in bytes.
const TEXT_BYTES_MAX: usize = 128;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Family {
    Table,
    Fingerprint,
    Command,
    Network,
    Application,
    HourOfWeek,
}

impl Family {
    /// How many families are remembered value by value; hours have their own place.
    pub(super) const REMEMBERED: usize = 5;

    /// The word in rule ids and reasons.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Fingerprint => "statement",
            Self::Command => "command",
            Self::Network => "network",
            Self::Application => "application",
            Self::HourOfWeek => "hour",
        }
    }
}

/// A value, owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Value {
    pub(super) family: Family,
    bytes: Box<[u8]>,
}

/// A value, borrowed.
#[derive(Clone, Copy, Hash)]
pub(super) struct ValueRef<'a> {
    pub(super) family: Family,
    pub(super) bytes: &'a [u8],
}

impl<'a> ValueRef<'a> {
    pub(super) fn text(family: Family, text: &'a str) -> Self {
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        Self { family, bytes: &text.as_bytes()[..end] }
    }

    pub(super) fn to_owned(self) -> Value {
        Value { family: self.family, bytes: self.bytes.into() }
    }
}

impl Equivalent<Value> for ValueRef<'_> {
    fn equivalent(&self, value: &Value) -> bool {
        self.family == value.family && *self.bytes == *value.bytes
    }
}

impl Value {
    /// The text; a fingerprint as 16 hex digits.
    pub(super) fn shown(&self) -> String {
        match (self.family, <[u8; 8]>::try_from(&*self.bytes)) {
            (Family::Fingerprint, Ok(bytes)) => format!("{:016x}", u64::from_be_bytes(bytes)),
            _ => String::from_utf8_lossy(&self.bytes).into_owned(),
        }
    }
}
