//! Alerts on their way to the state: detection hands them over and goes on; one task records them
//! in order, and tries again while the state fails.
//!
//! No checkpoint of detection is kept before its alerts are recorded, so that a crash loses none:
//! they come again from the bus.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use event::Alert;
use respond::Respond;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::supervisor::Task;

/// Alerts that may wait. Detection goes on until so many do; then it waits too, and the bus keeps
/// what comes.
const WAITING_MAX: usize = 20_000;

/// Recorded together.
const AT_ONCE: usize = 256;

/// Before trying again, and how often the same problem is told.
const PAUSE: Duration = Duration::from_secs(1);
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Told of each new alert.
pub type OnAlert = Arc<dyn Fn(&Alert) + Send + Sync>;

/// Alerts that wait to be recorded. Cheap to clone.
#[derive(Clone, Default)]
pub struct AlertQueue(Arc<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    recorded: Condvar,
    is_failing: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    alerts: VecDeque<Alert>,
    /// How many were ever handed over.
    given: u64,
}

impl AlertQueue {
    /// Hands alerts over.
    pub fn push(&self, alerts: Vec<Alert>) {
        if alerts.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        waiting.given += alerts.len() as u64;
        waiting.alerts.extend(alerts);
        self.0.arrived.notify_one();
    }

    /// How many were handed over until now.
    pub fn given(&self) -> u64 {
        self.lock().given
    }

    /// Whether so many wait that no more should come.
    pub fn is_full(&self) -> bool {
        self.lock().alerts.len() >= WAITING_MAX
    }

    /// Whether the last attempt to record failed.
    pub fn is_failing(&self) -> bool {
        self.0.is_failing.load(Relaxed)
    }

    /// Whether the first `given` are recorded within `patience`.
    pub fn is_recorded(&self, given: u64, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut waiting = self.lock();
        while waiting.given - (waiting.alerts.len() as u64) < given {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.0.recorded.wait_timeout(waiting, left);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The oldest that wait, once there are any; they stay until they are recorded.
    async fn oldest(&self) -> Vec<Alert> {
        loop {
            let alerts: Vec<Alert> = self.lock().alerts.iter().take(AT_ONCE).cloned().collect();
            if !alerts.is_empty() {
                return alerts;
            }
            self.0.arrived.notified().await;
        }
    }

    fn remove(&self, count: usize) {
        self.lock().alerts.drain(..count);
        self.0.recorded.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records until it is told to stop. Recording alerts again, after a crash, changes nothing.
    pub async fn record(
        self,
        respond: Arc<Respond>,
        on_alert: OnAlert,
        stop: CancellationToken,
        task: Task,
    ) -> anyhow::Result<()> {
        let mut warned: Option<Instant> = None;
        loop {
            let alerts = tokio::select! {
                biased;
                alerts = self.oldest() => alerts,
                () = stop.cancelled() => return Ok(()),
            };
            match respond.record(&alerts).await {
                Ok(new) => {
                    self.0.is_failing.store(false, Relaxed);
                    task.set_problem(None);
                    for alert in alerts.iter().filter(|alert| new.contains(&alert.id)) {
                        on_alert(alert);
                    }
                    self.remove(alerts.len());
                    continue;
                }
                Err(error) => {
                    self.0.is_failing.store(true, Relaxed);
                    let count = self.lock().alerts.len();
                    let problem = format!("{count} alerts wait to be recorded: {error}");
                    if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                        warned = Some(Instant::now());
                        tracing::error!("{problem}; detection goes on");
                    }
                    task.set_problem(Some(problem));
                }
            }
            if tokio::time::timeout(PAUSE, stop.cancelled()).await.is_ok() {
                return Ok(());
            }
        }
    }
}
