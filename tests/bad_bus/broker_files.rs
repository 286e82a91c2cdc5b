//! Records as the broker keeps them.

use std::path::{Path, PathBuf};

use bus::Record;

/// Bytes of the events in a payload, which follow the four of their length.
pub fn events_length(record: &Record) -> usize {
    let length = record.payload.first_chunk().expect("a payload of ours");
    u32::from_le_bytes(*length) as usize
}

/// Whether it holds events that are stored where they are.
pub fn holds_events(record: &Record) -> bool {
    let is_copy = record.headers.iter().any(|(name, value)| name == "copies" && value == &[1]);
    !is_copy && events_length(record) > 0
}

/// A batch in the file of a partition: its first and last offset, and where it ends.
pub struct Batch {
    pub first: u64,
    pub last: u64,
    pub end: u64,
    /// Whether its records have the broker's time.
    pub is_broker_time: bool,
    /// Milliseconds since 1970.
    pub time: i64,
}

/// Reads the file that Kafka keeps of a partition.
pub fn batches(path: &Path) -> Vec<Batch> {
    let bytes = std::fs::read(path).expect("a file of the broker");
    let field = |at: usize, length: usize| {
        bytes[at..at + length].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let (mut found, mut at) = (Vec::new(), 0);
    while at + 61 <= bytes.len() {
        let (first, end) = (field(at, 8), at + 12 + field(at + 8, 4) as usize);
        found.push(Batch {
            first,
            last: first + field(at + 23, 4),
            end: end as u64,
            is_broker_time: field(at + 21, 2) & 8 != 0,
            time: field(at + 35, 8).cast_signed(),
        });
        at = end;
    }
    found
}

pub fn partition_file(data: &Path, topic: &str, partition: u32) -> PathBuf {
    data.join(format!("{topic}-{partition}/00000000000000000000.log"))
}
