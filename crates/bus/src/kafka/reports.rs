//! What processes tell each other of themselves, in a small topic beside that of the events: the
//! newest report of a key counts, for an hour. Nothing waits for reports or fails with them, and
//! what is read is bounded: anybody who may write to the topic may have written it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::health::Listener;
use super::{Inner, client, topic};
use crate::BusError;
use crate::embedded::blocking;
use crate::partition::lock;

/// A larger report is neither sent nor read.
pub const REPORT_BYTES_MAX: usize = 512 << 10;

const KEY_BYTES_MAX: usize = 512;
/// Reports that are kept, and their bytes; beyond that the oldest go.
const KEYS_MAX: usize = 1_000;
const BYTES_MAX: usize = 64 << 20;

/// Who has told nothing for so long is forgotten.
const FORGET: Duration = Duration::from_secs(3_600);
/// How long the brokers get for all that one call asks of them.
const ANSWER: Duration = Duration::from_secs(5);
/// Having read all, what comes within this is read too.
const LINGER: Duration = Duration::from_millis(100);

/// What was told under a key, last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose it is.
    pub key: String,
    /// How long ago it was told.
    pub age: Duration,
    /// What was told.
    pub payload: Bytes,
}

/// Clients of their own: what happens to reports does not happen to events.
#[derive(Default)]
pub(super) struct Reports {
    writer: tokio::sync::Mutex<Option<FutureProducer<Listener>>>,
    reader: Mutex<Option<Reader>>,
}

struct Reader {
    consumer: BaseConsumer<Listener>,
    known: Known,
    /// From then on what comes is as young as it seems; before, its timestamp tells.
    has_caught_up: bool,
}

/// The newest report of each key.
#[derive(Default)]
struct Known {
    reports: BTreeMap<String, (Instant, Bytes)>,
    bytes: usize,
}

/// Writes a report, or the word that there is none any more.
pub(super) async fn write(bus: &Inner, key: &str, payload: Option<&[u8]>) -> Result<(), BusError> {
    let bytes = payload.map_or(0, <[u8]>::len);
    if bytes > REPORT_BYTES_MAX {
        let (bytes, limit) = (bytes as u64, REPORT_BYTES_MAX as u64);
        return Err(BusError::TooLarge { what: "report", bytes, limit });
    }
    let topic = bus.reports_topic();
    let producer = bus.reports.producer(bus).await?;
    let record = FutureRecord { payload, ..FutureRecord::to(&topic).key(key).partition(0) };
    let Err((error, _record)) = producer.send(record, Duration::ZERO).await else { return Ok(()) };
    if is_missing(&error) {
        // The next one makes it anew.
        bus.reports.writer.lock().await.take();
    }
    Err(bus.unanswered(&format!("writing to topic {topic}"), &error))
}

/// Reads what came since the last call.
pub(super) async fn read(bus: &Arc<Inner>) -> Result<Vec<Report>, BusError> {
    let topic = bus.reports_topic();
    if lock(&bus.reports.reader).is_none()
        && !topic::is_there(bus, &topic, Instant::now() + ANSWER).await?
    {
        return Err(BusError::TopicMissing(topic));
    }
    let bus = bus.clone();
    blocking(move || {
        let mut reader = lock(&bus.reports.reader);
        let read = match &mut *reader {
            Some(reader) => reader.catch_up(&bus),
            none => Reader::open(&bus).and_then(|opened| none.insert(opened).catch_up(&bus)),
        };
        read.map_err(|error| {
            *reader = None; // the next call begins anew
            match is_missing(&error) {
                true => BusError::TopicMissing(bus.reports_topic()),
                false => bus.unanswered(&format!("reading topic {}", bus.reports_topic()), &error),
            }
        })
    })
    .await?
}

fn is_missing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
    )
}

impl Reports {
    async fn producer(&self, bus: &Inner) -> Result<FutureProducer<Listener>, BusError> {
        let mut writer = self.writer.lock().await;
        if let Some(producer) = &*writer {
            return Ok(producer.clone());
        }
        topic::ensure_reports(bus, Instant::now() + ANSWER).await?;
        let created = create(&client::report_producer(&bus.connection), |config, listener| {
            config.create_with_context(listener)
        });
        let producer: FutureProducer<_> =
            created.map_err(|error| BusError::Client(error.to_string()))?;
        Ok(writer.insert(producer).clone())
    }

    /// Ends the clients elsewhere: they wait for their threads, and a reader for its turn.
    pub(super) fn close(reports: Arc<Reports>) {
        drop(tokio::task::spawn_blocking(move || {
            lock(&reports.reader).take();
            reports.writer.blocking_lock().take();
        }));
    }
}

fn create<T>(
    config: &ClientConfig,
    make: impl FnOnce(&ClientConfig, Listener) -> KafkaResult<T>,
) -> KafkaResult<T> {
    make(config, Listener(Arc::default()))
}

impl ConsumerContext for Listener {}

impl Reader {
    /// Begins where the oldest report is that may still count.
    fn open(bus: &Inner) -> KafkaResult<Reader> {
        let group = bus.group("processes");
        let config = client::report_consumer(&bus.connection, &bus.settings, &group);
        let consumer: BaseConsumer<_> =
            create(&config, |config, listener| config.create_with_context(listener))?;
        let topic = bus.reports_topic();
        let since = since_epoch().saturating_sub(FORGET).as_millis();
        let mut times = TopicPartitionList::new();
        let since = Offset::Offset(i64::try_from(since).unwrap_or(i64::MAX));
        times.add_partition_offset(&topic, 0, since)?;
        let found = consumer.offsets_for_times(times, ANSWER)?;
        let found = found.find_partition(&topic, 0);
        let from = match found {
            Some(found) => found.error().map(|()| found.offset())?,
            None => Offset::Beginning,
        };
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(&topic, 0, from)?;
        consumer.assign(&start)?;
        Ok(Reader { consumer, known: Known::default(), has_caught_up: false })
    }

    /// Reads until there is no more, or the time is up.
    fn catch_up(&mut self, bus: &Inner) -> KafkaResult<Vec<Report>> {
        use RDKafkaErrorCode as Code;
        let deadline = Instant::now() + ANSWER;
        while Instant::now() < deadline && !*bus.closed.borrow() {
            match self.consumer.poll(LINGER) {
                Some(Ok(message)) => self.known.take(&message, self.has_caught_up),
                Some(Err(KafkaError::PartitionEOF(_))) => self.has_caught_up = true,
                None if self.has_caught_up => break,
                None => {}
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(Code::TopicAuthorizationFailed) => return Err(error),
                    _ if is_missing(&error) => return Err(error),
                    _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                        return Err(error);
                    }
                    // Brokers that are away, a group that is not ours to ask for: it goes on.
                    _ => tracing::debug!("kafka: reports: {error}"),
                },
            }
        }
        Ok(self.known.list(Instant::now()))
    }
}

impl Known {
    /// What is too large or without a name is left out.
    fn take(&mut self, message: &BorrowedMessage<'_>, is_fresh: bool) {
        let key = message.key().filter(|key| key.len() <= KEY_BYTES_MAX);
        let Some(Ok(key)) = key.map(std::str::from_utf8) else { return };
        let payload = message.payload();
        if payload.is_some_and(|payload| payload.len() > REPORT_BYTES_MAX) {
            return;
        }
        let told = message.timestamp().to_millis().and_then(|millis| u64::try_from(millis).ok());
        let age = match told {
            Some(told) if !is_fresh => since_epoch().saturating_sub(Duration::from_millis(told)),
            _ => Duration::ZERO,
        };
        let now = Instant::now();
        self.set(key, payload.map(Bytes::copy_from_slice), now.checked_sub(age).unwrap_or(now));
    }

    fn set(&mut self, key: &str, payload: Option<Bytes>, told: Instant) {
        if let Some((_, replaced)) = self.reports.remove(key) {
            self.bytes -= replaced.len();
        }
        let Some(payload) = payload else { return };
        self.bytes += payload.len();
        self.reports.insert(key.to_owned(), (told, payload));
        while self.reports.len() > KEYS_MAX || self.bytes > BYTES_MAX {
            let oldest = self.reports.iter().min_by_key(|(_, (told, _))| *told);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            self.set(&key, None, told);
        }
    }

    fn list(&mut self, now: Instant) -> Vec<Report> {
        let age = |told: &Instant| now.saturating_duration_since(*told);
        self.reports.retain(|_, (told, _)| age(told) < FORGET);
        self.bytes = self.reports.values().map(|(_, payload)| payload.len()).sum();
        let reports = self.reports.iter();
        let report = |(key, (told, payload)): (&String, &(Instant, Bytes))| Report {
            key: key.clone(),
            age: age(told),
            payload: payload.clone(),
        };
        reports.map(report).collect()
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_keys_drops_the_oldest() {
        let mut known = Known::default();
        let begun = Instant::now();
        for number in 0..KEYS_MAX as u64 + 5 {
            let told = begun + Duration::from_millis(number);
            known.set(&format!("{number:05}"), Some(Bytes::from_static(b"{}")), told);
        }
        let kept = known.list(begun);
        assert_eq!((kept.len(), known.bytes), (KEYS_MAX, 2 * KEYS_MAX));
        assert_eq!(kept[0].key, "00005");
    }

    #[test]
    fn a_flood_of_bytes_drops_the_oldest_and_what_is_withdrawn_is_gone() {
        let mut known = Known::default();
        let (large, begun) = (Bytes::from(vec![b' '; REPORT_BYTES_MAX]), Instant::now());
        let fits = BYTES_MAX / REPORT_BYTES_MAX;
        for number in 0..fits as u64 + 2 {
            let told = begun + Duration::from_millis(number);
            known.set(&format!("{number:05}"), Some(large.clone()), told);
        }
        assert_eq!((known.list(begun).len(), known.bytes), (fits, BYTES_MAX));
        known.set("00002", None, begun);
        known.set("00002", None, begun);
        assert_eq!(
            (known.list(begun).len(), known.bytes),
            (fits - 1, BYTES_MAX - REPORT_BYTES_MAX)
        );
    }

    #[test]
    fn who_is_silent_for_an_hour_is_forgotten() {
        let (mut known, begun) = (Known::default(), Instant::now());
        known.set("gone", Some(Bytes::from_static(b"{}")), begun);
        known.set("here", Some(Bytes::new()), begun + Duration::from_secs(9));
        let kept = known.list(begun + FORGET);
        let age = FORGET - Duration::from_secs(9);
        assert_eq!(kept, [Report { key: "here".into(), age, payload: Bytes::new() }]);
        assert_eq!(known.bytes, 0);
    }
}
