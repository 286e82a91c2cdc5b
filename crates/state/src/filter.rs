//! Which alerts a page shows, and where the next page begins.

use std::fmt;
use std::str::FromStr;

use event::alert::Severity;
use event::{EventId, Timestamp};
use sqlx::QueryBuilder;

use crate::state::Engine;
use crate::text::{contains_pattern, storable};

/// Which alerts a page shows; an empty filter shows all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertFilter {
    /// This bad or worse.
    pub severity_min: Option<Severity>,
    /// Found by this rule or baseline.
    pub rule: Option<String>,
    /// About this person or account.
    pub identity: Option<String>,
    /// Of this server.
    pub instance: Option<String>,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Whose title, people, places, statement or explanation contain this, letter case aside.
    pub text: Option<String>,
}

impl AlertFilter {
    /// Appends `WHERE …` for the filter and, with a cursor, for what comes after it.
    pub(crate) fn push_where(&self, query: &mut QueryBuilder<Engine>, after: Option<Cursor>) {
        query.push(" WHERE TRUE");
        if let Some(severity) = self.severity_min {
            query.push(" AND severity >= ").push_bind(severity as i64);
        }
        let equal = [
            (" AND rule = ", &self.rule),
            (" AND identity = ", &self.identity),
            (" AND instance = ", &self.instance),
        ];
        for (clause, text) in equal {
            if let Some(text) = text {
                query.push(clause).push_bind(storable(text));
            }
        }
        if let Some(from) = self.from {
            query.push(" AND time >= ").push_bind(from.0);
        }
        if let Some(to) = self.to {
            query.push(" AND time < ").push_bind(to.0);
        }
        if let Some(text) = &self.text {
            query.push(" AND search LIKE ").push_bind(contains_pattern(text));
            query.push(" ESCAPE '\\'");
        }
        if let Some(after) = after {
            query.push(" AND (time, id) < (").push_bind(after.time.0);
            query.push(", ").push_bind(after.id.to_string()).push(")");
        }
    }
}

/// The last alert of a page; the next page begins after it. Opaque to callers: 48 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) time: Timestamp,
    pub(crate) id: EventId,
}

/// The text was not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list; start again without one")]
pub struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.time.0, self.id)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (time, id) = text.split_at_checked(16).ok_or(InvalidCursor)?;
        if !time.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidCursor);
        }
        let time = u64::from_str_radix(time, 16).map_err(|_| InvalidCursor)?;
        let id = id.parse().map_err(|_| InvalidCursor)?;
        Ok(Self { time: Timestamp(time.cast_signed()), id })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_survive_their_text(time: i64, id: [u8; 16]) {
            let cursor = Cursor { time: Timestamp(time), id: EventId(id) };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,64}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text.to_lowercase());
            }
        }
    }
}
