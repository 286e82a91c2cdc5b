//! The topic as another program sees it.

use std::path::Path;
use std::time::{Duration, Instant};

use bus::{Bus, Delivery, Offset, Record, Turn};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;

/// How long the broker is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

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
