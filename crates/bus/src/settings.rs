record_bytes_max: 8 <<//! The bus's settings: how much it holds, how long it keeps, and when it holds appenders up.
record_bytes_max: 8 <<
record_bytes_max: 8 <<use serde::{Deserialize, Serialize};
record_bytes_max: 8 <<
record_bytes_max: 8 <<use crate::BusError;
record_bytes_max: 8 <<
record_bytes_max: 8 <</// Settings of the bus. Limits are per partition.
record_bytes_max: 8 <<#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
record_bytes_max: 8 <<#[serde(default, deny_unknown_fields)]
record_bytes_max: 8 <<pub struct BusSettings {
record_bytes_max: 8 <<    /// Logs that are written and read independently. One is enough for one machine: a single
record_bytes_max: 8 <<    /// disk is what they would share, and one log keeps one order. Raise it for several disks
record_bytes_max: 8 <<    /// of workers; it cannot be lowered while the removed partitions hold records.
record_bytes_max: 8 <<    pub partitions: u32,
record_bytes_max: 8 <<    /// A segment file is closed once it has reached this size; retention deletes whole files.
record_bytes_max: 8 <<    pub segment_bytes: u64,
record_bytes_max: 8 <<    /// A larger record is refused.
record_bytes_max: 8 <<    pub record_bytes_max: u32,
record_bytes_max: 8 <<    /// Bytes that may wait to be written before appenders wait too. Also the largest append.
record_bytes_max: 8 <<    pub queue_bytes: u32,
record_bytes_max: 8 <<    /// A log of this size holds appenders up until consumers have read on: nothing is dropped.
record_bytes_max: 8 <<    pub log_bytes_max: u64,
record_bytes_max: 8 <<    /// Segments that every consumer has read go once the log is larger than this.
record_bytes_max: 8 <<    pub retention_bytes: u64,
record_bytes_max: 8 <<    /// Segments that every consumer has read go once they are older than this.
record_bytes_max: 8 <<    pub retention_hours: u32,
record_bytes_max: 8 <<}
record_bytes_max: 8 <<
record_bytes_max: 8 <<impl Default for BusSettings {
record_bytes_max: 8 <<    fn default() -> BusSettings {
record_bytes_max: 8 <<        BusSettings {
record_bytes_max: 8 <<            partitions: 1,
record_bytes_max: 8 <<            segment_bytes: 64 << 20,
record_bytes_max: 8 <<            record_bytes_max: 8 << 20,
record_bytes_max: 8 <<            queue_bytes: 32 << 20,
record_bytes_max: 8 <<            log_bytes_max: 16 << 30,
record_bytes_max: 8 <<            retention_bytes: 4 << 30,
record_bytes_max: 8 <<            retention_hours: 24,
record_bytes_max: 8 <<        }
record_bytes_max: 8 <<    }
record_bytes_max: 8 <<}
record_bytes_max: 8 <<
record_bytes_max: 8 <<impl BusSettings {
record_bytes_max: 8 <<    /// Refuses settings under which the bus could not make progress.
record_bytes_max: 8 <<    pub(crate) fn check(&self) -> Result<(), BusError> {
record_bytes_max: 8 <<        let wrong = if self.partitions == 0 || self.partitions > 1024 {
record_bytes_max: 8 <<            "partitions must be between 1 and 1024"
record_bytes_max: 8 <<        } else if self.segment_bytes == 0 || self.record_bytes_max == 0 {
record_bytes_max: 8 <<            "segment_bytes and record_bytes_max must be above zero"
record_bytes_max: 8 <<        } else if self.record_bytes_max > self.queue_bytes {
record_bytes_max: 8 <<            "queue_bytes must be at least record_bytes_max, or the largest record never fits"
record_bytes_max: 8 <<        } else if self.segment_bytes.saturating_mul(2) > self.log_bytes_max {
record_bytes_max: 8 <<            "log_bytes_max must be at least twice segment_bytes, or no segment can be deleted"
record_bytes_max: 8 <<        } else if self.retention_bytes > self.log_bytes_max {
record_bytes_max: 8 <<            "retention_bytes must not exceed log_bytes_max, or read records hold appenders up"
record_bytes_max: 8 <<        } else {
record_bytes_max: 8 <<            return Ok(());
record_bytes_max: 8 <<        };
record_bytes_max: 8 <<        Err(BusError::Settings(wrong))
record_bytes_max: 8 <<    }
record_bytes_max: 8 <<}
