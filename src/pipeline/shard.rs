//! Detection of one partition: what it knows, and how far it is.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use bus::{Delivery, Offset, Record};
use detect::{Figures, Opening};
use event::{EventBatch, EventId, Reject};
use lake::Claim;

use super::checkpoint::{Detection, SourceCheckpoint};
use super::collect::now;
use super::ends::{Ends, NewestDays};
use super::envelope::{Envelope, Extent};
use super::judge::Judge;
use super::reading::position_name;
use super::store::{Knowledge, Order, Rows};

/// How often what detection knows is kept; after a crash so much is judged again.
const KEEP: Duration = Duration::from_secs(30);

/// How often it is told that records are not ours.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How far beyond its last row a record may say that its file is published. Parts of files are
/// smaller; a record that says more would have later rows taken for known.
const REACH_BYTES_MAX: u64 = 256 << 20;

/// Days that one record may open: more than there are in any log that is read in one piece.
const OPENINGS_MAX: u32 = 512;

/// One partition at work.
pub struct Shard {
    pub judge: Judge,
    /// Of the partition, as positions name it.
    pub name: String,
    /// Next offset to judge.
    pub next: u64,
    /// Up to where the bus was told that nothing is needed any more.
    pub told: i64,
    /// Mark of the record before the next one; of a restored shard, what it must be.
    mark: Option<[u8; 16]>,
    /// Whether the record before the next one is still to be compared.
    is_unproven: bool,
    /// Offsets before these are stored: judged again, but not stored again.
    stored: Stored,
    ends: Ends,
    /// Whether the stream is divided over several partitions.
    is_share: bool,
    /// Where what it knows is kept.
    path: PathBuf,
    kept: u64,
    keep_at: Instant,
    /// Records that were not ours, and when it was told last.
    foreign: u64,
    foreign_told: Option<Instant>,
    /// The day that has to be opened before the rest of a record is judged.
    held: Option<(Opening, Part)>,
    /// How far `ingest` has read; carried from checkpoint to checkpoint.
    ingested: BTreeMap<String, SourceCheckpoint>,
}

/// A record that is judged in parts: a day has to be opened before the rest of it.
struct Part {
    /// Offset of the record after it.
    next: u64,
    /// What has been judged.
    rows: Rows,
    rest: EventBatch,
    /// Of which file, and to which day that has come.
    came: Came,
    /// Whether other partitions have other events of its file.
    is_share: bool,
    /// Days that it has opened.
    opened: u32,
}

/// A file, and the day to which it has come, if that was said.
type Came = (EventId, Option<i32>);

/// How far each table has the partition.
#[derive(Clone, Copy, Debug)]
struct Stored {
    events: u64,
    rejects: u64,
}

/// Of which partition a shard is.
pub struct Place {
    /// As positions name it.
    pub name: String,
    /// Whether there are others.
    pub is_share: bool,
    /// Where what it knows is kept.
    pub path: PathBuf,
}

impl Shard {
    /// Goes on where `known` and the table stand.
    pub fn new(place: Place, judge: Judge, known: Option<Detection>, claim: Claim) -> Self {
        let offset = |position: Option<i64>| position.map_or(0, i64::cast_unsigned);
        let stored = Stored {
            events: offset(claim.events),
            rejects: offset(claim.rejects).max(offset(claim.events)),
        };
        // Who knows nothing yet judges everything that the bus still has, stored or not: an
        // attack may have begun before.
        let known = known.unwrap_or_default();
        Self {
            judge,
            name: place.name,
            next: known.bus,
            told: 0,
            mark: known.mark,
            is_unproven: known.mark.is_some(),
            stored,
            ends: known.ends,
            is_share: place.is_share,
            path: place.path,
            kept: known.bus,
            keep_at: Instant::now() + KEEP,
            foreign: 0,
            foreign_told: None,
            held: None,
            ingested: known.ingested,
        }
    }

    /// Name of its position in the table: the next offset to be stored.
    pub fn position(&self) -> String {
        bus_position(&self.name)
    }

    /// From where it reads: one record back, to see that the bus is the one it knows.
    pub fn start(&self) -> u64 {
        if self.is_unproven { self.next.saturating_sub(1) } else { self.next }
    }

    /// The record before the next one must be there, or something else will be.
    pub fn prove_end(&self, end: Offset) -> anyhow::Result<()> {
        if self.is_unproven && end.0 < self.next {
            bail!("record {} {}", self.next - 1, self.not_ours("is gone"));
        }
        Ok(())
    }

    fn not_ours(&self, what: &str) -> String {
        format!(
            "of partition {} {what}: the bus was made again or has lost records; give it another \
             name (bus.kafka.topic), or begin with another data folder",
            self.name
        )
    }

    /// A topic that was made again, or has lost what it had acknowledged, gives offsets out a
    /// second time: what comes at them would be taken for stored.
    fn prove(&mut self, delivery: &Delivery) -> anyhow::Result<()> {
        if let Delivery::Record { offset, record } = delivery
            && std::mem::take(&mut self.is_unproven)
            && self.mark != Some(mark(record))
        {
            bail!("record {offset} {}", self.not_ours("is not the one that was judged there"));
        }
        Ok(())
    }

    /// Judges what was delivered; `ingested` is how far `ingest` has stored files. None if all
    /// of it is stored already.
    pub fn take(
        &mut self,
        delivery: Delivery,
        ingested: &BTreeMap<String, i64>,
    ) -> anyhow::Result<Option<Rows>> {
        let next = delivery.next().0;
        if next == self.next {
            self.prove(&delivery)?;
        }
        if next <= self.next {
            return Ok(None);
        }
        if self.held.is_some() {
            bail!("partition {} was handed a record in the middle of another", self.name);
        }
        self.is_unproven = false; // what it would be compared with is gone
        self.mark = match &delivery {
            Delivery::Record { record, .. } => Some(mark(record)),
            Delivery::Gap { .. } => None,
        };
        let rows = match delivery {
            Delivery::Gap { to, .. } if to.0 <= self.stored.events => Some(Rows::default()),
            Delivery::Gap { from, to, reason } => {
                let partition = &self.name;
                tracing::error!(partition, %from, %to, ?reason, "records of the bus are lost");
                Some(Rows::default())
            }
            Delivery::Record { offset, record } => self.judge_record(offset, &record, ingested)?,
        };
        Ok(rows.and_then(|rows| self.complete(next, rows)))
    }

    /// The day that it waits to open, in the middle of a record.
    pub fn opening(&self) -> Option<&Opening> {
        self.held.as_ref().map(|(opening, _)| opening)
    }

    /// The file in which that day is, if every partition hears of its days.
    pub fn opens_in(&self) -> Option<EventId> {
        let (_, part) = self.held.as_ref()?;
        part.came.1.map(|_| part.came.0)
    }

    /// To which days files have come, and are judged before.
    pub fn newest_days(&self) -> NewestDays {
        self.ends.newest_days()
    }

    /// Opens the day that it waits for, and goes on as [`take`](Self::take).
    pub fn open(&mut self, figures: Figures) -> anyhow::Result<Option<Rows>> {
        let Some((opening, mut part)) = self.held.take() else { return Ok(None) };
        self.judge.open(&opening, figures);
        part.opened += 1;
        let next = part.next;
        let rows = self.go_on(part)?;
        Ok(rows.and_then(|rows| self.complete(next, rows)))
    }

    fn complete(&mut self, next: u64, mut rows: Rows) -> Option<Rows> {
        self.next = next;
        if next <= self.stored.events {
            return None;
        }
        if next <= self.stored.rejects {
            rows.rejects.clear();
        }
        rows.positions.push((self.position(), next.cast_signed()));
        Some(rows)
    }

    /// What it knows, if it is time to keep it, or if `at_once` and there is anything new. In the
    /// middle of a record, what it knows is of no offset.
    pub fn knowledge(&mut self, at_once: bool) -> Option<Order> {
        if self.held.is_some()
            || self.next <= self.kept
            || !(at_once || self.keep_at <= Instant::now())
        {
            return None;
        }
        (self.kept, self.keep_at) = (self.next, Instant::now() + KEEP);
        let detection = Detection {
            bus: self.next,
            detector: self.judge.snapshot(),
            ingested: self.ingested.clone(),
            ends: self.ends.clone(),
            mark: self.mark,
        };
        let (position, path) = (self.position(), self.path.clone());
        Some(Order::Keep(Knowledge { position, path, detection }))
    }

    /// None if the rest of the record has to wait.
    fn judge_record(
        &mut self,
        offset: Offset,
        record: &Record,
        ingested: &BTreeMap<String, i64>,
    ) -> anyhow::Result<Option<Rows>> {
        let envelope = match open(record) {
            Ok(envelope) => envelope,
            Err(error) => {
                let reason = format!("record {offset} of partition {}: {error:#}", self.name);
                self.tell_foreign(&reason);
                let rejects = vec![self.foreign(offset, record, reason)];
                return Ok(Some(Rows { rejects, ..Rows::default() }));
            }
        };
        let Envelope { file, end, partitions, copies, newest_day, events, mut rejects, .. } =
            envelope;
        let stored = ingested.get(&position_name(file)).map_or(0, |end| end.cast_unsigned());
        // What only tells of a day holds nothing of the file.
        let known = match end {
            0 => 0,
            _ => self.ends.advance(&Extent { file, end, partitions, copies }).max(stored),
        };
        let events = events.map(|events| super::after(events, known)).filter(|e| !e.is_empty());
        rejects.retain(|reject| reject.position.cast_unsigned() >= known);
        let rows = Rows { rejects, ..Rows::default() };
        // Only a forger knows of later days: collectors go by when a line was read.
        let is_real = |day: &i32| !copies && *day <= now().day() + 1;
        let came = (file, newest_day.filter(is_real));
        match events {
            Some(copied) if copies => {
                self.judge.count_by_client(&copied)?;
                Ok(Some(rows))
            }
            Some(events) => {
                let (next, is_share) = (offset.0 + 1, self.is_share && partitions > 1);
                self.go_on(Part { next, rows, rest: events, came, is_share, opened: 0 })
            }
            None => {
                self.come(came);
                Ok(Some(rows))
            }
        }
    }

    /// All of a record is judged.
    fn come(&mut self, (file, newest_day): Came) {
        if let Some(day) = newest_day {
            self.ends.come_to(file, day);
        }
    }

    /// Judges up to where a day opens that others must be heard about; none if there is one.
    fn go_on(&mut self, mut part: Part) -> anyhow::Result<Option<Rows>> {
        let opening = self.judge.opening(&part.rest);
        // Whoever writes to the bus must not be able to hold a partition up for hours: after so
        // many days, the rest is judged by the figures of the last.
        let opening = opening.filter(|_| part.opened < OPENINGS_MAX);
        let count = part.rest.len();
        let until = opening.as_ref().map_or(count, |opening| opening.row);
        if until > 0 {
            let events = part.rest.slice(0, until);
            part.rows.events.push(match part.is_share {
                true => self.judge.judge_share(events)?,
                false => self.judge.judge(events)?,
            });
        }
        let Some(opening) = opening else {
            self.come(part.came);
            return Ok(Some(part.rows));
        };
        part.rest = part.rest.slice(until, count - until);
        self.held = Some((opening, part));
        Ok(None)
    }

    /// Once a minute: whoever writes to the bus must not be able to flood the log.
    fn tell_foreign(&mut self, reason: &str) {
        self.foreign += 1;
        if self.foreign_told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            self.foreign_told = Some(Instant::now());
            let count = self.foreign;
            tracing::error!(count, "not one of ours, kept as a reject: {reason}");
        }
    }

    /// A record of the bus that is not ours, kept as what it is.
    fn foreign(&self, offset: Offset, record: &Record, reason: String) -> Reject {
        let position = self.position();
        Reject {
            id: EventId::of(&[position.as_bytes(), &offset.0.to_le_bytes()]),
            received: now(),
            source: position,
            format: "envelope".to_owned(),
            position: offset.0.cast_signed(),
            reason,
            bytes: record.payload.to_vec(),
        }
    }
}

/// What tells a record from others: key, headers, length.
fn mark(record: &Record) -> [u8; 16] {
    let length = record.payload.len().to_le_bytes();
    let headers = record.headers.iter().map(|(_, value)| value.as_slice());
    let parts: Vec<&[u8]> = [record.key.as_slice(), &length].into_iter().chain(headers).collect();
    EventId::of(&parts).0
}

/// Reads a record that anyone may have written.
fn open(record: &Record) -> anyhow::Result<Envelope> {
    // The Arrow library panics on some things that it could refuse.
    let opened = catch_unwind(AssertUnwindSafe(|| Envelope::open(record)));
    let envelope = opened.unwrap_or_else(|_| bail!("its events are damaged"))?;
    let last_event = envelope.events.as_ref().and_then(|events| {
        let last = events.len().checked_sub(1)?;
        Some(events.rows().row(last).position())
    });
    let last_reject = envelope.rejects.iter().map(|reject| reject.position).max();
    let Some(last) = last_event.max(last_reject) else {
        // It tells of a day.
        return match (envelope.newest_day, envelope.end) {
            (Some(_), 0) => Ok(envelope),
            _ => bail!("it holds nothing"),
        };
    };
    let reach = envelope.end.checked_sub(last.cast_unsigned());
    if last < 0 || reach.is_none_or(|reach| reach > REACH_BYTES_MAX) {
        bail!("it ends at {} of its file, its last row is at {last}", envelope.end);
    }
    Ok(envelope)
}

/// Name of a partition's position in the table.
pub fn bus_position(partition: &str) -> String {
    format!("bus/{partition}")
}
