//! What the writer and the readers of one partition share: its segments, its end, its counters.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::status::{LostRecords, PartitionStatus};
use crate::{BusError, Offset};

/// An entry of a segment's index every so many bytes: what a read may have to skip.
const INDEX_BYTES: u64 = 64 << 10;

/// A segment as readers see it.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    pub(crate) path: PathBuf,
    /// Durable bytes.
    pub(crate) bytes: u64,
    pub(crate) index: Arc<Mutex<Index>>,
}

/// Where some records of a segment begin, in order; filled as they are written or first read.
#[derive(Debug, Default)]
pub(crate) struct Index(Vec<(u64, u64)>);

impl Index {
    /// Takes note that a record begins at a position, if it is far enough from the last one.
    pub(crate) fn note(&mut self, offset: u64, position: u64) {
        let (last, place) = self.0.last().copied().unwrap_or_default();
        if position >= place + INDEX_BYTES && offset > last {
            self.0.push((offset, position));
        }
    }

    /// Forgets what begins at or behind a position.
    pub(crate) fn forget_from(&mut self, position: u64) {
        self.0.retain(|(_, noted)| *noted < position);
    }

    /// The last noted record at or before an offset.
    pub(crate) fn before(&self, offset: u64) -> Option<(u64, u64)> {
        let count = self.0.partition_point(|(noted, _)| *noted <= offset);
        self.0.get(count.checked_sub(1)?).copied()
    }
}

/// How far a partition has come; what waiting readers watch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// First offset that is not durable yet.
    pub(crate) end: u64,
    /// No more will come.
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) fsyncs: AtomicU64,
    pub(crate) fsync_failures: AtomicU64,
    pub(crate) fsync_micros: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) gap_records: AtomicU64,
}

/// The shared part of a partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) number: u32,
    /// In order of base offset; the last may be growing.
    segments: Mutex<Vec<Segment>>,
    progress: watch::Sender<Progress>,
    pub(crate) counters: Counters,
    problem: Mutex<Option<String>>,
}

impl Partition {
    pub(crate) fn new(number: u32, segments: Vec<Segment>, end: u64) -> Partition {
        Partition {
            number,
            segments: Mutex::new(segments),
            progress: watch::Sender::new(Progress { end, closed: false }),
            counters: Counters::default(),
            problem: Mutex::default(),
        }
    }

    pub(crate) fn segments(&self) -> MutexGuard<'_, Vec<Segment>> {
        lock(&self.segments)
    }

    pub(crate) fn end(&self) -> u64 {
        self.progress.borrow().end
    }

    pub(crate) fn start(&self) -> u64 {
        // The end first: segments only begin at or below an end that was seen before.
        let end = self.end();
        self.segments().first().map_or(end, |segment| segment.base)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.bytes).sum()
    }

    /// Makes everything below `end` readable. It must be durable.
    pub(crate) fn advance(&self, end: u64) {
        self.progress.send_modify(|progress| progress.end = end);
    }

    /// Counts gaps that opening found.
    pub(crate) fn count_gaps(&self, gaps: &[LostRecords]) {
        let records: u64 = gaps.iter().map(|gap| gap.offsets.end.0 - gap.offsets.start.0).sum();
        self.counters.gaps.fetch_add(gaps.len() as u64, Relaxed);
        self.counters.gap_records.fetch_add(records, Relaxed);
    }

    /// Tells readers that no more will come.
    pub(crate) fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }

    /// Waits until there is something at or after `from`.
    pub(crate) async fn wait_beyond(&self, from: u64) -> Result<(), BusError> {
        let mut progress = self.progress.subscribe();
        let ready = |progress: &Progress| progress.end > from || progress.closed;
        // The sender lives in `self`, so waiting cannot fail.
        let seen = progress.wait_for(ready).await.map(|progress| *progress);
        match seen {
            Ok(progress) if progress.end > from => Ok(()),
            _ => Err(BusError::Closed),
        }
    }

    /// The segment that holds an offset and the offset at which the next one takes over. What a
    /// segment holds from there on was never acknowledged, and was superseded.
    pub(crate) fn segment_of(&self, offset: u64) -> Option<(Segment, u64)> {
        let end = self.end();
        let segments = self.segments();
        let count = segments.partition_point(|segment| segment.base <= offset);
        let segment = segments.get(count.checked_sub(1)?)?.clone();
        let until = segments.get(count).map_or(end, |next| next.base.min(end));
        (offset < until).then_some((segment, until))
    }

    /// Why appenders are held up, or `None` when they are not.
    pub(crate) fn set_problem(&self, reason: Option<String>) {
        *lock(&self.problem) = reason;
    }

    pub(crate) fn status(&self) -> PartitionStatus {
        let counters = &self.counters;
        PartitionStatus {
            partition: self.number,
            start: Offset(self.start()),
            end: Offset(self.end()),
            bytes: self.bytes(),
            segments: self.segments().len() as u64,
            appended_records: counters.records.load(Relaxed),
            appended_bytes: counters.bytes.load(Relaxed),
            waiting_appends: counters.waiting.load(Relaxed),
            fsyncs: counters.fsyncs.load(Relaxed),
            fsync_failures: counters.fsync_failures.load(Relaxed),
            last_fsync_micros: counters.fsync_micros.load(Relaxed),
            gaps: counters.gaps.load(Relaxed),
            gap_records: counters.gap_records.load(Relaxed),
            problem: lock(&self.problem).clone(),
        }
    }
}

/// Locks a mutex whose content is whole between statements, so a panic elsewhere is no reason
/// to stop.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
