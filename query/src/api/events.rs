//! `GET /api/v1/events`: the newest events that match, page by page.

use axum::extract::State;
use axum::{Extension, Json};
use datafusion::common::ScalarValue;
use event::Timestamp;
use event::vocabulary::{Action, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Service;
use super::auth::Caller;
use super::page::{Conditions, Filter, cursor, limit, moment, now, parse_cursor};
use super::problem::Problem;
use crate::SqlQuery;
use crate::output::Output;

/// Filters; all of them must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventFilter {
    /// At this time or later; RFC 3339.
    from: Option<String>,
    /// Before this time; RFC 3339.
    to: Option<String>,
    /// Database account.
    user: Option<String>,
    /// Person or account.
    identity: Option<String>,
    /// Server.
    instance: Option<String>,
    /// Database.
    database: Option<String>,
    /// login, read, write, define…
    action: Option<String>,
    /// The engine's tag.
    command: Option<String>,
    /// succeeded, failed, denied, unknown.
    outcome: Option<String>,
    /// Session id.
    session: Option<String>,
    /// Fingerprint, 16 hex digits.
    fingerprint: Option<String>,
    /// Table read or written.
    table: Option<String>,
    /// Statement flag.
    flag: Option<String>,
    /// Rule that matched.
    rule: Option<String>,
    /// The statement contains this, letter case aside.
    text: Option<String>,
    /// Most rows, 1 to 1000; 100 if not named.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page of events, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventPage {
    /// Events; keys are the columns, nulls are left out.
    events: Vec<Value>,
    /// Cursor of the next page; none at the end.
    next: Option<String>,
}

/// Lists events.
#[utoipa::path(get, path = "/api/v1/events", params(EventFilter), tag = "events",
    security(("token" = [])),
    responses((status = 200, body = EventPage), (status = 400, body = Problem)))]
pub(super) async fn events(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Filter(filter): Filter<EventFilter>,
) -> Result<Json<EventPage>, Problem> {
    let begun = now();
    let rows = limit(filter.limit)?;
    let conditions = conditions(&filter)?;
    let query = SqlQuery {
        sql: format!("SELECT * FROM events{} ORDER BY time DESC, id DESC", conditions.sql()),
        parameters: conditions.parameters,
        from: moment("from", filter.from.as_ref())?,
        to: moment("to", filter.to.as_ref())?,
        limit: Some(rows),
    };
    let answer = service.engine.run(&query, (service.view)()).await?;
    let asked = format!("{filter:?}");
    service.record(&caller, "/api/v1/events", asked, begun, Ok(answer.rows())).await?;
    let mut bytes = Vec::new();
    Output::Json.write(&answer.schema, &answer.batches, &mut bytes)?;
    let bytes: &[u8] = if bytes.is_empty() { b"[]" } else { &bytes };
    let events: Vec<Value> =
        serde_json::from_slice(bytes).map_err(|error| Problem::internal(&error))?;
    let next = events.last().filter(|_| answer.truncated).and_then(next_page);
    Ok(Json(EventPage { events, next }))
}

fn next_page(last: &Value) -> Option<String> {
    let time = Timestamp::parse(last["time"].as_str()?)?;
    Some(cursor(time.0, last["id"].as_str()?))
}

fn conditions(filter: &EventFilter) -> Result<Conditions, Problem> {
    let mut conditions = Conditions::default();
    conditions.equal("user", filter.user.as_ref());
    conditions.equal("instance", filter.instance.as_ref());
    conditions.equal("database", filter.database.as_ref());
    conditions.word::<Action>("action", filter.action.as_ref())?;
    conditions.equal("command", filter.command.as_ref());
    conditions.word::<Outcome>("outcome", filter.outcome.as_ref())?;
    conditions.equal("session", filter.session.as_ref());
    if let Some(digits) = &filter.fingerprint
        && (digits.len() != 16 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    {
        return Err(Problem::bad_request("`fingerprint` is 16 hex digits"));
    }
    conditions.equal("fingerprint", filter.fingerprint.as_ref());
    if let Some(identity) = &filter.identity {
        conditions.add("coalesce(actor, \"user\") = {}", identity.as_str());
    }
    if let Some(table) = &filter.table {
        let either = "(array_has(tables_read, {}) OR array_has(tables_written, {}))";
        conditions.add(either, table.as_str());
    }
    if let Some(flag) = &filter.flag {
        conditions.add("array_has(flags, {})", flag.as_str());
    }
    if let Some(rule) = &filter.rule {
        conditions.add("array_has(rules, {})", rule.as_str());
    }
    if let Some(text) = &filter.text {
        conditions.add("strpos(lower(statement), lower({})) > 0", text.as_str());
    }
    if let Some(text) = &filter.cursor {
        let (time, id) = parse_cursor(text)?;
        let moment = ScalarValue::TimestampMicrosecond(Some(time), Some("UTC".into()));
        conditions.add("time <= {}", moment.clone());
        conditions.add("(time < {} OR ", moment);
        conditions.extend("id < {})", id.as_str());
    }
    Ok(conditions)
}
