//! What a format has read of one file so far: events in column order, rejects, and the last
//! records, which a later record may still say something about.

use std::collections::VecDeque;
use std::sync::Arc;

use event::vocabulary::Outcome;
use event::{AuditEvent, EventBatch, EventBatchBuilder, EventId, Reject, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Clock, Sessions};

/// An error reaches back over at most so many records of the same file.
pub(crate) const LOOKAHEAD: usize = 256;

/// Bytes of a statement that are kept to recognise it in a later error.
const STATEMENT_HEAD_BYTES: usize = 128;

/// What every event of a file has in common.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) source: Arc<str>,
    pub(crate) instance: Arc<str>,
    pub(crate) format: &'static str,
    pub(crate) engine: &'static str,
    pub(crate) file: EventId,
    pub(crate) received: Timestamp,
}

/// One of the last records, and what is needed to find its statement again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recent {
    /// Event row counted from the head of the file; none for a reject.
    row: Option<u64>,
    position: u64,
    pub(crate) session: String,
    /// Number of the audited statement; none if the record is no audit row.
    pub(crate) statement: Option<i64>,
    pub(crate) transaction: String,
    /// The head of its text.
    pub(crate) head: String,
    /// The row was written after its statement had ended well.
    pub(crate) ended: bool,
    /// The record says that somebody was let in, which the next may take back.
    pub(crate) login: bool,
}

/// Collects what one file gives.
pub(crate) struct Parsed {
    pub(crate) origin: Arc<Origin>,
    /// Sessions of the whole stream, lent for the time of a call.
    pub(crate) sessions: Sessions,
    /// Reads times, likewise lent.
    pub(crate) clock: Clock,
    /// Records begun so far; always the events and rejects together.
    pub(crate) records: u64,
    offset: u64,
    events: EventBatchBuilder,
    rejects: VecDeque<Reject>,
    recent: VecDeque<Recent>,
    finished: VecDeque<EventBatch>,
    /// Rows that left `events` so far.
    base: u64,
}

/// A [`Parsed`] that survives a restart.
#[derive(Serialize, Deserialize)]
pub(crate) struct ParsedSnapshot {
    records: u64,
    base: u64,
    recent: Vec<Recent>,
    /// The rows, finished ones first, as Arrow IPC; the last batch is in progress.
    batches: Vec<Vec<u8>>,
    rejects: Vec<(EventId, i64, i64, String, Vec<u8>)>,
}

impl Parsed {
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            origin: Arc::new(origin),
            sessions: Sessions::default(),
            clock: Clock::default(),
            records: 0,
            offset: 0,
            events: EventBatchBuilder::default(),
            rejects: VecDeque::new(),
            recent: VecDeque::with_capacity(LOOKAHEAD),
            finished: VecDeque::new(),
            base: 0,
        }
    }

    /// Position in the file of the first byte that the format is offered.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn set_offset(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// An event of this file with what every event of it has.
    pub(crate) fn event<'a>(origin: &'a Origin, position: u64) -> AuditEvent<'a> {
        let mut event =
            AuditEvent::new(&origin.source, origin.format, origin.engine, &origin.instance);
        event.id = origin.file.at(position);
        event.position = position as i64;
        event.received = origin.received;
        event
    }

    /// Takes one record that became an event; `note` fills in what may be needed of it later.
    pub(crate) fn push(&mut self, event: &AuditEvent<'_>, note: impl FnOnce(&mut Recent)) {
        let row = self.base + self.events.push(event) as u64;
        self.note(Some(row), event.position as u64, note);
        if self.events.is_full() {
            self.finish(true);
        }
    }

    /// Takes one record that no event can be made of.
    pub(crate) fn reject(&mut self, position: u64, reason: impl Into<String>, bytes: &[u8]) {
        self.rejects.push_back(Reject {
            id: self.origin.file.at(position),
            received: self.origin.received,
            source: self.origin.source.to_string(),
            format: self.origin.format.to_owned(),
            position: position as i64,
            reason: reason.into(),
            bytes: bytes.to_vec(),
        });
        self.note(None, position, |_| {});
    }

    /// The last records, the latest first.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &Recent> {
        self.recent.iter().rev()
    }

    /// Says how the statements of those recent rows ended that `chosen` picks.
    pub(crate) fn set_outcome(
        &mut self,
        chosen: impl Fn(&Recent) -> bool,
        outcome: Outcome,
        code: Option<&str>,
        error: &str,
    ) {
        for recent in self.recent.iter().filter(|recent| chosen(recent)) {
            // Rows that were flushed are gone.
            if let Some(row) = recent.row.and_then(|row| row.checked_sub(self.base)) {
                self.events.set_outcome(row as usize, outcome, code, error);
            }
        }
    }

    /// Whether all of it was taken.
    pub(crate) fn is_drained(&self) -> bool {
        self.events.is_empty() && self.finished.is_empty() && self.rejects.is_empty()
    }

    /// Everything before this byte can be taken: the first one that is still held back, or
    /// `read`, up to where the file has been read.
    fn settled(&self, read: u64) -> u64 {
        let held = self.recent.iter().find(|recent| recent.row.is_some_and(|row| row >= self.base));
        held.map_or(read, |recent| recent.position.min(read))
    }

    /// Hands out one batch with the rejects before its end; with `flush` also the last rows.
    pub(crate) fn take(
        &mut self,
        flush: bool,
        read: u64,
    ) -> Option<(EventBatch, Vec<Reject>, u64)> {
        if self.finished.is_empty() && self.events.len() > if flush { 0 } else { LOOKAHEAD } {
            self.finish(!flush);
        }
        let batch = self.finished.pop_front();
        let next = self.finished.front().filter(|next| !next.is_empty());
        let end = next.map(|next| next.rows().row(0).event().position as u64);
        let end = end.unwrap_or_else(|| self.settled(read));
        let settled = self.rejects.iter().take_while(|reject| (reject.position as u64) < end);
        let count = settled.count();
        let rejects: Vec<Reject> = self.rejects.drain(..count).collect();
        if batch.is_none() && rejects.is_empty() {
            return None;
        }
        let batch = batch.unwrap_or_else(|| EventBatchBuilder::default().finish());
        Some((batch, rejects, end))
    }

    /// Changes nothing: the rows in progress leave their builder and come back.
    pub(crate) fn snapshot(&mut self) -> ParsedSnapshot {
        let open = self.events.finish();
        self.push_again(&open, 0);
        let rejects = self.rejects.iter().map(|reject| {
            let Reject { id, received, position, reason, bytes, .. } = reject.clone();
            (id, received.0, position, reason, bytes)
        });
        ParsedSnapshot {
            records: self.records,
            base: self.base,
            recent: self.recent.iter().cloned().collect(),
            batches: self.finished.iter().chain([&open]).map(EventBatch::to_ipc).collect(),
            rejects: rejects.collect(),
        }
    }

    pub(crate) fn restore(&mut self, snapshot: ParsedSnapshot) -> Option<()> {
        let (open, finished) = snapshot.batches.split_last()?;
        for batch in finished {
            self.finished.push_back(EventBatch::from_ipc(batch).ok()?);
        }
        let open = EventBatch::from_ipc(open).ok()?;
        self.push_again(&open, 0);
        self.records = snapshot.records;
        self.base = snapshot.base;
        self.recent = snapshot.recent.into();
        let Origin { source, format, .. } = (*self.origin).clone();
        self.rejects.extend(snapshot.rejects.into_iter().map(|reject| {
            let (id, received, position, reason, bytes) = reject;
            let (received, source) = (Timestamp(received), source.to_string());
            Reject { id, received, source, format: format.to_owned(), position, reason, bytes }
        }));
        Some(())
    }

    /// Moves the rows that nothing can change any more to `finished`.
    fn finish(&mut self, hold_back: bool) {
        let batch = self.events.finish();
        let held = self.recent.iter().filter_map(|recent| recent.row).find(|row| *row >= self.base);
        let ready = match held {
            Some(row) if hold_back => (row - self.base) as usize,
            _ => batch.len(),
        };
        if ready > 0 {
            self.finished.push_back(batch.slice(0, ready));
        }
        self.base += ready as u64;
        self.push_again(&batch, ready);
    }

    fn push_again(&mut self, batch: &EventBatch, from: usize) {
        for row in batch.rows().iter().skip(from) {
            self.events.push(&row.event());
        }
    }

    fn note(&mut self, row: Option<u64>, position: u64, note: impl FnOnce(&mut Recent)) {
        // The oldest entry's memory serves the newest.
        let oldest = (self.recent.len() == LOOKAHEAD).then(|| self.recent.pop_front()).flatten();
        let mut recent = oldest.unwrap_or_default();
        recent.session.clear();
        recent.transaction.clear();
        recent.head.clear();
        (recent.row, recent.position, recent.statement) = (row, position, None);
        (recent.ended, recent.login) = (false, false);
        note(&mut recent);
        self.recent.push_back(recent);
    }
}

impl Recent {
    /// Where the record begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Keeps as much of the statement as it takes to recognise it.
    pub(crate) fn set_head(&mut self, statement: &str) {
        let statement = statement.trim();
        let end = statement.floor_char_boundary(STATEMENT_HEAD_BYTES);
        self.head.push_str(&statement[..end]);
    }
}
