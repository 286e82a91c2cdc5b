//! The bus's settings: how much it holds, how long it keeps, and when it holds appenders up.

use serde::{Deserialize, Serialize};

use crate::BusError;
use crate::kafka::KafkaSettings;

/// Where the bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BusKind {
    /// In the data folder of this machine.
    #[default]
    Embedded,
    /// In a topic of Kafka.
    Kafka,
}

/// Settings of the bus. Limits are per partition. Kafka knows its own limits of size and age:
/// of those here it heeds `partitions`, `record_bytes_max` and `queue_bytes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusSettings {
    /// Where the bus is.
    pub kind: BusKind,
    /// Logs that are written and read independently. One is enough for one machine: a single
    /// disk is what they would share, and one log keeps one order. Raise it for several disks
    /// of workers; it cannot be lowered while the removed partitions hold records.
    pub partitions: u32,
    /// A segment file is closed once it has reached this size; retention deletes whole files.
    pub segment_bytes: u64,
    /// A larger record is refused.
    pub record_bytes_max: u32,
    /// Bytes that may wait to be written before appenders wait too. Also the largest append.
    pub queue_bytes: u32,
    /// A log of this size holds appenders up until consumers have read on: nothing is dropped.
    pub log_bytes_max: u64,
    /// Free space that the log leaves on its disk, in bytes. With less, appenders wait and what
    /// was read goes at once: the consumers whose files share the disk need room to read on.
    pub reserve_bytes: u64,
    /// Segments that every consumer has read go once the log is larger than this.
    pub retention_bytes: u64,
    /// Segments that every consumer has read go once they are older than this.
    pub retention_hours: u32,
    /// The topic, and the way to its brokers.
    pub kafka: KafkaSettings,
}

impl Default for BusSettings {
    fn default() -> BusSettings {
        BusSettings {
            kind: BusKind::default(),
            partitions: 1,
            segment_bytes: 64 << 20,
            record_bytes_max: 24 << 20,
            queue_bytes: 64 << 20,
            log_bytes_max: 16 << 30,
            reserve_bytes: 256 << 20,
            retention_bytes: 4 << 30,
            retention_hours: 24,
            kafka: KafkaSettings::default(),
        }
    }
}

impl BusSettings {
    /// Refuses settings under which the bus could not make progress.
    pub fn check(&self) -> Result<(), BusError> {
        let wrong = if self.partitions == 0 || self.partitions > 1024 {
            "partitions must be between 1 and 1024"
        } else if self.segment_bytes == 0 || self.record_bytes_max == 0 {
            "segment_bytes and record_bytes_max must be above zero"
        } else if self.record_bytes_max > self.queue_bytes {
            "queue_bytes must be at least record_bytes_max, or the largest record never fits"
        } else if self.segment_bytes.saturating_mul(2) > self.log_bytes_max {
            "log_bytes_max must be at least twice segment_bytes, or no segment can be deleted"
        } else if self.retention_bytes > self.log_bytes_max {
            "retention_bytes must not exceed log_bytes_max, or read records hold appenders up"
        } else if self.kind == BusKind::Kafka {
            return self.kafka.check(self.record_bytes_max);
        } else {
            return Ok(());
        };
        Err(BusError::Settings(wrong))
    }
}
