//! What the operator says about the files to follow.

use serde::{Deserialize, Serialize};

/// Settings of one file source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileSourceSettings {
    /// Files, folders (all files in them whose names look like logs) and glob patterns.
    pub paths: Vec<String>,
    /// Glob patterns of paths to leave out; a pattern without `/` is compared with the file name.
    pub exclude: Vec<String>,
    /// How many levels below a folder, or below `**`, are looked at; 0 is the folder itself.
    pub depth_max: usize,
    /// The longest time until a change is seen that no notification told of.
    pub reconcile_milliseconds: u64,
    /// How long a file that was renamed or removed is kept open after its last byte.
    pub rotate_wait_seconds: u64,
    /// The most bytes of one file read at once; other files have their turn in between.
    pub chunk_bytes: usize,
    /// The most files kept open.
    pub files_max: usize,
    /// The most files looked at in all; what is beyond is reported.
    pub files_listed_max: usize,
    /// How many files that are gone are remembered, so that a copy of one is not read again.
    pub remembered_files_max: usize,
}

impl Default for FileSourceSettings {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            exclude: Vec::new(),
            depth_max: 0,
            reconcile_milliseconds: 1_000,
            rotate_wait_seconds: 60,
            chunk_bytes: 512 * 1024,
            files_max: 512,
            files_listed_max: 20_000,
            remembered_files_max: 10_000,
        }
    }
}

/// Whether the files are expected to grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSourceMode {
    /// Follow the files until shutdown.
    Follow,
    /// Read each file to its present end, one after the other, oldest first, then finish.
    ReadToEnd,
}
