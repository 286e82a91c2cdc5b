//! The way into the topic: an append is done when the brokers have taken all of its records.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::health::{Health, Listener};
use crate::frame::{HEAD_BYTES, frame_bytes};
use crate::partition::lock;
use crate::{BusError, BusSettings, Offset, Record};

/// How long to wait when librdkafka has no room; its limit is above ours, so this is rare.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// Appends to all partitions. After a fatal error the next append has a new client.
pub(super) struct Appender {
    config: ClientConfig,
    topic: String,
    record_bytes_max: u32,
    queue_bytes: u32,
    health: Arc<Health>,
    current: Mutex<Arc<Client>>,
    /// One append at a time enters a partition, so that its records stand next to each other.
    lanes: Vec<tokio::sync::Mutex<()>>,
    /// Bytes that may wait for the brokers.
    room: Arc<Semaphore>,
}

pub(super) type Client = ThreadedProducer<Reports>;
type Outcome = Result<Vec<Offset>, KafkaError>;

impl Appender {
    pub(super) fn new(
        config: ClientConfig,
        settings: &BusSettings,
        health: Arc<Health>,
    ) -> Result<Appender, BusError> {
        let client = create(&config, &health)?;
        Ok(Appender {
            config,
            topic: settings.kafka.topic.clone(),
            record_bytes_max: settings.record_bytes_max,
            queue_bytes: settings.queue_bytes,
            health,
            current: Mutex::new(Arc::new(client)),
            lanes: (0..settings.partitions).map(|_| tokio::sync::Mutex::default()).collect(),
            room: Arc::new(Semaphore::new(settings.queue_bytes as usize)),
        })
    }

    /// The client, to ask the brokers something.
    pub(super) fn client(&self) -> Arc<Client> {
        lock(&self.current).clone()
    }

    pub(super) async fn append(
        &self,
        partition: u32,
        records: Vec<Record>,
    ) -> Result<Vec<Offset>, BusError> {
        let partitions = self.lanes.len() as u32;
        let lane = self.lanes.get(partition as usize);
        let lane = lane.ok_or(BusError::UnknownPartition { partition, partitions })?;
        let bytes = self.checked_size(&records)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let room =
            self.room.clone().acquire_many_owned(self.room_bytes(bytes, records.len())).await;
        let room = room.map_err(|_closed| BusError::Closed)?;
        let (done, outcome) = oneshot::channel();
        let append = Arc::new(Append::new(records.len(), done, room));
        let entering = lane.lock().await;
        let client = self.client();
        for (place, record) in records.iter().enumerate() {
            while let Err(error) = self.offer(&client, partition, record, &append, place) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    append.fail(error);
                    break;
                }
                tokio::time::sleep(ROOM_PAUSE).await;
            }
        }
        drop((entering, append, records));
        match outcome.await {
            Ok(Ok(offsets)) => Ok(offsets),
            Ok(Err(error)) => Err(self.failed(&client, &error)),
            Err(_gone) => Err(BusError::Closed),
        }
    }

    /// Hands one record to librdkafka, which copies it.
    fn offer(
        &self,
        client: &Client,
        partition: u32,
        record: &Record,
        append: &Arc<Append>,
        place: usize,
    ) -> Result<(), KafkaError> {
        let ticket = Box::new(Ticket { append: append.clone(), place });
        let mut message = BaseRecord::with_opaque_to(&self.topic, ticket)
            .partition(i32::try_from(partition).unwrap_or(i32::MAX))
            .payload(&record.payload[..]);
        if !record.key.is_empty() {
            message = message.key(&record.key[..]);
        }
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            message = message.headers(record.headers.iter().fold(headers, |headers, header| {
                headers.insert(Header { key: &header.0, value: Some(&header.1) })
            }));
        }
        client.send(message).map_err(|(error, _message)| error)
    }

    /// What a failed append is told. A client that cannot go on is replaced.
    fn failed(&self, client: &Arc<Client>, error: &KafkaError) -> BusError {
        use RDKafkaErrorCode as Code;
        let fatal = client.client().fatal_error();
        if let Some((_, reason)) = &fatal {
            tracing::warn!("kafka: the producer is replaced: {reason}");
            if let Err(error) = self.replace(client) {
                return error;
            }
        }
        let topic = &self.topic;
        match error.rdkafka_error_code() {
            Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                let action = format!("writing to topic {topic}");
                BusError::Forbidden { action, reason: error.to_string() }
            }
            Some(Code::MessageSizeTooLarge) => BusError::Topic {
                topic: topic.clone(),
                problem: format!(
                    "a record is above its max.message.bytes: raise that to {} or more",
                    self.record_bytes_max.saturating_add(super::client::RECORD_SLACK_BYTES)
                ),
            },
            _ => BusError::Interrupted(match fatal {
                Some((_, reason)) => format!("{error}: {reason}"),
                None => error.to_string(),
            }),
        }
    }

    fn replace(&self, failed: &Arc<Client>) -> Result<(), BusError> {
        let mut current = lock(&self.current);
        if Arc::ptr_eq(&current, failed) {
            *current = Arc::new(create(&self.config, &self.health)?);
        }
        Ok(())
    }

    /// Takes no more appends, and waits so long for those under way. True if none is left.
    pub(super) fn finish(&self, wait: Duration) -> bool {
        self.room.close();
        self.client().flush(wait).is_ok()
    }

    /// What an append takes of the room: librdkafka has a structure for each record besides.
    fn room_bytes(&self, bytes: u32, records: usize) -> u32 {
        const STRUCTURE_BYTES: u32 = 256;
        let structures = u32::try_from(records).unwrap_or(u32::MAX).saturating_mul(STRUCTURE_BYTES);
        bytes.saturating_add(structures).min(self.queue_bytes)
    }

    /// Bytes that the records take, if they are within the limits.
    fn checked_size(&self, records: &[Record]) -> Result<u32, BusError> {
        let mut sum = 0;
        for record in records {
            let bytes = frame_bytes(record) - HEAD_BYTES as u64;
            let limit = u64::from(self.record_bytes_max);
            if bytes > limit {
                return Err(BusError::TooLarge { what: "record", bytes, limit });
            }
            sum += bytes;
        }
        match u32::try_from(sum) {
            Ok(bytes) if bytes <= self.queue_bytes => Ok(bytes),
            _ => {
                let limit = u64::from(self.queue_bytes);
                Err(BusError::TooLarge { what: "append", bytes: sum, limit })
            }
        }
    }
}

fn create(config: &ClientConfig, health: &Arc<Health>) -> Result<Client, BusError> {
    let reports = Reports(Listener(health.clone()));
    config.create_with_context(reports).map_err(|error| BusError::Client(error.to_string()))
}

/// An append under way. It outlives its caller if that one does not wait.
struct Append {
    progress: Mutex<Progress>,
    /// Given back with the last ticket.
    _room: OwnedSemaphorePermit,
}

struct Progress {
    offsets: Vec<Offset>,
    missing: usize,
    done: Option<oneshot::Sender<Outcome>>,
}

impl Append {
    fn new(records: usize, done: oneshot::Sender<Outcome>, room: OwnedSemaphorePermit) -> Append {
        let offsets = vec![Offset(0); records];
        let progress = Progress { offsets, missing: records, done: Some(done) };
        Append { progress: Mutex::new(progress), _room: room }
    }

    fn deliver(&self, place: usize, offset: u64) {
        let mut progress = lock(&self.progress);
        if let Some(slot) = progress.offsets.get_mut(place) {
            *slot = Offset(offset);
            progress.missing = progress.missing.saturating_sub(1);
        }
        if progress.missing == 0
            && let Some(done) = progress.done.take()
        {
            // Nobody waits if the append was cancelled.
            let _cancelled = done.send(Ok(std::mem::take(&mut progress.offsets)));
        }
    }

    /// The first failure is the outcome.
    fn fail(&self, error: KafkaError) {
        if let Some(done) = lock(&self.progress).done.take() {
            let _cancelled = done.send(Err(error));
        }
    }
}

/// What librdkafka gives back with the fate of a record.
pub(super) struct Ticket {
    append: Arc<Append>,
    place: usize,
}

/// Takes the brokers' word on each record.
pub(super) struct Reports(Listener);

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        match result {
            Ok(message) => match u64::try_from(message.offset()) {
                Ok(offset) => ticket.append.deliver(ticket.place, offset),
                Err(_) => ticket.append.fail(KafkaError::NoMessageReceived),
            },
            Err((error, _message)) => ticket.append.fail(error.clone()),
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.0.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}
