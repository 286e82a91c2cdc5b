//! What a member makes of what it read: records in order, gaps where others are missing.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::damage;
use super::member::KafkaMember;
use super::record::Read;
use crate::embedded::blocking;
use crate::partition::lock;
use crate::{BusError, Delivery, GapReason, Offset, Turn};

/// How long after a search for damage that found nothing there may be the next one.
const SEARCH_AGAIN: Duration = Duration::from_secs(3);

impl KafkaMember {
    /// Looks at where the record that was read stands: others before it may be missing.
    pub(super) async fn judge(&mut self) -> Result<(), BusError> {
        let Some((partition, offset)) =
            self.read.as_ref().map(|read| (read.partition, read.offset))
        else {
            return Ok(());
        };
        let expected = lock(&self.view.positions).get(&partition).copied();
        let expected = expected.unwrap_or(u64::MAX); // given back meanwhile
        if offset != expected && expected != u64::MAX {
            let (start, end) = self.bus.watermarks(partition).await?;
            if expected > end {
                self.read = None;
                let (from, end) = (Offset(expected), Offset(end));
                return Err(BusError::BeyondEnd { partition, from, end });
            }
            if offset < expected {
                // librdkafka fell back to the oldest record though the position is there.
                self.seek(partition, expected)?;
            }
            // Retention deletes up to its new start; what is missing behind that was damaged.
            let deleted = start.clamp(expected, offset.max(expected));
            self.gap(partition, expected, deleted, GapReason::Deleted);
            self.gap(partition, deleted, offset, GapReason::Damaged);
        }
        if let Some(Read { record, .. }) = self.read.take()
            && offset >= expected
        {
            self.view.health.set_refusal(None);
            self.keep(partition, Delivery::Record { offset: Offset(offset), record });
        }
        Ok(())
    }

    pub(super) async fn failed(&mut self, error: &KafkaError) -> Result<(), BusError> {
        use RDKafkaErrorCode as Code;
        if let KafkaError::MessageConsumptionFatal(_) = error {
            let reason = self.consumer()?.client().fatal_error().map(|(_, reason)| reason);
            return Err(BusError::Group(reason.unwrap_or_else(|| error.to_string())));
        }
        let refused = match error.rdkafka_error_code() {
            Some(Code::BadMessage | Code::BadCompression | Code::NotImplemented) => {
                return self.skip_damage().await;
            }
            Some(Code::GroupAuthorizationFailed) => format!("joining group {}", self.group),
            Some(Code::TopicAuthorizationFailed) => {
                format!("reading topic {}", self.bus.topic())
            }
            Some(Code::InconsistentGroupProtocol) => {
                let problem = "its other members share partitions in another way";
                return Err(BusError::Group(format!("{}: {problem}", self.group)));
            }
            Some(Code::InvalidSessionTimeout) => {
                let problem = "the brokers do not allow bus.kafka.session_timeout_seconds: set it \
                               between their group.min.session.timeout.ms and \
                               group.max.session.timeout.ms";
                return Err(BusError::Group(problem.to_owned()));
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                let topic = self.bus.topic();
                self.view.health.set_refusal(Some(format!("topic {topic} is gone")));
                return Ok(());
            }
            _ => {
                // Brokers that are away and the like: librdkafka goes on, and so do we.
                tracing::debug!("kafka: {error}");
                return Ok(());
            }
        };
        if self.settled {
            // It was allowed before and may be again.
            self.view.health.set_refusal(Some(format!("the brokers forbid {refused}")));
            return Ok(());
        }
        Err(BusError::Forbidden { action: refused, reason: error.to_string() })
    }

    /// Some batch cannot be decoded. librdkafka would ask for it for ever.
    async fn skip_damage(&mut self) -> Result<(), BusError> {
        // Errors queue up while a partition is not read, and by now all may be well.
        if self.searched_in_vain.is_some_and(|at| at.elapsed() < SEARCH_AGAIN) {
            return Ok(());
        }
        let positions: Vec<(u32, u64)> = lock(&self.view.positions)
            .iter()
            .map(|(partition, next)| (*partition, *next))
            .collect();
        let (bus, group) = (self.bus.clone(), self.group.clone());
        let search = move || damage::find(&bus, &group, &positions);
        let found = blocking(search).await??;
        self.searched_in_vain = found.is_empty().then(Instant::now);
        for (partition, from, to) in found {
            tracing::warn!(
                "kafka: records {from} to {} of partition {partition} are damaged",
                to - 1
            );
            self.gap(partition, from, to, GapReason::Damaged);
            self.seek(partition, to)?;
        }
        Ok(())
    }

    fn seek(&self, partition: u32, offset: u64) -> Result<(), BusError> {
        let offset = rdkafka::Offset::Offset(offset as i64);
        let (topic, now) = (self.bus.topic(), Duration::ZERO);
        self.consumer()?.seek(topic, partition as i32, offset, now).or_else(|error| {
            // A partition that is being taken away cannot be sought, and need not be.
            tracing::debug!("kafka: {error}");
            Ok(())
        })
    }

    pub(super) fn gap(&mut self, partition: u32, from: u64, to: u64, reason: GapReason) {
        if from < to {
            self.keep(partition, Delivery::Gap { from: Offset(from), to: Offset(to), reason });
        }
    }

    fn keep(&mut self, partition: u32, delivery: Delivery) {
        lock(&self.view.positions).insert(partition, delivery.next().0);
        self.kept.push_back(Turn::Delivery { partition, delivery });
    }
}
