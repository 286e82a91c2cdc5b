//! What this process says of itself: whether it is ready, its figures, and its report to others.

pub mod heartbeat;
pub mod lag;
mod metrics;
pub mod report;
pub mod source_board;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use ::detect::Statistics;
use bus::kafka::{host_name, process_name};
use bus::{Bus, EmbeddedBus};
use event::Timestamp;
use lake::Lake;
use query::api::{
    ConsumerLag, DetectStatus, ForwardStatus, KafkaStatus, LakeStatus, ProcessStatus, Readiness,
    TaskState, TaskStatus,
};

use crate::clock;
use crate::collect::{FORWARD, FORWARD_TASK};
use crate::detect::state_upkeep::StateCounts;
use crate::detect::worker::DetectionBoard;
use crate::role::Role;
use crate::supervisor::Supervisor;
use lag::LagBoard;
use report::ProcessReport;
use source_board::SourceBoard;

/// The parts of this process, read when they are asked. Cheap to clone.
#[derive(Clone)]
pub struct Status(pub Arc<Parts>);

/// The parts that have something to say, those that the role has.
pub struct Parts {
    pub role: Role,
    pub address: SocketAddr,
    pub started: Timestamp,
    pub supervisor: Supervisor,
    pub sources: SourceBoard,
    pub bus: Bus,
    /// Of the collectors.
    pub log: Option<EmbeddedBus>,
    pub lake: Option<Lake>,
    pub detection: Option<DetectionBoard>,
    /// Of the state.
    pub counts: Option<StateCounts>,
    pub lags: LagBoard,
}

impl Status {
    /// Whether the process can do its work, and how each of its tasks is.
    pub fn readiness(&self) -> Readiness {
        let parts = &self.0;
        let tasks = parts.supervisor.statuses();
        let mut problems = Vec::new();
        problems.extend(parts.lake.as_ref().and_then(|lake| lake.status().problem));
        problems.extend(parts.log.as_ref().and_then(|log| {
            log.status().partitions.into_iter().find_map(|partition| partition.problem)
        }));
        problems.extend(tasks.iter().filter_map(problem));
        problems.extend(parts.bus.status().kafka.and_then(|kafka| kafka.problem));
        // Two tasks may wait for the same.
        let mut told = BTreeSet::new();
        problems.retain(|problem| told.insert(problem.clone()));
        Readiness { problems, tasks }
    }

    /// Why the process is not ready, if it is not.
    pub fn not_ready_because(&self) -> Option<String> {
        let problems = self.readiness().problems;
        (!problems.is_empty()).then(|| problems.join("; "))
    }

    /// Under which it reports. Each process of a machine listens on its own address, so that one
    /// that is started again replaces what it was.
    pub fn key(&self) -> String {
        format!("{} {} {}", host_name(), self.0.role.name(), self.0.address)
    }

    /// What it has to say now.
    pub fn report(&self) -> ProcessReport {
        let parts = &self.0;
        let Readiness { problems, tasks } = self.readiness();
        let process = ProcessStatus {
            name: process_name(),
            role: parts.role.name().to_owned(),
            host: host_name(),
            address: parts.address.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: parts.started,
            reported: clock(),
            problem: (!problems.is_empty()).then(|| problems.join("; ")),
            tasks,
            forward: self.forward(),
            kafka: self.kafka(),
            detect: self.statistics().map(|met| DetectStatus { events: met.events }),
            lake: self.lake(),
        };
        ProcessReport::new(process, parts.sources.statuses())
    }

    /// Records of the log that Kafka does not have yet, by partition; none if they do not go
    /// there.
    fn waiting_records(&self) -> Option<Vec<(u32, u64)>> {
        let (Some(log), Bus::Kafka(_)) = (&self.0.log, &self.0.bus) else { return None };
        let waiting = log.status().partitions.into_iter().map(|status| {
            let forwarded = log.committed(FORWARD, status.partition).unwrap_or(status.start);
            (status.partition, status.end.0.saturating_sub(forwarded.0))
        });
        Some(waiting.collect())
    }

    /// What detection has met, in all its partitions.
    fn statistics(&self) -> Option<Statistics> {
        let board = self.0.detection.as_ref()?;
        let mut statistics = Statistics::default();
        for partition in board.lock().unwrap_or_else(PoisonError::into_inner).values() {
            statistics.add(partition);
        }
        Some(statistics)
    }

    fn forward(&self) -> Option<ForwardStatus> {
        let tasks = self.0.supervisor.statuses();
        let task = tasks.into_iter().find(|task| task.name == FORWARD_TASK);
        Some(ForwardStatus {
            waiting_records: self.waiting_records()?.into_iter().map(|(_, records)| records).sum(),
            problem: task.and_then(|task| task.problem),
        })
    }

    fn kafka(&self) -> Option<KafkaStatus> {
        let bus = &self.0.bus;
        let status = bus.status().kafka?;
        let lag = |lag: &bus::status::Lag| ConsumerLag {
            partition: bus.partition_name(lag.partition),
            lag: lag.end.0.saturating_sub(lag.next.0),
        };
        Some(KafkaStatus {
            producer_queue_records: status.producer_queue_records,
            producer_queue_bytes: status.producer_queue_bytes,
            rebalances: status.rebalances,
            partitions: status.lag.iter().map(lag).collect(),
            problem: status.problem,
        })
    }

    fn lake(&self) -> Option<LakeStatus> {
        let status = self.0.lake.as_ref()?.status();
        Some(LakeStatus {
            commits: status.commits,
            commit_conflicts: status.commit_conflicts,
            superseded: status.superseded,
            problem: status.problem,
        })
    }
}

/// What is wrong with a task, if anything.
fn problem(task: &TaskStatus) -> Option<String> {
    let state = match task.state {
        TaskState::Running => return task.problem.clone(),
        TaskState::Restarting => "is restarting",
        TaskState::Ended => "has ended",
    };
    let reason = task.problem.as_deref().unwrap_or("it was told to stop");
    Some(format!("`{}` {state}: {reason}", task.name))
}
