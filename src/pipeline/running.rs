//! `run`, wired: started in the order of the flow's end to its beginning, stopped the other way.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};
use bus::{Bus, Offset};
use ingest::source::{FileSource, FileSourceMode};
use lake::Lake;
use prometheus_client::registry::Registry;
use query::Engine;
use query::api::Service;
use respond::{Respond, RespondMetrics, system_clock};
use state::State;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use super::board::SourceBoard;
use super::checkpoint::{self, Detection};
use super::collect::{Collector, now};
use super::detection::{BUS_POSITION, DETECT, DetectionLoop};
use super::folder::DataFolder;
use super::judge::{Judge, OnAlert};
use super::metrics::PipelineMetrics;
use super::reading::{COLLECT, ReadingFile, published};
use super::store::Store;
use crate::config::Config;

/// Between rounds of upkeep of the lake.
const UPKEEP: Duration = Duration::from_secs(60);

/// Reads of audit data that may wait to be recorded.
const ACCESSES_MAX: usize = 1_024;

/// Everything that runs.
pub struct Running {
    /// Where the service listens.
    pub address: SocketAddr,
    /// The file with the first token, if this start wrote it.
    pub new_token: Option<PathBuf>,
    collectors: Vec<JoinHandle<anyhow::Result<()>>>,
    detection: JoinHandle<anyhow::Result<()>>,
    store: Store,
    respond: Arc<Respond>,
    bus: Arc<Bus>,
    service: Task<std::io::Result<()>>,
    hindrance: Hindrance,
    stops: Stops,
}

/// Says what keeps the pipeline from going on, if anything does.
pub type Hindrance = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What the service listens on, whom it tells of reads, and what `/readyz` says.
type Listening = (TcpListener, tokio::sync::mpsc::Sender<query::api::Access>, Hindrance);

/// One token for each step of stopping.
#[derive(Clone, Default)]
struct Stops {
    sources: CancellationToken,
    detection: CancellationToken,
    rest: CancellationToken,
    /// Cancelled at once if something must not wait any longer for what does not come back.
    abandon: CancellationToken,
}

/// What is open before anything runs.
struct Opened {
    lake: Lake,
    writer: lake::Writer,
    state: State,
    bus: Arc<Bus>,
    known: Option<Detection>,
    reading: Arc<ReadingFile>,
    board: SourceBoard,
    registry: Registry,
}

impl Running {
    /// Starts all of it on this runtime.
    pub async fn start(
        config: &Config,
        folder: &DataFolder,
        on_alert: OnAlert,
    ) -> anyhow::Result<Self> {
        ensure!(
            config.bus.partitions == 1,
            "bus.partitions is {}; the bus of one machine has 1",
            config.bus.partitions
        );
        // First what fails most often: a port in use costs nothing yet.
        let listener = TcpListener::bind(config.query.address).await.with_context(|| {
            format!("cannot listen on {}; set query.address to a free one", config.query.address)
        })?;
        let address = listener.local_addr().context("the listener has no address")?;
        let mut opened = Opened::open(config, folder).await?;
        let new_token = opened.state.ensure_admin_token(folder.path(), now()).await?;
        let stops = Stops::default();
        let registry = opened.registry.sub_registry_with_prefix("querywatch");
        let metrics = RespondMetrics::register(registry);
        let respond = Respond::start(
            &config.respond,
            opened.state.clone(),
            metrics,
            system_clock(),
            stops.rest.clone(),
        );
        let respond = Arc::new(respond.await?);
        let stored = lake_positions(&opened.lake);
        let ends = published(&opened.bus, opened.reading.scan_from(), stored).await?;
        let (accesses, accessed) = tokio::sync::mpsc::channel(ACCESSES_MAX);
        let mut collectors = Vec::new();
        for source in &config.sources {
            let collector = opened.collector(source, &ends, &stops.sources)?;
            let name = format!("collect {}", source.name);
            collectors.push(spawn(&name, &stops.abandon, move || collector.run())?);
        }
        let bus = opened.bus.clone();
        let access_bus = bus.clone();
        tokio::spawn(super::access::publish(accessed, access_bus));
        let hindrance = opened.hindrance(&stops);
        let listening = (listener, accesses, hindrance.clone());
        let (store, detection, service) =
            opened.run(config, folder, &stops, respond.clone(), on_alert, listening)?;
        Ok(Self {
            address,
            new_token,
            collectors,
            detection,
            store,
            respond,
            bus,
            service,
            hindrance,
            stops,
        })
    }

    /// What keeps the pipeline from going on, if anything does.
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
        let (collectors, detection, store) = (self.collectors, self.detection, self.store);
        let stop_detection = self.stops.detection.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let mut ended = Vec::new();
            ended.extend(collectors.into_iter().map(join));
            stop_detection.cancel();
            ended.push(join(detection));
            ended.push(store.join());
            ended
        });
        let ended = ended.await.context("the pipeline could not be waited for")?;
        self.stops.rest.cancel();
        self.respond.stopped().await;
        let served = self.service.await.context("the service could not be waited for")?;
        self.bus.shutdown().await.context("the bus cannot be closed")?;
        ended.into_iter().collect::<anyhow::Result<Vec<()>>>()?;
        served.context("the service failed")
    }
}

impl Opened {
    async fn open(config: &Config, folder: &DataFolder) -> anyhow::Result<Self> {
        let (lake, writer) = Lake::open(&folder.lake(), &config.lake).await?;
        let state = State::open(&folder.state()).await?;
        let bus = Arc::new(Bus::open(&config.bus, &folder.bus()).await?);
        bus.register(COLLECT).await?;
        bus.register(DETECT).await?;
        let known = checkpoint::read(&folder.detection())?;
        let reading = Arc::new(ReadingFile::open(folder.reading())?);
        let (board, registry) = (SourceBoard::default(), Registry::default());
        Ok(Self { lake, writer, state, bus, known, reading, board, registry })
    }

    fn collector(
        &self,
        source: &crate::config::SourceConfig,
        ends: &std::collections::HashMap<event::EventId, u64>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Collector> {
        let kept = self.reading.source(&source.name);
        let files = self.reading.files(&source.name, self.known.as_ref());
        let stream = super::open_stream(source, kept.as_ref().map(|kept| kept.stream.as_slice()))?;
        let (opened, items) = FileSource::spawn(
            source.files.clone(),
            source.instance(),
            &files,
            FileSourceMode::Follow,
            stop.clone(),
        )
        .with_context(|| format!("the source `{}`", source.name))?;
        Ok(Collector {
            name: source.name.clone(),
            stream,
            items,
            positions: opened.positions(),
            bus: self.bus.clone(),
            runtime: Handle::current(),
            reading: self.reading.clone(),
            published: ends.clone(),
            entry: self.board.add(source),
        })
    }

    fn hindrance(&self, stops: &Stops) -> Hindrance {
        let (lake, bus, failed) = (self.lake.clone(), self.bus.clone(), stops.abandon.clone());
        Arc::new(move || {
            let ended = failed.is_cancelled().then(|| "a part has ended; see the log".into());
            let stall = || bus.status().partitions.into_iter().find_map(|p| p.stall);
            ended.or_else(|| lake.status().trouble).or_else(stall)
        })
    }

    #[expect(clippy::type_complexity, reason = "three handles, named by the only caller")]
    fn run(
        mut self,
        config: &Config,
        folder: &DataFolder,
        stops: &Stops,
        respond: Arc<Respond>,
        on_alert: OnAlert,
        (listener, access, hindrance): Listening,
    ) -> anyhow::Result<(Store, JoinHandle<anyhow::Result<()>>, Task<std::io::Result<()>>)> {
        let runtime = Handle::current();
        let statistics = Arc::new(Mutex::new(detect::Statistics::default()));
        let (bus, on_bus) = (self.bus.clone(), runtime.clone());
        let kept = Box::new(move |detection: &Detection| {
            let commit = bus.commit(DETECT, 0, Offset(detection.bus));
            if let Err(error) = on_bus.block_on(commit) {
                tracing::error!(%error, "the bus cannot keep its marks");
            }
        });
        let (store, handovers) =
            Store::start(self.writer, folder.detection(), kept, stops.abandon.clone())?;
        let judge = Judge::new(
            config,
            self.known.as_ref(),
            respond,
            runtime.clone(),
            on_alert,
            stops.abandon.clone(),
        )?;
        let stored = self.lake.positions().get(BUS_POSITION).map_or(0, |next| next.cast_unsigned());
        let seen = statistics.clone();
        let detection = DetectionLoop {
            bus: self.bus.clone(),
            judge,
            runtime: runtime.clone(),
            store: handovers,
            next: self.known.as_ref().map_or(stored, |known| known.bus),
            stored,
            ingested: self.known.unwrap_or_default().ingested,
            stop: stops.detection.clone(),
            on_progress: Box::new(move |judge| {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = judge.statistics();
            }),
        };
        let detection = spawn("detect", &stops.abandon, move || detection.run())?;
        let parts = PipelineMetrics {
            sources: self.board.clone(),
            bus: self.bus.clone(),
            lake: self.lake.clone(),
            statistics,
        };
        self.registry.register_collector(Box::new(parts));
        std::fs::create_dir_all(folder.spill()).context("the folder `spill` cannot be made")?;
        let engine = Engine::new(config.query.clone(), &folder.spill(), Some(self.state.clone()))?;
        let (lake, board) = (self.lake.clone(), self.board);
        let service = Service {
            engine: Arc::new(engine),
            state: self.state,
            view: Arc::new(move || lake.view()),
            sources: Arc::new(move || board.statuses()),
            hindrance,
            registry: Arc::new(self.registry),
            access,
        };
        let service = tokio::spawn(service.serve(listener, stops.rest.clone()));
        tokio::spawn(upkeep(self.lake, stops.rest.clone()));
        Ok((store, detection, service))
    }
}

fn lake_positions(lake: &Lake) -> impl Iterator<Item = (String, i64)> + use<> {
    lake.positions().into_iter()
}

/// Merges small files and forgets old days, now and then.
async fn upkeep(lake: Lake, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(UPKEEP) => {}
        }
        match lake.maintain(now()).await {
            Ok(done) => tracing::debug!(?done, "upkeep of the lake"),
            Err(error) => tracing::warn!(%error, "upkeep of the lake failed; it is tried again"),
        }
    }
}

/// A thread whose failure is told to the others.
fn spawn(
    name: &str,
    failed: &CancellationToken,
    work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let failed = failed.clone();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let ended = work();
            if ended.is_err() {
                failed.cancel();
            }
            ended
        })
        .with_context(|| format!("no thread for `{name}`; raise the limit of tasks"))
}

fn join(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
