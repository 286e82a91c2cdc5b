//! The thread that writes the lake: takes judged batches, commits them with their positions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use event::{EventBatch, Reject};
use lake::{Claim, LakeError, Writer};
use tokio_util::sync::CancellationToken;

use super::checkpoint::{self, Detection};
use super::running::spawn;

/// Orders that may wait for the lake. While it cannot write, detection goes on until so many
/// wait; then it waits too, and the bus keeps what comes.
const ORDERS_MAX: usize = 64;

/// How often a quiet writer looks whether a commit is due.
const LOOK: Duration = Duration::from_millis(100);

/// Before asking again whether there is room for an order.
const PAUSE: Duration = Duration::from_millis(10);

/// What the thread is told to do, in order.
pub enum Order {
    /// Rows, and how far they go.
    Rows(Rows),
    /// Once everything before is committed: keep what detection knows.
    Keep(Knowledge),
    /// Nobody else may move these positions from now on; the answer is where they stand.
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

/// What detection knows at a position, and the file that keeps it.
pub struct Knowledge {
    pub position: String,
    pub path: PathBuf,
    pub detection: Detection,
}

/// The running thread.
pub struct Store {
    thread: JoinHandle<anyhow::Result<()>>,
}

/// Gives orders; the thread ends when the last handle is dropped.
#[derive(Clone)]
pub struct StoreHandle {
    orders: SyncSender<Order>,
    progress: Arc<Progress>,
}

/// How far the thread is.
#[derive(Default)]
struct Progress {
    /// Another process has taken a position over: rows are dropped until [`Order::Resume`].
    superseded: AtomicBool,
    stored: Mutex<BTreeMap<String, i64>>,
    kept: Mutex<BTreeMap<String, i64>>,
}

struct Storing {
    writer: Writer,
    positions: BTreeMap<String, i64>,
    progress: Arc<Progress>,
    abandon: CancellationToken,
}

impl Store {
    /// Starts the thread. It ends when the handles are dropped and everything is committed, or,
    /// when `abandon` is cancelled while the lake cannot commit, with what it has.
    pub fn start(
        writer: Writer,
        abandon: CancellationToken,
    ) -> anyhow::Result<(Self, StoreHandle)> {
        let (orders, received) = sync_channel(ORDERS_MAX);
        let progress = Arc::<Progress>::default();
        let handle = StoreHandle { orders, progress: progress.clone() };
        let failed = abandon.clone();
        let storing = Storing { writer, positions: BTreeMap::new(), progress, abandon };
        let thread = spawn("store", &failed, move || storing.run(&received))?;
        Ok((Self { thread }, handle))
    }

    /// Waits for the end; its error is why the rest was not stored.
    pub fn join(self) -> anyhow::Result<()> {
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl StoreHandle {
    /// Gives an order by then; false if too many wait for as long.
    fn give_until(&self, mut order: Order, until: Instant) -> anyhow::Result<bool> {
        loop {
            match self.try_give(order)? {
                None => return Ok(true),
                Some(_) if Instant::now() >= until => return Ok(false),
                Some(back) => order = back,
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Gives an order; waits while too many wait.
    pub fn give(&self, order: Order) -> anyhow::Result<()> {
        self.orders.send(order).ok().context(STOPPED)
    }

    /// Gives an order, or hands it back if too many wait.
    pub fn try_give(&self, order: Order) -> anyhow::Result<Option<Order>> {
        match self.orders.try_send(order) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(order)) => Ok(Some(order)),
            Err(TrySendError::Disconnected(_)) => anyhow::bail!(STOPPED),
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
        let is_given = self.give_until(Order::Claim { names, reply }, until)?;
        let left = until.saturating_duration_since(Instant::now());
        Ok(if is_given { claims.recv_timeout(left).ok() } else { None })
    }

    /// Keeps what is known and gives positions up, once everything before is committed; false if
    /// that takes longer than `patience`, in which case what waits may be stored by somebody else.
    pub fn release(
        &self,
        names: Vec<String>,
        knowledge: Vec<Order>,
        patience: Duration,
    ) -> anyhow::Result<bool> {
        let until = Instant::now() + patience;
        for order in knowledge {
            if !self.give_until(order, until)? {
                return Ok(false);
            }
        }
        let (reply, released) = sync_channel(1);
        let is_given = self.give_until(Order::Release { names, reply }, until)?;
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

const STOPPED: &str = "the lake has stopped; its error says why";

impl Storing {
    fn run(mut self, orders: &Receiver<Order>) -> anyhow::Result<()> {
        loop {
            let done = match orders.recv_timeout(LOOK) {
                Ok(order) => self.take(order),
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

    fn take(&mut self, order: Order) -> Result<(), LakeError> {
        if self.progress.superseded.load(Ordering::Acquire) {
            // A question without an answer tells the asker.
            if let Order::Resume = order {
                self.progress.superseded.store(false, Ordering::Release);
            }
            return Ok(());
        }
        match order {
            Order::Rows(rows) => self.write(rows),
            Order::Keep(knowledge) => self.keep(knowledge),
            Order::Claim { names, reply } => {
                // What waits may be of an earlier claim to the same.
                self.commit()?;
                let claims: Result<Vec<_>, _> =
                    names.iter().map(|name| self.writer.claim(name)).collect();
                // The asker may have gone; then nobody needs the answer.
                let _ = reply.send(claims?);
                Ok(())
            }
            Order::Release { names, reply } => {
                self.commit()?;
                names.iter().try_for_each(|name| self.writer.release(name))?;
                let _ = reply.send(());
                Ok(())
            }
            Order::Resume => Ok(()),
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

    fn keep(&mut self, knowledge: Knowledge) -> Result<(), LakeError> {
        self.commit()?;
        match checkpoint::write(&knowledge.path, &knowledge.detection) {
            Ok(()) => {
                let offset = knowledge.detection.bus.cast_signed();
                locked(&self.progress.kept).insert(knowledge.position, offset);
            }
            // The one before still holds: a restart has more to read again, nothing is lost.
            Err(error) => tracing::error!("{error:#}"),
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
