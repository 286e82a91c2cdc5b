//! How far the sources are read, shared by their collectors and kept in one file.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bus::{Bus, Delivery, Offset};
use event::EventId;
use ingest::source::FilePosition;

use super::checkpoint::{self, Detection, Reading, SourceCheckpoint};
use super::envelope::Envelope;

/// The name under which collectors tell the bus what they may still want to see again.
pub const COLLECT: &str = "collect";

/// Bytes of the bus looked through at a time.
const SCAN_BYTES: u64 = 16 << 20;

/// The shared file.
pub struct ReadingFile {
    path: PathBuf,
    reading: Mutex<Reading>,
}

impl ReadingFile {
    /// Reads the file, if it is there.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        let reading = checkpoint::read(&path)?.unwrap_or_default();
        Ok(Self { path, reading: Mutex::new(reading) })
    }

    /// What was kept of a source.
    pub fn source(&self, name: &str) -> Option<SourceCheckpoint> {
        self.lock().sources.get(name).cloned()
    }

    /// Where on the bus to look for what was published since.
    pub fn scan_from(&self) -> u64 {
        self.lock().sources.values().map(|source| source.bus).min().unwrap_or(0)
    }

    /// Keeps how far a source is read, and returns from where the bus may be wanted again.
    pub fn keep(&self, name: &str, source: SourceCheckpoint) -> anyhow::Result<u64> {
        let mut reading = self.lock();
        reading.sources.insert(name.to_owned(), source);
        checkpoint::write(&self.path, &*reading)?;
        Ok(reading.sources.values().map(|source| source.bus).min().unwrap_or(0))
    }

    /// Every file that was ever read, by `run` or by `ingest`: the furthest position of each.
    pub fn files(&self, name: &str, detection: Option<&Detection>) -> Vec<FilePosition> {
        let mut furthest: BTreeMap<EventId, FilePosition> = BTreeMap::new();
        let own = self.lock().sources.get(name).cloned();
        let ingested = detection.into_iter().flat_map(|detection| detection.ingested.values());
        let all = own.iter().chain(ingested).flat_map(|source| &source.files);
        for file in all {
            let known = furthest.get(&file.key);
            if known.is_none_or(|known| known.offset < file.offset) {
                furthest.insert(file.key, file.clone());
            }
        }
        furthest.into_values().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far each file is already published or stored: rows before that are not published again.
pub async fn published(
    bus: &Bus,
    from: u64,
    stored: impl Iterator<Item = (String, i64)>,
) -> anyhow::Result<HashMap<EventId, u64>> {
    let mut ends: HashMap<EventId, u64> = stored
        .filter_map(|(name, end)| Some((file_of(&name)?, u64::try_from(end).ok()?)))
        .collect();
    let mut next = Offset(from.max(bus.start(0).0));
    while next < bus.end(0) {
        for delivery in bus.read(0, next, SCAN_BYTES).await? {
            next = delivery.next();
            let Delivery::Record { record, .. } = delivery else { continue };
            // What cannot be read is not ours; detection says so when it gets there.
            if let Ok((file, end)) = Envelope::extent(&record) {
                let known = ends.entry(file).or_default();
                *known = end.max(*known);
            }
        }
    }
    Ok(ends)
}

/// Name of the position of a file in the table.
pub fn position_name(file: EventId) -> String {
    format!("file/{file}")
}

fn file_of(name: &str) -> Option<EventId> {
    name.strip_prefix("file/")?.parse().ok()
}
