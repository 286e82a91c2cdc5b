//! How far a content is read, with the proof by which it is recognised; kept by the caller.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event::EventId;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::content::{FileId, read_full_at};

/// How many bytes at the start, and before an offset, prove that a content is the same.
pub(super) const PROOF_BYTES: usize = 1_024;

/// The durable record of one content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// Identifies the content; event ids derive from it and the offset.
    pub key: EventId,
    /// Hash of source name and first line: what contents of several `ordinal`s share.
    pub first_line: EventId,
    /// 0, or one more than the last other content with this first line.
    pub ordinal: u32,
    /// Where it was last seen.
    pub path: String,
    /// Device of the file it was last read from.
    pub device: u64,
    /// Inode of that file.
    pub inode: u64,
    /// How many bytes `prefix_hash` covers; 1,024 or all there were.
    pub prefix_length: u32,
    /// Of the first bytes of the content.
    pub prefix_hash: EventId,
    /// Everything before is durable.
    pub offset: u64,
    /// Where `tail_hash` was taken: `offset`, or a little before it if the file could not be
    /// read again there.
    pub tail_offset: u64,
    /// Of the up to 1,024 bytes before `tail_offset`.
    pub tail_hash: EventId,
    /// The content is complete and `offset` is its end.
    pub finished: bool,
}

/// Hash of proof bytes.
pub(super) fn proof_hash(bytes: &[u8]) -> EventId {
    EventId::of(&[bytes])
}

/// Where the tail before `offset` begins.
pub(super) fn tail_start(offset: u64) -> u64 {
    offset.saturating_sub(PROOF_BYTES as u64)
}

/// Hands out position records for any offset that was read. Cheap to clone.
#[derive(Clone, Default)]
pub struct FilePositions(Arc<Mutex<HashMap<EventId, Tracked>>>);

struct Tracked {
    record: FilePosition,
    /// The descriptor to prove an offset with; none if compressed, truncated or closed.
    file: Option<Arc<File>>,
    /// Offsets at which reads ended, with the hash there: proofs without the file.
    marks: Vec<(u64, EventId)>,
}

/// Marks are thinned out beyond this many; only the exactness of a proof suffers.
const MARKS_MAX: usize = 256;

impl FilePositions {
    /// The record to persist when everything before `offset` of `key` is durable.
    ///
    /// `None` if the key is unknown or the offset was not read yet.
    pub fn position(&self, key: EventId, offset: u64) -> Option<FilePosition> {
        let mut all = self.lock();
        let tracked = all.get_mut(&key)?;
        if offset > tracked.record.offset {
            return None;
        }
        let (tail_offset, tail_hash) = tracked.proof_at(offset);
        let finished = tracked.record.finished && offset == tracked.record.offset;
        Some(FilePosition { offset, tail_offset, tail_hash, finished, ..tracked.record.clone() })
    }

    /// The records of several keys; those that have none are left out.
    pub fn positions_at(&self, offsets: &[(EventId, u64)]) -> Vec<FilePosition> {
        offsets.iter().filter_map(|&(key, offset)| self.position(key, offset)).collect()
    }

    /// Whether the content is remembered.
    pub(super) fn knows(&self, key: EventId) -> bool {
        self.lock().contains_key(&key)
    }

    pub(super) fn insert(&self, record: FilePosition) {
        let marks = vec![(record.tail_offset, record.tail_hash)];
        self.lock().insert(record.key, Tracked { record, file: None, marks });
    }

    pub(super) fn remove(&self, key: EventId) {
        self.lock().remove(&key);
    }

    pub(super) fn advance(&self, key: EventId, offset: u64, tail: &[u8]) {
        if let Some(tracked) = self.lock().get_mut(&key) {
            tracked.record.offset = offset;
            tracked.record.finished = false;
            tracked.mark(offset, proof_hash(tail));
        }
    }

    pub(super) fn locate(&self, key: EventId, path: &Path, id: FileId) {
        if let Some(tracked) = self.lock().get_mut(&key) {
            let path = path.to_string_lossy().into_owned();
            let FileId { device, inode } = id;
            tracked.record = FilePosition { path, device, inode, ..tracked.record.clone() };
        }
    }

    pub(super) fn set_file(&self, key: EventId, file: Option<Arc<File>>) {
        if let Some(tracked) = self.lock().get_mut(&key) {
            tracked.file = file;
        }
    }

    pub(super) fn set_prefix(&self, key: EventId, length: u32, hash: EventId) {
        if let Some(tracked) = self.lock().get_mut(&key) {
            tracked.record.prefix_length = length;
            tracked.record.prefix_hash = hash;
        }
    }

    pub(super) fn finish(&self, key: EventId) {
        if let Some(tracked) = self.lock().get_mut(&key) {
            tracked.record.finished = true;
            tracked.file = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EventId, Tracked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracked {
    fn mark(&mut self, offset: u64, hash: EventId) {
        if self.marks.len() >= MARKS_MAX {
            let mut odd = false;
            self.marks.retain(|_| {
                odd = !odd;
                odd
            });
        }
        self.marks.push((offset, hash));
    }

    /// Offset and hash of the best proof at or before `offset`; older marks are dropped.
    fn proof_at(&mut self, offset: u64) -> (u64, EventId) {
        let after = self.marks.partition_point(|mark| mark.0 <= offset);
        self.marks.drain(..after.saturating_sub(1));
        let mark = match self.marks.first() {
            Some(&mark) if mark.0 <= offset => mark,
            _ => (0, proof_hash(&[])),
        };
        if mark.0 == offset {
            return mark;
        }
        // The file may have been truncated and written anew since: it proves `offset` only if it
        // still has what was read last.
        let last = self.marks.last().copied().unwrap_or(mark);
        match (self.hash_before(last.0), self.hash_before(offset)) {
            (Some(now), Some(hash)) if now == last.1 => (offset, hash),
            _ => mark,
        }
    }

    /// Of the tail before `offset`, as it stands in the file now.
    fn hash_before(&self, offset: u64) -> Option<EventId> {
        let start = tail_start(offset);
        let mut tail = [0; PROOF_BYTES];
        let tail = &mut tail[..(offset - start) as usize];
        let read = read_full_at(self.file.as_ref()?, start, tail).ok()?;
        (read == tail.len()).then(|| proof_hash(tail))
    }
}
