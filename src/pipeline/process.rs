//! This process: its parts, read for `/metrics`, and what it says of itself.

use std::net::SocketAddr;
use std::sync::PoisonError;

use bus::kafka::{host_name, process_name};
use bus::{Bus, EmbeddedBus};
use detect::Statistics;
use event::Timestamp;
use lake::Lake;
use query::api::{
    ConsumerLag, DetectStatus, ForwardStatus, KafkaStatus, LakeStatus, ProcessStatus,
};

use super::account::Account;
use super::board::SourceBoard;
use super::collect::now;
use super::forward::FORWARD;
use super::role::Role;
use super::running::Hindrance;
use super::worker::DetectionBoard;

/// The parts that have figures, those that its role has. Cheap to clone.
#[derive(Clone)]
pub struct Parts {
    pub sources: SourceBoard,
    pub bus: Bus,
    /// Of the collectors.
    pub log: Option<EmbeddedBus>,
    /// What keeps the collectors from going on.
    pub collecting: Option<Hindrance>,
    pub lake: Option<Lake>,
    pub detection: Option<DetectionBoard>,
}

impl Parts {
    /// Records of the log that Kafka does not have yet, by partition; none if they do not go
    /// there.
    pub fn waiting_records(&self) -> Option<Vec<(u32, u64)>> {
        let (Some(log), Bus::Kafka(_)) = (&self.log, &self.bus) else { return None };
        let waiting = log.status().partitions.into_iter().map(|status| {
            let forwarded = log.committed(FORWARD, status.partition).unwrap_or(status.start);
            (status.partition, status.end.0.saturating_sub(forwarded.0))
        });
        Some(waiting.collect())
    }

    /// What detection has met, in all its partitions.
    pub fn statistics(&self) -> Option<Statistics> {
        let board = self.detection.as_ref()?;
        let mut statistics = Statistics::default();
        for shard in board.lock().unwrap_or_else(PoisonError::into_inner).values() {
            statistics.add(&shard.statistics);
        }
        Some(statistics)
    }

    /// Partitions that wait for others to open a day.
    pub fn opening_partitions(&self) -> u64 {
        let Some(board) = &self.detection else { return 0 };
        let board = board.lock().unwrap_or_else(PoisonError::into_inner);
        board.values().filter(|shard| shard.opens_day).count() as u64
    }

    fn forward(&self) -> Option<ForwardStatus> {
        Some(ForwardStatus {
            waiting_records: self.waiting_records()?.into_iter().map(|(_, records)| records).sum(),
            trouble: self.collecting.as_ref().and_then(|hindrance| hindrance()),
        })
    }

    fn kafka(&self) -> Option<KafkaStatus> {
        let status = self.bus.status().kafka?;
        let lag = |lag: &bus::status::Lag| ConsumerLag {
            partition: self.bus.partition_name(lag.partition),
            lag: lag.end.0.saturating_sub(lag.next.0),
        };
        Some(KafkaStatus {
            producer_queue_records: status.producer_queue_records,
            producer_queue_bytes: status.producer_queue_bytes,
            rebalances: status.rebalances,
            partitions: status.lag.iter().map(lag).collect(),
            trouble: status.trouble,
        })
    }

    fn lake(&self) -> Option<LakeStatus> {
        let status = self.lake.as_ref()?.status();
        Some(LakeStatus {
            commits: status.commits,
            commit_conflicts: status.commit_conflicts,
            superseded: status.superseded,
            trouble: status.trouble,
        })
    }
}

/// This process as others see it.
pub struct OwnProcess {
    pub role: Role,
    pub address: SocketAddr,
    pub started: Timestamp,
    pub parts: Parts,
    pub hindrance: Hindrance,
}

impl OwnProcess {
    /// Under which it tells of itself. Each process of a machine listens on its own address, so
    /// that one that is started again replaces what it was.
    pub fn key(&self) -> String {
        format!("{} {} {}", host_name(), self.role.name(), self.address)
    }

    /// What it has to say.
    pub fn account(&self) -> Account {
        let parts = &self.parts;
        let process = ProcessStatus {
            name: process_name(),
            role: self.role.name().to_owned(),
            host: host_name(),
            address: self.address.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            reported: now(),
            problem: (self.hindrance)(),
            forward: parts.forward(),
            kafka: parts.kafka(),
            detect: parts.statistics().map(|met| DetectStatus { events: met.events }),
            lake: parts.lake(),
        };
        Account::new(process, parts.sources.statuses())
    }
}
