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
    /// Each of its tasks.
    #[serde(default)]
    pub tasks: Vec<TaskStatus>,
    /// From its log to Kafka, if it collects.
    pub forward: Option<ForwardStatus>,
    /// Its side of Kafka.
    pub kafka: Option<KafkaStatus>,
    /// Its detection.
    pub detect: Option<DetectStatus>,
    /// Its side of the lake, if it writes there.
    pub lake: Option<LakeStatus>,
}

/// A task of a process: something that is to go on as long as the process does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskStatus {
    /// Its name, unique within the process.
    pub name: String,
    /// Whether it goes on.
    pub state: TaskState,
    /// Why it does not go on, or what it cannot do while it does.
    pub problem: Option<String>,
    /// How often it was started again.
    pub restarts: u64,
}

/// Whether a task goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It does.
    #[default]
    Running,
    /// It failed and is about to be started again.
    Restarting,
    /// It does not, and is not started again.
    Ended,
}

impl TaskState {
    /// As it is written in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Ended => "ended",
        }
    }
}

/// Whether a process can do its work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readiness {
    /// What keeps it from its work; none if it is ready.
    pub problems: Vec<String>,
    /// Each of its tasks.
    pub tasks: Vec<TaskStatus>,
}

/// What waits on its way to Kafka.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForwardStatus {
    /// Records of the log that Kafka does not have yet; each is a batch of events.
    pub waiting_records: u64,
    /// Why nothing goes on, if so.
    pub problem: Option<String>,
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
    pub problem: Option<String>,
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
    pub problem: Option<String>,
}
