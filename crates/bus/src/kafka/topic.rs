//! The topics: created if they are missing; that of the events is checked if it is there.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::TopicReplication;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;

use super::Inner;
use super::client::RECORD_SLACK_BYTES;
use crate::BusError;
use crate::embedded::blocking;

/// How long one question waits before it is looked at why there is no answer.
const SLICE: Duration = Duration::from_millis(250);
/// A refusal is believed when no other broker has answered in so long.
const GRACE: Duration = Duration::from_secs(1);

/// What the brokers say of the topic.
struct Seen {
    error: Option<RDKafkaErrorCode>,
    partitions: u32,
    /// Each of them has a leader.
    ready: bool,
}

/// A topic as it is created.
struct Wanted {
    name: String,
    partitions: u32,
    settings: Vec<(&'static str, String)>,
}

impl Wanted {
    fn events(bus: &Inner) -> Wanted {
        let retention = u64::from(bus.settings.kafka.retention_hours) * 3_600_000;
        Wanted {
            name: bus.topic().to_owned(),
            partitions: bus.settings.partitions,
            settings: vec![
                ("cleanup.policy", "delete".into()),
                ("message.timestamp.type", "LogAppendTime".into()),
                ("retention.ms", retention.to_string()),
                ("max.message.bytes", record_bytes(bus).to_string()),
            ],
        }
    }

    /// Small segments: only those that are full are compacted.
    fn reports(bus: &Inner) -> Wanted {
        Wanted {
            name: bus.reports_topic(),
            partitions: 1,
            settings: vec![
                ("cleanup.policy", "compact,delete".into()),
                ("message.timestamp.type", "LogAppendTime".into()),
                ("retention.ms", (24 * 3_600_000).to_string()),
                ("segment.bytes", (1 << 20).to_string()),
                ("delete.retention.ms", 3_600_000.to_string()),
            ],
        }
    }
}

/// Waits for a broker, then creates or checks the topic of the events.
pub(super) async fn ensure(bus: &Inner) -> Result<(), BusError> {
    let limit = Duration::from_secs(u64::from(bus.settings.kafka.connect_seconds));
    let deadline = Instant::now() + limit;
    let there = find_or_create(bus, &Wanted::events(bus), deadline).await?;
    check_partitions(bus, there)?;
    check_settings(bus, deadline).await
}

/// Creates the topic of the reports if it is missing.
pub(super) async fn ensure_reports(bus: &Inner, deadline: Instant) -> Result<(), BusError> {
    find_or_create(bus, &Wanted::reports(bus), deadline).await.map(drop)
}

/// Whether a topic is there.
pub(super) async fn is_there(
    bus: &Inner,
    topic: &str,
    deadline: Instant,
) -> Result<bool, BusError> {
    use RDKafkaErrorCode as Code;
    match look(bus, topic, deadline).await?.error {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(false),
        Some(Code::TopicAuthorizationFailed) => Err(undescribed(topic)),
        _ => Ok(true),
    }
}

/// How many partitions the topic has, once it is there and ready.
async fn find_or_create(bus: &Inner, wanted: &Wanted, deadline: Instant) -> Result<u32, BusError> {
    let topic = &wanted.name;
    let mut created = false;
    loop {
        let seen = look(bus, topic, deadline).await?;
        match seen.error {
            None if seen.partitions == 0 || (created && !seen.ready) => {}
            None => return Ok(seen.partitions),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                if !bus.settings.kafka.create_topic {
                    return Err(BusError::TopicMissing(topic.clone()));
                }
                if !created {
                    create(bus, wanted, deadline).await?;
                    created = true;
                }
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => return Err(undescribed(topic)),
            Some(RDKafkaErrorCode::LeaderNotAvailable) => {}
            Some(code) => return Err(problem(topic, format!("{code}; see the brokers' log"))),
        }
        if Instant::now() > deadline {
            let leaderless = "its partitions have no leader; see the brokers' log";
            return Err(problem(topic, leaderless.into()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn undescribed(topic: &str) -> BusError {
    BusError::Forbidden { action: format!("describing topic {topic}"), reason: "no right".into() }
}

/// Asks until a broker answers, or it is clear that none will.
async fn look(bus: &Inner, topic: &str, deadline: Instant) -> Result<Seen, BusError> {
    let begun = Instant::now();
    loop {
        let (client, topic) = (bus.appender.client(), topic.to_owned());
        let ask = move || {
            let metadata = client.client().fetch_metadata(Some(&topic), SLICE)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            Ok(found.map(|found| Seen {
                error: found.error().map(RDKafkaErrorCode::from),
                partitions: found.partitions().len() as u32,
                ready: found.partitions().iter().all(|partition| partition.leader() >= 0),
            }))
        };
        let answer: Result<Option<Seen>, KafkaError> = blocking(ask).await?;
        if let Ok(Some(seen)) = answer {
            return Ok(seen);
        }
        let failure = bus.health.failure();
        let late = Instant::now() > deadline;
        match failure {
            Some(failure) if late || (failure.is_decisive() && begun.elapsed() > GRACE) => {
                return Err(failure.into_error(&bus.settings.kafka.brokers));
            }
            _ if late => {
                let reason = format!("no answer in {} s", begun.elapsed().as_secs());
                let brokers = bus.settings.kafka.brokers.join(", ");
                return Err(BusError::NoBroker { brokers, reason });
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn check_partitions(bus: &Inner, there: u32) -> Result<(), BusError> {
    let configured = bus.settings.partitions;
    if there == configured {
        return Ok(());
    }
    Err(BusError::Partitions { topic: bus.topic().to_owned(), there, configured })
}

async fn create(bus: &Inner, wanted: &Wanted, deadline: Instant) -> Result<(), BusError> {
    let copies = match bus.settings.kafka.replication {
        0 => -1, // as the brokers are told
        copies => i32::from(copies),
    };
    let partitions = i32::try_from(wanted.partitions).unwrap_or(i32::MAX);
    let topic = NewTopic::new(&wanted.name, partitions, TopicReplication::Fixed(copies));
    let settings = wanted.settings.iter();
    let topic = settings.fold(topic, |topic, (name, value)| topic.set(name, value));
    let admin = admin(&bus.connection)?;
    let created = admin.create_topics([&topic], &options(deadline)).await;
    dismiss(admin);
    let failed = |code, reason: String| match code {
        RDKafkaErrorCode::TopicAlreadyExists => Ok(()), // another was faster
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            let action = format!("creating topic {}", wanted.name);
            Err(BusError::Forbidden { action, reason })
        }
        _ => {
            let cure = format!("it cannot be created: {reason}; create it by hand");
            Err(problem(&wanted.name, cure))
        }
    };
    match created {
        Ok(results) => match results.into_iter().next() {
            Some(Err((_, code))) => failed(code, code.to_string()),
            _ => {
                tracing::info!(topic = wanted.name, "created the topic");
                Ok(())
            }
        },
        Err(error) => failed(
            error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
            error.to_string(),
        ),
    }
}

/// Refuses a topic that loses records; warns of one that may.
async fn check_settings(bus: &Inner, deadline: Instant) -> Result<(), BusError> {
    let admin = admin(&bus.connection)?;
    let wanted = [ResourceSpecifier::Topic(bus.topic())];
    let told = admin.describe_configs(&wanted, &options(deadline)).await;
    dismiss(admin);
    let resource = match told.map(|results| results.into_iter().next()) {
        Ok(Some(Ok(resource))) => resource,
        Ok(Some(Err(code))) => {
            tracing::debug!("kafka: the settings of the topic are not told: {code}");
            return Ok(());
        }
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::debug!("kafka: the settings of the topic are not told: {error}");
            return Ok(());
        }
    };
    let policy = text(&resource, "cleanup.policy");
    if policy.is_some_and(|policy| policy.contains("compact")) {
        let cure = "its cleanup.policy is compact, which drops events: set it to delete, or use \
                    another topic";
        return Err(problem(bus.topic(), cure.into()));
    }
    let limit = number(&resource, "max.message.bytes");
    if let Some(limit) = limit.filter(|limit| *limit < i64::from(record_bytes(bus))) {
        return Err(problem(
            bus.topic(),
            format!(
                "its max.message.bytes is {limit}: raise it to {}, or lower \
                 bus.record_bytes_max to {} or less",
                record_bytes(bus),
                (limit - i64::from(RECORD_SLACK_BYTES)).max(1024)
            ),
        ));
    }
    if text(&resource, "message.timestamp.type").is_some_and(|kind| kind != "LogAppendTime") {
        tracing::warn!(
            topic = bus.topic(),
            "the topic keeps the senders' time, so a wrong clock can make the brokers delete \
             records at once: set its message.timestamp.type to LogAppendTime"
        );
    }
    let retention = i64::from(bus.settings.kafka.retention_hours) * 3_600_000;
    let kept = number(&resource, "retention.ms");
    if let Some(kept) = kept.filter(|kept| (0..retention).contains(kept)) {
        tracing::warn!(
            topic = bus.topic(),
            "the topic keeps records for {} hours only: set its retention.ms to {retention}, or \
             lower bus.kafka.retention_hours",
            kept / 3_600_000
        );
    }
    Ok(())
}

/// Bytes that the topic must take.
fn record_bytes(bus: &Inner) -> u32 {
    bus.settings.record_bytes_max.saturating_add(RECORD_SLACK_BYTES)
}

fn text<'a>(resource: &'a ConfigResource, name: &str) -> Option<&'a str> {
    resource.get(name)?.value.as_deref()
}

fn number(resource: &ConfigResource, name: &str) -> Option<i64> {
    text(resource, name)?.parse().ok()
}

fn problem(topic: &str, problem: String) -> BusError {
    BusError::Topic { topic: topic.to_owned(), problem }
}

type Admin = AdminClient<DefaultClientContext>;

fn admin(connection: &ClientConfig) -> Result<Admin, BusError> {
    connection.create().map_err(|error: KafkaError| BusError::Client(error.to_string()))
}

/// Ends it elsewhere: it waits for its thread.
fn dismiss(admin: Admin) {
    drop(tokio::task::spawn_blocking(move || drop(admin)));
}

fn options(deadline: Instant) -> AdminOptions {
    let left = deadline.saturating_duration_since(Instant::now()).max(GRACE);
    AdminOptions::new().request_timeout(Some(left)).operation_timeout(Some(left))
}
