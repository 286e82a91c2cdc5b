//! `/api/v1/cases`: what belongs together, most recently updated first; one of them with all that
//! is known of it; and what people decide about it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use event::decision::Disposition;
use event::{Alert, Case, Decision, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use state::{AlertFilter, CaseFilter, CaseStatus, DecisionFilter, KeptCase};
use state::{TriageChange, VerdictChange};
use utoipa::{IntoParams, ToSchema};

use super::Service;
use super::access::Change;
use super::auth::Caller;
use super::page::{Body, Filter, id, limit, moment, now, severity, state_cursor, word};
use super::problem::Problem;
use super::shapes::{AlertShape, CaseShape, DecisionShape};

/// Filters; all of them must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CaseQuery {
    /// low, medium, high or critical: this bad or worse.
    severity_min: Option<String>,
    /// open, acknowledged or closed.
    status: Option<String>,
    /// Person or account.
    identity: Option<String>,
    /// Server.
    instance: Option<String>,
    /// Family of causes: access, privilege, tampering, execution, injection, exfiltration,
    /// impact or behaviour.
    family: Option<String>,
    /// Rule or baseline of the worst signal.
    rule: Option<String>,
    /// Updated at this time or later; RFC 3339.
    from: Option<String>,
    /// Updated before this time; RFC 3339.
    to: Option<String>,
    /// Contains this, letter case aside.
    text: Option<String>,
    /// Most rows, 1 to 1000; 100 if not named.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A case as it was told last, with what people decided about it.
#[derive(Debug, Serialize)]
pub(super) struct CaseView {
    #[serde(flatten)]
    case: Case,
    status: &'static str,
    owner: Option<String>,
    verdict: Option<Disposition>,
    reason: Option<String>,
    note: Option<String>,
    decided_by: Option<String>,
    decided: Option<Timestamp>,
    reopened: Option<Timestamp>,
}

/// A page of cases, the most recently updated first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CasePage {
    /// The cases.
    #[schema(value_type = Vec<CaseShape>)]
    cases: Vec<CaseView>,
    /// Cursor of the next page; none at the end.
    next: Option<String>,
}

/// One case with all that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CaseDetail {
    /// The case with its causes.
    #[schema(value_type = CaseShape)]
    case: CaseView,
    /// Its newest events, at most 100.
    events: Vec<CaseEvent>,
    /// Cursor of older events: `/api/v1/alerts?case=…&cursor=…`; none if these are all.
    events_next: Option<String>,
    /// The newest verdicts on it, at most 100.
    #[schema(value_type = Vec<DecisionShape>)]
    decisions: Vec<Decision>,
}

/// An event of a case, and who was told of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CaseEvent {
    /// The event.
    #[schema(value_type = AlertShape)]
    alert: Alert,
    /// What became of it, channel by channel.
    deliveries: Vec<DeliveryView>,
}

/// What became of an event on one channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryView {
    /// Name of the channel.
    channel: String,
    /// pending, delivered or refused.
    status: &'static str,
    /// When it is tried next; none once it has ended.
    #[schema(value_type = Option<String>)]
    next_attempt: Option<Timestamp>,
    /// How often it was tried.
    attempts: usize,
    /// What the last attempt ended with.
    last: Option<String>,
}

/// What is decided about a case; what is not named stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CaseChange {
    /// open, acknowledged or closed.
    status: Option<String>,
    /// Whose it is; null for nobody's.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    owner: Option<Option<String>>,
    /// What else there is to say; null for nothing.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    note: Option<Option<String>>,
    /// true, benign or false: what it turned out to be. Needs a reason.
    verdict: Option<String>,
    /// How the verdict is known.
    reason: Option<String>,
    /// The rule that the verdict is about; that of the worst signal if not named.
    rule: Option<String>,
    /// The cause that the verdict is about; every cause that the case lists of the rule if not
    /// named.
    cause: Option<String>,
}

/// Events and verdicts that a case is shown with.
const SHOWN_MAX: usize = 100;

/// Lists cases.
#[utoipa::path(get, path = "/api/v1/cases", params(CaseQuery), tag = "cases",
    security(("token" = [])),
    responses((status = 200, body = CasePage), (status = 400, body = Problem)))]
pub(super) async fn cases(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Filter(query): Filter<CaseQuery>,
) -> Result<Json<CasePage>, Problem> {
    let begun = now();
    let asked = format!("{query:?}");
    let rows = limit(query.limit)?;
    let after = state_cursor(query.cursor.as_ref())?;
    let page = service.state.cases(&filter(query)?, rows, after).await?;
    service.record(&caller, "/api/v1/cases", asked, begun, Ok(page.cases.len())).await?;
    let cases = page.cases.into_iter().map(CaseView::of).collect();
    Ok(Json(CasePage { cases, next: page.next.map(|next| next.to_string()) }))
}

/// Shows one case.
#[utoipa::path(get, path = "/api/v1/cases/{id}", tag = "cases", security(("token" = [])),
    params(("id" = String, Path, description = "32 hex digits")),
    responses((status = 200, body = CaseDetail), (status = 404, body = Problem)))]
pub(super) async fn case(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<CaseDetail>, Problem> {
    let begun = now();
    let id = id(&text)?;
    let found = service.state.case(id).await?;
    let rows = Ok(usize::from(found.is_some()));
    service.record(&caller, "/api/v1/cases/{id}", id.to_string(), begun, rows).await?;
    let Some(kept) = found else { return Err(missing(&text)) };
    let filter = AlertFilter { case: Some(id), ..AlertFilter::default() };
    let page = service.state.alerts(&filter, SHOWN_MAX, None).await?;
    let mut events = Vec::with_capacity(page.alerts.len());
    for alert in page.alerts {
        let deliveries = service.state.deliveries(alert.id).await?;
        let deliveries = deliveries.into_iter().map(DeliveryView::of).collect();
        events.push(CaseEvent { alert, deliveries });
    }
    let filter = DecisionFilter { case: Some(id), ..DecisionFilter::default() };
    let decisions = service.state.list_decisions(&filter, SHOWN_MAX, None).await?.decisions;
    Ok(Json(CaseDetail {
        case: CaseView::of(kept),
        events,
        events_next: page.next.map(|next| next.to_string()),
        decisions: decisions.into_iter().map(|kept| kept.decision).collect(),
    }))
}

/// Decides about a case. Wants the scope `write`.
#[utoipa::path(patch, path = "/api/v1/cases/{id}", tag = "cases", security(("token" = [])),
    params(("id" = String, Path, description = "32 hex digits")),
    request_body = CaseChange,
    responses(
        (status = 200, description = "the case as it is now", body = CaseShape),
        (status = 400, body = Problem), (status = 404, body = Problem)))]
pub(super) async fn change(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    body: Result<Body<CaseChange>, Problem>,
) -> Result<Json<CaseView>, Problem> {
    let query = match &body {
        Ok(Body(change)) => format!("{text} {change:?}"),
        Err(_) => text.clone(),
    };
    let change = Change { command: "PATCH", path: "/api/v1/cases/{id}", query };
    let (state, author) = (service.state.clone(), caller.name.clone());
    let deciding = async move {
        let case = id(&text)?;
        let change = body?.0.read()?;
        let decided = state.decide(case, &change, &author, now()).await?;
        let (kept, _) = decided.ok_or_else(|| missing(&text))?;
        Ok(Json(CaseView::of(kept)))
    };
    service.change(caller, change, deciding).await
}

impl CaseView {
    fn of(kept: KeptCase) -> Self {
        let KeptCase { case, triage } = kept;
        Self {
            case,
            status: triage.status.as_str(),
            owner: triage.owner,
            verdict: triage.verdict,
            reason: triage.reason,
            note: triage.note,
            decided_by: triage.decided_by,
            decided: triage.decided,
            reopened: triage.reopened,
        }
    }
}

impl DeliveryView {
    fn of(delivery: state::Delivery) -> Self {
        let last = delivery.attempts.last().map(|attempt| match attempt.detail.as_str() {
            "" => attempt.outcome.clone(),
            detail => format!("{}: {detail}", attempt.outcome),
        });
        Self {
            channel: delivery.channel,
            status: delivery.status.as_str(),
            next_attempt: delivery.next_attempt,
            attempts: delivery.attempts.len(),
            last,
        }
    }
}

impl CaseChange {
    fn read(self) -> Result<TriageChange, Problem> {
        let verdict = match (self.verdict, self.reason) {
            (Some(word), Some(reason)) => {
                let found = Disposition::ALL.iter().copied().find(|it| it.as_str() == word);
                let refusal = || {
                    Problem::bad_request(format!("`verdict` is true, benign or false: `{word}`"))
                };
                let verdict = found.ok_or_else(refusal)?;
                Some(VerdictChange { verdict, reason, rule: self.rule, cause: self.cause })
            }
            (Some(_), None) => {
                let detail = "a verdict needs a `reason`; say how it is known";
                return Err(Problem::bad_request(detail));
            }
            (None, reason) => {
                if reason.is_some() || self.rule.is_some() || self.cause.is_some() {
                    let detail = "`reason`, `rule` and `cause` belong to a verdict; give one";
                    return Err(Problem::bad_request(detail));
                }
                None
            }
        };
        let status = word::<CaseStatus>(self.status.as_ref())?;
        Ok(TriageChange { status, owner: self.owner, note: self.note, verdict })
    }
}

/// Tells null from absence.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn missing(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no case {id}"))
}

fn filter(query: CaseQuery) -> Result<CaseFilter, Problem> {
    Ok(CaseFilter {
        severity_min: severity(query.severity_min.as_ref())?,
        severities: Vec::new(),
        statuses: word(query.status.as_ref())?.into_iter().collect(),
        family: word(query.family.as_ref())?,
        from: moment("from", query.from.as_ref())?,
        to: moment("to", query.to.as_ref())?,
        rule: query.rule,
        identity: query.identity,
        instance: query.instance,
        text: query.text,
    })
}
