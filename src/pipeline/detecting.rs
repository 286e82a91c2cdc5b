//! The part that judges and stores: the worker, the lake's writer, and the channels of alerts.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use bus::{Bus, BusKind};
use lake::{Lake, Sharing};
use prometheus_client::registry::Registry;
use respond::{Respond, RespondMetrics, system_clock};
use state::State;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::collect::now;
use super::exchange::Exchange;
use super::folder::DataFolder;
use super::judge::{JudgeMaker, OnAlert, Recorder};
use super::running::{Stops, join, spawn};
use super::store::Store;
use super::worker::{DetectionBoard, Worker};
use crate::config::Config;

/// Between rounds of upkeep of the lake.
const UPKEEP: Duration = Duration::from_secs(60);

/// Detection at work.
pub struct Detecting {
    worker: JoinHandle<anyhow::Result<()>>,
    store: Store,
    respond: Arc<Respond>,
    /// What it writes.
    pub lake: Lake,
    /// What it has met.
    pub board: DetectionBoard,
}

impl Detecting {
    /// Starts a worker; with Kafka there may be others.
    pub async fn start(
        config: &Config,
        folder: &DataFolder,
        bus: Bus,
        state: State,
        registry: &mut Registry,
        on_alert: OnAlert,
        stops: &Stops,
    ) -> anyhow::Result<Self> {
        let is_alone = config.bus.kind == BusKind::Embedded;
        let sharing = if is_alone { Sharing::Alone } else { Sharing::Shared };
        let (lake, writer) = Lake::open(&folder.lake(), &config.lake, sharing).await?;
        folder.make_detections()?;
        let metrics = RespondMetrics::register(registry);
        let (settings, clock) = (&config.respond, system_clock());
        let respond = if is_alone {
            Respond::start(settings, state, metrics, clock, stops.rest.clone()).await?
        } else {
            Respond::start_beside(settings, state, metrics, clock, stops.rest.clone()).await?
        };
        let respond = Arc::new(respond);
        let runtime = Handle::current();
        let (abandon, board) = (stops.abandon.clone(), DetectionBoard::default());
        let recorder =
            Recorder { respond: respond.clone(), runtime: runtime.clone(), on_alert, abandon };
        let judges = JudgeMaker::new(&config.detect, config.bus.partitions, recorder)?;
        if config.bus.partitions > 1 {
            judges.divided().iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        let values_max = config.detect.baseline.organisation_values_max;
        let (store, handle) = Store::start(writer, stops.abandon.clone())?;
        let worker = Worker {
            bus,
            folder: folder.clone(),
            judges,
            runtime,
            store: handle,
            ingested: lake.positions().into_iter().collect(),
            exchange: Exchange::new(folder.detections(), values_max),
            stop: stops.detection.clone(),
            board: board.clone(),
            shards: Default::default(),
            waits: Default::default(),
            waiting: None,
            is_lost: false,
        };
        let worker = spawn("detect", &stops.abandon, move || worker.run())?;
        tokio::spawn(upkeep(lake.clone(), stops.rest.clone()));
        Ok(Self { worker, store, respond, lake, board })
    }

    /// Waits until all is stored and sent; it has been told to stop.
    pub async fn stopped(self, stops: &Stops) -> anyhow::Result<()> {
        let (worker, store) = (self.worker, self.store);
        let joining = tokio::task::spawn_blocking(move || [join(worker), store.join()]);
        let ended = joining.await.context("detection could not be waited for")?;
        stops.rest.cancel();
        self.respond.stopped().await;
        ended.into_iter().collect::<anyhow::Result<Vec<()>>>().map(drop)
    }
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
