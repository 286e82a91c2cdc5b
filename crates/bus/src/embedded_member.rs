//! The member of an embedded bus: it has all partitions, and none is ever taken away.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{BusError, Delivery, EmbeddedBus, Offset, Turn};

/// Bytes that one read of a partition hands over at most, about.
const READ_BYTES: u64 = 8 << 20;

/// Reads all partitions, one after the other.
pub struct EmbeddedMember {
    bus: EmbeddedBus,
    consumer: String,
    /// Whether the partitions were announced.
    announced: bool,
    /// Where each assigned partition is read next; the one that was read last stands last.
    positions: Vec<(u32, Offset)>,
    /// Read and not handed out yet.
    buffer: VecDeque<(u32, Delivery)>,
}

impl EmbeddedMember {
    /// Registers the consumer.
    pub(crate) async fn join(bus: EmbeddedBus, consumer: &str) -> Result<Self, BusError> {
        bus.register(consumer).await?;
        Ok(EmbeddedMember {
            bus,
            consumer: consumer.into(),
            announced: false,
            positions: Vec::new(),
            buffer: VecDeque::new(),
        })
    }

    /// Only the wait for something to read ends with the time: a read that is broken off would
    /// begin again, and again.
    pub(crate) async fn next_within(&mut self, wait: Duration) -> Result<Option<Turn>, BusError> {
        if !self.announced {
            self.announced = true;
            return Ok(Some(Turn::Assigned((0..self.bus.partitions()).collect())));
        }
        let until = Instant::now() + wait;
        loop {
            if let Some((partition, delivery)) = self.buffer.pop_front() {
                return Ok(Some(Turn::Delivery { partition, delivery }));
            }
            if self.positions.is_empty() {
                let closed = timeout_at(until, self.bus.closed()).await;
                return if closed.is_ok() { Err(BusError::Closed) } else { Ok(None) };
            }
            let Ok(place) = timeout_at(until, self.bus.readable(&self.positions)).await else {
                return Ok(None);
            };
            let place = place?;
            let Some(&(partition, from)) = self.positions.get(place) else { continue };
            let read = self.bus.read(partition, from, READ_BYTES).await?;
            let next = read.last().map_or(from, Delivery::next);
            self.positions.remove(place);
            self.positions.push((partition, next));
            self.buffer.extend(read.into_iter().map(|delivery| (partition, delivery)));
        }
    }

    pub(crate) fn assign(&mut self, starts: &[(u32, Offset)]) -> Result<(), BusError> {
        for &(partition, from) in starts {
            let end = self.end(partition)?;
            if from > end {
                return Err(BusError::BeyondEnd { partition, from, end });
            }
        }
        let partitions: Vec<u32> = starts.iter().map(|(partition, _)| *partition).collect();
        self.release(&partitions)?;
        self.positions.extend_from_slice(starts);
        Ok(())
    }

    pub(crate) fn release(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        self.positions.retain(|(partition, _)| !partitions.contains(partition));
        self.buffer.retain(|(partition, _)| !partitions.contains(partition));
        Ok(())
    }

    pub(crate) async fn commit(&self, partition: u32, offset: Offset) -> Result<(), BusError> {
        self.bus.commit(&self.consumer, partition, offset).await
    }

    pub(crate) async fn idle(&self, wait: Duration) -> Result<(), BusError> {
        tokio::select! {
            () = self.bus.closed() => Err(BusError::Closed),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    pub(crate) fn end(&self, partition: u32) -> Result<Offset, BusError> {
        self.bus.known(partition)?;
        Ok(self.bus.end(partition))
    }
}
