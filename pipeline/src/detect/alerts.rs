//! What is told of cases, on its way to the state: detection hands it over and goes on; one task
//! records it in order, and tries again while the state fails.
//!
//! No checkpoint of detection is kept before what it has told is recorded, so that a crash loses
//! nothing: it comes again from the bus.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use event::{Alert, Case};
use respond::Respond;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::supervisor::Task;

/// Alerts and cases that may wait. Detection goes on until so many do; then it waits too, and the
/// bus keeps what comes.
const WAITING_MAX: usize = 20_000;

/// Alerts and cases recorded together.
const AT_ONCE: usize = 512;

/// Before trying again, and how often the same problem is told.
const PAUSE: Duration = Duration::from_secs(1);
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Told of each new alert.
pub type OnAlert = Arc<dyn Fn(&Alert) + Send + Sync>;

/// What waits to be recorded. Cheap to clone.
#[derive(Clone, Default)]
pub struct AlertQueue(Arc<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    recorded: Condvar,
    is_failing: AtomicBool,
}

/// What one batch of events has told.
#[derive(Clone, Default)]
struct Told {
    alerts: Vec<Alert>,
    cases: Vec<Case>,
}

#[derive(Default)]
struct Waiting {
    told: VecDeque<Told>,
    /// Alerts and cases among it.
    size: usize,
    /// How many batches were ever handed over.
    given: u64,
}

impl AlertQueue {
    /// Hands over what a batch of events has told.
    pub fn push(&self, alerts: Vec<Alert>, cases: Vec<Case>) {
        if alerts.is_empty() && cases.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        waiting.given += 1;
        waiting.size += alerts.len() + cases.len();
        waiting.told.push_back(Told { alerts, cases });
        self.0.arrived.notify_one();
    }

    /// How much was handed over until now.
    pub fn given(&self) -> u64 {
        self.lock().given
    }

    /// Whether so much waits that no more should come.
    pub fn is_full(&self) -> bool {
        self.lock().size >= WAITING_MAX
    }

    /// Whether the last attempt to record failed.
    pub fn is_failing(&self) -> bool {
        self.0.is_failing.load(Relaxed)
    }

    /// Whether the first `given` are recorded within `patience`.
    pub fn is_recorded(&self, given: u64, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut waiting = self.lock();
        while waiting.given - (waiting.told.len() as u64) < given {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.0.recorded.wait_timeout(waiting, left);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The oldest that wait, once there are any, and of how many batches they are; they stay until
    /// they are recorded. Of a case the last telling counts.
    async fn oldest(&self) -> (usize, Told) {
        loop {
            let mut oldest = Told::default();
            let mut count = 0;
            for told in &self.lock().told {
                if count > 0 && oldest.alerts.len() + oldest.cases.len() >= AT_ONCE {
                    break;
                }
                oldest.alerts.extend(told.alerts.iter().cloned());
                for case in &told.cases {
                    match oldest.cases.iter_mut().find(|known| known.id == case.id) {
                        Some(known) => *known = case.clone(),
                        None => oldest.cases.push(case.clone()),
                    }
                }
                count += 1;
            }
            if count > 0 {
                return (count, oldest);
            }
            self.0.arrived.notified().await;
        }
    }

    fn remove(&self, count: usize) {
        let mut waiting = self.lock();
        let removed = waiting.told.drain(..count).map(|told| told.alerts.len() + told.cases.len());
        let removed: usize = removed.sum();
        waiting.size -= removed;
        self.0.recorded.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records until it is told to stop. Recording again, after a crash, changes nothing.
    pub async fn record(
        self,
        respond: Arc<Respond>,
        on_alert: OnAlert,
        stop: CancellationToken,
        task: Task,
    ) -> anyhow::Result<()> {
        let mut warned: Option<Instant> = None;
        loop {
            let (count, told) = tokio::select! {
                biased;
                oldest = self.oldest() => oldest,
                () = stop.cancelled() => return Ok(()),
            };
            match respond.record(&told.alerts, &told.cases).await {
                Ok(new) => {
                    self.0.is_failing.store(false, Relaxed);
                    task.set_problem(None);
                    for alert in told.alerts.iter().filter(|alert| new.contains(&alert.id)) {
                        on_alert(alert);
                    }
                    self.remove(count);
                    continue;
                }
                Err(error) => {
                    self.0.is_failing.store(true, Relaxed);
                    let size = self.lock().size;
                    let problem = format!("{size} alerts and cases wait to be recorded: {error}");
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
