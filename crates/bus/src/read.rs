//! Reading: from the segment that holds an offset, along its index, with every gap spelled out.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use crate::disk::Disk;
use crate::frame::frame_bytes;
use crate::partition::{Partition, Segment, lock};
use crate::segment::{Item, SegmentReader};
use crate::{Delivery, GapReason, Offset};

/// Collects deliveries of one partition until a budget of bytes is used up.
pub(crate) struct Reading<'a> {
    disk: &'a dyn Disk,
    partition: &'a Partition,
    /// The offset that is delivered next.
    next: u64,
    budget: u64,
    deliveries: Vec<Delivery>,
}

impl<'a> Reading<'a> {
    /// Reads durable records from an offset below the end: at least one delivery.
    pub(crate) fn read(
        disk: &'a dyn Disk,
        partition: &'a Partition,
        from: u64,
        bytes_max: u64,
    ) -> Result<Vec<Delivery>, (PathBuf, io::Error)> {
        let deliveries = Vec::new();
        let mut reading = Reading { disk, partition, next: from, budget: bytes_max, deliveries };
        loop {
            let start = partition.start();
            if reading.next < start {
                reading.gap(start, GapReason::Deleted);
            }
            let Some((segment, until)) = partition.segment_of(reading.next) else { break };
            match reading.read_segment(&segment, until) {
                Ok(()) => {}
                // Retention came between: the start has moved on.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        && partition.start() > segment.base => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    reading.gap(until, GapReason::Damaged);
                }
                // What was read before is handed over first.
                Err(_) if !reading.deliveries.is_empty() => break,
                Err(error) => return Err((segment.path, error)),
            }
            if reading.budget == 0 {
                break;
            }
        }
        Ok(reading.deliveries)
    }

    fn read_segment(&mut self, segment: &Segment, until: u64) -> io::Result<()> {
        let file = self.disk.open(&segment.path)?;
        let Some(mut reader) = SegmentReader::new(file, segment.base, segment.bytes)? else {
            self.gap(until, GapReason::Damaged);
            return Ok(());
        };
        if let Some((offset, position)) = lock(&segment.index).before(self.next) {
            reader.seek(offset, position);
        }
        while self.next < until && self.budget > 0 {
            match reader.next()? {
                Some(Item::Record { offset, position, record, .. }) => {
                    lock(&segment.index).note(offset, position);
                    if offset == self.next {
                        self.budget = self.budget.saturating_sub(frame_bytes(&record));
                        let offset = Offset(offset);
                        self.deliveries.push(Delivery::Record { offset, record });
                        self.next += 1;
                    }
                }
                Some(Item::Damage { resumes, .. }) => {
                    self.gap(resumes.unwrap_or(until).min(until), GapReason::Damaged);
                }
                None => self.gap(until, GapReason::Damaged),
            }
        }
        Ok(())
    }

    /// Delivers the gap up to `to`, unless reading is there already.
    fn gap(&mut self, to: u64, reason: GapReason) {
        if to <= self.next {
            return;
        }
        let (from, partition) = (self.next, self.partition.number);
        if reason == GapReason::Damaged {
            tracing::error!(
                partition,
                from,
                to,
                "records are damaged on disk; a reader skips them"
            );
        }
        self.partition.counters.gaps.fetch_add(1, Relaxed);
        self.partition.counters.gap_records.fetch_add(to - from, Relaxed);
        self.deliveries.push(Delivery::Gap { from: Offset(from), to: Offset(to), reason });
        self.next = to;
    }
}
