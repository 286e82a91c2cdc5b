//! One reader of the bus: what it is handed, and what it answers.

use std::time::Duration;

use crate::{BusError, Delivery, Offset};

pub use crate::embedded_member::EmbeddedMember;
pub use crate::kafka::KafkaMember;

/// A member of a group of consumers. It has one owner, who calls [`Member::next`] regularly.
pub enum Member {
    /// Reads all partitions of an embedded bus.
    Embedded(EmbeddedMember),
    /// Shares the partitions of a topic with the other members of its group.
    Kafka(KafkaMember),
}

/// What a member is handed. Until it has answered an assignment or a revocation, nothing else
/// comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// These partitions are the member's from now on; [`Member::assign`] says where they begin.
    Assigned(Vec<u32>),
    /// Others are to get these partitions; [`Member::release`] hands them over.
    Revoked(Vec<u32>),
    /// Others have these partitions already: what was made of them since may be made twice.
    /// [`Member::release`] acknowledges it.
    Lost(Vec<u32>),
    /// Something to read, in order within its partition.
    Delivery {
        /// Where it stands.
        partition: u32,
        /// A record, or a gap.
        delivery: Delivery,
    },
}

impl Member {
    /// What comes next; waits for it. Safe to cancel. On Kafka it must be called again within
    /// five minutes, or the group takes the member for dead; [`Member::idle`] counts too.
    pub async fn next(&mut self) -> Result<Turn, BusError> {
        loop {
            if let Some(turn) = self.next_within(Duration::from_secs(60)).await? {
                return Ok(turn);
            }
        }
    }

    /// What comes next, or nothing if nothing comes within `wait`. What comes is dealt with to
    /// the end first, which may take longer: behind a damaged batch, what is left is searched
    /// for. To be preferred to giving up [`Member::next`], which begins such a search anew.
    pub async fn next_within(&mut self, wait: Duration) -> Result<Option<Turn>, BusError> {
        match self {
            Member::Embedded(member) => member.next_within(wait).await,
            Member::Kafka(member) => member.next_within(wait).await,
        }
    }

    /// Whether the next turn is known, and a change of the group.
    pub fn has_change(&self) -> bool {
        match self {
            Member::Embedded(_) => false,
            Member::Kafka(member) => member.has_change(),
        }
    }

    /// The answer to [`Turn::Assigned`]: from where each of the partitions is read. An offset
    /// beyond the end is refused and may be answered again; for one that retention has deleted,
    /// a gap is delivered and reading begins at the oldest record.
    pub async fn assign(&mut self, starts: &[(u32, Offset)]) -> Result<(), BusError> {
        match self {
            Member::Embedded(member) => member.assign(starts),
            Member::Kafka(member) => member.assign(starts).await,
        }
    }

    /// The answer to [`Turn::Revoked`] and [`Turn::Lost`]: the partitions are given back.
    pub async fn release(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        match self {
            Member::Embedded(member) => member.release(partitions),
            Member::Kafka(member) => member.release(partitions),
        }
    }

    /// Says that nothing below `offset` is needed any more. An embedded bus may then delete it;
    /// Kafka shows it to its tools.
    pub async fn commit(&mut self, partition: u32, offset: Offset) -> Result<(), BusError> {
        match self {
            Member::Embedded(member) => member.commit(partition, offset).await,
            Member::Kafka(member) => member.commit(partition, offset),
        }
    }

    /// Stays a member for about so long without taking deliveries. Returns early when there is
    /// another turn, which [`Member::next`] hands out. Safe to cancel.
    pub async fn idle(&mut self, wait: Duration) -> Result<(), BusError> {
        match self {
            Member::Embedded(member) => member.idle(wait).await,
            Member::Kafka(member) => member.idle(wait).await,
        }
    }

    /// First offset that is not there yet. On Kafka the broker is asked, and waited for.
    pub async fn end(&self, partition: u32) -> Result<Offset, BusError> {
        match self {
            Member::Embedded(member) => member.end(partition),
            Member::Kafka(member) => member.end(partition).await,
        }
    }

    /// Leaves the group, so that others get the partitions at once. An embedded bus keeps what
    /// the consumer has not committed.
    pub async fn leave(self) -> Result<(), BusError> {
        match self {
            Member::Embedded(_) => Ok(()),
            Member::Kafka(member) => member.leave().await,
        }
    }
}
