//! The writer of this process: encodes batches as they come and commits them with their
//! positions, rejects first.
//!
//! It blocks and computes: give it a thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use event::{EventBatch, Reject, RejectBatch};

use crate::claim::Claim;
use crate::columns::Columns;
use crate::lake::{Shared, lock};
use crate::stage::Stage;
use crate::{LakeError, Sharing};

/// Pause after the first failure; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often a failure that lasts is told again.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// How often a pause looks whether it should end.
const PAUSE_STEP: Duration = Duration::from_millis(50);

/// Takes batches and commits them. There is one per open lake.
pub struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) events: Stage,
    pub(crate) rejects: Stage,
    /// Positions that nobody else may move, as this writer last saw or wrote them.
    pub(crate) claims: BTreeMap<String, Claim>,
    pub(crate) oldest: Option<Instant>,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Version of `events`.
    pub version: u64,
    /// Events that it added.
    pub events: u64,
    /// Rejects that it added.
    pub rejects: u64,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (events, rejects) = (Stage::new(Columns::events()), Stage::new(Columns::rejects()));
        Self { shared, events, rejects, claims: BTreeMap::new(), oldest: None }
    }

    /// Takes events. Queries see them at once; they are durable after the next commit.
    ///
    /// A disk that is full or gone is the next commit's problem: the rows stay in memory.
    ///
    /// # Errors
    /// Only if the columns cannot be converted, which no [`EventBatch`] gives cause for.
    pub fn write(&mut self, batch: &EventBatch) -> Result<(), LakeError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.events.write(&self.shared, batch.record_batch())?;
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
        self.rejects.write(&self.shared, RejectBatch::new(rejects).record_batch())?;
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
    /// it was read: rejects and positions enter their table first, then events and positions
    /// theirs.
    ///
    /// After a crash in between, the rejects' position is ahead. Whoever reads on from the
    /// events' position gives rejects below the rejects' position no more.
    ///
    /// # Errors
    /// Nothing is lost by an error: if [`LakeError::is_retryable`], call again with the same or
    /// later positions, or let [`commit_until`](Self::commit_until) do it. After
    /// [`LakeError::Superseded`] another process stores what waits here:
    /// [`discard`](Self::discard) it.
    pub fn commit(&mut self, positions: &[(String, i64)]) -> Result<Committed, LakeError> {
        let committed = self.try_commit(positions);
        if let Err(LakeError::Superseded { .. }) = &committed {
            self.shared.superseded.fetch_add(1, Ordering::Relaxed);
        }
        *lock(&self.shared.problem) = committed.as_ref().err().map(ToString::to_string);
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
        let moved = self.check(positions)?;
        let (events, rejects) = (self.events.rows, self.rejects.rows);
        let is_nothing = events + rejects == 0 && moved.is_empty();
        if rejects > 0 {
            self.commit_rejects(positions)?;
        }
        if events > 0 || !moved.is_empty() {
            let expected = self.expected(|claim| claim.events);
            self.events.commit(&self.shared, moved.clone(), expected)?;
            self.note(moved, |claim| &mut claim.events);
        }
        self.shared.commits.fetch_add(u64::from(!is_nothing), Ordering::Relaxed);
        self.oldest = None;
        Ok(Committed { version: lock(&self.shared.events).version, events, rejects })
    }

    /// The positions that this commit moves in `events`; an error if it may not.
    fn check(&self, positions: &[(String, i64)]) -> Result<Vec<(String, i64)>, LakeError> {
        let is_free =
            |name: &str| self.shared.sharing == Sharing::Alone || self.claims.contains_key(name);
        if let Some((name, _)) = positions.iter().find(|(name, _)| !is_free(name)) {
            return Err(LakeError::Unclaimed(name.clone()));
        }
        // Whoever was superseded learns it before its rejects are in the way of its successor.
        self.shared.follow()?;
        let table = lock(&self.shared.events);
        table.expect(&self.expected(|claim| claim.events))?;
        let mut moved = Vec::new();
        for (name, given) in positions {
            match table.position(name) {
                Some(stored) if stored > *given => {
                    let (name, given) = (name.clone(), *given);
                    return Err(LakeError::Backwards { name, stored, given });
                }
                Some(stored) if stored == *given => {}
                _ => moved.push((name.clone(), *given)),
            }
        }
        Ok(moved)
    }

    fn commit_rejects(&mut self, positions: &[(String, i64)]) -> Result<(), LakeError> {
        let ahead: Vec<_> = {
            let table = lock(&self.shared.rejects);
            // After a crash or a takeover the rejects may be further than the events.
            let is_ahead = |(name, at): &&(String, i64)| table.position(name) < Some(*at);
            positions.iter().filter(is_ahead).cloned().collect()
        };
        let expected = self.expected(|claim| claim.rejects);
        self.rejects.commit(&self.shared, ahead.clone(), expected)?;
        self.note(ahead, |claim| &mut claim.rejects);
        Ok(())
    }
}
