//! The part that judges and stores: the worker, the lake's writer and its upkeep, and the way of
//! alerts to the state and the channels.

pub mod alerts;
pub mod backfill;
pub mod high_water_marks;
mod partition_detector;
pub mod shard;
pub mod state_upkeep;
pub mod store;
pub mod training;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use bus::{Bus, BusKind};
use lake::{Lake, Sharing};
use prometheus_client::registry::Registry;
use respond::{Respond, RespondMetrics, system_clock};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{self, DetectionCheckpoint};
use crate::folder::{DataFolder, INGEST};
use crate::pipeline::Stops;
use crate::state_door::StateDoor;
use crate::supervisor::{Started, Supervisor, Task};
use crate::{Settings, clock};
use alerts::{AlertQueue, OnAlert};
use partition_detector::Detectors;
use state_upkeep::StateCounts;
use training::ModelShelf;
use worker::{DetectionBoard, Worker};

/// Between rounds of upkeep of the lake.
const UPKEEP: Duration = Duration::from_secs(60);

/// How long the last alerts may take to be recorded.
const ALERTS_WITHIN: Duration = Duration::from_secs(5);

/// Detection at work.
pub struct Detecting {
    worker: Started,
    store: Started,
    alerts: AlertQueue,
    /// What records and sends alerts.
    responding: Vec<Started>,
    /// What it writes.
    pub lake: Lake,
    /// What it has met.
    pub board: DetectionBoard,
    /// What its state holds.
    pub counts: StateCounts,
}

impl Detecting {
    /// Starts a worker; with Kafka there may be others.
    pub async fn start(
        settings: &Settings,
        folder: &DataFolder,
        bus: Bus,
        state: StateDoor,
        registry: &mut Registry,
        on_alert: OnAlert,
        (supervisor, stops): (&Supervisor, &Stops),
    ) -> anyhow::Result<Self> {
        Respond::check(&settings.respond)?;
        let is_alone = settings.bus.kind == BusKind::Embedded;
        let sharing = if is_alone { Sharing::Alone } else { Sharing::Shared };
        let (lake, writer) = Lake::open(&folder.lake(), &settings.lake, sharing).await?;
        let (alerts, board) = (AlertQueue::default(), DetectionBoard::default());
        let shelf = ModelShelf::default();
        shelf.refresh(folder)?;
        let detectors = Detectors::new(&settings.detect, alerts.clone(), shelf.clone())?;
        if settings.bus.partitions > 1 {
            detectors.divided().iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        let counts = keep_up_state(settings, &state, supervisor, stops);
        let metrics = RespondMetrics::register(registry);
        let responding = respond(settings, state, metrics, &alerts, on_alert, (supervisor, stops));
        let (store, handle) = store::start(writer, alerts.clone(), supervisor)?;
        let worker = Worker {
            bus,
            folder: folder.clone(),
            detectors,
            alerts: alerts.clone(),
            runtime: Handle::current(),
            store: handle,
            ingested: lake.positions().into_iter().collect(),
            stop: stops.detection.clone(),
            board: board.clone(),
            shards: Default::default(),
            waiting: None,
            is_lost: false,
        };
        let worker = supervisor.thread("detect", &stops.detection, move |task| worker.run(task))?;
        let (kept, stop) = (lake.clone(), stops.rest.clone());
        drop(
            supervisor
                .task("upkeep", &stops.rest, move |task| upkeep(kept.clone(), stop.clone(), task)),
        );
        let (folder, stop) = (folder.clone(), stops.rest.clone());
        drop(supervisor.task("train models", &stops.rest, move |task| {
            train(folder.clone(), shelf.clone(), stop.clone(), task)
        }));
        Ok(Self { worker, store, alerts, responding, lake, board, counts })
    }

    /// Waits until all is stored, recorded and sent; it has been told to stop.
    pub async fn stopped(self, stops: &Stops) -> anyhow::Result<()> {
        let mut ended = vec![self.worker.ended().await, self.store.ended().await];
        let alerts = self.alerts;
        let recorded = move || alerts.is_recorded(alerts.given(), ALERTS_WITHIN);
        let is_recorded = tokio::task::spawn_blocking(recorded).await?;
        stops.rest.cancel();
        for task in self.responding {
            ended.push(task.ended().await);
        }
        ended.into_iter().collect::<anyhow::Result<()>>()?;
        ensure!(is_recorded, "alerts could not be recorded; they come again at the next start");
        Ok(())
    }
}

/// Where one partition has learnt of all identities, each of several begins with that.
pub fn inherit(settings: &Settings, folder: &DataFolder) -> anyhow::Result<()> {
    folder.make_detection()?;
    let ingest = folder.detection_of(INGEST);
    if folder.detection_of_ingest(&settings.bus) != ingest || ingest.exists() {
        return Ok(());
    }
    match checkpoint::read::<DetectionCheckpoint>(&folder.detection_of("0"))? {
        Some(whole) if whole.partitions == 1 => checkpoint::write(&ingest, &whole),
        _ => Ok(()),
    }
}

/// Starts what forgets and counts; says where the counts are.
fn keep_up_state(
    settings: &Settings,
    state: &StateDoor,
    supervisor: &Supervisor,
    stops: &Stops,
) -> StateCounts {
    let counts = StateCounts::default();
    let (settings, state, counted) = (settings.clone(), state.clone(), counts.clone());
    let stop = stops.rest.clone();
    drop(supervisor.task("upkeep of the state", &stops.rest, move |task| {
        let (settings, state, counted) = (settings.clone(), state.clone(), counted.clone());
        state_upkeep::keep_up(settings, state, counted, stop.clone(), task)
    }));
    counts
}

/// Records alerts once the state is open, and then sends them: an outbox for each channel.
fn respond(
    settings: &Settings,
    state: StateDoor,
    metrics: RespondMetrics,
    alerts: &AlertQueue,
    on_alert: OnAlert,
    (supervisor, stops): (&Supervisor, &Stops),
) -> Vec<Started> {
    let (stop, alerts) = (stops.rest.clone(), alerts.clone());
    let opened = Arc::new(OnceCell::<Arc<Respond>>::new());
    let is_alone = settings.bus.kind == BusKind::Embedded;
    let settings = settings.respond.clone();
    let names: Vec<String> = settings.channels.iter().map(|channel| channel.name.clone()).collect();
    let open = {
        let opened = opened.clone();
        move || {
            let (opened, state) = (opened.clone(), state.clone());
            let (settings, metrics) = (settings.clone(), metrics.clone());
            async move {
                let open = async {
                    let (state, clock) = (state.wait().await?, system_clock());
                    let opened = match is_alone {
                        true => Respond::start(&settings, state, metrics, clock).await?,
                        false => Respond::start_beside(&settings, state, metrics, clock).await?,
                    };
                    anyhow::Ok(Arc::new(opened))
                };
                opened.get_or_try_init(|| open).await.cloned()
            }
        }
    };
    let mut started = Vec::new();
    let (recording, stopped) = (open.clone(), stop.clone());
    started.push(supervisor.task("alerts", &stop, move |task| {
        let (open, stop) = (recording(), stopped.clone());
        let (alerts, on_alert) = (alerts.clone(), on_alert.clone());
        async move {
            let Some(respond) = unless(&stop, open).await else { return Ok(()) };
            alerts.record(respond?, on_alert, stop, task).await
        }
    }));
    for name in names {
        let (sending, stopped) = (open.clone(), stop.clone());
        started.push(supervisor.task(&format!("send to {name}"), &stop, move |_| {
            let (open, stop, name) = (sending(), stopped.clone(), name.clone());
            async move {
                let Some(respond) = unless(&stop, open).await else { return Ok(()) };
                respond?.send(&name, stop).await;
                Ok(())
            }
        }));
    }
    started
}

/// None if it was told to stop before.
pub async fn unless<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        () = stop.cancelled() => None,
        done = work => Some(done),
    }
}

/// Trains models of the days that have closed, and takes what other processes have trained.
async fn train(
    folder: DataFolder,
    shelf: ModelShelf,
    stop: CancellationToken,
    task: Task,
) -> anyhow::Result<()> {
    while unless(&stop, tokio::time::sleep(UPKEEP)).await.is_some() {
        let (folder, shelf) = (folder.clone(), shelf.clone());
        let work = move || {
            training::train(&folder, clock())?;
            shelf.refresh(&folder)
        };
        match tokio::task::spawn_blocking(work).await? {
            Ok(()) => task.set_problem(None),
            Err(error) => {
                let problem = format!("models cannot be trained, it is tried again: {error:#}");
                tracing::warn!("{problem}");
                task.set_problem(Some(problem));
            }
        }
    }
    Ok(())
}

/// Merges small files and forgets old days, now and then.
async fn upkeep(lake: Lake, stop: CancellationToken, task: Task) -> anyhow::Result<()> {
    while unless(&stop, tokio::time::sleep(UPKEEP)).await.is_some() {
        match lake.maintain(clock()).await {
            Ok(done) => {
                tracing::debug!(?done, "upkeep of the lake");
                task.set_problem(None);
            }
            Err(error) => {
                let problem = format!("upkeep of the lake failed, it is tried again: {error}");
                tracing::warn!("{problem}");
                task.set_problem(Some(problem));
            }
        }
    }
    Ok(())
}
