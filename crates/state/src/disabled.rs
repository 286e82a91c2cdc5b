//! Channels that are switched off because their receiver said that it is gone. Their deliveries
//! wait in the outbox, and go out once the channel is enabled again.

use event::Timestamp;

use crate::state::{State, StateError};
use crate::text::line;

/// A channel that is switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisabledChannel {
    /// Its name.
    pub channel: String,
    /// Identifies the receiver that is gone, so that another one is noticed.
    pub target: String,
    /// What the receiver said.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// Most channels of one list.
const CHANNELS_MAX: i64 = 1_000;

impl State {
    /// Switches a channel off. One that is off already keeps its reason.
    pub async fn disable_channel(
        &self,
        channel: &str,
        target: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StateError> {
        sqlx::query(
            "INSERT INTO disabled_channels (channel, target, reason, since) \
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(channel)
        .bind(target)
        .bind(line(reason, 500))
        .bind(now.0)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Switches a channel on again; whether it was off.
    pub async fn enable_channel(&self, channel: &str) -> Result<bool, StateError> {
        let enabled = sqlx::query("DELETE FROM disabled_channels WHERE channel = $1")
            .bind(channel)
            .execute(self.writer())
            .await?;
        Ok(enabled.rows_affected() == 1)
    }

    /// The channels that are off, by name.
    pub async fn disabled_channels(&self) -> Result<Vec<DisabledChannel>, StateError> {
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
            "SELECT channel, target, reason, since FROM disabled_channels \
             ORDER BY channel LIMIT $1",
        )
        .bind(CHANNELS_MAX)
        .fetch_all(self.reader())
        .await?;
        let channels = rows.into_iter().map(|(channel, target, reason, since)| DisabledChannel {
            channel,
            target,
            reason,
            since: Timestamp(since),
        });
        Ok(channels.collect())
    }
}
