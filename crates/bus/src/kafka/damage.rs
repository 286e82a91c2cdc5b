//! Finds where reading can go on behind a batch that cannot be decoded. librdkafka does not say
//! of which partition it was, nor passes it; so each candidate is read by a consumer of its own.

use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Message, TopicPartitionList};

use super::{Inner, client};
use crate::BusError;

/// The search meets again and again what it searches for: its caller tells it once.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "kafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("kafka: {error}: {reason}");
    }
}

impl ConsumerContext for Quiet {}

/// A partition whose broker does not answer in so long is left for the next time.
const WAIT: Duration = Duration::from_secs(10);

/// For each position that begins with damage: the partition, the position, and where reading
/// goes on.
pub(super) fn find(
    bus: &Inner,
    group: &str,
    positions: &[(u32, u64)],
) -> Result<Vec<(u32, u64, u64)>, BusError> {
    let mut config = client::consumer(&bus.connection, &bus.settings, &format!("{group}.probe"));
    config.set("statistics.interval.ms", "0").set("fetch.error.backoff.ms", "10");
    let wrong = |error: KafkaError| BusError::Client(error.to_string());
    let probe: BaseConsumer<Quiet> = config.create_with_context(Quiet).map_err(wrong)?;
    let mut found = Vec::new();
    for &(partition, from) in positions {
        let Ok((_, end)) = bus.watermarks_now(partition, WAIT) else { continue };
        match good_offset(&probe, bus.topic(), partition, from, end) {
            Ok(Some(to)) if to > from => found.push((partition, from, to)),
            Ok(_) => {}
            Err(error) => tracing::debug!("kafka: {error}"),
        }
    }
    Ok(found)
}

/// The first offset from here on that can be read; the end if none can. `None` if nothing is
/// heard. A damaged batch has no trustworthy length, so it is left step by step.
fn good_offset(
    probe: &BaseConsumer<Quiet>,
    topic: &str,
    partition: u32,
    from: u64,
    end: u64,
) -> KafkaResult<Option<u64>> {
    let mut next = from;
    let mut heard = Instant::now();
    while next < end {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition as i32, rdkafka::Offset::Offset(next as i64))?;
        probe.assign(&list)?;
        next = loop {
            match probe.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => return Ok(u64::try_from(message.offset()).ok()),
                Some(Err(error)) if is_damage(&error) => break next + 1,
                Some(Err(_)) | None if heard.elapsed() > WAIT => return Ok(None),
                Some(Err(_)) | None => {}
            }
        };
        heard = Instant::now();
    }
    Ok((end > from).then_some(end))
}

fn is_damage(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::BadMessage | Code::BadCompression | Code::NotImplemented))
}
