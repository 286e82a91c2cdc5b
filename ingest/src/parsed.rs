//! The rows and rejects that one file has given so far. A row is written once: what leaves as a
//! batch never changes, and only the rows of the last few bytes may still be doubted.

use std::collections::VecDeque;
use std::sync::Arc;

use event::vocabulary::Outcome;
use event::{AuditEvent, EventBatch, EventBatchBuilder, EventId, Reject, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::session::Sessions;

/// Rows that are worth a batch of their own while more are to come at once.
const BATCH_ROWS_MIN: usize = 256;

/// A row can be doubted by what begins at most so many bytes behind its own beginning: room for two
/// names of 63 bytes, and a prefix between them.
const DOUBT_BYTES: u64 = 256;

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

/// Collects what one file gives.
pub(crate) struct Parsed {
    pub(crate) origin: Arc<Origin>,
    /// Sessions of the whole stream, lent for the time of a call.
    pub(crate) sessions: Sessions,
    /// Reads times, likewise lent.
    pub(crate) clock: Clock,
    /// Records begun so far; always the events and rejects together.
    pub(crate) records: u64,
    /// Nobody wants what is left of the line that is being read.
    pub(crate) skips_line: bool,
    offset: u64,
    events: EventBatchBuilder,
    rejects: VecDeque<Reject>,
    doubtable: VecDeque<Doubtable>,
    finished: VecDeque<EventBatch>,
    /// Rows that left `events` so far.
    base: u64,
}

/// A row of a text log, as long as a line close behind it may show that a client wrote it.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Doubtable {
    position: u64,
    /// Counted from the head of the file.
    row: u64,
}

/// A [`Parsed`] that survives a restart.
#[derive(Serialize, Deserialize)]
pub(crate) struct ParsedSnapshot {
    records: u64,
    base: u64,
    doubtable: VecDeque<Doubtable>,
    /// The rows, finished ones first, as Arrow IPC; the last batch is in progress.
    batches: Vec<Vec<u8>>,
    rejects: Vec<(EventId, i64, i64, String, Vec<u8>)>,
    #[serde(default)]
    skips_line: bool,
}

impl Parsed {
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            origin: Arc::new(origin),
            sessions: Sessions::default(),
            clock: Clock::default(),
            records: 0,
            skips_line: false,
            offset: 0,
            events: EventBatchBuilder::default(),
            rejects: VecDeque::new(),
            doubtable: VecDeque::new(),
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

    /// Takes one record that became an event.
    pub(crate) fn push(&mut self, event: &AuditEvent<'_>) {
        if self.events.is_full() {
            self.finish(event.position as u64);
        }
        self.events.push(event);
    }

    /// Takes one record of `length` bytes that became an event, and that a line close behind it
    /// may still show to be forged.
    pub(crate) fn push_doubtable(&mut self, event: &AuditEvent<'_>, length: usize) {
        self.push(event);
        // What is longer than the reach of a doubt cannot have the doubt's cause close behind it.
        if length as u64 <= DOUBT_BYTES {
            let (position, row) = (event.position as u64, self.base + self.events.len() as u64 - 1);
            self.settle(position);
            self.doubtable.push_back(Doubtable { position, row });
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
    }

    /// Takes one line of which only the head is at hand, because it is too long; the rest of it is
    /// skipped.
    pub(crate) fn reject_line(&mut self, position: u64, reason: impl Into<String>, head: &[u8]) {
        self.records += 1;
        self.reject(position, reason, head);
        self.skips_line = true;
    }

    /// Marks the doubtable rows right before `position`, if they have not left.
    pub(crate) fn doubt_before(&mut self, position: u64, error: &str) {
        let reached = |doubtable: &&Doubtable| doubtable.position + DOUBT_BYTES >= position;
        for doubtable in self.doubtable.iter().filter(reached) {
            if let Some(row) = doubtable.row.checked_sub(self.base) {
                self.events.set_outcome(row as usize, Outcome::Unknown, None, error);
            }
        }
    }

    /// Whether all of it was taken.
    pub(crate) fn is_drained(&self) -> bool {
        self.events.is_empty() && self.finished.is_empty() && self.rejects.is_empty()
    }

    /// Hands out one batch with the rejects before its end; `read` is how far the file has been
    /// read. With `flush` also the last rows, however few.
    pub(crate) fn take(
        &mut self,
        flush: bool,
        read: u64,
    ) -> Option<(EventBatch, Vec<Reject>, u64)> {
        let enough = if flush { 1 } else { BATCH_ROWS_MIN };
        if self.finished.is_empty() && self.events.len() >= enough {
            self.finish(if flush { u64::MAX } else { read });
        }
        let batch = self.finished.pop_front();
        let next = self.finished.front().map(|next| next.rows().row(0).position());
        let end = next.or(self.events.first_position()).map_or(read, |next| next as u64);
        let settled = self.rejects.iter().take_while(|reject| (reject.position as u64) < end);
        let count = settled.count();
        let rejects: Vec<Reject> = self.rejects.drain(..count).collect();
        if batch.is_none() && rejects.is_empty() {
            return None;
        }
        let batch = batch.unwrap_or_else(|| EventBatchBuilder::default().finish());
        Some((batch, rejects, end.min(read)))
    }

    /// Changes nothing: the rows in progress leave their builder and come back.
    pub(crate) fn snapshot(&mut self) -> ParsedSnapshot {
        let open = self.events.finish();
        self.events.extend(&open);
        let rejects = self.rejects.iter().map(|reject| {
            let Reject { id, received, position, reason, bytes, .. } = reject.clone();
            (id, received.0, position, reason, bytes)
        });
        ParsedSnapshot {
            records: self.records,
            base: self.base,
            doubtable: self.doubtable.clone(),
            batches: self.finished.iter().chain([&open]).map(EventBatch::to_ipc).collect(),
            rejects: rejects.collect(),
            skips_line: self.skips_line,
        }
    }

    pub(crate) fn restore(&mut self, snapshot: ParsedSnapshot) -> Option<()> {
        let (open, finished) = snapshot.batches.split_last()?;
        for batch in finished {
            self.finished.push_back(EventBatch::from_ipc(batch).ok()?);
        }
        self.events.extend(&EventBatch::from_ipc(open).ok()?);
        self.records = snapshot.records;
        self.skips_line = snapshot.skips_line;
        self.base = snapshot.base;
        self.doubtable = snapshot.doubtable;
        let Origin { source, format, .. } = (*self.origin).clone();
        self.rejects.extend(snapshot.rejects.into_iter().map(|reject| {
            let (id, received, position, reason, bytes) = reject;
            let (received, source) = (Timestamp(received), source.to_string());
            Reject { id, received, source, format: format.to_owned(), position, reason, bytes }
        }));
        Some(())
    }

    /// Makes a batch of the rows that nothing can change once the file is read up to `read`.
    ///
    /// The others begin in the last few bytes, so that they are few and short; they alone go back.
    fn finish(&mut self, read: u64) {
        self.settle(read);
        let rows = self.events.len();
        let held = self.doubtable.iter().find_map(|held| held.row.checked_sub(self.base));
        let ready = held.map_or(rows, |row| row as usize);
        if ready == 0 {
            return;
        }
        let batch = self.events.finish();
        self.base += ready as u64;
        if ready < rows {
            self.events.extend(&batch.slice(ready, rows - ready));
        }
        self.finished.push_back(batch.slice(0, ready));
    }

    /// Forgets the rows that no line at `read` or behind it can put in doubt.
    fn settle(&mut self, read: u64) {
        while let Some(first) = self.doubtable.front()
            && first.position.saturating_add(DOUBT_BYTES) < read
        {
            self.doubtable.pop_front();
        }
    }
}
