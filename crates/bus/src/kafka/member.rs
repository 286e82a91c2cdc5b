//! A member of a consumer group: partitions come and go, records are handed out in order.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::future::{FutureExt, select_all};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
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
    /// One of each partition: while the member idles, records wait in them and changes do not.
    queues: BTreeMap<u32, Queue>,
    /// From which was read last.
    last: u32,
    /// When it last looked for damaged records and found none.
    pub(super) searched_in_vain: Option<std::time::Instant>,
    /// Whether partitions were ever given to it.
    pub(super) settled: bool,
}

type Queue = StreamPartitionQueue<GroupListener>;

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
            queues: BTreeMap::new(),
            last: 0,
            searched_in_vain: None,
            settled: false,
        })
    }

    pub(crate) async fn next_within(&mut self, wait: Duration) -> Result<Option<Turn>, BusError> {
        let until = Instant::now() + wait;
        loop {
            if let Some(turn) = self.kept.pop_front() {
                return Ok(Some(turn));
            }
            if !self.step(until, true).await? {
                return Ok(None);
            }
        }
    }

    pub(crate) async fn idle(&mut self, wait: Duration) -> Result<(), BusError> {
        let until = Instant::now() + wait;
        while !self.has_change() {
            if !self.step(until, false).await? {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn has_change(&self) -> bool {
        self.kept.iter().any(|turn| !matches!(turn, Turn::Delivery { .. }))
    }

    /// Takes one thing from librdkafka, a record only if it `is_reading`, and keeps what is to be
    /// handed out; false if nothing came until then. What came is dealt with to the end, however
    /// long that takes: a search that is broken off would begin again, and again.
    async fn step(&mut self, until: Instant, is_reading: bool) -> Result<bool, BusError> {
        if self.read.is_none() {
            match tokio::time::timeout_at(until, self.wait(is_reading)).await {
                Err(_elapsed) => return Ok(false),
                Ok(Came::Nothing) => return Err(BusError::Closed),
                Ok(Came::Change(change)) => {
                    self.hand_out(change);
                    return Ok(true);
                }
                Ok(Came::Error(error)) => return self.failed(&error).await.map(|()| true),
                // From here on it must not be lost, even if the caller stops waiting.
                Ok(Came::Record(read)) => {
                    self.last = read.partition;
                    self.read = Some(read);
                }
            }
        }
        self.judge().await.map(|()| true)
    }

    /// Safe to cancel.
    async fn wait(&mut self, is_reading: bool) -> Came {
        let Ok(consumer) = self.consumer().cloned() else { return Came::Nothing };
        let came = |message: KafkaResult<BorrowedMessage<'_>>| match message {
            Ok(message) => Came::Record(Read::of(&message)),
            Err(error) => Came::Error(error),
        };
        // Each in its turn: the one after the last comes first.
        let (from, last) = ((Bound::Excluded(self.last), Bound::Unbounded), self.last);
        let queues = self.queues.range(from).chain(self.queues.range(..=last));
        let wanted = queues.filter(|_| is_reading);
        let reads: Vec<_> = wanted.map(|(_, queue)| Box::pin(queue.recv())).collect();
        let read = async {
            match reads.is_empty() {
                true => std::future::pending().await,
                false => came(select_all(reads).await.0),
            }
        };
        let closed = &mut self.closed;
        tokio::select! {
            biased;
            () = async { drop(closed.wait_for(|closed| *closed).await) } => Came::Nothing,
            Some(change) = self.changes.recv() => Came::Change(change),
            // What concerns no partition alone; it must be asked, or the group takes it for dead.
            message = consumer.recv() => came(message),
            came = read => came,
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
        let consumer = self.consumer()?.clone();
        for &(partition, ..) in &begun {
            // Before it is assigned, so that nothing goes into the queue of all. One of before
            // would take the wakers of the new one with it.
            self.queues.remove(&partition);
            let queue = consumer.split_partition_queue(self.bus.topic(), partition as i32);
            let queue = queue.ok_or_else(|| BusError::Group(format!("no queue of {partition}")))?;
            self.queues.insert(partition, queue);
        }
        let assigned = consumer.incremental_assign(&list);
        assigned.map_err(|error| BusError::Group(error.to_string()))?;
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
        self.kept.retain(|turn| match turn {
            Turn::Delivery { partition, .. } => !gone(partition),
            _ => true,
        });
        let unassigned = self.consumer()?.incremental_unassign(&self.bus.list(&revoked));
        self.queues.retain(|partition, queue| {
            let is_ours = !gone(partition);
            if !is_ours {
                // What is in it is out of date: to look for more throws it away.
                drop(queue.recv().now_or_never());
            }
            is_ours
        });
        unassigned.map_err(|error| BusError::Group(error.to_string()))
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
        self.queues.clear(); // they hold the consumer
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
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        // Not waited for: who wants to know calls `leave`.
        drop(self.depart());
    }
}
