//! Pages of long lists: filters that become SQL with parameters, and cursors.

use std::fmt::Display;
use std::str::FromStr;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datafusion::common::ScalarValue;
use event::alert::Severity;
use event::{EventId, Timestamp};
use serde::de::DeserializeOwned;
use state::{Cursor, InvalidCursor};

use super::problem::Problem;
use crate::state_columns::SEVERITIES;

/// Rows of a page where the caller names no limit.
pub(super) const LIMIT_DEFAULT: usize = 100;
/// Most rows of a page.
pub(super) const LIMIT_MAX: usize = 1_000;

/// The edge of the service is where the clock is read.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The query string of a list. What is wrong with it is a problem like any other.
pub(super) struct Filter<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Filter<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = Query::try_from_uri(&parts.uri);
        let Query(filter) = read.map_err(|error| Problem::bad_request(error.body_text()))?;
        Ok(Self(filter))
    }
}

/// A JSON body. What is wrong with it is a problem like any other.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| Problem::new(error.status(), error.body_text()))?;
        let read = serde_json::from_slice(&bytes);
        read.map(Self).map_err(|error| Problem::bad_request(format!("the body: {error}")))
    }
}

/// The id in a path.
pub(super) fn id(text: &str) -> Result<EventId, Problem> {
    let read = text.parse::<EventId>();
    read.map_err(|error| Problem::bad_request(format!("{error}: `{text}`")))
}

/// A cursor of the state, if one is given.
pub(super) fn state_cursor(text: Option<&String>) -> Result<Option<Cursor>, Problem> {
    let refusal = |error: InvalidCursor| Problem::bad_request(error.to_string());
    text.map(|text| text.parse().map_err(refusal)).transpose()
}

/// A word of a closed set, if one is given.
pub(super) fn word<W>(text: Option<&String>) -> Result<Option<W>, Problem>
where
    W: FromStr<Err: Display>,
{
    let refusal = |error: W::Err| Problem::bad_request(error.to_string());
    text.map(|text| text.parse().map_err(refusal)).transpose()
}

/// A severity, if one is given.
pub(super) fn severity(text: Option<&String>) -> Result<Option<Severity>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let found = SEVERITIES.iter().copied().find(|word| word.as_str() == text);
    let refusal = || {
        Problem::bad_request(format!("`severity_min` is low, medium, high or critical: `{text}`"))
    };
    found.map(Some).ok_or_else(refusal)
}

/// A `WHERE` clause with its values; nothing a caller sends becomes SQL.
#[derive(Default)]
pub(super) struct Conditions {
    clauses: Vec<String>,
    pub(super) parameters: Vec<ScalarValue>,
}

impl Conditions {
    /// Adds a condition; `{}` stands for the value.
    pub(super) fn add(&mut self, clause: &str, value: impl Into<ScalarValue>) {
        self.parameters.push(value.into());
        self.clauses.push(clause.replace("{}", &format!("${}", self.parameters.len())));
    }

    /// Adds a condition without a value.
    pub(super) fn always(&mut self, clause: &str) {
        self.clauses.push(clause.to_owned());
    }

    /// Continues the last condition; `{}` stands for the value.
    pub(super) fn extend(&mut self, rest: &str, value: impl Into<ScalarValue>) {
        self.parameters.push(value.into());
        if let Some(last) = self.clauses.last_mut() {
            last.push_str(&rest.replace("{}", &format!("${}", self.parameters.len())));
        }
    }

    /// Adds an equality if there is a value to be equal to.
    pub(super) fn equal(&mut self, column: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.add(&format!("\"{column}\" = {{}}"), value.as_str());
        }
    }

    /// Adds an equality with a word of a closed set.
    pub(super) fn word<W>(&mut self, column: &str, value: Option<&String>) -> Result<(), Problem>
    where
        W: FromStr<Err: Display>,
    {
        if let Some(word) = value {
            word.parse::<W>().map_err(|error| Problem::bad_request(error.to_string()))?;
        }
        self.equal(column, value);
        Ok(())
    }

    /// `WHERE …`, or nothing.
    pub(super) fn sql(&self) -> String {
        if self.clauses.is_empty() {
            return String::new();
        }
        format!(" WHERE {}", self.clauses.join(" AND "))
    }
}

/// How many rows the caller gets.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(Problem::bad_request(format!("`limit` must be 1 to {LIMIT_MAX}"))),
    }
}

/// RFC 3339 in a query string.
pub(super) fn moment(name: &str, text: Option<&String>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let time = Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}T00:00:00Z")));
    let refusal = || Problem::bad_request(format!("`{name}` is not RFC 3339: `{text}`"));
    time.map(Some).ok_or_else(refusal)
}

/// Where the next page begins: a moment and an id, opaque to callers.
pub(super) fn cursor(time: i64, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{time}:{id}"))
}

/// Reads a cursor of ours.
pub(super) fn parse_cursor(text: &str) -> Result<(i64, String), Problem> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (time, id) = text.split_once(':')?;
        Some((time.parse().ok()?, id.to_owned()))
    };
    read().ok_or_else(|| Problem::bad_request("not a cursor of this list; start without one"))
}
