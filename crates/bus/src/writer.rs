//! The thread that writes a partition: takes what has queued up, writes it as one group, syncs
//! once, wakes the appenders. When it cannot write, appenders wait or are told; nothing is dropped.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::log::{Log, Shortage};
use crate::segment::segment_path;
use crate::{BusError, Offset, Record};

/// The most bytes that are written before a sync: bounds memory and the time to the first wake.
const GROUP_BYTES_MAX: u64 = 8 << 20;
const BACK_OFF_MIN: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);
/// How often an idle partition looks for segments that have become old.
const RETAIN_EVERY: Duration = Duration::from_secs(60);

/// What the writer is asked to do.
pub(crate) enum Job {
    Append(Append),
    /// A consumer has read on: there may be room again.
    Retain,
    /// Write what was asked before, then end.
    Stop,
}

/// Records that wait to become durable.
pub(crate) struct Append {
    pub(crate) records: Vec<Record>,
    pub(crate) bytes: u64,
    pub(crate) done: oneshot::Sender<Result<Range<Offset>, BusError>>,
    /// Its share of the queue, given back when it is dropped.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// Why writing is held up.
enum Problem {
    Short(Shortage),
    Failing(io::Error),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Short(Shortage::Disk)
            }
            _ => Self::Failing(error),
        }
    }
}

/// Owns the log; ends when it is told to or when the bus is gone.
pub(crate) struct Writer {
    log: Log,
    jobs: Receiver<Job>,
    pending: VecDeque<Append>,
    back_off: Duration,
    /// Set while writing is held up.
    retry_at: Option<Instant>,
}

impl Writer {
    pub(crate) fn new(log: Log, jobs: Receiver<Job>) -> Writer {
        let (pending, retry_at) = (VecDeque::new(), None);
        Writer { log, jobs, pending, back_off: BACK_OFF_MIN, retry_at }
    }

    /// Runs until the end. Readers learn of it even if this thread panics.
    pub(crate) fn run(mut self) {
        let partition = self.log.partition.clone();
        let closing = Closing(&partition);
        loop {
            let stop = self.collect();
            self.log.retain();
            match self.write_pending() {
                Ok(()) => self.resume(),
                Err(problem) => self.problem(problem),
            }
            if stop {
                break; // what could not be written is dropped unacknowledged: appenders see that
            }
        }
        drop(closing);
    }

    /// Takes jobs until there is something to do: at once if idle, after the back-off if stalled.
    /// True if the writer is to end.
    fn collect(&mut self) -> bool {
        let due_with_work = self.retry_at.unwrap_or_else(Instant::now);
        let idle = self.pending.is_empty();
        let mut due = if idle { Instant::now() + RETAIN_EVERY } else { due_with_work };
        loop {
            match self.jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Job::Append(append)) => {
                    self.pending.push_back(append);
                    due = due.min(due_with_work);
                }
                Ok(Job::Retain) => due = Instant::now(),
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    /// Writes all that is pending, group by group.
    fn write_pending(&mut self) -> Result<(), Problem> {
        while !self.pending.is_empty() {
            let count = self.group();
            match self.write_group(count) {
                // The segment was left; a second failure on a new one is not chance.
                Err(Problem::Failing(_)) => self.write_group(count)?,
                written => written?,
            }
        }
        Ok(())
    }

    /// How many pending appends go into the next group: at least one.
    fn group(&self) -> usize {
        let mut bytes = 0;
        let fits = |append: &&Append| {
            bytes += append.bytes;
            bytes <= GROUP_BYTES_MAX
        };
        self.pending.iter().take_while(fits).count().max(1)
    }

    /// Writes and acknowledges the first `count` pending appends.
    fn write_group(&mut self, count: usize) -> Result<(), Problem> {
        let mut offset = self.log.partition.end();
        let records = self.pending.iter().take(count).flat_map(|append| &append.records);
        let written = match self.log.shortage() {
            Ok(Some(shortage)) => return Err(Problem::Short(shortage)),
            Ok(None) => self.log.write(records),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            self.log.abandon();
            let problem = Problem::from(error);
            if let Problem::Failing(error) = &problem {
                tracing::warn!(partition = self.log.partition.number, %error, "a write failed");
            }
            return Err(problem);
        }
        for append in self.pending.drain(..count) {
            let range = offset..offset + append.records.len() as u64;
            offset = range.end;
            // An appender that stopped waiting has no use for the answer.
            let _ = append.done.send(Ok(Offset(range.start)..Offset(range.end)));
        }
        Ok(())
    }

    fn resume(&mut self) {
        if self.retry_at.take().is_some() {
            tracing::info!(partition = self.log.partition.number, "writing goes on");
            self.log.partition.set_problem(None);
            self.back_off = BACK_OFF_MIN;
        }
    }

    /// Sets the time of the next try. A full log or disk keeps appenders waiting, a failing disk
    /// is answered: their source can hold the records, this disk cannot.
    fn problem(&mut self, problem: Problem) {
        let directory = self.log.directory.display();
        let reason = match &problem {
            Problem::Short(Shortage::Log) => {
                format!("the log in {directory} has reached log_bytes_max: a consumer is behind")
            }
            Problem::Short(Shortage::Disk) => format!(
                "the disk of {directory} has less than {} MiB left (reserve_bytes): free some \
                 space, writing then goes on",
                self.log.settings.reserve_bytes >> 20
            ),
            Problem::Failing(error) => format!("the disk of {directory} fails: {error}"),
        };
        if self.retry_at.is_none() {
            tracing::warn!(partition = self.log.partition.number, reason, "appenders are held up");
        }
        self.log.partition.set_problem(Some(reason));
        if let Problem::Failing(error) = problem {
            let path = segment_path(&self.log.directory, self.log.partition.end());
            for append in self.pending.drain(..) {
                let source = io::Error::new(error.kind(), error.to_string());
                let _ = append.done.send(Err(BusError::Storage { path: path.clone(), source }));
            }
        }
        self.retry_at = Some(Instant::now() + self.back_off);
        self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
    }
}

/// Closes the partition to readers when the writer is gone, however it went.
struct Closing<'a>(&'a crate::partition::Partition);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
