//! What the processes of a set-up say of themselves: the figures of `/metrics` that tell whether
//! the flow goes on, by process. The same shape travels between processes, so fields are only
//! ever added, and what is added has a default.

use event::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One process. What is not part of its role is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProcessStatus {
    /// As Kafka's tools show it: `querywatch-<host>-<process id>`.
    pub name: String,
    /// `all`, `collect`, `detect` or `serve`.
    pub role: String,
    /// Its machine, as that calls itself.
    pub host: String,
    /// Where it listens.
    pub address: String,
    /// Version of the program.
    pub version: String,
    /// When it was started.
    #[schema(value_type = String)]
    pub started: Timestamp,
    /// When it was last heard of.
    #[schema(value_type = String)]
    pub reported: Timestamp,
    /// What keeps it from going on, or that it is silent.
    pub problem: Option<String>,
    /// From its log to Kafka, if it collects.
    pub forward: Option<ForwardStatus>,
    /// Its side of Kafka.
    pub kafka: Option<KafkaStatus>,
    /// Its detection.
    pub detect: Option<DetectStatus>,
    /// Its side of the lake, if it writes there.
    pub lake: Option<LakeStatus>,
}

/// What waits on its way to Kafka.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForwardStatus {
    /// Records of the log that Kafka does not have yet; each is a batch of events.
    pub waiting_records: u64,
    /// Why nothing goes on, if so.
    pub trouble: Option<String>,
}

/// How a process stands with Kafka.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KafkaStatus {
    /// Records that wait for the word of the brokers.
    pub producer_queue_records: u64,
    /// Bytes of those records.
    pub producer_queue_bytes: u64,
    /// Times that partitions were given to the process or taken from it.
    pub rebalances: u64,
    /// Partitions that it reads.
    pub partitions: Vec<ConsumerLag>,
    /// Why the brokers do not answer, if so.
    pub trouble: Option<String>,
}

/// How far a process is in a partition that it reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConsumerLag {
    /// Name of the partition.
    pub partition: String,
    /// Records that it has not read.
    pub lag: u64,
}

/// What a process has judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DetectStatus {
    /// Events judged, of the partitions that it reads now.
    pub events: u64,
}

/// What a process has committed to the lake.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LakeStatus {
    /// Commits since the start.
    pub commits: u64,
    /// Commits that came after another process's and were redone.
    pub commit_conflicts: u64,
    /// Times that another process had taken a partition over.
    pub superseded: u64,
    /// Why nothing can be committed, if so.
    pub trouble: Option<String>,
}
