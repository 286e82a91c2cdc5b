//! What detection found, written as one: alerts with their outbox, and the cases they belong to.

use event::alert::Severity;
use event::{Alert, Case, EventId, Timestamp};
use sqlx::Transaction;

use crate::alerts::{PAGE_MAX, insert_alert};
use crate::cases::upsert_case;
use crate::state::{Engine, State, StateError};
use crate::triage::CaseStatus;

/// How much the state holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Alerts by how bad they are.
    pub alerts: Vec<(Severity, u64)>,
    /// Cases by where they stand and how bad they are.
    pub cases: Vec<(CaseStatus, Severity, u64)>,
}

/// How much was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Alerts, with their deliveries.
    pub alerts: u64,
    /// Cases, with what people decided about them.
    pub cases: u64,
}

impl State {
    /// Records what detection found: all or nothing.
    ///
    /// Of alerts the new ones are kept, each with one delivery to each of its channels; known ids
    /// change nothing, so that a replay never delivers an alert twice. Returns the ids of the new
    /// ones, in order. Of cases the latest telling is kept: one with fewer signals than the stored
    /// one changes nothing, so that a replay never turns a case back. What people decided about a
    /// case stays, but a closed one that is told to be graver is open again.
    pub async fn record(
        &self,
        alerts: &[Alert],
        cases: &[Case],
        channels_of: impl Fn(&Alert) -> Vec<String> + Send + Sync,
        now: Timestamp,
    ) -> Result<Vec<EventId>, StateError> {
        if alerts.is_empty() && cases.is_empty() {
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
        for case in cases {
            upsert_case(&mut transaction, case, now).await?;
        }
        transaction.commit().await?;
        Ok(new)
    }

    /// Forgets up to `limit` alerts that are from before a time, and were recorded before it, with
    /// their deliveries; and as many cases from before that time that have no alert left. What
    /// still waits for delivery stays. What is forgotten is new again if it is recorded again:
    /// choose a time that no replay reaches.
    pub async fn forget(&self, before: Timestamp, limit: usize) -> Result<Forgotten, StateError> {
        let limit = limit.min(PAGE_MAX) as i64;
        let mut transaction = self.begin().await?;
        let alerts = sqlx::query(
            "DELETE FROM alerts WHERE id IN ( \
                 SELECT id FROM alerts WHERE time < $1 AND recorded < $1 AND NOT EXISTS ( \
                     SELECT 1 FROM deliveries WHERE alert = alerts.id AND status = 'pending') \
                 ORDER BY time LIMIT $2)",
        )
        .bind(before.0)
        .bind(limit)
        .execute(&mut *transaction)
        .await?;
        let cases = sqlx::query(
            "DELETE FROM cases WHERE id IN ( \
                 SELECT id FROM cases WHERE updated < $1 AND recorded < $1 AND NOT EXISTS ( \
                     SELECT 1 FROM alerts WHERE case_id = cases.id) \
                 ORDER BY updated LIMIT $2)",
        )
        .bind(before.0)
        .bind(limit)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Forgotten { alerts: alerts.rows_affected(), cases: cases.rows_affected() })
    }

    /// How many alerts and cases there are.
    pub async fn counts(&self) -> Result<Counts, StateError> {
        let alerts: Vec<(i64, i64)> =
            sqlx::query_as("SELECT severity, COUNT(*) FROM alerts GROUP BY severity ORDER BY 1")
                .fetch_all(self.reader())
                .await?;
        let cases: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT status, severity, COUNT(*) FROM cases GROUP BY status, severity ORDER BY 1, 2",
        )
        .fetch_all(self.reader())
        .await?;
        let alerts = alerts
            .into_iter()
            .filter_map(|(severity, count)| Some((severity_of(severity)?, count.unsigned_abs())));
        let cases = cases.into_iter().filter_map(|(status, severity, count)| {
            Some((status.parse().ok()?, severity_of(severity)?, count.unsigned_abs()))
        });
        Ok(Counts { alerts: alerts.collect(), cases: cases.collect() })
    }
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

fn severity_of(number: i64) -> Option<Severity> {
    let all = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    all.into_iter().find(|severity| *severity as i64 == number)
}
