//! The only writer: encodes batches as they come and commits them with their positions.
//!
//! It blocks and computes: give it a thread of its own.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arrow_array::RecordBatch;
use event::{EventBatch, Reject, RejectBatch};

use crate::columns::Columns;
use crate::data_file::DataFile;
use crate::encoder::{Encoder, milliseconds, remove_all};
use crate::lake::{CHECKPOINT, Shared, lock};
use crate::table::Change;
use crate::{LakeError, LakeSettings};

/// Pause after the first failure; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often a failure that lasts is told again.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// How often a pause looks whether it should end.
const PAUSE_STEP: Duration = Duration::from_millis(50);

/// Takes batches and commits them. There is one per lake.
pub struct Writer {
    shared: Arc<Shared>,
    events: Stage,
    rejects: Stage,
    /// The rejects of the next commit are in their table, the events and positions are not.
    is_halfway: bool,
    oldest: Option<Instant>,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Version of `events`.
    pub version: u64,
    /// Its number, also found as position `checkpoint`; grows by one with each commit.
    pub checkpoint: i64,
    /// Events that it added.
    pub events: u64,
    /// Rejects that it added.
    pub rejects: u64,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let stage = |columns| Stage { columns, encoder: None, is_intact: true, rows: 0, bytes: 0 };
        let (events, rejects) = (stage(Columns::events()), stage(Columns::rejects()));
        Self { shared, events, rejects, is_halfway: false, oldest: None }
    }

    /// Number that the next commit will have.
    pub fn next_checkpoint(&self) -> i64 {
        lock(&self.shared.events).position(CHECKPOINT).unwrap_or(0) + 1
    }

    /// Takes events. Queries see them at once; they are durable after the next commit.
    ///
    /// A disk that is full or gone is the next commit's trouble: the rows stay in memory.
    ///
    /// # Errors
    /// Only if the columns cannot be converted, which no [`EventBatch`] gives cause for.
    pub fn write(&mut self, batch: &EventBatch) -> Result<(), LakeError> {
        if batch.is_empty() {
            return Ok(());
        }
        let number = self.next_checkpoint();
        self.events.write(&self.shared, batch.record_batch(), number)?;
        self.oldest.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Takes records that could not be read, likewise.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn reject(&mut self, rejects: &[Reject]) -> Result<(), LakeError> {
        if rejects.is_empty() {
            return Ok(());
        }
        let number = self.next_checkpoint();
        self.rejects.write(&self.shared, RejectBatch::new(rejects).record_batch(), number)?;
        self.oldest.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Whether it is time to commit: enough rows, enough memory, or long enough ago.
    pub fn is_due(&self, now: Instant) -> bool {
        let settings = &self.shared.settings;
        let waited = self.oldest.map_or(Duration::ZERO, |oldest| now.duration_since(oldest));
        self.events.rows + self.rejects.rows >= settings.commit_rows_max
            || self.events.bytes + self.rejects.bytes >= settings.commit_bytes_max
            || (self.oldest.is_some() && waited >= Duration::from_secs(settings.commit_seconds))
    }

    /// Commits what was written since the last commit, together with the positions up to which
    /// it was read. Rejects enter their table first, then events and positions theirs at once;
    /// after a crash in between, the next start takes the rejects back.
    ///
    /// # Errors
    /// Nothing is lost by an error: if [`LakeError::is_retryable`], call again with the same or
    /// later positions, or let [`commit_until`](Self::commit_until) do it.
    pub fn commit(&mut self, positions: &[(String, i64)]) -> Result<Committed, LakeError> {
        let committed = self.try_commit(positions);
        *lock(&self.shared.trouble) = committed.as_ref().err().map(ToString::to_string);
        committed
    }

    /// Commits, and on a failure that may pass waits and tries again until `stop` says so.
    ///
    /// # Errors
    /// The last one, when it cannot pass or when it was stopped; the rows are still here.
    pub fn commit_until(
        &mut self,
        positions: &[(String, i64)],
        stop: impl Fn() -> bool,
    ) -> Result<Committed, LakeError> {
        let mut pause = PAUSE_MIN;
        let mut warned: Option<Instant> = None;
        loop {
            match self.commit(positions) {
                Err(error) if error.is_retryable() && !stop() => {
                    if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                        warned = Some(Instant::now());
                        tracing::warn!(
                            "the lake cannot commit: {error}; its rows wait: make room on its \
                             disk, or see that it can be written, and they go in"
                        );
                    }
                }
                result => {
                    if warned.is_some() && result.is_ok() {
                        tracing::info!("the lake commits again");
                    }
                    return result;
                }
            }
            let until = Instant::now() + pause;
            while Instant::now() < until && !stop() {
                std::thread::sleep(PAUSE_STEP.min(pause));
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn try_commit(&mut self, positions: &[(String, i64)]) -> Result<Committed, LakeError> {
        if let Some((name, _)) = positions.iter().find(|(name, _)| name == CHECKPOINT) {
            return Err(LakeError::Reserved(name.clone()));
        }
        let number = self.next_checkpoint();
        let (events, rejects) = (self.events.rows, self.rejects.rows);
        {
            let table = lock(&self.shared.events);
            let moved = positions.iter().any(|(name, at)| table.position(name) != Some(*at));
            if events + rejects == 0 && !moved && !self.is_halfway {
                let (version, checkpoint) = (table.version, number - 1);
                return Ok(Committed { version, checkpoint, events, rejects });
            }
        }
        if rejects > 0 {
            let position = (CHECKPOINT.to_owned(), number);
            self.rejects.commit(&self.shared, vec![position], number)?;
            self.is_halfway = true;
        }
        let own = [(CHECKPOINT.to_owned(), number)];
        let positions = positions.iter().cloned().chain(own).collect();
        let version = self.events.commit(&self.shared, positions, number)?;
        (self.is_halfway, self.oldest) = (false, None);
        Ok(Committed { version, checkpoint: number, events, rejects })
    }
}

/// The rows of one table on their way into a commit. They stay in the view until it is made, so
/// that any failure of the files is healed by encoding them again.
struct Stage {
    columns: &'static Columns,
    encoder: Option<Encoder>,
    /// Whether the encoder has taken every row.
    is_intact: bool,
    rows: u64,
    bytes: u64,
}

impl Stage {
    fn write(
        &mut self,
        shared: &Shared,
        batch: &RecordBatch,
        number: i64,
    ) -> Result<(), LakeError> {
        let waiting = self.columns.waiting(batch)?;
        shared.show(self.columns, |view| view.hot.push(waiting.clone()));
        self.rows += waiting.num_rows() as u64;
        self.bytes += waiting.get_array_memory_size() as u64;
        if self.is_intact
            && let Err(error) = self.encode(shared, std::slice::from_ref(&waiting), number)
        {
            tracing::warn!(table = self.columns.name, %error, "rows will be encoded once more");
        }
        Ok(())
    }

    fn encode(
        &mut self,
        shared: &Shared,
        batches: &[RecordBatch],
        number: i64,
    ) -> Result<(), LakeError> {
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => new_encoder(self.columns, shared, number),
        };
        let encoder = self.encoder.insert(encoder);
        let written = batches.iter().try_for_each(|batch| encoder.write(batch));
        if written.is_err() {
            self.discard();
        }
        written
    }

    fn discard(&mut self) {
        self.is_intact = false;
        if let Some(encoder) = self.encoder.take() {
            encoder.discard();
        }
    }

    fn commit(
        &mut self,
        shared: &Shared,
        positions: Vec<(String, i64)>,
        number: i64,
    ) -> Result<u64, LakeError> {
        let files = self.finish(shared, number)?;
        let mut table = shared.table(self.columns);
        let change = Change::append(files, positions);
        let now = milliseconds(SystemTime::now());
        if let Err(error) = table.commit(&change, now) {
            // After a fence nobody knows whether the log names them.
            if error.is_retryable() {
                remove_all(&table.folder, &change.add);
            }
            self.is_intact = false;
            return Err(error);
        }
        shared.show(self.columns, |view| {
            view.files = table.files.clone();
            view.version = table.version;
            view.hot.clear();
        });
        (self.is_intact, self.rows, self.bytes) = (true, 0, 0);
        Ok(table.version)
    }

    /// Closes the files, having encoded again what they lack.
    fn finish(&mut self, shared: &Shared, number: i64) -> Result<Vec<DataFile>, LakeError> {
        if !self.is_intact {
            let mut waiting = Vec::new();
            shared.show(self.columns, |view| waiting.clone_from(&view.hot));
            self.encode(shared, &waiting, number)?;
            self.is_intact = true;
        }
        let Some(mut encoder) = self.encoder.take() else { return Ok(Vec::new()) };
        encoder.finish().inspect_err(|_| {
            self.encoder = Some(encoder);
            self.discard();
        })
    }
}

fn new_encoder(columns: &'static Columns, shared: &Shared, number: i64) -> Encoder {
    let settings: &LakeSettings = &shared.settings;
    let folder = shared.table(columns).folder.clone();
    Encoder::new(columns, &folder, number, settings)
}
