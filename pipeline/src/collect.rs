//! The part that reads sources: a collector each, the log that they write, and with Kafka the
//! forwarder of that log.

pub mod collector;
pub mod envelope;
mod forwarder;
pub mod partition_slice;
pub mod source;
pub mod source_progress;
pub mod tick;

use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use bus::{Bus, BusKind, EmbeddedBus};
use ingest::source::Start;
use lake::{LakeError, LakeReader};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::Settings;
use crate::checkpoint::{self, DetectionCheckpoint};
use crate::detect::shard::bus_position;
use crate::detect::worker::DETECT;
use crate::folder::DataFolder;
use crate::status::source_board::SourceBoard;
use crate::supervisor::{Started, Supervisor};
use collector::Collector;
use forwarder::Forwarder;
use source::SourceSettings;
use source_progress::{COLLECT, Published, SourceProgress};
use tick::TickClock;

pub use forwarder::{FORWARD, TASK as FORWARD_TASK};

/// Sources being read.
pub struct Collecting {
    collectors: Vec<Started>,
    forwarder: Option<(Started, CancellationToken)>,
}

/// What the collectors share.
struct Shared {
    log: EmbeddedBus,
    partitions: u32,
    progress: Arc<SourceProgress>,
    ingested: Option<DetectionCheckpoint>,
    published: Published,
    board: SourceBoard,
    append_bytes_max: usize,
    folder: DataFolder,
}

impl Collecting {
    /// Starts a collector for each source, and the forwarder if the bus is Kafka.
    pub async fn start(
        settings: &Settings,
        folder: &DataFolder,
        log: EmbeddedBus,
        bus: &Bus,
        board: SourceBoard,
        (supervisor, stop): (&Supervisor, &CancellationToken),
    ) -> anyhow::Result<Self> {
        let stored = stored_positions(folder).await?;
        prepare(&log, settings.bus.kind, settings.bus.partitions, &stored, folder).await?;
        let names = settings.sources.iter().map(|source| source.name.clone()).collect();
        let progress = Arc::new(SourceProgress::open(folder.sources(), names)?);
        let (partitions, from) = (settings.bus.partitions, progress.scan_from());
        let published = Published::find(&log, partitions, &from, stored.into_iter()).await?;
        ensure!(
            matches!(from.len(), 0 | 1) || from.len() == partitions as usize,
            "bus.partitions was {} and is {partitions}: events that were read would travel twice; \
             set it back, or begin with another data folder",
            from.len()
        );
        let shared = Shared {
            log: log.clone(),
            partitions,
            progress,
            ingested: checkpoint::read(&folder.detection_of_ingest(&settings.bus))?,
            published,
            board,
            append_bytes_max: settings.bus.queue_bytes as usize,
            folder: folder.clone(),
        };
        let mut collectors = Vec::new();
        for source in &settings.sources {
            let collector = shared.collector(source, stop)?;
            let name = format!("collect {}", source.name);
            collectors.push(supervisor.thread(&name, stop, move |task| collector.run(task))?);
        }
        let forwarder = match bus {
            Bus::Embedded(_) => None,
            Bus::Kafka(kafka) => {
                let (stop, queue_bytes) = (CancellationToken::new(), settings.bus.queue_bytes);
                let (kafka, stopped) = (kafka.clone(), stop.clone());
                let started = supervisor.task(FORWARD_TASK, &stop, move |task| {
                    let (log, kafka, stop) = (log.clone(), kafka.clone(), stopped.clone());
                    let problems = Mutex::default();
                    Forwarder { log, kafka, queue_bytes, stop, task, problems }.run()
                });
                Some((started, stop))
            }
        };
        Ok(Self { collectors, forwarder })
    }

    /// Waits for the collectors, which have been told to stop. What is not forwarded by then
    /// stays in the log.
    pub async fn stopped(self) -> anyhow::Result<()> {
        let mut ended = Vec::new();
        for collector in self.collectors {
            ended.push(collector.ended().await);
        }
        if let Some((forwarder, stop)) = self.forwarder {
            stop.cancel();
            ended.push(forwarder.ended().await);
        }
        ended.into_iter().collect()
    }
}

impl Shared {
    fn collector(
        &self,
        source: &SourceSettings,
        stop: &CancellationToken,
    ) -> anyhow::Result<Collector> {
        let kept = self.progress.source(&source.name);
        let positions = self.progress.positions(&source.name, self.ingested.as_ref());
        let stream = source.stream(kept.as_ref().map(|kept| kept.stream.as_slice()))?;
        let opened = source.kind.open(Start {
            instance: source.instance(),
            spool: &self.folder.spool(&source.name),
            positions: &positions,
            shutdown: stop.clone(),
        });
        let opened = opened.with_context(|| format!("the source `{}`", source.name))?;
        Ok(Collector {
            name: source.name.clone(),
            instance: source.instance().to_owned(),
            stream,
            source: opened,
            log: self.log.clone(),
            partitions: self.partitions,
            runtime: Handle::current(),
            progress: self.progress.clone(),
            published: self.published.clone(),
            hours: TickClock::default(),
            entry: self.board.add(source),
            stop: stop.clone(),
            append_bytes_max: self.append_bytes_max,
        })
    }
}

/// Positions of the table in this folder; none if there is no table, as on a machine that only
/// collects.
async fn stored_positions(folder: &DataFolder) -> anyhow::Result<Vec<(String, i64)>> {
    match LakeReader::open(&folder.lake()).await {
        Ok(lake) => Ok(lake.positions().into_iter().collect()),
        Err(LakeError::Absent(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Registers the log's consumers. A log that detection has read until now goes to Kafka from where
/// the table stands.
async fn prepare(
    log: &EmbeddedBus,
    kind: BusKind,
    partitions: u32,
    stored: &[(String, i64)],
    folder: &DataFolder,
) -> anyhow::Result<()> {
    log.register(COLLECT).await?;
    let was_forwarded = log.committed(FORWARD, 0).is_some();
    if kind == BusKind::Embedded {
        ensure!(
            !was_forwarded,
            "the log in {} goes to Kafka; to leave Kafka, begin with another data folder",
            folder.bus().display()
        );
        log.register(DETECT).await?;
        return Ok(());
    }
    log.register(FORWARD).await?;
    // Detection is forgotten last: until then a start that was broken off begins again.
    if !was_forwarded || log.committed(DETECT, 0).is_some() {
        for partition in 0..partitions {
            let name = bus_position(&partition.to_string());
            let at = stored.iter().find(|(known, _)| *known == name);
            if let Some((_, offset)) = at {
                let offset = bus::Offset(offset.cast_unsigned()).min(log.end(partition));
                log.commit(FORWARD, partition, offset).await?;
            }
        }
    }
    log.forget(DETECT).await.context("the log cannot keep its consumer offsets")
}
