//! The lake's settings: when it commits, how it stores, how long it keeps.

use serde::{Deserialize, Serialize};

use crate::LakeError;

/// Settings of the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LakeSettings {
    /// A commit is due once so many rows wait for it.
    pub commit_rows_max: u64,
    /// A commit is due once the waiting rows take so much memory.
    pub commit_bytes_max: u64,
    /// A commit is due once the oldest waiting row is so old. Queries see rows before.
    pub commit_seconds: u64,
    /// Rows of a Parquet row group: what a query skips or reads at once, and what a merge holds.
    pub row_group_rows: usize,
    /// Compression, 1 (fast) to 22 (small).
    pub zstd_level: i32,
    /// Days that are encoded while they arrive; rows of further days wait for the commit.
    pub open_days_max: usize,
    /// Files of like size that make a merge worth while; files of past days merge at once.
    pub compact_files_min: usize,
    /// Size that a merge aims for; larger files are left alone.
    pub target_file_bytes: u64,
    /// Whole days that are kept; 0 keeps everything. Alerts, cases and decisions go with them,
    /// but not before the bus has forgotten what a replay would tell again.
    pub retention_days: u32,
    /// Hours for which a file that was merged or expired stays for queries under way.
    pub vacuum_hours: u32,
    /// Commits after which the log is summed up in a checkpoint, which keeps opening fast.
    pub checkpoint_commits: u64,
}

impl Default for LakeSettings {
    fn default() -> Self {
        Self {
            commit_rows_max: 200_000,
            commit_bytes_max: 96 << 20,
            commit_seconds: 5,
            row_group_rows: 65_536,
            zstd_level: 1,
            open_days_max: 4,
            compact_files_min: 16,
            target_file_bytes: 128 << 20,
            retention_days: 0,
            vacuum_hours: 24,
            checkpoint_commits: 100,
        }
    }
}

impl LakeSettings {
    /// Refuses settings under which the lake could not work.
    pub(crate) fn check(&self) -> Result<(), LakeError> {
        let wrong = if self.commit_rows_max == 0 || self.commit_bytes_max == 0 {
            "commit_rows_max and commit_bytes_max must be above zero"
        } else if self.row_group_rows < 1_024 || self.row_group_rows > 1 << 20 {
            "row_group_rows must be between 1024 and 1048576"
        } else if !(1..=22).contains(&self.zstd_level) {
            "zstd_level must be between 1 and 22"
        } else if self.open_days_max == 0 || self.open_days_max > 64 {
            "open_days_max must be between 1 and 64"
        } else if self.compact_files_min < 2 {
            "compact_files_min must be at least 2"
        } else if self.target_file_bytes < 1 << 20 {
            "target_file_bytes must be at least 1 MiB"
        } else if self.vacuum_hours == 0 || self.vacuum_hours > VACUUM_HOURS_MAX {
            "vacuum_hours must be between 1 and 168: queries under way still read those files"
        } else if self.checkpoint_commits == 0 {
            "checkpoint_commits must be above zero"
        } else {
            return Ok(());
        };
        Err(LakeError::Settings(wrong))
    }
}

/// Delta forgets removed files after seven days by default; then nobody could tell them from
/// files that were never committed.
const VACUUM_HOURS_MAX: u32 = 168;
