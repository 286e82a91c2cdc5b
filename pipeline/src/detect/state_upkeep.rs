//! Upkeep of the state: forgets what is older than the tables keep, and counts what is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use event::Timestamp;
use state::{CaseStatus, Counts, State, StateError};
use tokio_util::sync::CancellationToken;

use super::{UPKEEP, unless};
use crate::state_door::StateDoor;
use crate::supervisor::Task;
use crate::{Settings, clock};

/// Forgotten in one transaction; between two of them others may write.
const AT_ONCE: usize = 500;
const PAUSE: Duration = Duration::from_millis(50);

/// What the state held when it was counted last. Cheap to clone.
#[derive(Clone, Default)]
pub struct StateCounts(Arc<Mutex<Counts>>);

impl StateCounts {
    /// Alerts by severity.
    pub fn alerts(&self) -> Vec<(String, u64)> {
        let counts = self.lock().clone();
        counts.alerts.iter().map(|(severity, count)| (severity.as_str().into(), *count)).collect()
    }

    /// Cases by status.
    pub fn cases(&self) -> BTreeMap<String, u64> {
        let mut cases: BTreeMap<String, u64> =
            CaseStatus::ALL.iter().map(|status| (status.as_str().into(), 0)).collect();
        for (status, _, count) in &self.lock().cases {
            *cases.entry(status.as_str().into()).or_default() += count;
        }
        cases
    }

    /// Open cases by severity.
    pub fn open_cases(&self) -> Vec<(String, u64)> {
        let counts = self.lock().clone();
        let open = counts.cases.iter().filter(|(status, ..)| *status == CaseStatus::Open);
        open.map(|(_, severity, count)| (severity.as_str().into(), *count)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts and forgets, now and then, until it is told to stop.
pub async fn keep_up(
    settings: Settings,
    state: StateDoor,
    counts: StateCounts,
    stop: CancellationToken,
    task: Task,
) -> anyhow::Result<()> {
    let Some(state) = unless(&stop, state.wait()).await else { return Ok(()) };
    let state = state?;
    loop {
        let before = forgotten_before(&settings, clock());
        match unless(&stop, keep_up_once(&state, before, &counts)).await {
            None => return Ok(()),
            Some(Ok(())) => task.set_problem(None),
            Some(Err(error)) => {
                let problem = format!("upkeep of the state failed, it is tried again: {error}");
                tracing::warn!("{problem}");
                task.set_problem(Some(problem));
            }
        }
        if unless(&stop, tokio::time::sleep(UPKEEP)).await.is_none() {
            return Ok(());
        }
    }
}

/// Alerts, cases and decisions live as long as the events, and longer than the bus, from which a
/// replay would tell them again. None if all are kept.
fn forgotten_before(settings: &Settings, now: Timestamp) -> Option<Timestamp> {
    let days = i64::from(settings.lake.retention_days);
    let hours = settings.bus.retention_hours.max(settings.bus.kafka.retention_hours);
    let seconds = (days * 86_400).max(i64::from(hours) * 3_600) + 86_400;
    (days > 0).then(|| now.plus_seconds(-seconds))
}

async fn keep_up_once(
    state: &State,
    before: Option<Timestamp>,
    counts: &StateCounts,
) -> Result<(), StateError> {
    let Some(before) = before else { return count(state, counts).await };
    loop {
        let forgotten = state.forget(before, AT_ONCE).await?;
        let decisions = state.forget_decisions(before, AT_ONCE).await?;
        tracing::debug!(?forgotten, decisions, "upkeep of the state");
        if forgotten.alerts + forgotten.cases + decisions == 0 {
            return count(state, counts).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn count(state: &State, counts: &StateCounts) -> Result<(), StateError> {
    let counted = state.counts().await?;
    *counts.lock() = counted;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_forgotten_that_a_replay_would_tell_again() {
        const DAY: i64 = 86_400;
        let (mut settings, now) = (Settings::default(), Timestamp(0).plus_seconds(1_000 * DAY));
        assert_eq!(forgotten_before(&settings, now), None, "everything is kept");
        settings.lake.retention_days = 90;
        let ninety_one = now.plus_seconds(-91 * DAY);
        assert_eq!(forgotten_before(&settings, now), Some(ninety_one));
        settings.lake.retention_days = 1;
        settings.bus.kafka.retention_hours = 168;
        assert_eq!(forgotten_before(&settings, now), Some(now.plus_seconds(-8 * DAY)));
    }
}
