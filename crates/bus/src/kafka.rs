//! The bus on Kafka: a topic whose partitions are the logs, a consumer group that shares them.
//!
//! # What librdkafka is told, and why
//!
//! | setting | why |
//! |---|---|
//! | `acks=all`, `enable.idempotence` | acknowledged means on every in-sync copy, once, in order |
//! | `message.timeout.ms=0` | a record is never given up here, so none overtakes another |
//! | `enable.gapless.guarantee` | a record that cannot go stops those behind it |
//! | no transactions | the lake commits offsets with the rows; repeats are recognised by position |
//! | `isolation.level=read_uncommitted` | somebody's hanging transaction must not stop us |
//! | `zstd`, level 1 | a batch of events shrinks several times for little work |
//! | `partition.assignment.strategy=cooperative-sticky` | who keeps a partition reads on |
//! | `group.protocol=classic` | every broker since 2.4 has it |
//! | no `group.instance.id` | a member that is gone is replaced after `session.timeout.ms` |
//! | `enable.auto.commit=false`, `enable.auto.offset.store=false` | positions are the caller's |
//! | `auto.offset.reset=earliest` | reading goes on where retention overtook it (1) |
//! | `check.crcs` | a damaged batch is a gap, not wrong events |
//! | `fetch.min.bytes=1`, `fetch.wait.max.ms=100` | a record is there at once, a seek soon |
//! | `fetch.message.max.bytes` up to 1 MiB | partitions come in turn; for larger records it grows |
//! | `queued.max.messages.kbytes` | of each partition waits a share of `queue_bytes` (3) |
//! | `receive.message.max.bytes=300 MiB` | the first bytes of a TLS alert read as 336 MiB |
//! | `max.poll.interval.ms=300000` | who does not read for five minutes is stuck |
//! | `reconnect.backoff.max.ms=2000` | brokers that are back are found soon |
//! | `allow.auto.create.topics=false` | a topic is made with our settings or not at all |
//! | topic: `message.timestamp.type=LogAppendTime` | retention goes by the brokers' clock (2) |
//! | topic: `cleanup.policy=delete` | compaction would drop events of the same key |
//! | reports: a producer of their own, `message.timeout.ms=5000` | the log never waits for them |
//!
//! (1) The jump shows in the offsets and is delivered as a gap. With `error` librdkafka would stop
//! the partition, and a stopped one cannot be sought; assigning it anew could be taken for the
//! answer to a change of the group. (2) A sender's wrong clock must not make the brokers delete its
//! records at once. (3) Each has a queue of its own, split off before the partition is assigned.
//! A member that idles leaves records in them and still hears of changes of the group.
//!
//! # Changes of the group
//!
//! librdkafka hands over each change and waits for the answer, here until the caller has finished
//! what it does with the partitions. Meanwhile it goes on with heartbeats and has stopped reading
//! from all partitions; what was fetched and not handed out is thrown away and fetched again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::watch;

use crate::embedded::blocking;
use crate::partition::lock;
use crate::status::{BusStatus, KafkaStatus, Lag};
use crate::{BusError, BusSettings, Offset, Record};

mod client;
mod damage;
mod group;
mod health;
mod inspect;
mod member;
mod producer;
mod reading;
mod record;
mod reports;
mod settings;
mod topic;

pub use client::{host_name, process_name};
pub use inspect::{KafkaGroupMember, KafkaInspection, KafkaPartition};
pub use member::KafkaMember;
pub use reports::{REPORT_BYTES_MAX, Report};
pub use settings::{KafkaSecurity, KafkaSettings, SaslMechanism};

use health::Health;
use member::MemberView;
use producer::Appender;
use reports::Reports;

/// How long a broker gets for one answer before it is asked again.
const ANSWER: Duration = Duration::from_secs(2);
const ANSWER_PAUSE: Duration = Duration::from_millis(200);

/// A bus in a topic of Kafka. Cheap to clone.
#[derive(Clone)]
pub struct KafkaBus(Arc<Inner>);

struct Inner {
    settings: BusSettings,
    connection: ClientConfig,
    /// Of the producer's client.
    health: Arc<Health>,
    appender: Appender,
    members: Mutex<Vec<Weak<MemberView>>>,
    rebalances: Arc<AtomicU64>,
    reports: Arc<Reports>,
    closed: watch::Sender<bool>,
}

impl KafkaBus {
    /// Makes the bus without waiting for a broker; it connects by itself. Call
    /// [`KafkaBus::ensure_topic`] before the first append. Errors: settings, secrets, files.
    pub fn open_unconnected(settings: &BusSettings) -> Result<KafkaBus, BusError> {
        settings.check()?;
        let connection = client::connection(&settings.kafka)?;
        let health = Arc::new(Health::default());
        let config = client::producer(&connection, settings);
        let appender = Appender::new(config, settings, health.clone())?;
        Ok(KafkaBus(Arc::new(Inner {
            settings: settings.clone(),
            connection,
            health,
            appender,
            members: Mutex::default(),
            rebalances: Arc::default(),
            reports: Arc::default(),
            closed: watch::Sender::new(false),
        })))
    }

    /// Creates the topic, or checks the one that is there. Gives up after `connect_seconds`, and
    /// may be called again.
    pub async fn ensure_topic(&self) -> Result<(), BusError> {
        self.0.unless_closed(topic::ensure(&self.0)).await
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> u32 {
        self.0.settings.partitions
    }

    /// `<topic>-<partition>`.
    pub fn partition_name(&self, partition: u32) -> String {
        format!("{}-{partition}", self.0.topic())
    }

    /// See [`crate::Bus::append`].
    pub async fn append(
        &self,
        partition: u32,
        records: Vec<Record>,
    ) -> Result<Vec<Offset>, BusError> {
        self.0.unless_closed(self.0.appender.append(partition, records)).await
    }

    /// See [`crate::Bus::join`]. Needs a runtime of tokio around it.
    pub fn join(&self, consumer: &str) -> Result<KafkaMember, BusError> {
        if *self.0.closed.borrow() {
            return Err(BusError::Closed);
        }
        KafkaMember::join(self.0.clone(), consumer)
    }

    /// What the brokers know of the topic and of the group of a consumer.
    pub async fn inspect(&self, consumer: &str) -> Result<KafkaInspection, BusError> {
        self.0.unless_closed(inspect::ask(&self.0, self.0.group(consumer))).await
    }

    /// Tells the other processes something under a key, which replaces what was told under it
    /// before. Goes its own way: appends neither wait for it nor fail with it. Creates its topic
    /// if it is missing; gives up after some seconds.
    pub async fn report(&self, key: &str, payload: &[u8]) -> Result<(), BusError> {
        self.0.unless_closed(reports::write(&self.0, key, Some(payload))).await
    }

    /// Takes back what was told under a key.
    pub async fn withdraw_report(&self, key: &str) -> Result<(), BusError> {
        self.0.unless_closed(reports::write(&self.0, key, None)).await
    }

    /// What all processes have told in the last hour, the newest of each key, in order. Anybody
    /// who may write to the topic may have written it. The first call reads what is there and
    /// waits some seconds at most; later ones read what came since.
    pub async fn reports(&self) -> Result<Vec<Report>, BusError> {
        self.0.unless_closed(reports::read(&self.0)).await
    }

    /// See [`crate::Bus::status`].
    pub fn status(&self) -> BusStatus {
        let members: Vec<_> = lock(&self.0.members).iter().filter_map(Weak::upgrade).collect();
        let health = || members.iter().map(|member| &member.health).chain([&self.0.health]);
        let mut positions = BTreeMap::new();
        for member in &members {
            for (partition, next) in lock(&member.positions).iter() {
                let end = member.health.end(self.0.topic(), *partition).unwrap_or(*next);
                positions.insert(*partition, (*next, end.max(*next)));
            }
        }
        let (records, bytes) = self.0.health.queue();
        let lag = |(&partition, &(next, end)): (&u32, &(u64, u64))| Lag {
            partition,
            next: Offset(next),
            end: Offset(end),
        };
        let kafka = KafkaStatus {
            brokers_up: health().map(|health| health.brokers_up()).max().unwrap_or_default(),
            producer_queue_records: records,
            producer_queue_bytes: bytes,
            rebalances: self.0.rebalances.load(Relaxed),
            assigned: positions.keys().copied().collect(),
            lag: positions.iter().map(lag).collect(),
            problem: health().find_map(|health| health.problem()),
        };
        BusStatus { partitions: Vec::new(), kafka: Some(kafka) }
    }

    /// See [`crate::Bus::shutdown`]. Records that no broker has taken after `connect_seconds`
    /// were never acknowledged, and are dropped.
    pub async fn shutdown(&self) -> Result<(), BusError> {
        let inner = self.0.clone();
        let wait = Duration::from_secs(u64::from(inner.settings.kafka.connect_seconds));
        let done = blocking(move || inner.appender.finish(wait)).await;
        self.0.closed.send_replace(true);
        Reports::close(self.0.reports.clone());
        if !done? {
            tracing::warn!("kafka: records that were never acknowledged were left behind");
        }
        Ok(())
    }
}

impl Inner {
    fn topic(&self) -> &str {
        &self.settings.kafka.topic
    }

    fn reports_topic(&self) -> String {
        format!("{}.processes", self.topic())
    }

    fn group(&self, consumer: &str) -> String {
        format!("{}.{consumer}", self.settings.kafka.group_prefix)
    }

    fn list(&self, partitions: &[u32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(self.topic(), *partition as i32);
        }
        list
    }

    fn remember(&self, member: &Arc<MemberView>) {
        let mut members = lock(&self.members);
        members.retain(|known| known.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }

    async fn unless_closed<T>(
        &self,
        work: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased; // what is done is done
            done = work => done,
            () = async { drop(closed.wait_for(|closed| *closed).await) } => Err(BusError::Closed),
        }
    }

    /// Start and end of a partition. Waits for the brokers.
    async fn watermarks(self: &Arc<Self>, partition: u32) -> Result<(u64, u64), BusError> {
        let partitions = self.settings.partitions;
        if partition >= partitions {
            return Err(BusError::UnknownPartition { partition, partitions });
        }
        self.unless_closed(async {
            loop {
                let inner = self.clone();
                let error = match blocking(move || inner.watermarks_now(partition, ANSWER)).await? {
                    Ok(watermarks) => return Ok(watermarks),
                    Err(error) => error,
                };
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
                    return Err(self.unanswered("describing the topic", &error));
                }
                tokio::time::sleep(ANSWER_PAUSE).await;
            }
        })
        .await
    }

    fn watermarks_now(&self, partition: u32, wait: Duration) -> KafkaResult<(u64, u64)> {
        let client = self.appender.client();
        let (start, end) =
            client.client().fetch_watermarks(self.topic(), partition as i32, wait)?;
        Ok((u64::try_from(start).unwrap_or_default(), u64::try_from(end).unwrap_or_default()))
    }

    /// Why a question had no answer.
    fn unanswered(&self, action: &str, error: &KafkaError) -> BusError {
        use RDKafkaErrorCode as Code;
        let reason = error.to_string();
        match error.rdkafka_error_code() {
            Some(
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed,
            ) => BusError::Forbidden { action: action.to_owned(), reason },
            _ => BusError::NoBroker { brokers: self.settings.kafka.brokers.join(", "), reason },
        }
    }
}
