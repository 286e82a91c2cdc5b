//! A member of a consumer group: partitions come and go, records are handed out in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::Instant;

use super::group::{Change, GroupListener};
use super::health::{Health, Listener};
use super::record::Read;
use super::{Inner, client};
use crate::embedded::blocking;
use crate::partition::lock;
use crate::{BusError, GapReason, Offset, Turn};

/// What is read of paused partitions and kept, of all together.
const PAUSED_BYTES_MAX: u64 = 32 << 20;

/// How often a member whose partitions are all paused looks what else there is: what it took from
/// librdkafka for that would have to be kept, or be fetched again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a record takes besides its payload, about.
const RECORD_HEAD_BYTES: u64 = 1 << 10;

/// Shares the partitions of the topic with the other members of its group.
pub struct KafkaMember {
    pub(super) bus: Arc<Inner>,
    /// None once it has left.
    consumer: Option<Arc<StreamConsumer<GroupListener>>>,
    pub(super) group: String,
    changes: UnboundedReceiver<Change>,
    leaving: Arc<AtomicBool>,
    closed: watch::Receiver<bool>,
    pub(super) view: Arc<MemberView>,
    /// The change that was handed out and not answered.
    unanswered: Option<Change>,
    /// Read, and not judged yet.
    pub(super) read: Option<Read>,
    /// Found and not handed out.
    pub(super) kept: VecDeque<Turn>,
    /// While idle, nothing is fetched from these.
    resting: Option<Vec<u32>>,
    /// Nothing is handed out of these.
    paused: BTreeMap<u32, Paused>,
    /// When librdkafka is looked at again while all are paused.
    look_at: Instant,
    /// Whether partitions were ever given to it.
    pub(super) settled: bool,
}

/// A partition of which nothing is handed out.
#[derive(Clone, Copy, Default)]
struct Paused {
    /// What was read of it since, in bytes of memory.
    bytes: u64,
    /// Whether librdkafka was told to fetch no more of it.
    is_stopped: bool,
}

/// What the bus may know of a member.
#[derive(Debug, Default)]
pub(super) struct MemberView {
    pub(super) health: Arc<Health>,
    /// The offset that comes next, of each assigned partition.
    pub(super) positions: Mutex<BTreeMap<u32, u64>>,
}

/// What librdkafka has for a member.
enum Came {
    Record(Read),
    Change(Change),
    Error(KafkaError),
    /// The bus is closed.
    Nothing,
}

impl KafkaMember {
    pub(super) fn join(bus: Arc<Inner>, consumer: &str) -> Result<KafkaMember, BusError> {
        let group = bus.group(consumer);
        let view = Arc::new(MemberView::default());
        let (sender, changes) = unbounded_channel();
        let leaving = Arc::new(AtomicBool::new(false));
        let listener = GroupListener {
            listener: Listener(view.health.clone()),
            changes: sender,
            leaving: leaving.clone(),
            rebalances: bus.rebalances.clone(),
        };
        let config = client::consumer(&bus.connection, &bus.settings, &group);
        let wrong = |error: KafkaError| BusError::Client(error.to_string());
        let consumer: StreamConsumer<_> = config.create_with_context(listener).map_err(wrong)?;
        consumer.subscribe(&[bus.topic()]).map_err(wrong)?;
        bus.remember(&view);
        Ok(KafkaMember {
            closed: bus.closed.subscribe(),
            bus,
            consumer: Some(Arc::new(consumer)),
            group,
            changes,
            leaving,
            view,
            unanswered: None,
            read: None,
            kept: VecDeque::new(),
            resting: None,
            paused: BTreeMap::new(),
            look_at: Instant::now(),
            settled: false,
        })
    }

    pub(crate) async fn next_within(&mut self, wait: Duration) -> Result<Option<Turn>, BusError> {
        self.wake()?;
        let until = Instant::now() + wait;
        loop {
            if let Some(turn) = self.kept_next() {
                return Ok(Some(turn));
            }
            if self.are_all_paused() {
                tokio::time::sleep_until(self.look_at.min(until)).await;
                if until < self.look_at {
                    return Ok(None);
                }
                self.look_at = Instant::now() + LOOK_EVERY;
            }
            if !self.step(until).await? {
                return Ok(None);
            }
        }
    }

    fn are_all_paused(&self) -> bool {
        let assigned = lock(&self.view.positions).len();
        assigned > 0 && assigned == self.paused.len()
    }

    pub(crate) async fn idle(&mut self, wait: Duration) -> Result<(), BusError> {
        self.rest()?;
        let until = Instant::now() + wait;
        while !self.has_change() {
            if !self.step(until).await? {
                break;
            }
        }
        Ok(())
    }

    fn kept_next(&mut self) -> Option<Turn> {
        let is_wanted = |turn: &Turn| match turn {
            Turn::Delivery { partition, .. } => !self.paused.contains_key(partition),
            _ => true,
        };
        let place = self.kept.iter().position(is_wanted)?;
        self.kept.remove(place)
    }

    pub(crate) fn has_change(&self) -> bool {
        self.kept.iter().any(|turn| !matches!(turn, Turn::Delivery { .. }))
    }

    /// Takes one thing from librdkafka and keeps what is to be handed out; false if nothing came
    /// until then. What came is dealt with to the end, however long that takes: a search that is
    /// broken off would begin again, and again.
    async fn step(&mut self, until: Instant) -> Result<bool, BusError> {
        if self.read.is_none() {
            match tokio::time::timeout_at(until, self.wait()).await {
                Err(_elapsed) => return Ok(false),
                Ok(Came::Nothing) => return Err(BusError::Closed),
                Ok(Came::Change(change)) => {
                    self.hand_out(change);
                    return Ok(true);
                }
                Ok(Came::Error(error)) => return self.failed(&error).await.map(|()| true),
                // From here on it must not be lost, even if the caller stops waiting.
                Ok(Came::Record(read)) => self.read = Some(read),
            }
        }
        self.judge().await.map(|()| true)
    }

    /// Safe to cancel.
    async fn wait(&mut self) -> Came {
        let Ok(consumer) = self.consumer().cloned() else { return Came::Nothing };
        let closed = &mut self.closed;
        tokio::select! {
            biased;
            () = async { drop(closed.wait_for(|closed| *closed).await) } => Came::Nothing,
            Some(change) = self.changes.recv() => Came::Change(change),
            message = consumer.recv() => match message {
                Ok(message) => Came::Record(Read::of(&message)),
                Err(error) => Came::Error(error),
            },
        }
    }

    /// A change goes before what was kept: whoever answers it counts on what it was handed.
    fn hand_out(&mut self, change: Change) {
        self.settled = true;
        self.view.health.set_refusal(None);
        self.unanswered = Some(change.clone());
        self.kept.push_front(match change {
            Change::Assigned(partitions) => Turn::Assigned(partitions),
            Change::Revoked(partitions) => Turn::Revoked(partitions),
            Change::Lost(partitions) => Turn::Lost(partitions),
        });
    }

    pub(crate) async fn assign(&mut self, starts: &[(u32, Offset)]) -> Result<(), BusError> {
        let Some(Change::Assigned(partitions)) = &self.unanswered else { return Ok(()) };
        let named = |partition: &u32| starts.iter().any(|(start, _)| start == partition);
        if let Some(partition) = partitions.iter().find(|partition| !named(partition)) {
            let problem = format!("partition {partition} was assigned and has no start");
            return Err(BusError::Group(problem));
        }
        let mut list = self.bus.list(&[]);
        let mut begun = Vec::new();
        for &(partition, from) in starts {
            if !partitions.contains(&partition) {
                let partitions = partitions.len() as u32;
                return Err(BusError::UnknownPartition { partition, partitions });
            }
            let (start, end) = self.bus.watermarks(partition).await?;
            if from.0 > end {
                return Err(BusError::BeyondEnd { partition, from, end: Offset(end) });
            }
            let next = from.0.max(start);
            let offset = rdkafka::Offset::Offset(next as i64);
            list.add_partition_offset(self.bus.topic(), partition as i32, offset)
                .map_err(|error| BusError::Group(error.to_string()))?;
            begun.push((partition, from.0, next));
        }
        let consumer = self.consumer()?;
        // librdkafka remembers that a partition was paused before it was given back.
        consumer
            .incremental_assign(&list)
            .and_then(|()| consumer.resume(&list))
            .map_err(|error| BusError::Group(error.to_string()))?;
        self.unanswered = None;
        for (partition, from, next) in begun {
            lock(&self.view.positions).insert(partition, next);
            self.gap(partition, from, next, GapReason::Deleted);
        }
        Ok(())
    }

    pub(crate) fn release(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        let revoked = match self.unanswered.take() {
            Some(Change::Revoked(revoked) | Change::Lost(revoked)) => revoked,
            other => {
                self.unanswered = other;
                return Ok(());
            }
        };
        let gone = |partition: &u32| revoked.contains(partition) || partitions.contains(partition);
        lock(&self.view.positions).retain(|partition, _| !gone(partition));
        self.paused.retain(|partition, _| !gone(partition));
        self.kept.retain(|turn| match turn {
            Turn::Delivery { partition, .. } => !gone(partition),
            _ => true,
        });
        self.consumer()?
            .incremental_unassign(&self.bus.list(&revoked))
            .map_err(|error| BusError::Group(error.to_string()))
    }

    pub(crate) fn commit(&self, partition: u32, offset: Offset) -> Result<(), BusError> {
        let consumer = self.consumer()?;
        let mut list = TopicPartitionList::new();
        let offset = rdkafka::Offset::Offset(i64::try_from(offset.0).unwrap_or(i64::MAX));
        let added = list.add_partition_offset(self.bus.topic(), partition as i32, offset);
        let committed = added.and_then(|()| consumer.commit(&list, CommitMode::Async));
        // Only Kafka's tools read it: no reason to stop.
        if let Err(error) = committed {
            tracing::debug!("kafka: {error}");
        }
        Ok(())
    }

    pub(crate) async fn end(&self, partition: u32) -> Result<Offset, BusError> {
        self.bus.watermarks(partition).await.map(|(_, end)| Offset(end))
    }

    pub(crate) async fn leave(mut self) -> Result<(), BusError> {
        match self.depart() {
            Some(leaving) => blocking(move || drop(leaving.join())).await,
            None => Ok(()),
        }
    }

    /// Leaves the group from another thread: it takes a few round trips. What librdkafka waits
    /// for is answered first, or it would never end.
    fn depart(&mut self) -> Option<JoinHandle<()>> {
        let consumer = self.consumer.take()?;
        self.leaving.store(true, Relaxed);
        lock(&self.view.positions).clear();
        let change = self.unanswered.take().or_else(|| self.changes.try_recv().ok());
        let bus = self.bus.clone();
        let leave = move || {
            let answered = match change {
                Some(Change::Assigned(given)) => consumer.incremental_assign(&bus.list(&given)),
                Some(Change::Revoked(gone) | Change::Lost(gone)) => {
                    consumer.incremental_unassign(&bus.list(&gone))
                }
                None => Ok(()),
            };
            if let Err(error) = answered {
                tracing::debug!("kafka: {error}");
            }
            drop(consumer);
        };
        let started = thread::Builder::new().name("bus-leave".into()).spawn(leave);
        started.inspect_err(|error| tracing::warn!("kafka: leaving needs a thread: {error}")).ok()
    }

    pub(super) fn consumer(&self) -> Result<&Arc<StreamConsumer<GroupListener>>, BusError> {
        self.consumer.as_ref().ok_or(BusError::Closed)
    }

    /// What was fetched would be thrown away and fetched again: reading goes on for a while.
    pub(crate) fn pause(&mut self, partition: u32) {
        self.paused.entry(partition).or_default();
    }

    pub(crate) fn resume(&mut self, partition: u32) -> Result<(), BusError> {
        let paused = self.paused.remove(&partition);
        if paused.is_some_and(|paused| paused.is_stopped) && self.resting.is_none() {
            let resumed = self.consumer()?.resume(&self.bus.list(&[partition]));
            return resumed.map_err(|error| BusError::Group(error.to_string()));
        }
        Ok(())
    }

    /// Counts what is read of a paused partition.
    pub(super) fn count_paused(&mut self, partition: u32, payload: u64) -> Result<(), BusError> {
        let all: u64 = self.paused.values().map(|paused| paused.bytes).sum();
        let Some(paused) = self.paused.get_mut(&partition) else { return Ok(()) };
        paused.bytes += payload + RECORD_HEAD_BYTES;
        if paused.is_stopped || all <= PAUSED_BYTES_MAX {
            return Ok(());
        }
        paused.is_stopped = true;
        let stopped = self.consumer()?.pause(&self.bus.list(&[partition]));
        stopped.map_err(|error| BusError::Group(error.to_string()))
    }

    fn rest(&mut self) -> Result<(), BusError> {
        if self.resting.is_none() {
            let partitions: Vec<u32> = lock(&self.view.positions).keys().copied().collect();
            // The list is not kept: librdkafka hangs references in it, and waits for them at its
            // end.
            let list = self.bus.list(&partitions);
            self.consumer()?.pause(&list).map_err(|error| BusError::Group(error.to_string()))?;
            self.resting = Some(partitions);
        }
        Ok(())
    }

    fn wake(&mut self) -> Result<(), BusError> {
        if let Some(mut partitions) = self.resting.take() {
            let is_stopped = |paused: &Paused| paused.is_stopped;
            partitions.retain(|partition| !self.paused.get(partition).is_some_and(is_stopped));
            let list = self.bus.list(&partitions);
            self.consumer()?.resume(&list).map_err(|error| BusError::Group(error.to_string()))?;
        }
        Ok(())
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        // Not waited for: who wants to know calls `leave`.
        drop(self.depart());
    }
}
