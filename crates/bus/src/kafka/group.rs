//! What the group tells a member: partitions come and go. Each change waits for its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::mpsc::UnboundedSender;

use super::health::Listener;

/// A change that librdkafka waits to be answered, with heartbeats going on and reading stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Assigned(Vec<u32>),
    Revoked(Vec<u32>),
    Lost(Vec<u32>),
}

/// Hands changes to the member.
pub(super) struct GroupListener {
    pub(super) listener: Listener,
    pub(super) changes: UnboundedSender<Change>,
    /// The member is gone: changes are answered here.
    pub(super) leaving: Arc<AtomicBool>,
    pub(super) rebalances: Arc<AtomicU64>,
}

impl ConsumerContext for GroupListener {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let numbers = list.elements().into_iter().map(|element| element.partition());
        let partitions: Vec<u32> = numbers.filter_map(|number| number.try_into().ok()).collect();
        let given = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if !partitions.is_empty() {
            self.rebalances.fetch_add(1, Relaxed);
            if !self.leaving.load(Relaxed) {
                let change = match given {
                    true => Change::Assigned(partitions),
                    false if consumer.assignment_lost() => Change::Lost(partitions),
                    false => Change::Revoked(partitions),
                };
                if self.changes.send(change).is_ok() {
                    return;
                }
            }
        }
        // Nobody has to be asked. Who is leaving must take what it is given all the same: it can
        // give back only what it has. It reads none of it.
        let answered = match given {
            true => consumer.incremental_assign(list),
            false => consumer.incremental_unassign(list),
        };
        if let Err(error) = answered {
            tracing::warn!("kafka: a change of the group could not be answered: {error}");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        // Offsets of the group are for its tools. Who has just lost a partition may fail to set
        // them.
        if let Err(error) = result {
            tracing::debug!("kafka: {error}");
        }
    }
}

impl ClientContext for GroupListener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.listener.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.listener.stats(statistics);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.listener.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.listener.error(error, reason);
    }
}
