//! `run`: the parts of a role, started in the order of the flow's end to its beginning, stopped
//! the other way.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, BusKind, EmbeddedBus, KafkaBus};
use prometheus_client::registry::Registry;
use query::api::Probes;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::collect::Collecting;
use crate::detect::alerts::OnAlert;
use crate::detect::{Detecting, inherit};
use crate::folder::DataFolder;
use crate::serve::{Listener, Served, Serving, start_probes};
use crate::state_door::StateDoor;
use crate::status::heartbeat::Heartbeats;
use crate::status::lag::LagBoard;
use crate::status::source_board::SourceBoard;
use crate::status::{Parts, Status};
use crate::supervisor::{Started, Supervisor};
use crate::{Role, Settings, clock};

/// How long the last reads of audit data, and the last word to other processes, may take to reach
/// the bus.
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything that runs in this process.
pub struct Pipeline {
    /// Where the process listens.
    pub address: SocketAddr,
    /// The file with the first token, if this start wrote it.
    pub new_token: Option<PathBuf>,
    collecting: Option<Collecting>,
    detecting: Option<Detecting>,
    http: Option<Started>,
    /// What has a last word to say, once nothing else goes on.
    last: Vec<Started>,
    bus: Bus,
    log: Option<EmbeddedBus>,
    status: Status,
    supervisor: Supervisor,
    stops: Stops,
}

/// One token for each step of stopping.
#[derive(Clone, Default)]
pub struct Stops {
    pub sources: CancellationToken,
    pub detection: CancellationToken,
    pub rest: CancellationToken,
}

impl Pipeline {
    /// Starts the parts of a role on this runtime.
    ///
    /// # Errors
    /// What keeps it from starting, with the cure.
    pub async fn start(
        settings: &Settings,
        folder: &DataFolder,
        role: Role,
        on_alert: OnAlert,
    ) -> anyhow::Result<Self> {
        // First what fails most often: a port in use costs nothing yet.
        let listener = Listener::bind(settings.query.address).await?;
        let address = listener.address()?;
        let (stops, mut registry) = (Stops::default(), Registry::default());
        let supervisor = Supervisor::new(Handle::current());
        let (bus, log) = open_bus(settings, folder, role).await?;
        inherit(settings, folder)?;
        let state = match role {
            Role::Collect => None,
            _ => Some(StateDoor::open(folder.state(), &supervisor, &stops.rest).await?),
        };
        let detecting = match &state {
            Some(state) if role.detects() => {
                let registry = registry.sub_registry_with_prefix("querywatch");
                let (bus, state) = (bus.clone(), state.clone());
                let under = (&supervisor, &stops);
                let started =
                    Detecting::start(settings, folder, bus, state, registry, on_alert, under);
                Some(started.await?)
            }
            _ => None,
        };
        let sources = SourceBoard::default();
        let collecting = match &log {
            Some(log) => {
                let (log, sources) = (log.clone(), sources.clone());
                let under = (&supervisor, &stops.sources);
                Some(Collecting::start(settings, folder, log, &bus, sources, under).await?)
            }
            None => None,
        };
        let status = Status(Arc::new(Parts {
            role,
            address,
            started: clock(),
            supervisor: supervisor.clone(),
            sources,
            bus: bus.clone(),
            log: log.clone(),
            lake: detecting.as_ref().map(|detecting| detecting.lake.clone()),
            detection: detecting.as_ref().map(|detecting| detecting.board.clone()),
            counts: detecting.as_ref().map(|detecting| detecting.counts.clone()),
            lags: LagBoard::default(),
        }));
        registry.register_collector(Box::new(status.clone()));
        let mut this = Self {
            address,
            new_token: None,
            collecting,
            detecting,
            http: None,
            last: Vec::new(),
            bus,
            log,
            status,
            supervisor,
            stops,
        };
        this.serve(settings, folder, state, listener, registry).await?;
        Ok(this)
    }

    /// Starts what answers, and what tells other processes of this one.
    async fn serve(
        &mut self,
        settings: &Settings,
        folder: &DataFolder,
        state: Option<StateDoor>,
        listener: Listener,
        registry: Registry,
    ) -> anyhow::Result<()> {
        let (status, stop, parts) = (self.status.clone(), &self.stops.rest, &self.status.0);
        let readiness = Arc::new(move || status.readiness());
        let probes = Probes { readiness, registry: Arc::new(registry) };
        let heartbeats = Heartbeats::new(self.status.clone());
        self.last.extend(heartbeats.start(&self.bus, parts.role.serves(), &self.supervisor, stop));
        let Some(state) = state.filter(|_| parts.role.serves()) else {
            self.http = Some(start_probes(listener, probes, &self.supervisor, stop));
            return Ok(());
        };
        if let Some(state) = state.opened() {
            self.new_token = state.ensure_admin_token(folder.path(), clock()).await?;
        }
        let serving = Serving {
            settings: settings.clone(),
            folder: folder.clone(),
            lake: parts.lake.clone(),
            state,
            bus: self.bus.clone(),
            heartbeats,
            lags: parts.lags.clone(),
            probes,
        };
        let Served { http, recording } = serving.start(listener, &self.supervisor, stop);
        self.http = Some(http);
        self.last.push(recording);
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    #[cfg(test)]
    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Why the process is not ready, if it is not; may be asked when the pipeline is being stopped.
    pub fn not_ready_because(&self) -> impl Fn() -> Option<String> + use<> {
        let status = self.status.clone();
        move || status.not_ready_because()
    }

    /// Cancelled when a task has failed without which the process is nothing.
    pub fn failed(&self) -> CancellationToken {
        self.supervisor.failed()
    }

    /// Stops in the order of the flow: nothing that was read is left behind.
    ///
    /// # Errors
    /// The failure that came first: why the process had to end, or what could not be finished.
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
        if let Some(http) = self.http {
            ended.push(http.ended().await);
        }
        for last in self.last {
            // Kafka may be away: then what waits is told to be lost.
            let _ = tokio::time::timeout(PATIENCE, last.ended()).await;
        }
        ended.push(self.bus.shutdown().await.context("the bus cannot be closed"));
        if let Some(log) = self.log {
            ended.push(log.shutdown().await.context("the log cannot be closed"));
        }
        match self.supervisor.take_failure() {
            Some(failure) => Err(failure),
            None => ended.into_iter().collect(),
        }
    }
}

/// The bus, and the log that the collectors of this process write, which on one machine is the
/// bus itself.
async fn open_bus(
    settings: &Settings,
    folder: &DataFolder,
    role: Role,
) -> anyhow::Result<(Bus, Option<EmbeddedBus>)> {
    let (settings, path) = (&settings.bus, folder.bus());
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
