//! Detection of one partition: what it knows, and how far it is.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use bus::{Delivery, Offset, Record};
use event::{EventId, Reject};
use lake::Claim;

use super::high_water_marks::HighWaterMarks;
use super::partition_detector::PartitionDetector;
use super::store::{PendingCheckpoint, Rows, StoreCommand};
use crate::checkpoint::{DetectionCheckpoint, SourceCheckpoint};
use crate::clock;
use crate::collect::envelope::{Envelope, Extent};
use crate::collect::source_progress::position_name;
use crate::collect::tick::{Step, after, hour_of, steps};

/// How often what detection knows is kept; after a crash so much is judged again.
const KEEP: Duration = Duration::from_secs(30);

/// How often it is told that records are not ours.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How far beyond its last row a record may say that its file is published. Parts of files are
/// smaller; a record that says more would have later rows taken for known.
const REACH_BYTES_MAX: u64 = 256 << 20;

/// How many hours ahead of our clock a tick may be. Collectors allow one by theirs; only a forged
/// record is further ahead.
const TICK_AHEAD_HOURS_MAX: i64 = 24;

/// One partition at work.
pub struct Shard {
    pub detector: PartitionDetector,
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
    files: HighWaterMarks,
    /// Over how many partitions the stream is divided.
    partitions: u32,
    /// Where what it knows is kept, and the days of its identities that have ended.
    path: PathBuf,
    profiles_folder: PathBuf,
    kept: u64,
    keep_at: Instant,
    /// Records that were not ours, and when it was told last.
    foreign: u64,
    foreign_told: Option<Instant>,
    /// How far `ingest` has read; carried from checkpoint to checkpoint.
    ingested: BTreeMap<String, SourceCheckpoint>,
}

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
    /// Over how many the stream is divided.
    pub partitions: u32,
    /// Where what it knows is kept.
    pub path: PathBuf,
    /// Where the days of its identities that have ended are kept.
    pub profiles_folder: PathBuf,
}

impl Shard {
    /// Goes on where `known` and the table stand.
    pub fn new(
        place: Place,
        detector: PartitionDetector,
        known: Option<DetectionCheckpoint>,
        claim: Claim,
    ) -> Self {
        let offset = |position: Option<i64>| position.map_or(0, i64::cast_unsigned);
        let stored = Stored {
            events: offset(claim.events),
            rejects: offset(claim.rejects).max(offset(claim.events)),
        };
        // Without a checkpoint everything that the bus still has is judged, stored or not: an
        // attack may have begun before.
        let known = known.unwrap_or_default();
        Self {
            detector,
            name: place.name,
            next: known.bus,
            told: 0,
            mark: known.mark,
            is_unproven: known.mark.is_some(),
            stored,
            files: known.files,
            partitions: place.partitions,
            path: place.path,
            profiles_folder: place.profiles_folder,
            kept: known.bus,
            keep_at: Instant::now() + KEEP,
            foreign: 0,
            foreign_told: None,
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
        self.is_unproven = false; // what it would be compared with is gone
        self.mark = match &delivery {
            Delivery::Record { record, .. } => Some(mark(record)),
            Delivery::Gap { .. } => None,
        };
        let rows = match delivery {
            Delivery::Gap { to, .. } if to.0 <= self.stored.events => Rows::default(),
            Delivery::Gap { from, to, reason } => {
                let partition = &self.name;
                tracing::error!(partition, %from, %to, ?reason, "records of the bus are lost");
                Rows::default()
            }
            Delivery::Record { offset, record } => self.judge(offset, &record, ingested),
        };
        Ok(self.complete(next, rows))
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

    /// What it knows, if it is time to keep it, or if `at_once` and there is anything new.
    pub fn checkpoint(&mut self, at_once: bool) -> Option<StoreCommand> {
        if self.next <= self.kept || !(at_once || self.keep_at <= Instant::now()) {
            return None;
        }
        (self.kept, self.keep_at) = (self.next, Instant::now() + KEEP);
        let checkpoint = DetectionCheckpoint {
            bus: self.next,
            detector: self.detector.snapshot(),
            ingested: self.ingested.clone(),
            files: self.files.clone(),
            mark: self.mark,
            partitions: self.partitions,
        };
        let (position, path) = (self.position(), self.path.clone());
        Some(StoreCommand::Keep(PendingCheckpoint {
            position,
            path,
            alerts: self.detector.alerts_given(),
            profiles: self.detector.take_profiles(),
            profiles_folder: self.profiles_folder.clone(),
            checkpoint,
        }))
    }

    fn judge(&mut self, offset: Offset, record: &Record, ingested: &BTreeMap<String, i64>) -> Rows {
        let envelope = match open(record) {
            Ok(envelope) => envelope,
            Err(error) => {
                let reason = format!("record {offset} of partition {}: {error:#}", self.name);
                self.tell_foreign(&reason);
                let rejects = vec![self.foreign(offset, record, reason)];
                return Rows { rejects, ..Rows::default() };
            }
        };
        // Taken again, a decision is the same one.
        envelope.decisions.iter().for_each(|decision| self.detector.decide(decision));
        if envelope.is_decision() {
            return Rows::default();
        }
        let Envelope { file, end, partitions, copies, mut ticks, events, mut rejects, .. } =
            envelope;
        let stored = ingested.get(&position_name(file)).map_or(0, |end| end.cast_unsigned());
        let known = self.files.advance(&Extent { file, end, partitions, copies }).max(stored);
        let events = events.map(|events| after(events, known)).filter(|e| !e.is_empty());
        rejects.retain(|reject| reject.position.cast_unsigned() >= known);
        let hour_max = hour_of(clock().0) + TICK_AHEAD_HOURS_MAX;
        ticks.retain(|tick| tick.position >= known && tick.hour <= hour_max);
        let mut rows = Rows { rejects, ..Rows::default() };
        let is_share = self.partitions > 1 && partitions > 1;
        for step in steps(events, &ticks) {
            match step {
                Step::Tick(tick) => self.detector.tick(tick),
                Step::Events(copied) if copies => self.detector.count_by_client(&copied),
                Step::Events(events) if is_share => {
                    rows.events.push(self.detector.observe_share(events));
                }
                Step::Events(events) => rows.events.push(self.detector.observe(events)),
            }
        }
        rows
    }

    /// Once a minute: a foreign writer on the bus must not be able to flood our log.
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
            received: clock(),
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
    if envelope.is_decision() {
        return Ok(envelope);
    }
    let last_event = envelope.events.as_ref().and_then(|events| {
        let last = events.len().checked_sub(1)?;
        Some(events.rows().row(last).position())
    });
    let last_reject = envelope.rejects.iter().map(|reject| reject.position).max();
    let last_tick = envelope.ticks.iter().map(|tick| tick.position.cast_signed()).max();
    let Some(last) = last_event.max(last_reject).max(last_tick) else {
        bail!("it holds nothing");
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
