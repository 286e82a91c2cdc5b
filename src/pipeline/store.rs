//! The thread that writes the lake: takes judged batches, commits them with their positions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use event::{EventBatch, Reject};
use lake::Writer;
use tokio_util::sync::CancellationToken;

use super::checkpoint::{self, Detection};

/// Batches that may wait for the lake. While it cannot write, detection goes on until so many
/// wait; then it waits too, and the bus keeps what comes.
const HANDOVERS_MAX: usize = 64;

/// How often a quiet writer looks whether a commit is due.
const LOOK: Duration = Duration::from_millis(100);

/// What detection hands over: rows, how far they go, and now and then what it knows.
#[derive(Default)]
pub struct Handover {
    pub events: Option<EventBatch>,
    pub rejects: Vec<Reject>,
    /// Positions that hold once the rows are committed.
    pub positions: Vec<(String, i64)>,
    /// To be kept once everything before it is committed.
    pub checkpoint: Option<Detection>,
}

/// Called with each checkpoint that was kept.
pub type Kept = Box<dyn Fn(&Detection) + Send>;

/// The running thread.
pub struct Store {
    thread: JoinHandle<anyhow::Result<()>>,
}

struct Storing {
    writer: Writer,
    positions: BTreeMap<String, i64>,
    checkpoint: PathBuf,
    kept: Kept,
    abandon: CancellationToken,
}

impl Store {
    /// Starts the thread. It ends when the sender is dropped and everything is committed, or,
    /// when `abandon` is cancelled while the lake cannot commit, with what it has.
    pub fn start(
        writer: Writer,
        checkpoint: PathBuf,
        kept: Kept,
        abandon: CancellationToken,
    ) -> anyhow::Result<(Self, SyncSender<Handover>)> {
        let (sender, receiver) = sync_channel(HANDOVERS_MAX);
        let storing = Storing { writer, positions: BTreeMap::new(), checkpoint, kept, abandon };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || storing.run(&receiver))
            .context("no thread for the lake; raise the limit of tasks")?;
        Ok((Self { thread }, sender))
    }

    /// Waits for the end; its error is why the rest was not stored.
    pub fn join(self) -> anyhow::Result<()> {
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Storing {
    fn run(mut self, handovers: &Receiver<Handover>) -> anyhow::Result<()> {
        loop {
            match handovers.recv_timeout(LOOK) {
                Ok(handover) => self.take(handover)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.commit(),
            }
            if self.writer.is_due(Instant::now()) {
                self.commit()?;
            }
        }
    }

    fn take(&mut self, handover: Handover) -> anyhow::Result<()> {
        if let Some(events) = &handover.events {
            self.writer.write(events).context("the lake takes no events")?;
        }
        self.writer.reject(&handover.rejects).context("the lake takes no rejects")?;
        self.positions.extend(handover.positions);
        let Some(detection) = handover.checkpoint else { return Ok(()) };
        self.commit()?;
        match checkpoint::write(&self.checkpoint, &detection) {
            Ok(()) => (self.kept)(&detection),
            // The one before still holds: a restart has more to read again, nothing is lost.
            Err(error) => tracing::error!("{error:#}"),
        }
        Ok(())
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        if self.positions.is_empty() {
            return Ok(());
        }
        let positions: Vec<(String, i64)> =
            std::mem::take(&mut self.positions).into_iter().collect();
        let abandon = &self.abandon;
        self.writer
            .commit_until(&positions, || abandon.is_cancelled())
            .context("the lake cannot commit; what waited is read again at the next start")?;
        Ok(())
    }
}
