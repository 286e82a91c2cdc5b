//! How far each registered consumer has read, kept in one small file that is replaced as a whole.
//! They decide what may be deleted and, after a crash, what must have been durable; where a
//! consumer goes on is its own business.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::BusError;
use crate::disk::Disk;
use crate::partition::{Partition, lock};

/// Name of the file in the folder of the bus.
const FILE: &str = "consumer-offsets";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// Consumer to the first offset it has not read, one for each partition.
    consumers: BTreeMap<String, Vec<u64>>,
    /// Below these offsets everything was durable when the file was written.
    ends: Vec<u64>,
}

/// The offsets of all consumers on all partitions.
pub(crate) struct ConsumerOffsets {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    content: Mutex<Content>,
    /// Held while the file is replaced.
    writing: Mutex<()>,
}

impl ConsumerOffsets {
    /// Reads the offsets of a bus folder; none if there is no file yet.
    pub(crate) fn open(disk: Arc<dyn Disk>, directory: &Path) -> Result<ConsumerOffsets, BusError> {
        let path = directory.join(FILE);
        let names = disk.list(directory).map_err(BusError::storage(directory))?;
        let content = if names.iter().any(|name| name == FILE) {
            let bytes = read(&*disk, &path).map_err(BusError::storage(&path))?;
            parse(&bytes).ok_or_else(|| BusError::ConsumerOffsets(path.clone()))?
        } else {
            Content::default()
        };
        let (content, directory) = (Mutex::new(content), directory.to_owned());
        Ok(ConsumerOffsets { disk, directory, content, writing: Mutex::default() })
    }

    /// An offset of a partition below which everything was durable.
    pub(crate) fn known_end(&self, partition: u32) -> u64 {
        lock(&self.content).ends.get(partition as usize).copied().unwrap_or_default()
    }

    /// A consumer's offset on a partition; `None` if it is not registered.
    pub(crate) fn committed(&self, name: &str, partition: u32) -> Option<u64> {
        let content = lock(&self.content);
        let offsets = content.consumers.get(name)?;
        Some(offsets.get(partition as usize).copied().unwrap_or_default())
    }

    /// The lowest offset on a partition; `None` while no consumer is registered.
    pub(crate) fn lowest(&self, partition: u32) -> Option<u64> {
        let content = lock(&self.content);
        let offsets = content.consumers.values();
        offsets.map(|offsets| offsets.get(partition as usize).copied().unwrap_or_default()).min()
    }

    /// Adds a consumer that has read nothing yet; one that is known keeps its offsets.
    pub(crate) fn register(&self, name: &str, partitions: &[Arc<Partition>]) -> io::Result<()> {
        let start = || partitions.iter().map(|partition| partition.start()).collect();
        lock(&self.content).consumers.entry(name.to_owned()).or_insert_with(start);
        self.save(partitions)
    }

    /// Removes a consumer.
    pub(crate) fn forget(&self, name: &str, partitions: &[Arc<Partition>]) -> io::Result<()> {
        lock(&self.content).consumers.remove(name);
        self.save(partitions)
    }

    /// Raises a consumer's offset in memory; false if the consumer is not registered.
    pub(crate) fn raise(&self, name: &str, partition: u32, offset: u64) -> bool {
        let mut content = lock(&self.content);
        let Some(offsets) = content.consumers.get_mut(name) else { return false };
        let place = partition as usize;
        offsets.resize(offsets.len().max(place + 1), 0);
        if let Some(known) = offsets.get_mut(place) {
            *known = offset.max(*known);
        }
        true
    }

    /// Replaces the file: written beside, synced, renamed, and the rename synced.
    pub(crate) fn save(&self, partitions: &[Arc<Partition>]) -> io::Result<()> {
        let _writing = lock(&self.writing);
        let content = {
            let mut content = lock(&self.content);
            content.ends = partitions.iter().map(|partition| partition.end()).collect();
            content.clone()
        };
        let json = serde_json::to_string(&content)?;
        let text = format!("{:08x}\n{json}", crc32fast::hash(json.as_bytes()));
        let (draft, path) = (self.directory.join(format!("{FILE}.new")), self.directory.join(FILE));
        match self.disk.remove(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(&draft)?;
        file.write_at(0, text.as_bytes())?;
        file.sync()?;
        self.disk.rename(&draft, &path)?;
        self.disk.sync_directory(&self.directory)
    }
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; file.size()? as usize];
    let filled = file.read_at(0, &mut bytes)?;
    bytes.truncate(filled);
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Option<Content> {
    let (checksum, json) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    (checksum == crc32fast::hash(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
}
