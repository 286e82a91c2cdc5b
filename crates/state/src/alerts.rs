//! Alerts: recorded once by their id together with their outbox, and paged newest first.

use event::alert::Severity;
use event::{Alert, EventId, Timestamp};
use sqlx::{QueryBuilder, Transaction};

use crate::deliveries::DeliveryStatus;
use crate::filter::{AlertFilter, Cursor};
use crate::state::{Engine, State, StateError};
use crate::text::{folded, storable};

/// Most alerts of one page.
pub const ALERT_PAGE_MAX: usize = 1_000;

/// Some alerts, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertPage {
    /// The alerts.
    pub alerts: Vec<Alert>,
    /// Where the next page begins; none after the last page.
    pub next: Option<Cursor>,
}

/// How much the state holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Alerts by how bad they are.
    pub alerts: Vec<(Severity, u64)>,
    /// Deliveries by channel and status.
    pub deliveries: Vec<(String, DeliveryStatus, u64)>,
}

impl State {
    /// Records alerts and, for each that is new, one delivery to each of its channels: all or
    /// nothing. Returns the ids of the new ones, in order; known ids change nothing, so that
    /// a replay never delivers an alert twice.
    pub async fn record_alerts(
        &self,
        alerts: &[Alert],
        channels_of: impl Fn(&Alert) -> Vec<String> + Send + Sync,
        now: Timestamp,
    ) -> Result<Vec<EventId>, StateError> {
        if alerts.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin().await?;
        let mut new = Vec::new();
        for alert in alerts {
            if insert_alert(&mut transaction, alert, now).await? {
                new.push(alert.id);
                for channel in channels_of(alert) {
                    insert_delivery(&mut transaction, alert, &channel, now).await?;
                }
            }
        }
        transaction.commit().await?;
        Ok(new)
    }

    /// The newest alerts that pass the filter, after the cursor if there is one; at most
    /// `limit` and [`ALERT_PAGE_MAX`].
    pub async fn alerts(
        &self,
        filter: &AlertFilter,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<AlertPage, StateError> {
        let limit = limit.clamp(1, ALERT_PAGE_MAX);
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

    /// Forgets up to `limit` alerts that are from before a time, and were recorded before it,
    /// with their deliveries; returns how many. What still waits for delivery stays. A forgotten
    /// alert is new again if it is recorded again: choose a time that no replay reaches.
    pub async fn forget_alerts(&self, before: Timestamp, limit: usize) -> Result<u64, StateError> {
        let forgotten = sqlx::query(
            "DELETE FROM alerts WHERE id IN ( \
                 SELECT id FROM alerts WHERE time < $1 AND recorded < $1 AND NOT EXISTS ( \
                     SELECT 1 FROM deliveries WHERE alert = alerts.id AND status = 'pending') \
                 ORDER BY time LIMIT $2)",
        )
        .bind(before.0)
        .bind(limit.min(ALERT_PAGE_MAX) as i64)
        .execute(self.writer())
        .await?;
        Ok(forgotten.rows_affected())
    }

    /// How many alerts and deliveries there are.
    pub async fn counts(&self) -> Result<Counts, StateError> {
        let alerts: Vec<(i64, i64)> =
            sqlx::query_as("SELECT severity, COUNT(*) FROM alerts GROUP BY severity ORDER BY 1")
                .fetch_all(self.reader())
                .await?;
        let deliveries: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT channel, status, COUNT(*) FROM deliveries GROUP BY channel, status \
             ORDER BY 1, 2",
        )
        .fetch_all(self.reader())
        .await?;
        let alerts = alerts
            .into_iter()
            .filter_map(|(severity, count)| Some((severity_of(severity)?, count.unsigned_abs())));
        let deliveries = deliveries.into_iter().filter_map(|(channel, status, count)| {
            Some((channel, DeliveryStatus::read(&status)?, count.unsigned_abs()))
        });
        Ok(Counts { alerts: alerts.collect(), deliveries: deliveries.collect() })
    }
}

/// Whether the alert is new.
async fn insert_alert(
    transaction: &mut Transaction<'static, Engine>,
    alert: &Alert,
    now: Timestamp,
) -> Result<bool, StateError> {
    let body = write_alert(alert)?;
    let inserted = sqlx::query(
        "INSERT INTO alerts (id, time, recorded, rule, severity, identity, instance, search, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
    )
    .bind(alert.id.to_string())
    .bind(alert.time.0)
    .bind(now.0)
    .bind(storable(&alert.rule))
    .bind(alert.severity as i64)
    .bind(alert.identity.as_deref().map(storable))
    .bind(storable(&alert.instance))
    .bind(search_text(alert))
    .bind(body)
    .execute(&mut **transaction)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

async fn insert_delivery(
    transaction: &mut Transaction<'static, Engine>,
    alert: &Alert,
    channel: &str,
    now: Timestamp,
) -> Result<(), StateError> {
    sqlx::query(
        "INSERT INTO deliveries (alert, channel, severity, time, recorded, status, attempts, \
         next_attempt, claimed_until) VALUES ($1, $2, $3, $4, $5, 'pending', 0, $5, $6) \
         ON CONFLICT DO NOTHING",
    )
    .bind(alert.id.to_string())
    .bind(channel)
    .bind(alert.severity as i64)
    .bind(alert.time.0)
    .bind(now.0)
    .bind(i64::MIN)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The alert as JSON. A risk that JSON has no number for is written as 0, or the text could
/// never be read again.
fn write_alert(alert: &Alert) -> Result<String, StateError> {
    let unreadable = |error: serde_json::Error| StateError::Unreadable {
        id: alert.id,
        reason: error.to_string(),
    };
    if alert.risk.is_finite() {
        return serde_json::to_string(alert).map_err(unreadable);
    }
    serde_json::to_string(&Alert { risk: 0.0, ..alert.clone() }).map_err(unreadable)
}

pub(crate) fn read_alert(id: &str, body: &str) -> Result<Alert, StateError> {
    serde_json::from_str(body).map_err(|error| StateError::Unreadable {
        id: id.parse().unwrap_or_default(),
        reason: error.to_string(),
    })
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
    let always = [&alert.rule, &alert.title, &alert.instance, &alert.explanation.engineer];
    let texts = always.into_iter().chain(optional.into_iter().flatten());
    folded(&texts.map(String::as_str).collect::<Vec<_>>().join("\n"))
}

fn severity_of(number: i64) -> Option<Severity> {
    let all = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    all.into_iter().find(|severity| *severity as i64 == number)
}
