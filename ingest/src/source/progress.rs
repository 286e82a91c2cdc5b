//! How much there is to read and how much was, for a progress bar.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of files and of bytes on disk (compressed files count as compressed). Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct FileProgress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    files: AtomicU64,
    files_done: AtomicU64,
    bytes: AtomicU64,
    bytes_read: AtomicU64,
}

impl FileProgress {
    /// Files found.
    pub fn files(&self) -> u64 {
        self.0.files.load(Relaxed)
    }

    /// Files read to their end, or known to hold nothing new.
    pub fn files_done(&self) -> u64 {
        self.0.files_done.load(Relaxed)
    }

    /// Bytes on disk of the files found, when they were found.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Relaxed)
    }

    /// Bytes on disk that were read, in this run or before it.
    pub fn bytes_read(&self) -> u64 {
        self.0.bytes_read.load(Relaxed)
    }

    pub(super) fn found(&self, bytes: u64) {
        self.0.files.fetch_add(1, Relaxed);
        self.0.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.0.bytes_read.fetch_add(bytes, Relaxed);
    }

    pub(super) fn file_done(&self) {
        self.0.files_done.fetch_add(1, Relaxed);
    }
}
