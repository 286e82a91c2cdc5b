//! The contract of the bus: append, join, read. Tests run it against every variant.

use std::path::Path;

use crate::embedded_member::EmbeddedMember;
use crate::status::BusStatus;
use crate::{BusError, BusKind, BusSettings, EmbeddedBus, KafkaBus, Member, Offset, Record};

/// A durable, partitioned, replayable log. Cheap to clone.
#[derive(Clone)]
pub enum Bus {
    /// In a folder of this machine.
    Embedded(EmbeddedBus),
    /// In a topic of Kafka.
    Kafka(KafkaBus),
}

impl Bus {
    /// Opens the bus that the settings name. An embedded one lives in `directory`; for one on
    /// Kafka the brokers must answer within `connect_seconds`, and its topic is created or
    /// checked.
    pub async fn open(settings: &BusSettings, directory: &Path) -> Result<Bus, BusError> {
        match settings.kind {
            BusKind::Embedded => EmbeddedBus::open(settings, directory).await.map(Bus::Embedded),
            BusKind::Kafka => {
                let bus = KafkaBus::open_unconnected(settings)?;
                bus.ensure_topic().await?;
                Ok(Bus::Kafka(bus))
            }
        }
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> u32 {
        match self {
            Bus::Embedded(bus) => bus.partitions(),
            Bus::Kafka(bus) => bus.partitions(),
        }
    }

    /// Name of a partition as stored positions and rejects show it: `0`, or `<topic>-0` on Kafka.
    pub fn partition_name(&self, partition: u32) -> String {
        match self {
            Bus::Embedded(_) => partition.to_string(),
            Bus::Kafka(bus) => bus.partition_name(partition),
        }
    }

    /// Appends records in order and returns the offset of each once all are durable. Waits while
    /// there is no room and while no broker answers. After an error, or if the future is dropped,
    /// they may be on the bus or not: append again, readers know repeated records by what is in
    /// them.
    pub async fn append(
        &self,
        partition: u32,
        records: Vec<Record>,
    ) -> Result<Vec<Offset>, BusError> {
        match self {
            Bus::Embedded(bus) => {
                let offsets = bus.append(partition, records).await?;
                Ok((offsets.start.0..offsets.end.0).map(Offset).collect())
            }
            Bus::Kafka(bus) => bus.append(partition, records).await,
        }
    }

    /// Becomes a member of a group of consumers that share the partitions. On Kafka the name is
    /// prefixed with `group_prefix`.
    pub async fn join(&self, consumer: &str) -> Result<Member, BusError> {
        match self {
            Bus::Embedded(bus) => {
                EmbeddedMember::join(bus.clone(), consumer).await.map(Member::Embedded)
            }
            Bus::Kafka(bus) => bus.join(consumer).map(Member::Kafka),
        }
    }

    /// Figures for metrics.
    pub fn status(&self) -> BusStatus {
        match self {
            Bus::Embedded(bus) => bus.status(),
            Bus::Kafka(bus) => bus.status(),
        }
    }

    /// Finishes what was appended before, then ends: waiting appends and members return
    /// [`BusError::Closed`]. All clones end with it.
    pub async fn shutdown(&self) -> Result<(), BusError> {
        match self {
            Bus::Embedded(bus) => bus.shutdown().await,
            Bus::Kafka(bus) => bus.shutdown().await,
        }
    }
}
