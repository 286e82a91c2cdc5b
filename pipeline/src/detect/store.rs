//! The thread that writes the lake: takes judged batches, commits them with their positions, and
//! keeps checkpoints of what is stored.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use event::{EventBatch, Reject};
use lake::{Claim, LakeError, Writer};
use model::DayProfile;
use tokio_util::sync::CancellationToken;

use super::alerts::AlertQueue;
use super::training;
use crate::checkpoint::{self, DetectionCheckpoint};
use crate::supervisor::{Follows, Started, Supervisor, Task};

/// Commands that may wait for the lake. While it cannot write, detection goes on until so many
/// wait; then it waits too, and the bus keeps what comes.
const COMMANDS_MAX: usize = 64;

/// How long a checkpoint waits for the alerts of what it covers to be recorded.
const ALERTS_WITHIN: Duration = Duration::from_secs(1);

/// How often a quiet writer looks whether a commit is due.
const LOOK: Duration = Duration::from_millis(100);

/// Before asking again whether there is room for a command.
const PAUSE: Duration = Duration::from_millis(10);

/// What the thread is told to do, in order.
pub enum StoreCommand {
    /// Rows, and how far they go.
    Rows(Rows),
    /// Once everything before is committed, and the alerts recorded: keep a checkpoint.
    Keep(PendingCheckpoint),
    /// No other process may move these positions from now on; the answer is where they stand.
    Claim { names: Vec<String>, reply: SyncSender<Vec<Claim>> },
    /// Commits, then gives the positions up.
    Release { names: Vec<String>, reply: SyncSender<()> },
    /// Takes rows again, after it was [superseded](StoreHandle::is_superseded).
    Resume,
}

/// Rows on their way to the lake.
#[derive(Default)]
pub struct Rows {
    pub events: Vec<EventBatch>,
    pub rejects: Vec<Reject>,
    /// Positions that hold once the rows are committed.
    pub positions: Vec<(String, i64)>,
}

/// A checkpoint of detection at a position, and the file that keeps it.
pub struct PendingCheckpoint {
    pub position: String,
    pub path: PathBuf,
    /// How many alerts had been handed over when it was taken.
    pub alerts: u64,
    /// Days of identities that have ended since the last one, and the folder that keeps them.
    pub profiles: Vec<DayProfile>,
    pub profiles_folder: PathBuf,
    pub checkpoint: DetectionCheckpoint,
}

/// Gives commands; the thread ends when the last of these is dropped.
#[derive(Clone)]
pub struct StoreHandle {
    commands: SyncSender<StoreCommand>,
    progress: Arc<Progress>,
}

/// How far the thread is.
#[derive(Default)]
struct Progress {
    /// Another process has taken a position over: rows are dropped until [`StoreCommand::Resume`].
    superseded: AtomicBool,
    stored: Mutex<BTreeMap<String, i64>>,
    kept: Mutex<BTreeMap<String, i64>>,
}

struct Storing {
    writer: Writer,
    positions: BTreeMap<String, i64>,
    progress: Arc<Progress>,
    abandon: CancellationToken,
    alerts: AlertQueue,
    task: Task,
}

/// Starts the thread. It ends when the handles are dropped and everything is committed, or, when
/// a part of the process has failed while the lake cannot commit, with what it has.
pub fn start(
    writer: Writer,
    alerts: AlertQueue,
    supervisor: &Supervisor,
) -> anyhow::Result<(Started, StoreHandle)> {
    let (commands, received) = sync_channel(COMMANDS_MAX);
    let progress = Arc::<Progress>::default();
    let handle = StoreHandle { commands, progress: progress.clone() };
    let (positions, abandon) = (BTreeMap::new(), supervisor.failed());
    // That the handles are dropped is what tells it to stop: why is for their owner to say.
    let done = CancellationToken::new();
    let stop = done.clone();
    let started = supervisor.thread("store", &stop, move |task| {
        let task = task.clone();
        let storing = Storing { writer, positions, progress, abandon, alerts, task };
        let ended = storing.run(&received);
        done.cancel();
        ended
    })?;
    Ok((started, handle))
}

impl StoreHandle {
    /// Gives a command by then; false if too many wait for as long.
    fn give_until(&self, mut command: StoreCommand, until: Instant) -> anyhow::Result<bool> {
        loop {
            match self.try_give(command)? {
                None => return Ok(true),
                Some(_) if Instant::now() >= until => return Ok(false),
                Some(back) => command = back,
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Gives a command; waits while too many wait.
    pub fn give(&self, command: StoreCommand) -> anyhow::Result<()> {
        self.commands.send(command).map_err(|_| STOPPED.into())
    }

    /// Gives a command, or hands it back if too many wait.
    pub fn try_give(&self, command: StoreCommand) -> anyhow::Result<Option<StoreCommand>> {
        match self.commands.try_send(command) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(command)) => Ok(Some(command)),
            Err(TrySendError::Disconnected(_)) => Err(STOPPED.into()),
        }
    }

    /// Claims positions and says where they stand; none if that takes longer than `patience`, or
    /// if it was superseded meanwhile.
    pub fn claim(
        &self,
        names: Vec<String>,
        patience: Duration,
    ) -> anyhow::Result<Option<Vec<Claim>>> {
        let until = Instant::now() + patience;
        let (reply, claims) = sync_channel(1);
        let is_given = self.give_until(StoreCommand::Claim { names, reply }, until)?;
        let left = until.saturating_duration_since(Instant::now());
        Ok(if is_given { claims.recv_timeout(left).ok() } else { None })
    }

    /// Keeps checkpoints and gives positions up, once everything before is committed; false if
    /// that takes longer than `patience`; what waits may then be stored by another process.
    pub fn release(
        &self,
        names: Vec<String>,
        checkpoints: Vec<StoreCommand>,
        patience: Duration,
    ) -> anyhow::Result<bool> {
        let until = Instant::now() + patience;
        for command in checkpoints {
            if !self.give_until(command, until)? {
                return Ok(false);
            }
        }
        let (reply, released) = sync_channel(1);
        let is_given = self.give_until(StoreCommand::Release { names, reply }, until)?;
        let left = until.saturating_duration_since(Instant::now());
        Ok(is_given && released.recv_timeout(left).is_ok())
    }

    /// Whether another process has taken a position over. Rows are dropped from then on.
    pub fn is_superseded(&self) -> bool {
        self.progress.superseded.load(Ordering::Acquire)
    }

    /// Up to where rows of a position are stored.
    pub fn stored(&self, position: &str) -> Option<i64> {
        locked(&self.progress.stored).get(position).copied()
    }

    /// Up to where what detection knows is kept, for a position.
    pub fn kept(&self, position: &str) -> Option<i64> {
        locked(&self.progress.kept).get(position).copied()
    }
}

const STOPPED: Follows = Follows("the lake has stopped; its error says why");

impl Storing {
    fn run(mut self, commands: &Receiver<StoreCommand>) -> anyhow::Result<()> {
        loop {
            let done = match commands.recv_timeout(LOOK) {
                Ok(command) => self.take(command),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return self.fenced(Self::commit),
            };
            self.fenced(|_| done)?;
            if self.writer.is_due(Instant::now()) {
                self.fenced(Self::commit)?;
            }
        }
    }

    /// If another process has taken a position over, what waits is its business now.
    fn fenced(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), LakeError>,
    ) -> anyhow::Result<()> {
        match work(self) {
            Err(error @ LakeError::Superseded { .. }) => {
                tracing::warn!("{error}; reading again from where the table stands");
                self.positions.clear();
                self.writer.discard();
                self.progress.superseded.store(true, Ordering::Release);
                Ok(())
            }
            done => done
                .context("the lake cannot be written; what waited is read again at the next start"),
        }
    }

    fn take(&mut self, command: StoreCommand) -> Result<(), LakeError> {
        if self.progress.superseded.load(Ordering::Acquire) {
            // A question without an answer tells the asker.
            if let StoreCommand::Resume = command {
                self.progress.superseded.store(false, Ordering::Release);
            }
            return Ok(());
        }
        match command {
            StoreCommand::Rows(rows) => self.write(rows),
            StoreCommand::Keep(pending) => self.keep(pending),
            StoreCommand::Claim { names, reply } => {
                // What waits may be of an earlier claim to the same.
                self.commit()?;
                let claims: Result<Vec<_>, _> =
                    names.iter().map(|name| self.writer.claim(name)).collect();
                // The worker may have stopped waiting for the answer.
                let _ = reply.send(claims?);
                Ok(())
            }
            StoreCommand::Release { names, reply } => {
                self.commit()?;
                names.iter().try_for_each(|name| self.writer.release(name))?;
                let _ = reply.send(());
                Ok(())
            }
            StoreCommand::Resume => Ok(()),
        }
    }

    fn write(&mut self, rows: Rows) -> Result<(), LakeError> {
        for events in &rows.events {
            self.writer.write(events)?;
        }
        self.writer.reject(&rows.rejects)?;
        self.positions.extend(rows.positions);
        Ok(())
    }

    fn keep(&mut self, pending: PendingCheckpoint) -> Result<(), LakeError> {
        self.commit()?;
        let PendingCheckpoint { position, path, alerts, profiles, profiles_folder, checkpoint } =
            pending;
        // Before the checkpoint: a crash between the two gives the same days once more.
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if let Err(error) = training::keep_profiles(&profiles_folder, &name, &profiles) {
            tracing::error!("days of identities cannot be kept for the models: {error:#}");
        }
        if !self.alerts.is_recorded(alerts, ALERTS_WITHIN) {
            // A crash would lose them: the one before holds until they are recorded.
            tracing::debug!(position, "no checkpoint is kept while alerts wait to be recorded");
            return Ok(());
        }
        match checkpoint::write(&path, &checkpoint) {
            Ok(()) => {
                let offset = checkpoint.bus.cast_signed();
                locked(&self.progress.kept).insert(position, offset);
                self.task.set_problem(None);
            }
            // The one before still holds: a restart has more to read again, nothing is lost.
            Err(error) => {
                tracing::error!("{error:#}");
                self.task.set_problem(Some(format!("{error:#}")));
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LakeError> {
        if self.positions.is_empty() {
            return Ok(());
        }
        let positions: Vec<(String, i64)> =
            std::mem::take(&mut self.positions).into_iter().collect();
        let abandon = &self.abandon;
        self.writer.commit_until(&positions, || abandon.is_cancelled())?;
        locked(&self.progress.stored).extend(positions);
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
