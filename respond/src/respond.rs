//! The stage: case events are recorded with their outbox, and one loop a channel delivers them.

use std::sync::Arc;
use std::time::SystemTime;

use event::{Alert, Case, EventId, Timestamp};
use sha2::{Digest, Sha256};
use state::{State, StateError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::channel::{Opened, Opening};
use crate::metrics::RespondMetrics;
use crate::outbox::Outbox;
use crate::route::Route;
use crate::settings::{ChannelSettings, RespondSettings};
use secret::SecretError;

/// Tells the time. An argument, so that tests need not wait for a day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The running stage.
pub struct Respond {
    state: State,
    clock: Clock,
    /// Channel by channel what it is told.
    routes: Vec<(String, Route)>,
    outboxes: Vec<Arc<Outbox>>,
}

/// Why the stage could not start.
#[derive(Debug, thiserror::Error)]
pub enum RespondError {
    /// A setting is wrong.
    #[error("{setting} {problem}")]
    Settings {
        /// Which one.
        setting: String,
        /// What it must be.
        problem: String,
    },
    /// A secret is missing or malformed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What an attempt may take beyond its timeout before its claim runs out.
const LEASE_MARGIN_SECONDS: i64 = 30;

impl Respond {
    /// Checks the settings and takes over what an earlier run left. For the only process that
    /// delivers from a state; [`send`](Self::send) delivers.
    pub async fn start(
        settings: &RespondSettings,
        state: State,
        metrics: RespondMetrics,
        clock: Clock,
    ) -> Result<Self, RespondError> {
        for channel in &settings.channels {
            state.release_claims(&channel.name).await?;
        }
        Self::start_beside(settings, state, metrics, clock).await
    }

    /// As [`start`](Self::start), but other processes may deliver from the same state: what one
    /// that died had claimed is delivered once its lease is over.
    pub async fn start_beside(
        settings: &RespondSettings,
        state: State,
        metrics: RespondMetrics,
        clock: Clock,
    ) -> Result<Self, RespondError> {
        settings.check()?;
        let mut outboxes = Vec::with_capacity(settings.channels.len());
        for channel in &settings.channels {
            outboxes.push(Arc::new(outbox(channel, &state, &metrics, &clock)?));
        }
        for outbox in &outboxes {
            take_over(outbox).await?;
        }
        let routes = settings.channels.iter().map(|it| (it.name.clone(), it.route.clone()));
        Ok(Self { state, clock, routes: routes.collect(), outboxes })
    }

    /// Whether [`start`](Self::start) would take these settings: addresses, secrets, limits.
    pub fn check(settings: &RespondSettings) -> Result<(), RespondError> {
        settings.check()?;
        settings.channels.iter().try_for_each(|channel| opened(channel).map(drop))
    }

    /// Records cases as they are told, and their events with a delivery to each channel that takes
    /// them, and wakes the channels. Durable when it returns; returns the ids of the events that
    /// are new.
    pub async fn record(
        &self,
        alerts: &[Alert],
        cases: &[Case],
    ) -> Result<Vec<EventId>, StateError> {
        let channels_of = |alert: &Alert| {
            let takers = self.routes.iter().filter(|(_, route)| route.takes(alert));
            takers.map(|(channel, _)| channel.clone()).collect()
        };
        let new = self.state.record(alerts, cases, channels_of, (self.clock)()).await?;
        if !new.is_empty() {
            self.wake();
        }
        Ok(new)
    }

    /// Has every channel look at its outbox now, such as after one was enabled.
    pub fn wake(&self) {
        self.outboxes.iter().for_each(|outbox| outbox.wake.notify_one());
    }

    /// Delivers to one channel until `shutdown`, then ends within seconds. Whoever calls it sees
    /// to it that it goes on: what it had claimed when it broke off is due again after a while.
    pub async fn send(&self, channel: &str, shutdown: CancellationToken) {
        if let Some(outbox) = self.outboxes.iter().find(|outbox| outbox.name == channel) {
            Arc::clone(outbox).run(shutdown).await;
        }
    }
}

/// The time of this machine.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    })
}

fn opened(settings: &ChannelSettings) -> Opened {
    settings.kind.open(&Opening { name: &settings.name, limits: &settings.limits })
}

fn outbox(
    settings: &ChannelSettings,
    state: &State,
    metrics: &RespondMetrics,
    clock: &Clock,
) -> Result<Outbox, RespondError> {
    Ok(Outbox {
        name: settings.name.clone(),
        target: format!("{:x}", Sha256::digest(settings.kind.receiver())),
        channel: opened(settings)?,
        concurrency_max: settings.limits.concurrency_max as usize,
        lease_seconds: i64::from(settings.limits.timeout_seconds) + LEASE_MARGIN_SECONDS,
        state: state.clone(),
        clock: Arc::clone(clock),
        metrics: metrics.clone(),
        wake: Arc::new(Notify::new()),
    })
}

/// Enables a channel whose receiver was replaced.
async fn take_over(outbox: &Outbox) -> Result<(), StateError> {
    let disabled = outbox.state.disabled_channels().await?;
    let ours = disabled.iter().find(|disabled| disabled.channel == outbox.name);
    let same = ours.is_some_and(|disabled| disabled.target == outbox.target);
    if ours.is_some() && !same {
        outbox.state.enable_channel(&outbox.name).await?;
        tracing::info!(channel = outbox.name, "enabled: its receiver was replaced");
    }
    if same {
        tracing::warn!(channel = outbox.name, "disabled: its receiver said that it is gone");
    }
    outbox.metrics.disabled(&outbox.name, same);
    Ok(())
}
