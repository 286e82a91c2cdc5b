//! `/api/v1/exceptions` and `/api/v1/change-windows`: what is expected, and what is announced. Each
//! is a decision that enters the stream; none is ever changed, but it can be withdrawn.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use event::decision::{ChangeWindow, DecisionKind, EXCEPTION_DAYS_MAX, Exception, Scope};
use event::{Decision, EventId, Timestamp};
use serde::{Deserialize, Serialize};
use state::{DecisionFilter, KeptDecision};
use utoipa::{IntoParams, ToSchema};

use super::Service;
use super::access::Change;
use super::auth::Caller;
use super::page::{Body, Filter, id, limit, moment, now, state_cursor};
use super::problem::Problem;
use super::shapes::{DecisionShape, ScopeShape};

const SECONDS_PER_DAY: i64 = 86_400;

/// Filters; all of them must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DecisionQuery {
    /// Only those that hold at this time; RFC 3339. All if not named, also what is over.
    active_at: Option<String>,
    /// Most rows, 1 to 1000; 100 if not named.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// What is expected.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewException {
    /// Which signals are expected.
    #[schema(value_type = ScopeShape)]
    scope: Scope,
    /// Why.
    reason: String,
    /// Until when, at most 366 days; RFC 3339. As long as that if not named.
    expires: Option<String>,
}

/// What is announced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewChangeWindow {
    /// Which signals are announced.
    #[schema(value_type = ScopeShape)]
    scope: Scope,
    /// When it begins; RFC 3339.
    from: String,
    /// When it ends, at most 31 days later; RFC 3339.
    until: String,
    /// What is changed, and why.
    reason: String,
}

/// A decision and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DecisionView {
    /// The decision.
    #[schema(value_type = DecisionShape)]
    decision: Decision,
    /// When it was withdrawn.
    #[schema(value_type = Option<String>)]
    withdrawn: Option<Timestamp>,
    /// Whether detection has been told.
    published: bool,
}

/// A page of decisions, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DecisionPage {
    /// The decisions.
    decisions: Vec<DecisionView>,
    /// Cursor of the next page; none at the end.
    next: Option<String>,
}

const EXCEPTIONS: &str = "/api/v1/exceptions";
const EXCEPTION: &str = "/api/v1/exceptions/{id}";
const CHANGE_WINDOWS: &str = "/api/v1/change-windows";
const CHANGE_WINDOW: &str = "/api/v1/change-windows/{id}";

/// Lists exceptions.
#[utoipa::path(get, path = "/api/v1/exceptions", params(DecisionQuery), tag = "decisions",
    security(("token" = [])),
    responses((status = 200, body = DecisionPage), (status = 400, body = Problem)))]
pub(super) async fn exceptions(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Filter(query): Filter<DecisionQuery>,
) -> Result<Json<DecisionPage>, Problem> {
    list(&service, &caller, EXCEPTIONS, "exception", &query).await
}

/// Makes an exception. Wants the scope `write`.
#[utoipa::path(post, path = "/api/v1/exceptions", tag = "decisions", security(("token" = [])),
    request_body = NewException,
    responses((status = 201, body = DecisionView), (status = 400, body = Problem),
        (status = 409, description = "too many hold already", body = Problem)))]
pub(super) async fn add_exception(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    body: Result<Body<NewException>, Problem>,
) -> Result<(StatusCode, Json<DecisionView>), Problem> {
    add(service, caller, EXCEPTIONS, body, |new, now| {
        let longest = now.plus_seconds(EXCEPTION_DAYS_MAX * SECONDS_PER_DAY);
        let expires = moment("expires", new.expires.as_ref())?.unwrap_or(longest);
        let NewException { scope, reason, .. } = new;
        Ok(DecisionKind::Exception(Exception { scope, reason, expires: Some(expires) }))
    })
    .await
}

/// Withdraws an exception. Wants the scope `write`.
#[utoipa::path(delete, path = "/api/v1/exceptions/{id}", tag = "decisions",
    security(("token" = [])), params(("id" = String, Path, description = "32 hex digits")),
    responses((status = 200, description = "the withdrawal", body = DecisionView),
        (status = 404, body = Problem),
        (status = 409, description = "it was withdrawn already", body = Problem)))]
pub(super) async fn withdraw_exception(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<DecisionView>, Problem> {
    withdraw(service, caller, EXCEPTION, "exception", text).await
}

/// Lists change windows.
#[utoipa::path(get, path = "/api/v1/change-windows", params(DecisionQuery), tag = "decisions",
    security(("token" = [])),
    responses((status = 200, body = DecisionPage), (status = 400, body = Problem)))]
pub(super) async fn change_windows(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Filter(query): Filter<DecisionQuery>,
) -> Result<Json<DecisionPage>, Problem> {
    list(&service, &caller, CHANGE_WINDOWS, "change_window", &query).await
}

/// Announces a change window. Wants the scope `write`.
#[utoipa::path(post, path = "/api/v1/change-windows", tag = "decisions",
    security(("token" = [])), request_body = NewChangeWindow,
    responses((status = 201, body = DecisionView), (status = 400, body = Problem),
        (status = 409, description = "too many hold already", body = Problem)))]
pub(super) async fn add_change_window(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    body: Result<Body<NewChangeWindow>, Problem>,
) -> Result<(StatusCode, Json<DecisionView>), Problem> {
    add(service, caller, CHANGE_WINDOWS, body, |new, _| {
        let given = |name, text: &String| {
            let missing = || Problem::bad_request(format!("`{name}` is missing"));
            moment(name, Some(text))?.ok_or_else(missing)
        };
        let (from, until) = (given("from", &new.from)?, given("until", &new.until)?);
        let NewChangeWindow { scope, reason, .. } = new;
        Ok(DecisionKind::ChangeWindow(ChangeWindow { scope, from, until, reason }))
    })
    .await
}

/// Withdraws a change window. Wants the scope `write`.
#[utoipa::path(delete, path = "/api/v1/change-windows/{id}", tag = "decisions",
    security(("token" = [])), params(("id" = String, Path, description = "32 hex digits")),
    responses((status = 200, description = "the withdrawal", body = DecisionView),
        (status = 404, body = Problem),
        (status = 409, description = "it was withdrawn already", body = Problem)))]
pub(super) async fn withdraw_change_window(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<DecisionView>, Problem> {
    withdraw(service, caller, CHANGE_WINDOW, "change_window", text).await
}

async fn list(
    service: &Service,
    caller: &Caller,
    path: &'static str,
    kind: &'static str,
    query: &DecisionQuery,
) -> Result<Json<DecisionPage>, Problem> {
    let begun = now();
    let rows = limit(query.limit)?;
    let after = state_cursor(query.cursor.as_ref())?;
    let active_at = moment("active_at", query.active_at.as_ref())?;
    let filter = DecisionFilter { kind: Some(kind), active_at, case: None };
    let page = service.state.list_decisions(&filter, rows, after).await?;
    service.record(caller, path, format!("{query:?}"), begun, Ok(page.decisions.len())).await?;
    let decisions = page.decisions.into_iter().map(DecisionView::of).collect();
    Ok(Json(DecisionPage { decisions, next: page.next.map(|next| next.to_string()) }))
}

async fn add<T: std::fmt::Debug + Send + 'static>(
    service: Service,
    caller: Caller,
    path: &'static str,
    body: Result<Body<T>, Problem>,
    kind: impl FnOnce(T, Timestamp) -> Result<DecisionKind, Problem> + Send + 'static,
) -> Result<(StatusCode, Json<DecisionView>), Problem> {
    let query = body.as_ref().map_or_else(|_| String::new(), |Body(new)| format!("{new:?}"));
    let change = Change { command: "POST", path, query };
    let (state, author) = (service.state.clone(), caller.name.clone());
    let adding = async move {
        let time = now();
        let decision = Decision::new(time, &author, kind(body?.0, time)?);
        state.add_decision(&decision).await?;
        let view = DecisionView { decision, withdrawn: None, published: false };
        Ok((StatusCode::CREATED, Json(view)))
    };
    service.change(caller, change, adding).await
}

async fn withdraw(
    service: Service,
    caller: Caller,
    path: &'static str,
    kind: &'static str,
    text: String,
) -> Result<Json<DecisionView>, Problem> {
    let change = Change { command: "DELETE", path, query: text.clone() };
    let (state, author) = (service.state.clone(), caller.name.clone());
    let withdrawing = async move {
        let earlier: EventId = id(&text)?;
        let found = state.decision(earlier).await?;
        if found.is_none_or(|found| found.decision.kind.as_str() != kind) {
            let detail = format!("there is no {} {text}", kind.replace('_', " "));
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
        let kind = DecisionKind::Withdrawn { decision: earlier };
        let decision = Decision::new(now(), &author, kind);
        state.add_decision(&decision).await?;
        Ok(Json(DecisionView { decision, withdrawn: None, published: false }))
    };
    service.change(caller, change, withdrawing).await
}

impl DecisionView {
    fn of(kept: KeptDecision) -> Self {
        let KeptDecision { decision, withdrawn, published } = kept;
        Self { decision, withdrawn, published }
    }
}
