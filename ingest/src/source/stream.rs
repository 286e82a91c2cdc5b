//! One content and how far it is read; and one file on disk and what it is to the contents.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use event::EventId;

use super::content::{Content, FileId, Stamp};
use super::file_position::{FilePosition, PROOF_BYTES, proof_hash, tail_start};

/// A content: what stays the same when a file is renamed, copied or compressed.
pub(super) struct Stream {
    pub(super) key: EventId,
    pub(super) first_line: EventId,
    pub(super) ordinal: u32,
    /// Where it was last seen, and in which file.
    pub(super) path: Arc<Path>,
    pub(super) home: FileId,
    /// The file it is read from now.
    pub(super) carrier: Option<FileId>,
    pub(super) prefix_length: usize,
    pub(super) prefix_hash: EventId,
    /// Everything before was handed on.
    pub(super) offset: u64,
    /// The up to 1 KiB before `offset`, compared again with every read; empty if not loaded.
    pub(super) tail: Vec<u8>,
    /// An offset at or before `offset`, and the hash of what is before it.
    pub(super) proof: (u64, EventId),
    pub(super) finished: bool,
    /// When the carrier was lost while the content was not finished.
    pub(super) orphaned: Option<Instant>,
    /// Whether the loss of the carrier was reported when it happened.
    pub(super) reported: bool,
    pub(super) queued: bool,
    /// The largest size its files had.
    pub(super) seen: u64,
    /// What `stat` said when it was queued last.
    pub(super) checked: Option<Stamp>,
    /// Grows with every finished content: the lowest is forgotten first.
    pub(super) age: u64,
}

impl Stream {
    pub(super) fn new(key: EventId, line: EventId, ordinal: u32, file: &FileOnDisk) -> Self {
        Self {
            key,
            first_line: line,
            ordinal,
            path: Arc::clone(&file.path),
            home: file.id,
            carrier: None,
            prefix_length: 0,
            prefix_hash: proof_hash(&[]),
            offset: 0,
            tail: Vec::new(),
            proof: (0, proof_hash(&[])),
            finished: false,
            orphaned: None,
            reported: false,
            queued: false,
            seen: 0,
            checked: None,
            age: 0,
        }
    }

    pub(super) fn restored(position: &FilePosition, age: u64, now: Instant) -> Self {
        Self {
            key: position.key,
            first_line: position.first_line,
            ordinal: position.ordinal,
            path: Path::new(&position.path).into(),
            home: FileId { device: position.device, inode: position.inode },
            carrier: None,
            prefix_length: (position.prefix_length as usize).min(PROOF_BYTES),
            prefix_hash: position.prefix_hash,
            offset: position.offset,
            tail: Vec::new(),
            proof: (position.tail_offset.min(position.offset), position.tail_hash),
            finished: position.finished,
            orphaned: (!position.finished).then_some(now),
            reported: false,
            queued: false,
            seen: 0,
            checked: None,
            age,
        }
    }

    pub(super) fn record(&self) -> FilePosition {
        FilePosition {
            key: self.key,
            first_line: self.first_line,
            ordinal: self.ordinal,
            path: self.path.to_string_lossy().into_owned(),
            device: self.home.device,
            inode: self.home.inode,
            prefix_length: u32::try_from(self.prefix_length).unwrap_or(u32::MAX),
            prefix_hash: self.prefix_hash,
            offset: self.offset,
            tail_offset: self.proof.0,
            tail_hash: self.proof.1,
            finished: self.finished,
        }
    }

    /// Whether `tail` is loaded.
    pub(super) fn has_tail(&self) -> bool {
        self.tail.len() as u64 == self.offset - tail_start(self.offset)
    }

    /// Takes note of the bytes that follow.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        if bytes.len() >= PROOF_BYTES {
            self.tail.clear();
        }
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(PROOF_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(PROOF_BYTES));
        self.proof = (self.offset, proof_hash(&self.tail));
    }
}

/// What a file is to the contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its first line is not complete yet, or what it is cannot be told yet.
    Unknown,
    /// A content is read from it.
    Carrier(EventId),
    /// All of it stands in a content that is read from another file.
    Copy(EventId),
    /// It cannot be read.
    Damaged,
}

/// A file that a configured path names, or that is still open.
pub(super) struct FileOnDisk {
    pub(super) id: FileId,
    pub(super) path: Arc<Path>,
    pub(super) stamp: Stamp,
    /// A configured path leads to it.
    pub(super) named: bool,
    /// Its path changed since it was found.
    pub(super) rotated: bool,
    pub(super) quiet_since: Instant,
    pub(super) content: Option<Content>,
    pub(super) standing: Standing,
    /// How many bytes were found to be those of which content.
    pub(super) compared: Option<(EventId, u64)>,
}

impl FileOnDisk {
    pub(super) fn new(path: &Path, id: FileId, stamp: Stamp, now: Instant) -> Self {
        Self {
            id,
            path: path.into(),
            stamp,
            named: true,
            rotated: false,
            quiet_since: now,
            content: None,
            standing: Standing::Unknown,
            compared: None,
        }
    }
}
