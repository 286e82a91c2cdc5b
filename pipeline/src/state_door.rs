//! The way to the state: opened at the start if it can be, else as soon as it can. Meanwhile
//! events are read, judged and stored.

use std::path::PathBuf;
use std::time::Duration;

use state::{State, StateError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::supervisor::{Supervisor, Task};

/// Before trying again.
const PAUSE: Duration = Duration::from_secs(2);

/// The state, once it is open. Cheap to clone.
#[derive(Clone)]
pub struct StateDoor(watch::Receiver<Option<State>>);

impl StateDoor {
    /// Opens the state; what fails in a way that may pass is tried again until `stop` is
    /// cancelled.
    ///
    /// # Errors
    /// If a newer release wrote the state.
    pub async fn open(
        path: PathBuf,
        supervisor: &Supervisor,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let first = match State::open(&path).await {
            Ok(state) => Some(state),
            Err(error @ StateError::Newer { .. }) => return Err(error.into()),
            Err(error) => {
                tracing::error!("{}; detection goes on", problem(&error));
                None
            }
        };
        let (sender, opened) = watch::channel(first);
        let stopped = stop.clone();
        // How it ended does not matter: it holds nothing.
        drop(supervisor.task("state", stop, move |task| {
            keep_open(path.clone(), sender.clone(), stopped.clone(), task)
        }));
        Ok(Self(opened))
    }

    /// The state, if it is open.
    pub fn opened(&self) -> Option<State> {
        self.0.borrow().clone()
    }

    /// The state; waits for it.
    pub async fn wait(&self) -> anyhow::Result<State> {
        let opened = self.0.clone().wait_for(Option::is_some).await?.clone();
        opened.ok_or_else(|| anyhow::anyhow!("the state is not open"))
    }
}

async fn keep_open(
    path: PathBuf,
    opened: watch::Sender<Option<State>>,
    stop: CancellationToken,
    task: Task,
) -> anyhow::Result<()> {
    while opened.borrow().is_none() {
        match State::open(&path).await {
            Ok(state) => {
                tracing::warn!("the state in {} is open now", path.display());
                opened.send_replace(Some(state));
                task.set_problem(None);
            }
            Err(error) => {
                task.set_problem(Some(problem(&error)));
                if tokio::time::timeout(PAUSE, stop.cancelled()).await.is_ok() {
                    return Ok(());
                }
            }
        }
    }
    stop.cancelled().await;
    Ok(())
}

fn problem(error: &StateError) -> String {
    format!("no alert is recorded or sent, no query is answered: {error}")
}
