//! `GET /api/v1/alerts`: what detection found, newest first, and one alert with its deliveries.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use event::alert::Severity;
use event::{Alert, EventId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use state::{AlertFilter, Cursor};
use utoipa::{IntoParams, ToSchema};

use super::Service;
use super::auth::Caller;
use super::page::{Filter, limit, moment, now};
use super::problem::Problem;

/// Filters; all of them must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertQuery {
    /// low, medium, high or critical: this bad or worse.
    severity_min: Option<String>,
    /// Rule or baseline.
    rule: Option<String>,
    /// Person or account.
    identity: Option<String>,
    /// Server.
    instance: Option<String>,
    /// At this time or later; RFC 3339.
    from: Option<String>,
    /// Before this time; RFC 3339.
    to: Option<String>,
    /// Contains this, letter case aside.
    text: Option<String>,
    /// Most rows, 1 to 1000; 100 if not named.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page of alerts, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertPage {
    /// The alerts.
    #[schema(value_type = Vec<Object>)]
    alerts: Vec<Alert>,
    /// Cursor of the next page; none at the end.
    next: Option<String>,
}

/// Lists alerts.
#[utoipa::path(get, path = "/api/v1/alerts", params(AlertQuery), tag = "alerts",
    security(("token" = [])),
    responses((status = 200, body = AlertPage), (status = 400, body = Problem)))]
pub(super) async fn alerts(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Filter(query): Filter<AlertQuery>,
) -> Result<Json<AlertPage>, Problem> {
    let begun = now();
    let asked = format!("{query:?}");
    let rows = limit(query.limit)?;
    let after: Option<Cursor> = match &query.cursor {
        Some(text) => Some(text.parse().map_err(|error| bad(&error))?),
        None => None,
    };
    let page = service.state.alerts(&filter(query)?, rows, after).await?;
    service.record(&caller, "/api/v1/alerts", asked, begun, Ok(page.alerts.len())).await?;
    Ok(Json(AlertPage { alerts: page.alerts, next: page.next.map(|next| next.to_string()) }))
}

/// Shows one alert.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", security(("token" = [])),
    params(("id" = String, Path, description = "32 hex digits")),
    responses((status = 200, body = Object), (status = 404, body = Problem)))]
pub(super) async fn alert(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let begun = now();
    let id: EventId = id.parse().map_err(|error| bad(&error))?;
    let found = service.state.alert(id).await?;
    let rows = Ok(usize::from(found.is_some()));
    service.record(&caller, "/api/v1/alerts/{id}", id.to_string(), begun, rows).await?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("there is no alert {id}"));
    let alert = found.ok_or_else(missing)?;
    serde_json::to_value(alert).map(Json).map_err(|error| Problem::internal(&error))
}

fn filter(query: AlertQuery) -> Result<AlertFilter, Problem> {
    Ok(AlertFilter {
        severity_min: query.severity_min.as_deref().map(severity).transpose()?,
        from: moment("from", query.from.as_ref())?,
        to: moment("to", query.to.as_ref())?,
        rule: query.rule,
        identity: query.identity,
        instance: query.instance,
        text: query.text,
    })
}

fn severity(text: &str) -> Result<Severity, Problem> {
    let words = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    let found = words.into_iter().find(|word| word.as_str() == text);
    let refusal = || {
        Problem::bad_request(format!("`severity_min` is low, medium, high or critical: `{text}`"))
    };
    found.ok_or_else(refusal)
}

fn bad(error: &dyn std::error::Error) -> Problem {
    Problem::bad_request(error.to_string())
}
