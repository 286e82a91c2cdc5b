//! How far the sources are read, shared by their collectors and kept in one file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bus::{Delivery, EmbeddedBus, Offset};
use event::EventId;
use ingest::source::Position;

use super::envelope::Extent;
use crate::checkpoint::{self, DetectionCheckpoint, SourceCheckpoint, SourceCheckpoints};

/// The name under which collectors tell the log what they may still want to see again.
pub const COLLECT: &str = "collect";

/// Bytes of the log looked through at a time.
const SCAN_BYTES: u64 = 16 << 20;

/// The shared file.
pub struct SourceProgress {
    path: PathBuf,
    kept: Mutex<SourceCheckpoints>,
    /// Sources that are read now: others publish nothing.
    active: BTreeSet<String>,
}

impl SourceProgress {
    /// Reads the file, if it is there; for these sources.
    pub fn open(path: PathBuf, active: BTreeSet<String>) -> anyhow::Result<Self> {
        let kept = checkpoint::read(&path)?.unwrap_or_default();
        Ok(Self { path, kept: Mutex::new(kept), active })
    }

    /// What was kept of a source.
    pub fn source(&self, name: &str) -> Option<SourceCheckpoint> {
        self.lock().sources.get(name).cloned()
    }

    /// Where in each partition of the log to look for what was published since.
    pub fn scan_from(&self) -> Vec<u64> {
        oldest(&self.lock(), &self.active)
    }

    /// Keeps how far a source is read, and returns from where each partition of the log may be
    /// wanted again.
    pub fn keep(&self, name: &str, source: SourceCheckpoint) -> anyhow::Result<Vec<u64>> {
        let mut kept = self.lock();
        kept.sources.insert(name.to_owned(), source);
        checkpoint::write(&self.path, &*kept)?;
        Ok(oldest(&kept, &self.active))
    }

    /// Every stream that is remembered, read by `run` or by `ingest`: the furthest position of
    /// each.
    pub fn positions(&self, name: &str, detection: Option<&DetectionCheckpoint>) -> Vec<Position> {
        let mut furthest: BTreeMap<EventId, Position> = BTreeMap::new();
        let own = self.lock().sources.get(name).cloned();
        let ingested = detection.into_iter().flat_map(|detection| detection.ingested.values());
        let all = own.iter().chain(ingested).flat_map(|source| &source.positions);
        for position in all {
            let known = furthest.get(&position.key());
            if known.is_none_or(|known| known.offset() < position.offset()) {
                furthest.insert(position.key(), position.clone());
            }
        }
        furthest.into_values().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SourceCheckpoints> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By partition, the oldest end that an active source has kept; nothing for partitions that are
/// new. A source that has kept nothing yet holds nothing back: what it publishes again after a
/// crash, detection knows by its position.
fn oldest(kept: &SourceCheckpoints, active: &BTreeSet<String>) -> Vec<u64> {
    let kept = || active.iter().filter_map(|name| kept.sources.get(name));
    let partitions = kept().map(|source| source.log.len()).min().unwrap_or(0);
    let of = |partition: usize| kept().map(move |source| source.log[partition]);
    (0..partitions).map(|partition| of(partition).min().unwrap_or(0)).collect()
}

/// How far each file is already published or stored: rows before that are not published again.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// On all partitions.
    everywhere: HashMap<EventId, u64>,
    /// On one partition, events or copies: after a crash between two partitions.
    slices: HashMap<(u32, EventId, bool), u64>,
}

impl Published {
    /// From the positions of the table, and from what the log holds.
    pub async fn find(
        log: &EmbeddedBus,
        partitions: u32,
        from: &[u64],
        stored: impl Iterator<Item = (String, i64)>,
    ) -> anyhow::Result<Self> {
        let mut published = Self::default();
        for (name, end) in stored {
            if let (Some(file), Ok(end)) = (file_of(&name), u64::try_from(end)) {
                published.advance(file, end);
            }
        }
        for partition in 0..partitions {
            let kept = from.get(partition as usize).copied().unwrap_or(0);
            let mut next = Offset(kept.max(log.start(partition).0));
            while next < log.end(partition) {
                for delivery in log.read(partition, next, SCAN_BYTES).await? {
                    next = delivery.next();
                    let Delivery::Record { record, .. } = delivery else { continue };
                    // What cannot be read is not ours; detection says so when it gets there.
                    if let Ok(extent) = Extent::of(&record) {
                        published.found(partition, &extent);
                    }
                }
            }
        }
        Ok(published)
    }

    /// All of the file before `end` is published.
    pub fn advance(&mut self, file: EventId, end: u64) {
        let known = self.everywhere.entry(file).or_default();
        *known = end.max(*known);
    }

    /// Before which position of the file nothing is to be published on the partition.
    pub fn end(&self, partition: u32, file: EventId, copies: bool) -> u64 {
        let everywhere = self.everywhere.get(&file).copied().unwrap_or(0);
        let here = self.slices.get(&(partition, file, copies)).copied().unwrap_or(0);
        everywhere.max(here)
    }

    fn found(&mut self, partition: u32, extent: &Extent) {
        // A file that was not divided was whole on its only partition.
        if extent.partitions == 1 {
            return self.advance(extent.file, extent.end);
        }
        let key = (partition, extent.file, extent.copies);
        let known = self.slices.entry(key).or_default();
        *known = extent.end.max(*known);
    }
}

/// Name of the position of a file in the table.
pub fn position_name(file: EventId) -> String {
    format!("file/{file}")
}

fn file_of(name: &str) -> Option<EventId> {
    name.strip_prefix("file/")?.parse().ok()
}
