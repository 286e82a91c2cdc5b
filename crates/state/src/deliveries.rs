//! The outbox: deliveries are claimed when due, and end delivered or refused.
//!
//! A claim is a lease: who dies with it loses it, and the delivery is tried again under the same
//! id. So a delivery happens at least once, and never under two ids.

use std::collections::BTreeMap;

use event::{Alert, EventId, Timestamp};
use sqlx::Transaction;

use crate::alerts::read_alert;
use crate::state::{Engine, State, StateError};
use crate::text::line;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryStatus {
    /// Waits for its next attempt.
    Pending,
    /// The receiver has it.
    Delivered,
    /// Will not be tried again.
    Refused,
}

/// One alert on its way to one channel, claimed by the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct DueDelivery {
    /// What to deliver.
    pub alert: Alert,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the alert was recorded.
    pub recorded: Timestamp,
}

/// What became of an alert on one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Name of the channel.
    pub channel: String,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// When it is tried next; none once it has ended.
    pub next_attempt: Option<Timestamp>,
    /// What was tried, oldest first, at most the newest [`ATTEMPTS_MAX`].
    pub attempts: Vec<Attempt>,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// When it ended.
    pub time: Timestamp,
    /// `delivered`, `failed` or `refused`.
    pub outcome: String,
    /// What the receiver or the network said, one line.
    pub detail: String,
}

/// Most attempts shown of one alert.
const ATTEMPTS_MAX: i64 = 1_000;

/// Most characters kept of what went wrong.
const DETAIL_CHARACTERS_MAX: usize = 500;

/// Most deliveries of one claim.
const CLAIM_MAX: usize = 1_000;

impl DeliveryStatus {
    /// The word as it stands in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
        }
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        [Self::Pending, Self::Delivered, Self::Refused].into_iter().find(|it| it.as_str() == text)
    }
}

/// How an attempt ended, as written.
struct Ending<'a> {
    status: DeliveryStatus,
    outcome: &'a str,
    next_attempt: Timestamp,
    detail: &'a str,
}

impl State {
    /// Claims what is due on a channel until `lease_end`: the worst first, then the oldest.
    /// Nothing is due on a disabled channel.
    pub async fn claim_due(
        &self,
        channel: &str,
        now: Timestamp,
        lease_end: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueDelivery>, StateError> {
        let mut transaction = self.begin().await?;
        let claimed: Vec<(String, i64, i64, String)> = sqlx::query_as(
            "UPDATE deliveries SET claimed_until = $1 \
             WHERE channel = $2 AND alert IN ( \
                 SELECT alert FROM deliveries WHERE channel = $2 AND status = 'pending' \
                 AND next_attempt <= $3 AND claimed_until <= $3 \
                 AND NOT EXISTS (SELECT 1 FROM disabled_channels WHERE channel = $2) \
                 ORDER BY severity DESC, time, alert LIMIT $4) \
             RETURNING alert, attempts, recorded, \
                 (SELECT body FROM alerts WHERE alerts.id = deliveries.alert)",
        )
        .bind(lease_end.0)
        .bind(channel)
        .bind(now.0)
        .bind(limit.min(CLAIM_MAX) as i64)
        .fetch_all(&mut *transaction)
        .await?;
        let mut due = Vec::with_capacity(claimed.len());
        for (id, attempts, recorded, body) in claimed {
            match read_alert(&id, &body) {
                Ok(alert) => due.push(DueDelivery {
                    alert,
                    attempt: u32::try_from(attempts).unwrap_or(u32::MAX).saturating_add(1),
                    recorded: Timestamp(recorded),
                }),
                // One alert that cannot be read must not hold up all that come after it.
                Err(error) => {
                    let reason = error.to_string();
                    let ending = Ending::refused(now, &reason);
                    end_attempt(&mut transaction, &id, channel, now, &ending).await?;
                }
            }
        }
        transaction.commit().await?;
        due.sort_by_key(|due| {
            (std::cmp::Reverse(due.alert.severity), due.alert.time, due.alert.id)
        });
        Ok(due)
    }

    /// When a channel's next delivery can be claimed, which may be in the past; none if none
    /// waits or the channel is disabled.
    pub async fn next_due(&self, channel: &str) -> Result<Option<Timestamp>, StateError> {
        let next: Option<i64> = sqlx::query_scalar(
            "SELECT MIN(CASE WHEN claimed_until > next_attempt THEN claimed_until \
             ELSE next_attempt END) FROM deliveries WHERE channel = $1 AND status = 'pending' \
             AND NOT EXISTS (SELECT 1 FROM disabled_channels WHERE channel = $1)",
        )
        .bind(channel)
        .fetch_one(self.reader())
        .await?;
        Ok(next.map(Timestamp))
    }

    /// How many deliveries of a channel wait.
    pub async fn pending(&self, channel: &str) -> Result<u64, StateError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM deliveries WHERE channel = $1 AND status = 'pending'",
        )
        .bind(channel)
        .fetch_one(self.reader())
        .await?;
        Ok(count.unsigned_abs())
    }

    /// Gives back the claims of a process that died. Only for who alone delivers to the channel.
    pub async fn release_claims(&self, channel: &str) -> Result<(), StateError> {
        sqlx::query(
            "UPDATE deliveries SET claimed_until = $1 WHERE channel = $2 AND status = 'pending'",
        )
        .bind(i64::MIN)
        .bind(channel)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// The receiver has it.
    pub async fn delivered(
        &self,
        alert: EventId,
        channel: &str,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let status = DeliveryStatus::Delivered;
        let ending = Ending { status, outcome: "delivered", next_attempt: now, detail: "" };
        self.settle(alert, channel, now, &ending).await
    }

    /// It failed, and is tried again at `next_attempt`.
    pub async fn failed(
        &self,
        alert: EventId,
        channel: &str,
        now: Timestamp,
        next_attempt: Timestamp,
        reason: &str,
    ) -> Result<(), StateError> {
        let status = DeliveryStatus::Pending;
        let ending = Ending { status, outcome: "failed", next_attempt, detail: reason };
        self.settle(alert, channel, now, &ending).await
    }

    /// It failed, and is not tried again.
    pub async fn refused(
        &self,
        alert: EventId,
        channel: &str,
        now: Timestamp,
        reason: &str,
    ) -> Result<(), StateError> {
        self.settle(alert, channel, now, &Ending::refused(now, reason)).await
    }

    /// What became of an alert, by channel.
    pub async fn deliveries(&self, alert: EventId) -> Result<Vec<Delivery>, StateError> {
        let alert = alert.to_string();
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT channel, status, next_attempt FROM deliveries WHERE alert = $1")
                .bind(&alert)
                .fetch_all(self.reader())
                .await?;
        let attempts: Vec<(String, i64, i64, String, String)> = sqlx::query_as(
            "SELECT channel, number, time, outcome, detail FROM attempts WHERE alert = $1 \
             ORDER BY number DESC LIMIT $2",
        )
        .bind(&alert)
        .bind(ATTEMPTS_MAX)
        .fetch_all(self.reader())
        .await?;
        let mut by_channel = BTreeMap::<String, Delivery>::new();
        for (channel, status, next_attempt) in rows {
            let status = DeliveryStatus::read(&status).unwrap_or(DeliveryStatus::Refused);
            let waits = status == DeliveryStatus::Pending;
            let next_attempt = waits.then_some(Timestamp(next_attempt));
            let delivery =
                Delivery { channel: channel.clone(), status, next_attempt, attempts: Vec::new() };
            by_channel.insert(channel, delivery);
        }
        for (channel, number, time, outcome, detail) in attempts.into_iter().rev() {
            if let Some(delivery) = by_channel.get_mut(&channel) {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                let time = Timestamp(time);
                delivery.attempts.push(Attempt { number, time, outcome, detail });
            }
        }
        Ok(by_channel.into_values().collect())
    }

    async fn settle(
        &self,
        alert: EventId,
        channel: &str,
        now: Timestamp,
        ending: &Ending<'_>,
    ) -> Result<(), StateError> {
        let mut transaction = self.begin().await?;
        end_attempt(&mut transaction, &alert.to_string(), channel, now, ending).await?;
        Ok(transaction.commit().await?)
    }
}

impl<'a> Ending<'a> {
    fn refused(now: Timestamp, detail: &'a str) -> Self {
        let status = DeliveryStatus::Refused;
        Self { status, outcome: "refused", next_attempt: now, detail }
    }
}

/// Writes how an attempt ended. A delivery that has ended already stays as it is: a lease that
/// ran out may have been delivered by the next holder.
async fn end_attempt(
    transaction: &mut Transaction<'static, Engine>,
    alert: &str,
    channel: &str,
    now: Timestamp,
    ending: &Ending<'_>,
) -> Result<(), StateError> {
    let number: Option<i64> = sqlx::query_scalar(
        "UPDATE deliveries SET status = $1, attempts = attempts + 1, next_attempt = $2, \
         claimed_until = $3 WHERE alert = $4 AND channel = $5 AND status = 'pending' \
         RETURNING attempts",
    )
    .bind(ending.status.as_str())
    .bind(ending.next_attempt.0)
    .bind(i64::MIN)
    .bind(alert)
    .bind(channel)
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(number) = number else { return Ok(()) };
    sqlx::query(
        "INSERT INTO attempts (alert, channel, number, time, outcome, detail) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(alert)
    .bind(channel)
    .bind(number)
    .bind(now.0)
    .bind(ending.outcome)
    .bind(line(ending.detail, DETAIL_CHARACTERS_MAX))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
