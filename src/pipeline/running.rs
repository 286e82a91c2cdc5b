//! `run`, wired by role: started in the order of the flow's end to its beginning, stopped the
//! other way.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, BusKind, EmbeddedBus, KafkaBus};
use prometheus_client::registry::Registry;
use query::api::Probes;
use state::State;
use tokio::net::TcpListener;
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use super::answering::Answering;
use super::board::SourceBoard;
use super::collect::now;
use super::collecting::Collecting;
use super::detecting::Detecting;
use super::folder::DataFolder;
use super::judge::OnAlert;
use super::lag::LagBoard;
use super::metrics::PipelineMetrics;
use super::process::{OwnProcess, Parts};
use super::reports::ProcessBoard;
use super::role::Role;
use crate::config::Config;

/// How long the last reads of audit data, and the last word to other processes, may take to reach
/// the bus.
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything that runs in this process.
pub struct Running {
    /// Where the process listens.
    pub address: SocketAddr,
    /// The file with the first token, if this start wrote it.
    pub new_token: Option<PathBuf>,
    collecting: Option<Collecting>,
    detecting: Option<Detecting>,
    listening: Task<std::io::Result<()>>,
    recording: Option<Task<()>>,
    telling: Option<Task<()>>,
    bus: Bus,
    log: Option<EmbeddedBus>,
    hindrance: Hindrance,
    stops: Stops,
}

/// Says what keeps the process from going on, if anything does.
pub type Hindrance = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// One token for each step of stopping.
#[derive(Clone, Default)]
pub struct Stops {
    pub sources: CancellationToken,
    pub detection: CancellationToken,
    pub rest: CancellationToken,
    /// Cancelled at once if something must not wait any longer for what does not come back.
    pub abandon: CancellationToken,
}

impl Running {
    /// Starts the parts of a role on this runtime.
    pub async fn start(
        config: &Config,
        folder: &DataFolder,
        role: Role,
        on_alert: OnAlert,
    ) -> anyhow::Result<Self> {
        // First what fails most often: a port in use costs nothing yet.
        let listener = listen(config.query.address).await?;
        let address = listener.local_addr().context("the listener has no address")?;
        let (stops, mut registry) = (Stops::default(), Registry::default());
        let (bus, log) = open_bus(config, folder, role).await?;
        let state = match role {
            Role::Collect => None,
            _ => Some(State::open(&folder.state()).await?),
        };
        let detecting = match &state {
            Some(state) if role.detects() => {
                let registry = registry.sub_registry_with_prefix("querywatch");
                let (bus, state) = (bus.clone(), state.clone());
                Some(
                    Detecting::start(config, folder, bus, state, registry, on_alert, &stops)
                        .await?,
                )
            }
            _ => None,
        };
        let sources = SourceBoard::default();
        let collecting = match &log {
            Some(log) => {
                let (log, sources) = (log.clone(), sources.clone());
                Some(Collecting::start(config, folder, log, &bus, sources, &stops).await?)
            }
            None => None,
        };
        let parts = parts(sources, &bus, &log, collecting.as_ref(), detecting.as_ref());
        let lags = LagBoard::default();
        let metrics = PipelineMetrics { parts: parts.clone(), lags: lags.clone() };
        registry.register_collector(Box::new(metrics));
        let hindrance = hindrance(&parts, &stops);
        let probes = Probes { hindrance: hindrance.clone(), registry: Arc::new(registry) };
        let (started, lake) = (now(), parts.lake.clone());
        let own = OwnProcess { role, address, started, parts, hindrance: hindrance.clone() };
        let processes = ProcessBoard::new(own);
        let telling = processes.start(&bus, role.serves(), &stops.rest);
        let (mut new_token, mut recording) = (None, None);
        let listening = match state {
            Some(state) if role.serves() => {
                new_token = state.ensure_admin_token(folder.path(), now()).await?;
                let bus = bus.clone();
                let answering = Answering { config, folder, state, bus, processes, lags, probes };
                let (listening, recorder) = answering.start(lake, listener, &stops.rest).await?;
                recording = Some(recorder);
                listening
            }
            _ => tokio::spawn(probes.serve(listener, stops.rest.clone())),
        };
        Ok(Self {
            address,
            new_token,
            collecting,
            detecting,
            listening,
            recording,
            telling,
            bus,
            log,
            hindrance,
            stops,
        })
    }

    /// What keeps the process from going on, if anything does.
    pub fn hindrance(&self) -> Hindrance {
        self.hindrance.clone()
    }

    /// Cancelled when a part ends that should not.
    pub fn failed(&self) -> CancellationToken {
        self.stops.abandon.clone()
    }

    /// Stops in the order of the flow: nothing that was read is left behind.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stops.sources.cancel();
        let mut ended = Vec::new();
        if let Some(collecting) = self.collecting {
            ended.push(collecting.stopped().await);
        }
        self.stops.detection.cancel();
        if let Some(detecting) = self.detecting {
            ended.push(detecting.stopped(&self.stops).await);
        }
        self.stops.rest.cancel();
        let served = self.listening.await.context("the service could not be waited for")?;
        if let Some(recording) = self.recording {
            // Kafka may be away: then what waits is told to be lost.
            let _ = tokio::time::timeout(PATIENCE, recording).await;
        }
        if let Some(telling) = self.telling {
            let _ = tokio::time::timeout(PATIENCE, telling).await;
        }
        self.bus.shutdown().await.context("the bus cannot be closed")?;
        if let Some(log) = self.log {
            log.shutdown().await.context("the log cannot be closed")?;
        }
        ended.into_iter().collect::<anyhow::Result<Vec<()>>>()?;
        served.context("the service failed")
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address}; set query.address to a free one"))
}

/// The bus, and the log that the collectors of this process write, which on one machine is the
/// bus itself.
async fn open_bus(
    config: &Config,
    folder: &DataFolder,
    role: Role,
) -> anyhow::Result<(Bus, Option<EmbeddedBus>)> {
    let (settings, path) = (&config.bus, folder.bus());
    if settings.kind == BusKind::Embedded {
        let log = EmbeddedBus::open(settings, &path).await?;
        return Ok((Bus::Embedded(log.clone()), Some(log)));
    }
    // Detection is nothing without Kafka; the others have work meanwhile.
    let bus = match role {
        Role::Detect => Bus::open(settings, &path).await?,
        _ => Bus::Kafka(KafkaBus::open_unconnected(settings)?),
    };
    let log = if role.collects() { Some(EmbeddedBus::open(settings, &path).await?) } else { None };
    Ok((bus, log))
}

fn parts(
    sources: SourceBoard,
    bus: &Bus,
    log: &Option<EmbeddedBus>,
    collecting: Option<&Collecting>,
    detecting: Option<&Detecting>,
) -> Parts {
    Parts {
        sources,
        bus: bus.clone(),
        log: log.clone(),
        collecting: collecting.map(|collecting| Arc::new(collecting.hindrance()) as _),
        lake: detecting.map(|detecting| detecting.lake.clone()),
        detection: detecting.map(|detecting| detecting.board.clone()),
    }
}

fn hindrance(parts: &Parts, stops: &Stops) -> Hindrance {
    let (parts, failed) = (parts.clone(), stops.abandon.clone());
    Arc::new(move || {
        let ended = failed.is_cancelled().then(|| "a part has ended; see the log".to_owned());
        let stored = || parts.lake.as_ref().and_then(|lake| lake.status().trouble);
        let collected = || parts.collecting.as_ref().and_then(|hindrance| hindrance());
        let carried = || parts.bus.status().kafka.and_then(|kafka| kafka.trouble);
        ended.or_else(stored).or_else(collected).or_else(carried)
    })
}

/// A thread whose failure is told to the others.
pub fn spawn(
    name: &str,
    failed: &CancellationToken,
    work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let failed = failed.clone();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // A panic is a failure too.
            let failing = failed.drop_guard();
            let ended = work();
            if ended.is_ok() {
                failing.disarm();
            }
            ended
        })
        .with_context(|| format!("no thread for `{name}`; raise the limit of tasks"))
}

/// Waits for a thread; its panic is ours.
pub fn join(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
