//! What the bus says about itself: figures for `/metrics`, and what opening found on disk.

use std::ops::Range;
use std::path::PathBuf;

use crate::Offset;

/// Figures of all partitions. Counters start at zero when the bus is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusStatus {
    /// One entry a partition, in order; empty with Kafka.
    pub partitions: Vec<PartitionStatus>,
    /// Figures of a bus on Kafka.
    pub kafka: Option<KafkaStatus>,
}

/// What this process knows of a bus on Kafka; as of the last second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KafkaStatus {
    /// Connections to brokers that are up, of the client that has most.
    pub brokers_up: u64,
    /// Records that wait for the brokers' word.
    pub producer_queue_records: u64,
    /// Their bytes.
    pub producer_queue_bytes: u64,
    /// Times that partitions were given to members of this process or taken from them.
    pub rebalances: u64,
    /// Partitions that members of this process read, in order.
    pub assigned: Vec<u32>,
    /// How far those partitions are read and where they end.
    pub lag: Vec<Lag>,
    /// What does not work, why, and for how long; `None` when all is well.
    pub problem: Option<String>,
}

/// How far a partition is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Its number.
    pub partition: u32,
    /// First offset that was not delivered yet.
    pub next: Offset,
    /// First offset that is not there yet, as last heard of.
    pub end: Offset,
}

/// Figures of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// Oldest offset that is kept.
    pub start: Offset,
    /// First offset that is not there yet.
    pub end: Offset,
    /// Bytes on disk.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Records acknowledged.
    pub appended_records: u64,
    /// Bytes written for them.
    pub appended_bytes: u64,
    /// Appends that have not returned yet.
    pub waiting_appends: u64,
    /// Syncs of record data that succeeded.
    pub fsyncs: u64,
    /// Syncs of record data that failed.
    pub fsync_failures: u64,
    /// Duration of the last sync of record data, microseconds.
    pub last_fsync_micros: u64,
    /// Gaps found by opening and handed to readers; one that is read twice counts twice.
    pub gaps: u64,
    /// Offsets in those gaps.
    pub gap_records: u64,
    /// Why appenders are held up or refused; `None` when they are not.
    pub problem: Option<String>,
}

/// What opening found and did. Empty after a clean shutdown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Tails that a crash tore: never acknowledged, as far as the disk can tell, and cut off.
    pub cuts: Vec<Cut>,
    /// Acknowledged records in the last segment that can no longer be read.
    pub gaps: Vec<LostRecords>,
}

/// Bytes cut off the end of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The partition.
    pub partition: u32,
    /// The file.
    pub segment: PathBuf,
    /// The bytes of the file that were cut.
    pub bytes: Range<u64>,
    /// The offset that the next record gets.
    pub offset: Offset,
}

/// Acknowledged records that can no longer be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRecords {
    /// The partition.
    pub partition: u32,
    /// Their offsets.
    pub offsets: Range<Offset>,
}
