//! Alerts: kept once by their id, and paged newest first.

use event::{Alert, EventId, Timestamp};
use sqlx::{QueryBuilder, Transaction};

use crate::filter::{AlertFilter, Cursor};
use crate::state::{Engine, State, StateError};
use crate::text::{finite, folded, storable};

/// Most rows of one page of any list.
pub const PAGE_MAX: usize = 1_000;

/// Some alerts, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertPage {
    /// The alerts.
    pub alerts: Vec<Alert>,
    /// Where the next page begins; none after the last page.
    pub next: Option<Cursor>,
}

impl State {
    /// The newest alerts that pass the filter, after the cursor if there is one; at most
    /// `limit` and [`PAGE_MAX`].
    pub async fn alerts(
        &self,
        filter: &AlertFilter,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<AlertPage, StateError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut query = QueryBuilder::<Engine>::new("SELECT id, body FROM alerts");
        filter.push_where(&mut query, after);
        query.push(" ORDER BY time DESC, id DESC LIMIT ").push_bind(limit as i64 + 1);
        let rows: Vec<(String, String)> = query.build_query_as().fetch_all(self.reader()).await?;
        let more = rows.len() > limit;
        let read = rows.iter().take(limit).map(|(id, body)| read_alert(id, body));
        let alerts = read.collect::<Result<Vec<Alert>, _>>()?;
        let last = alerts.last().filter(|_| more);
        let next = last.map(|alert| Cursor { time: alert.time, id: alert.id });
        Ok(AlertPage { alerts, next })
    }

    /// The alert with this id.
    pub async fn alert(&self, id: EventId) -> Result<Option<Alert>, StateError> {
        let id = id.to_string();
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM alerts WHERE id = $1")
            .bind(&id)
            .fetch_optional(self.reader())
            .await?;
        body.map(|body| read_alert(&id, &body)).transpose()
    }
}

/// Whether the alert is new.
pub(crate) async fn insert_alert(
    transaction: &mut Transaction<'static, Engine>,
    alert: &Alert,
    now: Timestamp,
) -> Result<bool, StateError> {
    let risk = finite(alert.risk);
    let body = match risk == alert.risk {
        true => serde_json::to_string(alert),
        false => serde_json::to_string(&Alert { risk, ..alert.clone() }),
    };
    let body = body.map_err(|error| StateError::unreadable(alert.id, &error))?;
    let inserted = sqlx::query(
        "INSERT INTO alerts (id, time, recorded, rule, severity, identity, instance, case_id, \
         family, search, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT DO NOTHING",
    )
    .bind(alert.id.to_string())
    .bind(alert.time.0)
    .bind(now.0)
    .bind(storable(&alert.rule))
    .bind(alert.severity as i64)
    .bind(alert.identity.as_deref().map(storable))
    .bind(storable(&alert.instance))
    .bind(alert.case_id.to_string())
    .bind(alert.family.as_str())
    .bind(search_text(alert))
    .bind(body)
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) fn read_alert(id: &str, body: &str) -> Result<Alert, StateError> {
    serde_json::from_str(body)
        .map_err(|error| StateError::unreadable(id.parse().unwrap_or_default(), &error))
}

fn search_text(alert: &Alert) -> String {
    let optional = [
        &alert.identity,
        &alert.database,
        &alert.user,
        &alert.client,
        &alert.application,
        &alert.session,
        &alert.statement,
        &alert.fingerprint,
    ];
    let always =
        [&alert.rule, &alert.title, &alert.cause, &alert.instance, &alert.explanation.engineer];
    let texts = always.into_iter().chain(optional.into_iter().flatten());
    folded(&texts.map(String::as_str).collect::<Vec<_>>().join("\n"))
}
