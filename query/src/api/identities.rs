//! `GET /api/v1/identities`: who was seen, since when, doing how much.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Service;
use super::auth::Caller;
use super::page::{Conditions, Filter, limit, moment, now};
use super::problem::Problem;
use crate::SqlQuery;
use crate::output::Output;

/// Filters; all of them must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IdentityQuery {
    /// Seen at this time or later; RFC 3339.
    from: Option<String>,
    /// Seen before this time; RFC 3339.
    to: Option<String>,
    /// Server.
    instance: Option<String>,
    /// Most rows, 1 to 1000; 100 if not named.
    limit: Option<usize>,
}

/// Identities, the busiest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IdentityPage {
    /// One object an identity and server.
    identities: Vec<Value>,
    /// Whether there are more.
    truncated: bool,
}

const SQL: &str = "SELECT coalesce(actor, \"user\") AS identity, instance, \
     min(time) AS first_seen, max(time) AS last_seen, count(*) AS events, \
     count(DISTINCT session) AS sessions, count(DISTINCT fingerprint) AS fingerprints, \
     count(DISTINCT client_address) AS client_addresses, \
     count(DISTINCT application) AS applications, \
     count(*) FILTER (WHERE outcome IN ('failed', 'denied')) AS failures, \
     max(risk) AS risk_max FROM events";

/// Lists identities.
#[utoipa::path(get, path = "/api/v1/identities", params(IdentityQuery), tag = "identities",
    security(("token" = [])),
    responses((status = 200, body = IdentityPage), (status = 400, body = Problem)))]
pub(super) async fn identities(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Filter(query): Filter<IdentityQuery>,
) -> Result<Json<IdentityPage>, Problem> {
    let begun = now();
    let mut conditions = Conditions::default();
    conditions.equal("instance", query.instance.as_ref());
    conditions.always("coalesce(actor, \"user\") IS NOT NULL");
    let sql_query = SqlQuery {
        sql: format!("{SQL}{} GROUP BY 1, 2 ORDER BY events DESC, identity", conditions.sql()),
        parameters: conditions.parameters,
        from: moment("from", query.from.as_ref())?,
        to: moment("to", query.to.as_ref())?,
        limit: Some(limit(query.limit)?),
    };
    let answer = service.engine.run(&sql_query, (service.view)()).await?;
    let asked = format!("{query:?}");
    service.record(&caller, "/api/v1/identities", asked, begun, Ok(answer.rows())).await?;
    let mut bytes = Vec::new();
    Output::Json.write(&answer.schema, &answer.batches, &mut bytes)?;
    let bytes: &[u8] = if bytes.is_empty() { b"[]" } else { &bytes };
    let identities = serde_json::from_slice(bytes).map_err(|error| Problem::internal(&error))?;
    Ok(Json(IdentityPage { identities, truncated: answer.truncated }))
}
