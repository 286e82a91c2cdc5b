//! From the log of this machine to Kafka, each partition in order. While Kafka is away the log
//! keeps what comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use bus::{BusError, Delivery, EmbeddedBus, KafkaBus, Offset, Record};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::supervisor::Task;

/// The name under which the log keeps what has not been forwarded.
pub const FORWARD: &str = "forward";

/// Its name under the supervisor.
pub const TASK: &str = "forward";

/// Bytes on their way at once, of one partition, at most; of all together, about a queue.
const READ_BYTES_MAX: u64 = 4 << 20;

/// Key and headers of a record, at most.
const RECORD_HEAD_BYTES: u64 = 1 << 10;

/// Before the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is noted how far a partition is; what is forwarded again after a crash is
/// recognised by its position.
const KEEP: Duration = Duration::from_millis(500);

/// How often the same problem is told again.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Forwards until it is told to stop.
pub struct Forwarder {
    pub log: EmbeddedBus,
    pub kafka: KafkaBus,
    /// What Kafka's producer takes at once.
    pub queue_bytes: u32,
    pub stop: CancellationToken,
    pub task: Task,
    /// Why partitions cannot be forwarded, of those that cannot.
    pub problems: Mutex<BTreeMap<u32, String>>,
}

impl Forwarder {
    /// Works; its only errors are those of the log.
    pub async fn run(self) -> anyhow::Result<()> {
        if !self.connect().await {
            return Ok(());
        }
        let this = Arc::new(self);
        let mut partitions = JoinSet::new();
        for partition in 0..this.kafka.partitions() {
            let this = this.clone();
            partitions.spawn(async move { this.forward(partition).await });
        }
        while let Some(ended) = partitions.join_next().await {
            ended.context("forwarding broke off")??;
        }
        Ok(())
    }

    /// Finds the topic; false if it was told to stop before.
    async fn connect(&self) -> bool {
        let mut warned = None;
        loop {
            let Err(error) = self.kafka.ensure_topic().await else {
                self.set_problem(0, None);
                return true;
            };
            self.tell(0, &error, &mut warned);
            if self.is_stopped_after(PAUSE).await {
                return false;
            }
        }
    }

    async fn forward(&self, partition: u32) -> anyhow::Result<()> {
        let start = self.log.start(partition);
        let mut next = self.log.committed(FORWARD, partition).unwrap_or(start).max(start);
        let (mut kept, mut keep_at) = (next, Instant::now() + KEEP);
        loop {
            let until_kept = keep_at.saturating_duration_since(Instant::now());
            let deliveries = tokio::select! {
                () = self.stop.cancelled() => break,
                deliveries = self.log.read(partition, next, self.read_bytes()) => Some(deliveries?),
                () = tokio::time::sleep(until_kept), if kept < next => None,
            };
            if let Some(deliveries) = deliveries {
                let end = deliveries.last().map_or(next, Delivery::next);
                let mut is_stopped = false;
                for records in self.batches(records(partition, deliveries)) {
                    is_stopped = is_stopped || !self.append(partition, records).await;
                }
                if is_stopped {
                    break;
                }
                next = end;
            }
            if keep_at <= Instant::now() && kept < next {
                (kept, keep_at) = (next, Instant::now() + KEEP);
                self.keep(partition, next).await?;
            }
        }
        if kept < next { self.keep(partition, next).await } else { Ok(()) }
    }

    fn read_bytes(&self) -> u64 {
        (u64::from(self.queue_bytes) / u64::from(self.kafka.partitions()) / 2).min(READ_BYTES_MAX)
    }

    /// Appends until it is done; false if it was told to stop before.
    async fn append(&self, partition: u32, records: Vec<Record>) -> bool {
        let mut warned = None;
        loop {
            let appended = tokio::select! {
                () = self.stop.cancelled() => return false,
                appended = self.kafka.append(partition, records.clone()) => appended,
            };
            match appended {
                Ok(_) => {
                    self.set_problem(partition, None);
                    return true;
                }
                Err(error) => self.tell(partition, &error, &mut warned),
            }
            if self.is_stopped_after(PAUSE).await {
                return false;
            }
        }
    }

    /// As many together as the queue takes.
    fn batches(&self, records: Vec<Record>) -> Vec<Vec<Record>> {
        let (mut batches, mut room): (Vec<Vec<Record>>, u64) = (Vec::new(), 0);
        for record in records {
            let bytes = record.payload.len() as u64 + RECORD_HEAD_BYTES;
            if let Some(batch) = batches.last_mut()
                && bytes <= room
            {
                batch.push(record);
            } else {
                room = u64::from(self.queue_bytes);
                batches.push(vec![record]);
            }
            room = room.saturating_sub(bytes);
        }
        batches
    }

    async fn keep(&self, partition: u32, next: Offset) -> anyhow::Result<()> {
        let kept = self.log.commit(FORWARD, partition, next).await;
        kept.context("the log cannot keep how far it is forwarded")
    }

    async fn is_stopped_after(&self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.stop.cancelled()).await.is_ok()
    }

    fn tell(&self, partition: u32, error: &BusError, warned: &mut Option<Instant>) {
        self.set_problem(partition, Some(format!("nothing reaches Kafka: {error}")));
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            tracing::warn!("nothing reaches Kafka, what comes waits in the log: {error}");
        }
    }

    fn set_problem(&self, partition: u32, problem: Option<String>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        match problem {
            Some(problem) => problems.insert(partition, problem),
            None => problems.remove(&partition),
        };
        self.task.set_problem(problems.values().next().cloned());
    }
}

/// The records that are left; what the log has lost is told.
fn records(partition: u32, deliveries: Vec<Delivery>) -> Vec<Record> {
    let record = |delivery| match delivery {
        Delivery::Record { record, .. } => Some(record),
        Delivery::Gap { from, to, reason } => {
            tracing::error!(partition, %from, %to, ?reason, "records of the log cannot be read");
            None
        }
    };
    deliveries.into_iter().filter_map(record).collect()
}
