//! Why the bus could not do it, in words that name the cure.

use std::io;
use std::path::{Path, PathBuf};

use secret::SecretError;

use crate::Offset;

/// Why the bus could not do it.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Settings under which it cannot run.
    #[error("wrong bus settings: {0}")]
    Settings(&'static str),
    /// Another process holds the folder.
    #[error("another process holds {0}: stop it, or give this one another data folder")]
    Locked(PathBuf),
    /// Fewer partitions are configured than there are.
    #[error("partition {0} exists but is not configured: set partitions to {1} or more")]
    RemovedPartition(PathBuf, u32),
    /// The file of consumer offsets cannot be trusted.
    #[error("{0} is damaged: restore it, or remove it and let every consumer register again")]
    ConsumerOffsets(PathBuf),
    /// Larger than the limit.
    #[error(
        "a {what} of {bytes} bytes is above the limit of {limit}: split it or raise \
             record_bytes_max or queue_bytes"
    )]
    TooLarge {
        /// Record or append.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The setting.
        limit: u64,
    },
    /// No such partition.
    #[error("there is no partition {partition}: {partitions} are configured")]
    UnknownPartition {
        /// As asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// A commit of a consumer that was never registered.
    #[error("consumer {0} is not registered: register it before it commits")]
    UnknownConsumer(String),
    /// A position that was never given out.
    #[error(
        "offset {from} of partition {partition} is beyond its end {end}: the position \
             belongs to another or a younger copy of this bus"
    )]
    BeyondEnd {
        /// The partition.
        partition: u32,
        /// As asked for.
        from: Offset,
        /// Where it ends.
        end: Offset,
    },
    /// The disk refused. What was to be appended is not acknowledged and may be appended again.
    #[error("{path}: {source}; check the disk")]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A secret that the settings name cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// librdkafka refused its settings: a file of a certificate that cannot be read, say.
    #[error("the client of Kafka cannot be made: {0}; check bus.kafka")]
    Client(String),
    /// No broker answered in time.
    #[error(
        "no broker answers at {brokers}: {reason}; check bus.kafka.brokers and security, and the \
             network"
    )]
    NoBroker {
        /// As configured.
        brokers: String,
        /// What was last seen.
        reason: String,
    },
    /// The brokers do not accept who we say we are.
    #[error(
        "the brokers refuse the credentials: {0}; check bus.kafka.username, password and \
             sasl_mechanism"
    )]
    Credentials(String),
    /// The brokers' certificate is not one that is trusted.
    #[error(
        "the brokers' certificate is not trusted: {0}; name the authority that signed it in \
             bus.kafka.ca_file"
    )]
    Certificate(String),
    /// One side speaks TLS and the other does not, or they do not agree on how.
    #[error(
        "no common encryption with the brokers: {0}; check bus.kafka.security against the \
             listener of that port, and certificate_file if it asks for one"
    )]
    Encryption(String),
    /// The access rules of the brokers forbid it.
    #[error(
        "the brokers forbid {action}: {reason}; grant it to the user of bus.kafka (read, write \
             and describe on the topic, create where create_topic is set, read on the group)"
    )]
    Forbidden {
        /// What was tried.
        action: String,
        /// Their words.
        reason: String,
    },
    /// The topic does not exist and is not to be created.
    #[error("topic {0} does not exist: create it, or set bus.kafka.create_topic to true")]
    TopicMissing(String),
    /// The topic is divided differently.
    #[error(
        "topic {topic} has {there} partitions and bus.partitions is {configured}: set \
             bus.partitions to {there}, or use another topic"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// Its partitions.
        there: u32,
        /// As configured.
        configured: u32,
    },
    /// The topic would lose or refuse records, or could not be made.
    #[error("topic {topic}: {problem}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The brokers did not take the records. They may be there or not.
    #[error("the records may not be on the bus: {0}; append them again, all of them")]
    Interrupted(String),
    /// A member cannot go on.
    #[error("the group of consumers cannot be taken part in: {0}; join again")]
    Group(String),
    /// The bus was shut down.
    #[error("the bus is shut down")]
    Closed,
}

impl BusError {
    /// Names the file that an I/O error is about.
    pub(crate) fn storage(path: &Path) -> impl FnOnce(io::Error) -> BusError {
        let path = path.to_owned();
        move |source| BusError::Storage { path, source }
    }
}
