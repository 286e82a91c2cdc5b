//! The part that reads sources: a collector each, the log that they write, and with Kafka the
//! forwarder of that log.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, ensure};
use bus::{Bus, BusKind, EmbeddedBus, KafkaBus};
use ingest::source::{FileSource, FileSourceMode};
use lake::{LakeError, LakeReader};
use tokio::runtime::Handle;
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use super::board::SourceBoard;
use super::checkpoint::{self, Detection};
use super::collect::Collector;
use super::folder::DataFolder;
use super::forward::{FORWARD, ForwardTrouble, Forwarder};
use super::reading::{COLLECT, Published, ReadingFile};
use super::running::{Stops, join, spawn};
use super::shard::bus_position;
use super::worker::DETECT;
use crate::config::{Config, SourceConfig};

/// Sources being read.
pub struct Collecting {
    collectors: Vec<JoinHandle<anyhow::Result<()>>>,
    forwarding: Option<Forwarding>,
    log: EmbeddedBus,
}

struct Forwarding {
    task: Task<anyhow::Result<()>>,
    stop: CancellationToken,
    trouble: ForwardTrouble,
}

/// What the collectors share.
struct Shared {
    log: EmbeddedBus,
    partitions: u32,
    reading: Arc<ReadingFile>,
    known: Option<Detection>,
    published: Published,
    board: SourceBoard,
    append_bytes_max: usize,
}

impl Collecting {
    /// Starts a collector for each source, and the forwarder if the bus is Kafka.
    pub async fn start(
        config: &Config,
        folder: &DataFolder,
        log: EmbeddedBus,
        bus: &Bus,
        board: SourceBoard,
        stops: &Stops,
    ) -> anyhow::Result<Self> {
        let stored = stored_positions(folder).await?;
        prepare(&log, config.bus.kind, config.bus.partitions, &stored, folder).await?;
        let names = config.sources.iter().map(|source| source.name.clone()).collect();
        let reading = Arc::new(ReadingFile::open(folder.reading(), names)?);
        let (partitions, from) = (config.bus.partitions, reading.scan_from());
        let published = Published::find(&log, partitions, &from, stored.into_iter()).await?;
        let known = checkpoint::read(&folder.detection())?;
        ensure!(
            matches!(from.len(), 0 | 1) || from.len() == partitions as usize,
            "bus.partitions was {} and is {partitions}: events that were read would travel twice; \
             set it back, or begin with another data folder",
            from.len()
        );
        let append_bytes_max = config.bus.queue_bytes as usize;
        let shared = Shared {
            log: log.clone(),
            partitions,
            reading,
            known,
            published,
            board,
            append_bytes_max,
        };
        let mut collectors = Vec::new();
        for source in &config.sources {
            let collector = shared.collector(source, &stops.sources)?;
            let name = format!("collect {}", source.name);
            collectors.push(spawn(&name, &stops.abandon, move || collector.run())?);
        }
        let forwarding = match bus {
            Bus::Embedded(_) => None,
            Bus::Kafka(kafka) => {
                Some(Forwarding::start(log.clone(), kafka.clone(), config.bus.queue_bytes, stops))
            }
        };
        Ok(Self { collectors, forwarding, log })
    }

    /// What keeps it from going on, if anything does.
    pub fn hindrance(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let trouble = self.forwarding.as_ref().map(|forwarding| forwarding.trouble.clone());
        let log = self.log.clone();
        move || {
            let stalled = log.status().partitions.into_iter().find_map(|part| part.stall);
            stalled.or_else(|| {
                let troubles = trouble.as_ref()?;
                let troubles = troubles.lock().unwrap_or_else(PoisonError::into_inner);
                troubles.values().next().cloned()
            })
        }
    }

    /// Waits for the collectors, which have been told to stop. What is not forwarded by then
    /// stays in the log.
    pub async fn stopped(self) -> anyhow::Result<()> {
        let collectors = self.collectors;
        let joining = tokio::task::spawn_blocking(move || {
            collectors.into_iter().map(join).collect::<Vec<_>>()
        });
        let ended = joining.await.context("the collectors could not be waited for")?;
        if let Some(forwarding) = self.forwarding {
            forwarding.stop.cancel();
            forwarding.task.await.context("the forwarder could not be waited for")??;
        }
        ended.into_iter().collect::<anyhow::Result<Vec<()>>>().map(drop)
    }
}

impl Forwarding {
    fn start(log: EmbeddedBus, kafka: KafkaBus, queue_bytes: u32, stops: &Stops) -> Self {
        let (stop, trouble) = (CancellationToken::new(), ForwardTrouble::default());
        let forwarder =
            Forwarder { log, kafka, queue_bytes, trouble: trouble.clone(), stop: stop.clone() };
        let failed = stops.abandon.clone();
        let task = tokio::spawn(async move {
            let failing = failed.drop_guard();
            let ended = forwarder.run().await;
            if ended.is_ok() {
                failing.disarm();
            }
            ended
        });
        Self { task, stop, trouble }
    }
}

impl Shared {
    fn collector(
        &self,
        source: &SourceConfig,
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
            instance: source.instance().to_owned(),
            stream,
            items,
            positions: opened.positions(),
            log: self.log.clone(),
            partitions: self.partitions,
            runtime: Handle::current(),
            reading: self.reading.clone(),
            published: self.published.clone(),
            newest_days: HashMap::new(),
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

/// Tells the log who reads it. One that detection read until now goes to Kafka from where the
/// table stands.
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
    log.forget(DETECT).await.context("the log cannot keep its marks")
}
