//! The topic as another program sees it, and as the broker keeps it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bus::{Bus, Delivery, Offset, Record, Turn};
use tokio::runtime::Runtime;

use super::PATIENCE;
use crate::cluster::Cluster;

/// The topic as another program sees it.
pub struct Topic {
    runtime: Runtime,
    bus: Bus,
}

impl Topic {
    pub fn open(cluster: &Cluster) -> Self {
        let runtime = Runtime::new().expect("threads");
        let opened = runtime.block_on(Bus::open(&cluster.bus_settings(), Path::new("/nowhere")));
        Self { runtime, bus: opened.expect("the topic") }
    }

    pub fn append(&self, partition: u32, record: Record) -> Offset {
        let appended = self.runtime.block_on(self.bus.append(partition, vec![record]));
        appended.expect("appended")[0]
    }

    /// Start and end of each partition.
    pub fn extents(&self) -> Vec<(u64, u64)> {
        let Bus::Kafka(kafka) = &self.bus else { unreachable!("it was opened as such") };
        // A broker may not know yet that it leads a partition of a new topic.
        let until = Instant::now() + PATIENCE;
        let seen = loop {
            match self.runtime.block_on(kafka.inspect("detect")) {
                Ok(seen) => break seen,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
        };
        seen.partitions.iter().map(|partition| (partition.start.0, partition.end.0)).collect()
    }

    /// All that is there now.
    pub fn records(&self) -> Vec<(u32, u64, Record)> {
        let mut left: u64 = self.extents().iter().map(|(_, end)| end).sum();
        let mut records = Vec::new();
        self.runtime.block_on(async {
            let mut member = self.bus.join("reader").await.expect("a member");
            while left > 0 {
                let turn = tokio::time::timeout(PATIENCE, member.next()).await;
                match turn.expect("in time").expect("a turn") {
                    Turn::Assigned(partitions) => {
                        let starts: Vec<_> = partitions.iter().map(|p| (*p, Offset(0))).collect();
                        member.assign(&starts).await.expect("assigned");
                    }
                    Turn::Delivery { partition, delivery: Delivery::Record { offset, record } } => {
                        left -= 1;
                        records.push((partition, offset.0, record));
                    }
                    other => panic!("{other:?}"),
                }
            }
            member.leave().await.expect("left");
        });
        records
    }
}

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
