//! The contract of the bus: append, read, commit. Tests run it against every variant.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::status::BusStatus;
use crate::{BusSettings, Delivery, EmbeddedBus, Offset, Record};

/// A durable, partitioned, replayable log. Cheap to clone.
#[derive(Clone)]
pub enum Bus {
    /// In a folder of this machine.
    Embedded(EmbeddedBus),
}

impl Bus {
    /// Opens the bus that the settings name; `directory` is where an embedded one lives.
    pub async fn open(settings: &BusSettings, directory: &Path) -> Result<Bus, BusError> {
        EmbeddedBus::open(settings, directory).await.map(Bus::Embedded)
    }

    /// Appends records, next to each other and in order, and returns their offsets once they are
    /// durable. Waits while the log or the disk is full. After an error, or if the future is
    /// dropped, they may be on the bus or not: append again, readers know repeated records by
    /// what is in them.
    pub async fn append(
        &self,
        partition: u32,
        records: Vec<Record>,
    ) -> Result<Range<Offset>, BusError> {
        match self {
            Bus::Embedded(bus) => bus.append(partition, records).await,
        }
    }

    /// Reads from an offset: at least one delivery, about `bytes_max` bytes at most, in order and
    /// without a hole that is not told. Waits until there is something. Safe to cancel.
    pub async fn read(
        &self,
        partition: u32,
        from: Offset,
        bytes_max: u64,
    ) -> Result<Vec<Delivery>, BusError> {
        match self {
            Bus::Embedded(bus) => bus.read(partition, from, bytes_max).await,
        }
    }

    /// The oldest offset that is kept; 0 for an unknown partition.
    pub fn start(&self, partition: u32) -> Offset {
        match self {
            Bus::Embedded(bus) => bus.start(partition),
        }
    }

    /// The first offset that is not there yet; 0 for an unknown partition.
    pub fn end(&self, partition: u32) -> Offset {
        match self {
            Bus::Embedded(bus) => bus.end(partition),
        }
    }

    /// Makes a consumer known, durably: nothing is deleted that it has not committed. A new one
    /// begins at the oldest record; one that is known keeps its marks. While no consumer is
    /// registered nothing is deleted.
    pub async fn register(&self, consumer: &str) -> Result<(), BusError> {
        match self {
            Bus::Embedded(bus) => bus.register(consumer).await,
        }
    }

    /// Removes a consumer: it holds nothing back any more.
    pub async fn forget(&self, consumer: &str) -> Result<(), BusError> {
        match self {
            Bus::Embedded(bus) => bus.forget(consumer).await,
        }
    }

    /// Says that a registered consumer needs nothing below `offset` any more. Marks only rise.
    pub async fn commit(
        &self,
        consumer: &str,
        partition: u32,
        offset: Offset,
    ) -> Result<(), BusError> {
        match self {
            Bus::Embedded(bus) => bus.commit(consumer, partition, offset).await,
        }
    }

    /// Figures for metrics.
    pub fn status(&self) -> BusStatus {
        match self {
            Bus::Embedded(bus) => bus.status(),
        }
    }

    /// Writes what was appended before, then ends: waiting appends and reads return
    /// [`BusError::Closed`], and the folder is free. All clones end with it.
    pub async fn shutdown(&self) -> Result<(), BusError> {
        match self {
            Bus::Embedded(bus) => bus.shutdown().await,
        }
    }
}

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
    /// The marks of consumers cannot be trusted.
    #[error("{0} is damaged: restore it, or remove it and let every consumer register again")]
    Marks(PathBuf),
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
