//! A source at work: bytes become batches in the log of this machine, divided by partition, in
//! the order of each file, each once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bus::{EmbeddedBus, Record};
use event::{EventBatch, EventId};
use futures::future::try_join_all;
use ingest::source::{Notice, Position, Source, SourceData, SourceItem};
use ingest::{Decoded, Stream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::envelope::Envelope;
use super::partition_slice::{PartitionSlice, divide, partition_of};
use super::source_progress::{COLLECT, Published, SourceProgress};
use super::tick::{Tick, TickClock, after};
use crate::checkpoint::SourceCheckpoint;
use crate::clock;
use crate::status::source_board::SourceEntry;
use crate::supervisor::Task;

/// How long a quiet source waits for a line that might still change the ones before it, such as
/// the error of a statement.
const GRACE: Duration = Duration::from_millis(3);

/// How often progress is kept; what was published since is found in the log.
const KEEP: Duration = Duration::from_secs(1);

/// Reads one source into the log until its items end.
pub struct Collector {
    pub name: String,
    pub instance: String,
    pub stream: Stream,
    pub source: Box<dyn Source>,
    pub log: EmbeddedBus,
    pub partitions: u32,
    pub runtime: Handle,
    pub progress: Arc<SourceProgress>,
    pub published: Published,
    /// The hours that the source has come to.
    pub hours: TickClock,
    pub entry: Arc<SourceEntry>,
    pub stop: CancellationToken,
    /// The log takes no more at once.
    pub append_bytes_max: usize,
}

/// Bytes published at a time; the log takes no more than its queue holds.
const APPEND_BYTES: usize = 8 << 20;

/// Key and headers of a record, and what the log adds, at most.
const RECORD_HEAD_BYTES: usize = 1 << 10;

/// What is about to be published.
#[derive(Default)]
struct Batch {
    /// By partition.
    records: BTreeMap<u32, Vec<Record>>,
    bytes: usize,
    /// Files, and how far they will then be published.
    ends: Vec<(EventId, u64)>,
}

/// How often a source that gives nothing says so.
const KEEP_QUIET: Duration = Duration::from_secs(60);

/// What changes from item to item.
struct Turn {
    /// End of what was fed of each file.
    fed: HashMap<EventId, u64>,
    flush_at: Option<Instant>,
    keep_at: Instant,
    kept_at: Instant,
    is_kept: bool,
}

impl Collector {
    /// Works until the source ends or is told to stop, then keeps how far it came.
    pub fn run(mut self, task: &Task) -> anyhow::Result<()> {
        let mut turn = Turn {
            fed: HashMap::new(),
            flush_at: None,
            keep_at: Instant::now() + KEEP,
            kept_at: Instant::now(),
            is_kept: false,
        };
        loop {
            let until = turn.flush_at.unwrap_or(turn.keep_at);
            match self.next_item(until) {
                Ok(Some(SourceItem::Data(data))) => self.feed(&data, &mut turn)?,
                Ok(Some(SourceItem::Idle)) => {
                    turn.flush_at.get_or_insert_with(|| Instant::now() + GRACE);
                }
                Ok(Some(SourceItem::Notice(notice))) => self.notice(&notice),
                Ok(Some(SourceItem::Finished)) => break,
                Ok(None) if self.stop.is_cancelled() => break,
                Ok(None) => bail!("the reader of source `{}` has ended by itself", self.name),
                Err(_elapsed) => {}
            }
            if turn.flush_at.is_some_and(|at| at <= Instant::now()) {
                turn.flush_at = None;
                self.publish(true)?;
            }
            if turn.keep_at <= Instant::now() {
                turn.keep_at = Instant::now() + KEEP;
                // A quiet source must not hold back what the log may forget of the others.
                if turn.kept_at.elapsed() >= KEEP_QUIET {
                    turn.is_kept = false;
                }
                self.keep(&mut turn, task)?;
            }
        }
        self.publish(true)?;
        self.keep(&mut turn, task)
    }

    /// The next item; none if there will be no more; an error if it takes longer than `until`.
    fn next_item(
        &mut self,
        until: Instant,
    ) -> Result<Option<SourceItem>, tokio::time::error::Elapsed> {
        let items = self.source.items();
        if let Ok(item) = items.try_recv() {
            return Ok(Some(item));
        }
        self.runtime.block_on(async { tokio::time::timeout_at(until.into(), items.recv()).await })
    }

    fn feed(&mut self, data: &SourceData, turn: &mut Turn) -> anyhow::Result<()> {
        let SourceData { key, offset, bytes, end_of_file, .. } = data;
        self.stream.feed(*key, *offset, bytes, *end_of_file, clock());
        turn.fed.insert(*key, offset + bytes.len() as u64);
        turn.is_kept = false;
        self.entry.read(bytes.len() as u64);
        if let Some(format) = self.stream.format_of(*key) {
            self.entry.recognised(format);
        }
        self.publish(false)
    }

    fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Found { .. } | Notice::Resumed { .. } | Notice::Copy { .. } => {
                tracing::info!(source = self.name, "{notice}");
            }
            Notice::Rotated { .. } | Notice::Forgotten { .. } => {
                tracing::debug!(source = self.name, "{notice}");
            }
            _ => {
                tracing::warn!(source = self.name, "{notice}");
                self.entry.problem(&notice.to_string());
            }
        }
    }

    /// Publishes what is ready; durable when this returns.
    fn publish(&mut self, flush: bool) -> anyhow::Result<()> {
        let mut batch = Batch::default();
        while let Some(decoded) = self.stream.take(flush) {
            self.entry.decoded(&decoded);
            batch.ends.push((decoded.file, decoded.end));
            for (partition, envelope) in self.envelopes(decoded) {
                let record = envelope.seal()?;
                let bytes = record.payload.len() + RECORD_HEAD_BYTES;
                if batch.bytes + bytes > self.append_bytes_max.min(APPEND_BYTES) {
                    // The ends wait: what is left of their part follows.
                    let ends = std::mem::take(&mut batch.ends);
                    self.append(std::mem::take(&mut batch))?;
                    batch.ends = ends;
                }
                batch.bytes += bytes;
                batch.records.entry(partition).or_default().push(record);
            }
        }
        self.append(batch)
    }

    fn append(&mut self, batch: Batch) -> anyhow::Result<()> {
        let log = &self.log;
        let appends = batch.records.into_iter().map(|(part, records)| log.append(part, records));
        self.runtime.block_on(try_join_all(appends)).context("the log takes no more records")?;
        for (file, end) in batch.ends {
            self.published.advance(file, end);
        }
        Ok(())
    }

    /// What of a decoded part is not yet published, by partition.
    fn envelopes(&mut self, decoded: Decoded) -> Vec<(u32, Envelope)> {
        let Decoded { file, events, mut rejects, end, .. } = decoded;
        let ticks = self.hours.advance(&events);
        let envelope = |copies: bool| {
            let (source, partitions) = (self.name.clone(), self.partitions);
            let (ticks, decisions) = (Vec::new(), Vec::new());
            let (events, rejects) = (None, Vec::new());
            Envelope { source, file, end, partitions, copies, ticks, decisions, events, rejects }
        };
        let new = |events: Option<EventBatch>, known: u64| {
            events.map(|events| after(events, known)).filter(|events| !events.is_empty())
        };
        let mut envelopes = Vec::new();
        for PartitionSlice { partition, events, copies } in divide(events, &ticks, self.partitions)
        {
            let known = self.published.end(partition, file, false);
            let ticks: Vec<Tick> =
                ticks.iter().filter(|tick| tick.position >= known).cloned().collect();
            let events = new(events, known);
            if events.is_some() || !ticks.is_empty() {
                envelopes.push((partition, Envelope { ticks, events, ..envelope(false) }));
            }
            if let Some(copies) = new(copies, self.published.end(partition, file, true)) {
                envelopes.push((partition, Envelope { events: Some(copies), ..envelope(true) }));
            }
        }
        // Rejects have no identity: they travel with what the server itself does.
        let home = partition_of(&self.instance, None, self.partitions);
        let known = self.published.end(home, file, false);
        rejects.retain(|reject| reject.position.cast_unsigned() >= known);
        if !rejects.is_empty() {
            let is_own =
                |(partition, own): &&mut (u32, Envelope)| *partition == home && !own.copies;
            match envelopes.iter_mut().find(is_own) {
                Some((_, own)) => own.rejects = rejects,
                None => envelopes.push((home, Envelope { rejects, ..envelope(false) })),
            }
        }
        envelopes
    }

    fn keep(&mut self, turn: &mut Turn, task: &Task) -> anyhow::Result<()> {
        if turn.is_kept {
            return Ok(());
        }
        let log = (0..self.partitions).map(|partition| self.log.end(partition).0).collect();
        let stream = self.stream.snapshot();
        let fed = turn.fed.iter().filter_map(|(key, end)| self.source.position(*key, *end));
        let mut positions: Vec<Position> = fed.collect();
        // Nothing is removed that the checkpoint before this one, should it be needed, wants.
        let before = self.progress.source(&self.name).unwrap_or_default().positions;
        let is_kept = |position: &&Position| {
            !turn.fed.contains_key(&position.key()) && self.source.wants(position)
        };
        positions.extend(before.iter().filter(is_kept).cloned());
        positions.sort_by_key(Position::key);
        let kept = SourceCheckpoint { log, positions, stream };
        match self.progress.keep(&self.name, kept) {
            Ok(wanted) => {
                task.set_problem(None);
                (turn.is_kept, turn.kept_at) = (true, Instant::now());
                self.runtime.block_on(async {
                    for (partition, offset) in (0..).zip(wanted) {
                        self.log.commit(COLLECT, partition, bus::Offset(offset)).await?;
                    }
                    Ok::<(), bus::BusError>(())
                })?;
                // What stays this time goes the next.
                if let Err(error) = self.source.persisted(&before) {
                    tracing::warn!(source = self.name, %error, "read spool files stay");
                }
                Ok(())
            }
            // The one before still holds; the log has what was published since.
            Err(error) => {
                tracing::error!("{error:#}");
                task.set_problem(Some(format!("{error:#}")));
                Ok(())
            }
        }
    }
}
