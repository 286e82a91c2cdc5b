//! A source at work: bytes become batches on the bus, in the order of each file, each once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bus::{Bus, Record};
use event::{EventId, Timestamp};
use ingest::source::{FileData, FilePositions, Notice, SourceItem};
use ingest::{Decoded, Stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;

use super::board::SourceEntry;
use super::checkpoint::SourceCheckpoint;
use super::envelope::Envelope;
use super::reading::{COLLECT, ReadingFile};

/// How long a quiet source waits for a line that might still change the ones before it, such as
/// the error of a statement.
const GRACE: Duration = Duration::from_millis(3);

/// How often progress is kept; what was published since is found on the bus.
const KEEP: Duration = Duration::from_secs(1);

/// Reads one source into the bus until its items end.
pub struct Collector {
    pub name: String,
    pub stream: Stream,
    pub items: Receiver<SourceItem>,
    pub positions: FilePositions,
    pub bus: Arc<Bus>,
    pub runtime: Handle,
    pub reading: Arc<ReadingFile>,
    /// How far each file is published.
    pub published: HashMap<EventId, u64>,
    pub entry: Arc<SourceEntry>,
}

/// Bytes published at a time; the bus takes no more than its queue holds.
const APPEND_BYTES: usize = 8 << 20;

/// What changes from item to item.
struct Progress {
    /// End of what was fed of each file.
    fed: HashMap<EventId, u64>,
    flush_at: Option<Instant>,
    keep_at: Instant,
    is_kept: bool,
}

impl Collector {
    /// Works until the source ends or is told to stop, then keeps how far it came.
    pub fn run(mut self) -> anyhow::Result<()> {
        let mut progress = Progress {
            fed: HashMap::new(),
            flush_at: None,
            keep_at: Instant::now() + KEEP,
            is_kept: true,
        };
        loop {
            let until = progress.flush_at.unwrap_or(progress.keep_at);
            match self.next_item(until) {
                Ok(Some(SourceItem::Data(data))) => self.feed(&data, &mut progress)?,
                Ok(Some(SourceItem::Idle)) => {
                    progress.flush_at.get_or_insert_with(|| Instant::now() + GRACE);
                }
                Ok(Some(SourceItem::Notice(notice))) => self.notice(&notice),
                Ok(Some(SourceItem::Finished) | None) => break,
                Err(_elapsed) => {}
            }
            if progress.flush_at.is_some_and(|at| at <= Instant::now()) {
                progress.flush_at = None;
                self.publish(true)?;
            }
            if progress.keep_at <= Instant::now() {
                progress.keep_at = Instant::now() + KEEP;
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
        let (mut records, mut ends, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(decoded) = self.stream.take(flush) {
            self.entry.decoded(&decoded);
            ends.push((decoded.file, decoded.end));
            if let Some(envelope) = self.envelope(decoded) {
                let record = envelope.seal()?;
                bytes += record.payload.len();
                records.push(record);
            }
            if bytes >= APPEND_BYTES {
                self.append(&mut records, &mut ends)?;
                bytes = 0;
            }
        }
        self.append(&mut records, &mut ends)
    }

    fn append(
        &mut self,
        records: &mut Vec<Record>,
        ends: &mut Vec<(EventId, u64)>,
    ) -> anyhow::Result<()> {
        if !records.is_empty() {
            self.runtime
                .block_on(self.bus.append(0, std::mem::take(records)))
                .context("the bus takes no more records")?;
        }
        for (file, end) in ends.drain(..) {
            let known = self.published.entry(file).or_default();
            *known = end.max(*known);
        }
        Ok(())
    }

    /// What of a decoded part is not yet published; none if there is nothing.
    fn envelope(&self, decoded: Decoded) -> Option<Envelope> {
        let Decoded { file, events, mut rejects, end, .. } = decoded;
        let known = self.published.get(&file).copied().unwrap_or(0);
        let events = Some(super::after(events, known)).filter(|events| !events.is_empty());
        rejects.retain(|reject| reject.position.cast_unsigned() >= known);
        if events.is_none() && rejects.is_empty() {
            return None;
        }
        Some(Envelope { source: self.name.clone(), file, end, events, rejects })
    }

    fn keep(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        if progress.is_kept {
            return Ok(());
        }
        let bus = self.bus.end(0).0;
        let stream = self.stream.snapshot();
        let fed: Vec<(EventId, u64)> = progress.fed.iter().map(|(k, end)| (*k, *end)).collect();
        let mut files = self.positions.positions_at(&fed);
        let before = self.reading.source(&self.name).unwrap_or_default().files;
        files.extend(before.into_iter().filter(|file| !progress.fed.contains_key(&file.key)));
        files.sort_by_key(|file| file.key);
        let kept = SourceCheckpoint { bus, files, stream };
        match self.reading.keep(&self.name, kept) {
            Ok(wanted) => {
                progress.is_kept = true;
                let commit = self.bus.commit(COLLECT, 0, bus::Offset(wanted));
                self.runtime.block_on(commit).context("the bus cannot keep its marks")
            }
            // The one before still holds; the bus has what was published since.
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
