//! A source at work: bytes become batches in the log of this machine, divided by partition, in
//! the order of each file, each once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bus::{EmbeddedBus, Record};
use event::{EventBatch, EventId, Reject, Timestamp};
use futures::future::try_join_all;
use ingest::source::{FileData, FilePositions, Notice, SourceItem};
use ingest::{Decoded, Stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::board::SourceEntry;
use super::checkpoint::SourceCheckpoint;
use super::envelope::Envelope;
use super::partition::{Portion, divide, partition_of};
use super::reading::{COLLECT, Published, ReadingFile};

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
    pub items: Receiver<SourceItem>,
    pub positions: FilePositions,
    pub log: EmbeddedBus,
    pub partitions: u32,
    pub runtime: Handle,
    pub reading: Arc<ReadingFile>,
    pub published: Published,
    /// The latest day that each file has come to.
    pub newest_days: HashMap<EventId, i32>,
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
struct Progress {
    /// End of what was fed of each file.
    fed: HashMap<EventId, u64>,
    flush_at: Option<Instant>,
    keep_at: Instant,
    kept_at: Instant,
    is_kept: bool,
}

impl Collector {
    /// Works until the source ends or is told to stop, then keeps how far it came.
    pub fn run(mut self) -> anyhow::Result<()> {
        let mut progress = Progress {
            fed: HashMap::new(),
            flush_at: None,
            keep_at: Instant::now() + KEEP,
            kept_at: Instant::now(),
            is_kept: false,
        };
        loop {
            let until = progress.flush_at.unwrap_or(progress.keep_at);
            match self.next_item(until) {
                Ok(Some(SourceItem::Data(data))) => self.feed(&data, &mut progress)?,
                Ok(Some(SourceItem::Idle)) => {
                    progress.flush_at.get_or_insert_with(|| Instant::now() + GRACE);
                }
                Ok(Some(SourceItem::Notice(notice))) => self.notice(&notice),
                Ok(Some(SourceItem::Finished)) => break,
                Ok(None) if self.stop.is_cancelled() => break,
                Ok(None) => bail!("the reader of source `{}` has ended by itself", self.name),
                Err(_elapsed) => {}
            }
            if progress.flush_at.is_some_and(|at| at <= Instant::now()) {
                progress.flush_at = None;
                self.publish(true)?;
            }
            if progress.keep_at <= Instant::now() {
                progress.keep_at = Instant::now() + KEEP;
                // A quiet source must not hold back what the log may forget of the others.
                if progress.kept_at.elapsed() >= KEEP_QUIET {
                    progress.is_kept = false;
                }
                self.keep(&mut progress)?;
            }
        }
        self.publish(true)?;
        self.keep(&mut progress)
    }

    /// The next item; none if there will be no more; an error if it takes longer than `until`.
    fn next_item(
        &mut self,
        until: Instant,
    ) -> Result<Option<SourceItem>, tokio::time::error::Elapsed> {
        if let Ok(item) = self.items.try_recv() {
            return Ok(Some(item));
        }
        let items = &mut self.items;
        self.runtime.block_on(async { tokio::time::timeout_at(until.into(), items.recv()).await })
    }

    fn feed(&mut self, data: &FileData, progress: &mut Progress) -> anyhow::Result<()> {
        let FileData { key, offset, bytes, end_of_file, .. } = data;
        self.stream.feed(*key, *offset, bytes, *end_of_file, now());
        progress.fed.insert(*key, offset + bytes.len() as u64);
        progress.is_kept = false;
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
        let Decoded { file, events, rejects, end, .. } = decoded;
        let newest_day = if self.partitions > 1 { detect::newest_day(&events) } else { None };
        let mut envelopes = Vec::new();
        for Portion { partition, events, copies } in divide(events, self.partitions) {
            for (part, copied) in [(events, false), (copies, true)] {
                let Some(part) = part else { continue };
                let known = self.published.end(partition, file, copied);
                let new = super::after(part, known);
                if !new.is_empty() {
                    let envelope = self.envelope(file, end, copied, Some(new), Vec::new());
                    envelopes.push((partition, envelope));
                }
            }
        }
        self.add_rejects(file, end, rejects, &mut envelopes);
        self.tell_newest_day(file, newest_day, &mut envelopes);
        envelopes
    }

    /// Notes in all envelopes which day their file has come to. Every partition hears of a new one,
    /// after a restart of the latest again.
    fn tell_newest_day(
        &mut self,
        file: EventId,
        newest_day: Option<i32>,
        envelopes: &mut Vec<(u32, Envelope)>,
    ) {
        let known = self.newest_days.get(&file).copied();
        let newest_day = known.max(newest_day);
        if let Some(day) = newest_day.filter(|_| known < newest_day) {
            self.newest_days.insert(file, day);
            for partition in 0..self.partitions {
                let is_there =
                    |(part, envelope): &(u32, Envelope)| *part == partition && !envelope.copies;
                if !envelopes.iter().any(is_there) {
                    // It holds nothing, and so it says nothing of how far the file is published.
                    envelopes.push((partition, self.envelope(file, 0, false, None, Vec::new())));
                }
            }
        }
        for (_, envelope) in envelopes.iter_mut().filter(|(_, envelope)| !envelope.copies) {
            envelope.newest_day = newest_day;
        }
    }

    /// Rejects have no identity: they travel with what the server itself does.
    fn add_rejects(
        &self,
        file: EventId,
        end: u64,
        mut rejects: Vec<Reject>,
        envelopes: &mut Vec<(u32, Envelope)>,
    ) {
        let partition = partition_of(&self.instance, None, self.partitions);
        let known = self.published.end(partition, file, false);
        rejects.retain(|reject| reject.position.cast_unsigned() >= known);
        if rejects.is_empty() {
            return;
        }
        let own =
            envelopes.iter_mut().find(|(part, envelope)| *part == partition && !envelope.copies);
        match own {
            Some((_, envelope)) => envelope.rejects = rejects,
            None => envelopes.push((partition, self.envelope(file, end, false, None, rejects))),
        }
    }

    fn envelope(
        &self,
        file: EventId,
        end: u64,
        copies: bool,
        events: Option<EventBatch>,
        rejects: Vec<Reject>,
    ) -> Envelope {
        let (source, partitions) = (self.name.clone(), self.partitions);
        let newest_day = None;
        Envelope { source, file, end, partitions, copies, newest_day, events, rejects }
    }

    fn keep(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        if progress.is_kept {
            return Ok(());
        }
        let log = (0..self.partitions).map(|partition| self.log.end(partition).0).collect();
        let stream = self.stream.snapshot();
        let fed: Vec<(EventId, u64)> = progress.fed.iter().map(|(k, end)| (*k, *end)).collect();
        let mut files = self.positions.positions_at(&fed);
        let before = self.reading.source(&self.name).unwrap_or_default().files;
        files.extend(before.into_iter().filter(|file| !progress.fed.contains_key(&file.key)));
        files.sort_by_key(|file| file.key);
        let kept = SourceCheckpoint { log, files, stream };
        match self.reading.keep(&self.name, kept) {
            Ok(wanted) => {
                (progress.is_kept, progress.kept_at) = (true, Instant::now());
                self.runtime.block_on(async {
                    for (partition, offset) in (0..).zip(wanted) {
                        self.log.commit(COLLECT, partition, bus::Offset(offset)).await?;
                    }
                    Ok::<(), bus::BusError>(())
                })?;
                Ok(())
            }
            // The one before still holds; the log has what was published since.
            Err(error) => {
                tracing::error!("{error:#}");
                Ok(())
            }
        }
    }
}

/// The edge of the pipeline is where the clock is read.
pub fn now() -> Timestamp {
    (respond::system_clock())()
}
