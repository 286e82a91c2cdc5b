//! One loop a channel: claim what is due, send it, settle it, sleep until the next is due.
//!
//! The state is the queue. What is lost with this process is a claim, and claims run out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event::Timestamp;
use state::{DueDelivery, State, StateError};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, SendError};
use crate::metrics::RespondMetrics;
use crate::notification::Notification;
use crate::respond::Clock;
use crate::schedule::{ATTEMPTS_MAX, RETRY_AFTER_MAX, delay};

/// The outbox of one channel.
pub(crate) struct Outbox {
    pub(crate) name: String,
    /// Identifies the receiver, to notice when settings name another one.
    pub(crate) target: String,
    pub(crate) channel: Box<dyn Channel>,
    pub(crate) concurrency_max: usize,
    /// Longer than an attempt can take.
    pub(crate) lease_seconds: i64,
    pub(crate) state: State,
    pub(crate) clock: Clock,
    pub(crate) metrics: RespondMetrics,
    /// Told when there may be something new.
    pub(crate) wake: Arc<Notify>,
}

/// The outbox is looked at this often, come what may: clocks are set, channels are enabled.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How long to leave the state alone after it failed.
const STATE_RETRY: Duration = Duration::from_secs(1);

/// How long running attempts may still take when the process stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// The depth of the outbox is counted at most this often.
const DEPTH_INTERVAL: Duration = Duration::from_secs(1);

/// Until when nothing is sent, if the receiver asked for that.
type Pause = Option<Timestamp>;

impl Outbox {
    /// Runs until shutdown, then lets the running attempts end.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut in_flight = JoinSet::new();
        let mut pause: Pause = None;
        let mut counted = None;
        loop {
            let idle = self.fill(&mut in_flight, pause, &mut counted).await;
            let idle = idle.unwrap_or_else(|error| {
                tracing::error!(channel = self.name, %error, "the outbox cannot be read");
                STATE_RETRY
            });
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = in_flight.join_next() => pause = pause.max(self.ended(ended)),
                () = self.wake.notified() => {}
                () = tokio::time::sleep(idle) => {}
            }
        }
        let ending = async { while in_flight.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_MAX, ending).await.is_err() {
            tracing::warn!(channel = self.name, "attempts cut short; they start again next time");
        }
    }

    /// Starts attempts while there is room and something is due. Returns how long to sleep.
    async fn fill(
        self: &Arc<Self>,
        in_flight: &mut JoinSet<Pause>,
        pause: Pause,
        counted: &mut Option<Instant>,
    ) -> Result<Duration, StateError> {
        let now = (self.clock)();
        let paused = pause.filter(|until| now < *until);
        let room = self.concurrency_max.saturating_sub(in_flight.len());
        let mut started = 0;
        if room > 0 && paused.is_none() {
            let lease_end = now.plus_seconds(self.lease_seconds);
            for due in self.state.claim_due(&self.name, now, lease_end, room).await? {
                started += 1;
                in_flight.spawn(Arc::clone(self).deliver(due));
            }
        }
        if counted.is_none_or(|at| at.elapsed() >= DEPTH_INTERVAL) || in_flight.is_empty() {
            *counted = Some(Instant::now());
            self.metrics.outbox_depth(&self.name, self.state.pending(&self.name).await?);
        }
        if started == room {
            // No room: an attempt that ends wakes the loop.
            return Ok(IDLE_MAX);
        }
        let next = match paused {
            Some(until) => Some(until),
            None => self.state.next_due(&self.name).await?,
        };
        Ok(next.map_or(IDLE_MAX, |next| until(now, next).min(IDLE_MAX)))
    }

    /// One attempt, from claim to settlement.
    async fn deliver(self: Arc<Self>, due: DueDelivery) -> Pause {
        let DueDelivery { alert, attempt, recorded } = due;
        let note = Notification { alert, time: (self.clock)() };
        let outcome = self.channel.send(&note).await;
        let now = (self.clock)();
        let pause = match &outcome {
            Err(SendError::Retry { after: Some(after), .. }) => {
                Some(later(now, (*after).min(RETRY_AFTER_MAX)))
            }
            _ => None,
        };
        if let Err(error) = self.settle(&note, attempt, recorded, now, outcome).await {
            let id = note.id();
            tracing::error!(channel = self.name, %error, id, "an attempt cannot be settled");
        }
        pause
    }

    async fn settle(
        &self,
        note: &Notification,
        attempt: u32,
        recorded: Timestamp,
        now: Timestamp,
        outcome: Result<crate::channel::Receipt, SendError>,
    ) -> Result<(), StateError> {
        let (alert, channel, state) = (note.alert.id, self.name.as_str(), &self.state);
        let error = match outcome {
            Ok(receipt) => {
                let micros = now.0.saturating_sub(recorded.0).max(0);
                self.metrics.attempted(channel, "delivered");
                self.metrics.disabled(channel, false);
                self.metrics.delivered_after(channel, micros as f64 / 1e6);
                tracing::debug!(channel, %alert, attempt, answer = receipt.answer, "delivered");
                return state.delivered(alert, channel, now).await;
            }
            Err(error) => error,
        };
        let reason = error.to_string();
        tracing::warn!(channel, %alert, attempt, reason, "not delivered");
        let asked = match error {
            SendError::Refused { .. } => {
                self.metrics.attempted(channel, "refused");
                return state.refused(alert, channel, now, &reason).await;
            }
            SendError::Gone => {
                self.metrics.attempted(channel, "gone");
                self.metrics.disabled(channel, true);
                // First off, then failed: the delivery waits with the others for the channel.
                state.disable_channel(channel, &self.target, &reason, now).await?;
                return state.failed(alert, channel, now, now, &reason).await;
            }
            SendError::Retry { after, .. } => after,
        };
        match delay(attempt, asked, rand::random()) {
            Some(delay) => {
                self.metrics.attempted(channel, "failed");
                state.failed(alert, channel, now, later(now, delay), &reason).await
            }
            None => {
                self.metrics.attempted(channel, "given_up");
                let reason = format!("given up after {ATTEMPTS_MAX} attempts: {reason}");
                state.refused(alert, channel, now, &reason).await
            }
        }
    }

    fn ended(&self, ended: Result<Pause, tokio::task::JoinError>) -> Pause {
        ended.unwrap_or_else(|error| {
            tracing::error!(channel = self.name, %error, "an attempt died; its claim runs out");
            None
        })
    }
}

fn later(time: Timestamp, wait: Duration) -> Timestamp {
    Timestamp(time.0.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)))
}

/// How long from `now` to `next`; not at all if that has passed.
fn until(now: Timestamp, next: Timestamp) -> Duration {
    let micros = next.0.saturating_sub(now.0);
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
