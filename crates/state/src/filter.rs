//! Which alerts, cases and decisions a page shows, and where the next page begins.

use std::fmt;
use std::str::FromStr;

use event::alert::Severity;
use event::vocabulary::CauseFamily;
use event::{EventId, Timestamp};
use sqlx::QueryBuilder;

use crate::state::Engine;
use crate::text::{contains_pattern, storable};
use crate::triage::CaseStatus;

/// Which alerts a page shows; an empty filter shows all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertFilter {
    /// This bad or worse.
    pub severity_min: Option<Severity>,
    /// One of these; any if empty.
    pub severities: Vec<Severity>,
    /// Events of this case.
    pub case: Option<EventId>,
    /// Of this family of causes.
    pub family: Option<CauseFamily>,
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
    /// Whose title, cause, people, places, statement or explanation contain this, letter case
    /// aside.
    pub text: Option<String>,
}

/// Which cases a page shows; an empty filter shows all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaseFilter {
    /// This bad or worse.
    pub severity_min: Option<Severity>,
    /// One of these; any if empty.
    pub severities: Vec<Severity>,
    /// One of these; any if empty.
    pub statuses: Vec<CaseStatus>,
    /// Of this family of causes.
    pub family: Option<CauseFamily>,
    /// Whose worst signal is of this rule or baseline.
    pub rule: Option<String>,
    /// About this person or account.
    pub identity: Option<String>,
    /// Of this server.
    pub instance: Option<String>,
    /// Whose newest event is at this time or later.
    pub from: Option<Timestamp>,
    /// Whose newest event is before this time.
    pub to: Option<Timestamp>,
    /// Whose title, causes, identity, lineage or explanation contain this, letter case aside.
    pub text: Option<String>,
}

impl AlertFilter {
    /// Appends `WHERE …` for the filter and, with a cursor, for what comes after it.
    pub(crate) fn push_where(&self, query: &mut QueryBuilder<Engine>, after: Option<Cursor>) {
        query.push(" WHERE TRUE");
        push_severity(query, self.severity_min, &self.severities);
        if let Some(case) = self.case {
            query.push(" AND case_id = ").push_bind(case.to_string());
        }
        push_equal(query, "family", self.family.map(CauseFamily::as_str));
        push_equal(query, "rule", self.rule.as_deref());
        push_equal(query, "identity", self.identity.as_deref());
        push_equal(query, "instance", self.instance.as_deref());
        push_range(query, "time", self.from, self.to);
        push_text(query, self.text.as_deref());
        push_after(query, "time", after);
    }
}

impl CaseFilter {
    /// Appends `WHERE …` for the filter.
    pub(crate) fn push_where(&self, query: &mut QueryBuilder<Engine>) {
        query.push(" WHERE TRUE");
        push_severity(query, self.severity_min, &self.severities);
        push_any(query, "status", self.statuses.iter().map(|status| status.as_str()));
        push_equal(query, "family", self.family.map(CauseFamily::as_str));
        push_equal(query, "rule", self.rule.as_deref());
        push_equal(query, "identity", self.identity.as_deref());
        push_equal(query, "instance", self.instance.as_deref());
        push_range(query, "updated", self.from, self.to);
        push_text(query, self.text.as_deref());
    }
}

fn push_severity(query: &mut QueryBuilder<Engine>, min: Option<Severity>, any: &[Severity]) {
    if let Some(severity) = min {
        query.push(" AND severity >= ").push_bind(severity as i64);
    }
    push_any(query, "severity", any.iter().map(|severity| *severity as i64));
}

/// Nothing to be one of asks for nothing.
fn push_any<'a, T>(query: &mut QueryBuilder<Engine>, column: &str, any: impl Iterator<Item = T>)
where
    T: sqlx::Encode<'a, Engine> + sqlx::Type<Engine> + 'a,
{
    let mut any = any.peekable();
    if any.peek().is_none() {
        return;
    }
    query.push(format_args!(" AND {column} IN ("));
    let mut values = query.separated(", ");
    for value in any {
        values.push_bind(value);
    }
    query.push(")");
}

fn push_equal(query: &mut QueryBuilder<Engine>, column: &str, text: Option<&str>) {
    if let Some(text) = text {
        query.push(format_args!(" AND {column} = ")).push_bind(storable(text));
    }
}

fn push_range(
    query: &mut QueryBuilder<Engine>,
    column: &str,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) {
    if let Some(from) = from {
        query.push(format_args!(" AND {column} >= ")).push_bind(from.0);
    }
    if let Some(to) = to {
        query.push(format_args!(" AND {column} < ")).push_bind(to.0);
    }
}

fn push_text(query: &mut QueryBuilder<Engine>, text: Option<&str>) {
    if let Some(text) = text {
        query.push(" AND search LIKE ").push_bind(contains_pattern(text)).push(" ESCAPE '\\'");
    }
}

/// What comes after the cursor, newest first.
pub(crate) fn push_after(
    query: &mut QueryBuilder<Engine>,
    time_column: &str,
    after: Option<Cursor>,
) {
    if let Some(after) = after {
        query.push(format_args!(" AND ({time_column}, id) < (")).push_bind(after.time.0);
        query.push(", ").push_bind(after.id.to_string()).push(")");
    }
}

/// The last row of a page; the next page begins after it. Opaque to callers: 48 hex digits.
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
