//! `GET /api/v1/alerts`: the events of cases, newest first, and one of them.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use event::Alert;
use serde::{Deserialize, Serialize};
use state::AlertFilter;
use utoipa::{IntoParams, ToSchema};

use super::Service;
use super::auth::Caller;
use super::page::{Filter, id, limit, moment, now, severity, state_cursor, word};
use super::problem::Problem;
use super::shapes::AlertShape;

/// Filters; all of them must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertQuery {
    /// low, medium, high or critical: this bad or worse.
    severity_min: Option<String>,
    /// Events of this case: 32 hex digits.
    case: Option<String>,
    /// Family of causes: access, privilege, tampering, execution, injection, exfiltration,
    /// impact or behaviour.
    family: Option<String>,
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
    #[schema(value_type = Vec<AlertShape>)]
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
    let after = state_cursor(query.cursor.as_ref())?;
    let page = service.state.alerts(&filter(query)?, rows, after).await?;
    service.record(&caller, "/api/v1/alerts", asked, begun, Ok(page.alerts.len())).await?;
    Ok(Json(AlertPage { alerts: page.alerts, next: page.next.map(|next| next.to_string()) }))
}

/// Shows one alert.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", security(("token" = [])),
    params(("id" = String, Path, description = "32 hex digits")),
    responses((status = 200, body = AlertShape), (status = 404, body = Problem)))]
pub(super) async fn alert(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<Alert>, Problem> {
    let begun = now();
    let id = id(&text)?;
    let found = service.state.alert(id).await?;
    let rows = Ok(usize::from(found.is_some()));
    service.record(&caller, "/api/v1/alerts/{id}", id.to_string(), begun, rows).await?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("there is no alert {id}"));
    found.map(Json).ok_or_else(missing)
}

fn filter(query: AlertQuery) -> Result<AlertFilter, Problem> {
    Ok(AlertFilter {
        severity_min: severity(query.severity_min.as_ref())?,
        severities: Vec::new(),
        case: query.case.as_deref().map(id).transpose()?,
        family: word(query.family.as_ref())?,
        from: moment("from", query.from.as_ref())?,
        to: moment("to", query.to.as_ref())?,
        rule: query.rule,
        identity: query.identity,
        instance: query.instance,
        text: query.text,
    })
}
