//! The part that answers: probes and figures in every process; over the lake and the state the
//! HTTP API, where the role has it.

pub mod access;
mod decisions;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus::Bus;
use lake::{Lake, LakeError, LakeReader, LakeView};
use query::Engine;
use query::api::{Access, Probes, Service};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use crate::folder::DataFolder;
use crate::state_door::StateDoor;
use crate::status::heartbeat::Heartbeats;
use crate::status::lag::{LagBoard, watch};
use crate::status::report::ProcessReport;
use crate::supervisor::{Started, Supervisor, Task};
use crate::{Settings, clock};

/// Reads of audit data that may wait to be recorded.
const ACCESSES_MAX: usize = 1_024;

/// Before looking again for a lake that is not there yet.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the process listens. It stays open while what answers is started again.
pub struct Listener(std::net::TcpListener);

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// If the address is in use, or not of this machine.
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let bound = TcpListener::bind(address).await.and_then(TcpListener::into_std);
        Ok(Self(bound.with_context(|| {
            format!("cannot listen on {address}; set query.address to a free one")
        })?))
    }

    /// Where.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.0.local_addr().context("the listener has no address")
    }

    fn listener(&self) -> anyhow::Result<TcpListener> {
        Ok(TcpListener::from_std(self.0.try_clone()?)?)
    }
}

/// Starts to answer probes, and nothing else.
pub fn start_probes(
    listener: Listener,
    probes: Probes,
    supervisor: &Supervisor,
    stop: &CancellationToken,
) -> Started {
    let stopped = stop.clone();
    supervisor.task("http", stop, move |_| {
        let (probes, stop, listener) = (probes.clone(), stopped.clone(), listener.listener());
        async move { Ok(probes.serve(listener?, stop).await?) }
    })
}

/// The lake as this process has it: its own, or that of others.
#[derive(Clone)]
pub enum OpenLake {
    Own(Lake),
    Others(LakeReader),
}

impl OpenLake {
    /// The lake that others write, once it is there.
    async fn of_others(folder: PathBuf, task: &Task) -> anyhow::Result<Self> {
        let mut is_told = false;
        loop {
            match LakeReader::open(&folder).await {
                Ok(lake) => {
                    task.set_problem(None);
                    return Ok(Self::Others(lake));
                }
                Err(LakeError::Absent(path)) => {
                    let problem = format!(
                        "there is no lake in {} yet; a process with `run --role detect` and the \
                         same `data` makes it",
                        path.display()
                    );
                    if !is_told {
                        is_told = true;
                        tracing::warn!("{problem}");
                    }
                    task.set_problem(Some(problem));
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
                warn_of(lake.follow());
                lake.view()
            }
            Self::Others(lake) => {
                warn_of(lake.follow());
                lake.view()
            }
        }
    }

    /// Positions as committed with the events.
    pub fn position(&self, name: &str) -> Option<i64> {
        match self {
            Self::Own(lake) => {
                warn_of(lake.follow());
                lake.positions().get(name).copied()
            }
            Self::Others(lake) => {
                warn_of(lake.follow());
                lake.positions().get(name).copied()
            }
        }
    }
}

/// The view stays as it was: an older answer is better than none.
fn warn_of(followed: Result<(), LakeError>) {
    if let Err(error) = followed {
        tracing::warn!("the newest commits of the lake cannot be read: {error}");
    }
}

/// What answers are made of.
pub struct Serving {
    pub settings: Settings,
    pub folder: DataFolder,
    /// The lake of this process, if it writes one.
    pub lake: Option<Lake>,
    pub state: StateDoor,
    pub bus: Bus,
    pub heartbeats: Heartbeats,
    pub lags: LagBoard,
    pub probes: Probes,
}

/// Answers over HTTP, and the way of its reads of audit data to the bus.
pub struct Served {
    pub http: Started,
    /// Ends after the last read was recorded, once `http` has ended.
    pub recording: Started,
}

/// What is there once for all starts of the service.
struct Parts {
    serving: Serving,
    listener: Listener,
    opened: OnceCell<OpenLake>,
    access: mpsc::Sender<Access>,
    stop: CancellationToken,
}

impl Serving {
    /// Answers probes at once, and everything once lake and state are open.
    pub fn start(
        self,
        listener: Listener,
        supervisor: &Supervisor,
        stop: &CancellationToken,
    ) -> Served {
        let (access, accessed) = mpsc::channel(ACCESSES_MAX);
        let (accessed, bus) = (Arc::new(Mutex::new(accessed)), self.bus.clone());
        let parts = Arc::new(Parts {
            serving: self,
            listener,
            opened: OnceCell::new(),
            access,
            stop: stop.clone(),
        });
        let recording = supervisor.task("record reads", stop, move |task| {
            access::publish(accessed.clone(), bus.clone(), task)
        });
        let deciding = parts.clone();
        drop(supervisor.task("publish decisions", stop, move |task| {
            publish_decisions(deciding.clone(), task)
        }));
        let watched = parts.clone();
        drop(supervisor.task("watch lag", stop, move |task| watch_lag(watched.clone(), task)));
        let http = supervisor.task("http", stop, move |task| serve(parts.clone(), task));
        Served { http, recording }
    }
}

impl Parts {
    async fn lake(&self, task: &Task) -> anyhow::Result<OpenLake> {
        let open = async || match &self.serving.lake {
            Some(lake) => Ok(OpenLake::Own(lake.clone())),
            None => OpenLake::of_others(self.serving.folder.lake(), task).await,
        };
        self.opened.get_or_try_init(open).await.cloned()
    }
}

async fn serve(parts: Arc<Parts>, task: Task) -> anyhow::Result<()> {
    let Serving { settings, folder, state, heartbeats, lags, probes, .. } = &parts.serving;
    let opened = async { anyhow::Ok((state.wait().await?, parts.lake(&task).await?)) };
    let (state, lake) = tokio::select! {
        biased;
        opened = opened => opened?,
        served = probes.clone().serve(parts.listener.listener()?, parts.stop.clone()) => {
            return Ok(served?);
        }
    };
    if let Some(path) = state.ensure_admin_token(folder.path(), clock()).await? {
        tracing::warn!("the first token is in {}", path.display());
    }
    std::fs::create_dir_all(folder.spill()).context("the folder `spill` cannot be made")?;
    let engine = Engine::new(settings.query.clone(), &folder.spill(), Some(state.clone()))?;
    let (heartbeats, lags) = (heartbeats.clone(), lags.clone());
    let service = Service {
        engine: Arc::new(engine),
        state,
        view: Arc::new(move || lake.view()),
        sources: Arc::new(move || ProcessReport::list(heartbeats.reports(), lags.lags())),
        probes: probes.clone(),
        access: parts.access.clone(),
    };
    Ok(service.serve(parts.listener.listener()?, parts.stop.clone()).await?)
}

async fn publish_decisions(parts: Arc<Parts>, task: Task) -> anyhow::Result<()> {
    let Serving { bus, state, .. } = &parts.serving;
    match crate::detect::unless(&parts.stop, state.wait()).await {
        Some(state) => decisions::publish(state?, bus.clone(), parts.stop.clone(), task).await,
        None => Ok(()),
    }
}

async fn watch_lag(parts: Arc<Parts>, task: Task) -> anyhow::Result<()> {
    let Serving { bus, lags, .. } = &parts.serving;
    let Some(lake) = crate::detect::unless(&parts.stop, parts.lake(&task)).await else {
        return Ok(());
    };
    watch(lags, bus, &lake?, &parts.stop).await;
    Ok(())
}
