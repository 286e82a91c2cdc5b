//! The part that answers questions: the HTTP service over the lake and the state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bus::Bus;
use lake::{Lake, LakeError, LakeReader, LakeView};
use query::Engine;
use query::api::{Probes, Service};
use state::State;
use tokio::net::TcpListener;
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::folder::DataFolder;
use super::lag::LagBoard;
use super::reports::ProcessBoard;
use crate::config::Config;

/// Reads of audit data that may wait to be recorded.
const ACCESSES_MAX: usize = 1_024;

/// Before looking again for a lake that is not there yet.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is told that there is no lake yet.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The lake as this process has it: its own, or that of others.
#[derive(Clone)]
pub enum OpenLake {
    Own(Lake),
    Others(LakeReader),
}

impl OpenLake {
    /// The lake that others write, once it is there.
    pub async fn of_others(folder: &DataFolder) -> anyhow::Result<Self> {
        let mut told: Option<Instant> = None;
        loop {
            match LakeReader::open(&folder.lake()).await {
                Ok(lake) => return Ok(Self::Others(lake)),
                Err(LakeError::Absent(path)) => {
                    if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                        told = Some(Instant::now());
                        let path = path.display();
                        tracing::warn!(
                            "there is no lake in {path} yet; a process with `run --role detect` \
                             and the same `data` makes it"
                        );
                    }
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Everything committed by now.
    pub fn view(&self) -> LakeView {
        match self {
            Self::Own(lake) => {
                told(lake.follow());
                lake.view()
            }
            Self::Others(lake) => {
                told(lake.follow());
                lake.view()
            }
        }
    }

    /// Positions as committed with the events.
    pub fn position(&self, name: &str) -> Option<i64> {
        match self {
            Self::Own(lake) => {
                told(lake.follow());
                lake.positions().get(name).copied()
            }
            Self::Others(lake) => {
                told(lake.follow());
                lake.positions().get(name).copied()
            }
        }
    }
}

/// The view stays as it was: an older answer is better than none.
fn told(followed: Result<(), LakeError>) {
    if let Err(error) = followed {
        tracing::warn!("the newest commits of the lake cannot be read: {error}");
    }
}

/// What answers are made of.
pub struct Answering<'a> {
    pub config: &'a Config,
    pub folder: &'a DataFolder,
    pub state: State,
    pub bus: Bus,
    pub processes: ProcessBoard,
    pub lags: LagBoard,
    pub probes: Probes,
}

impl Answering<'_> {
    /// Answers until it is told to stop, from the lake of this process or, once it is there, that
    /// of others. Also gives what takes reads of audit data to the bus as events of their own: it
    /// ends after the service.
    pub async fn start(
        self,
        own: Option<Lake>,
        listener: TcpListener,
        stop: &CancellationToken,
    ) -> anyhow::Result<(Task<std::io::Result<()>>, Task<()>)> {
        let Self { config, folder, state, bus, processes, lags, probes } = self;
        let lake = match own {
            Some(lake) => OpenLake::Own(lake),
            None => OpenLake::of_others(folder).await?,
        };
        tokio::spawn(lags.clone().watch(bus.clone(), lake.clone(), stop.clone()));
        std::fs::create_dir_all(folder.spill()).context("the folder `spill` cannot be made")?;
        let engine = Engine::new(config.query.clone(), &folder.spill(), Some(state.clone()))?;
        let (access, accessed) = tokio::sync::mpsc::channel(ACCESSES_MAX);
        let recording = tokio::spawn(super::access::publish(accessed, bus));
        let service = Service {
            engine: Arc::new(engine),
            state,
            view: Arc::new(move || lake.view()),
            sources: Arc::new(move || Account::list(processes.accounts(), lags.lags())),
            probes,
            access,
        };
        Ok((tokio::spawn(service.serve(listener, stop.clone())), recording))
    }
}
