//! Detection of one partition: what it knows, and how far it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bus::{Delivery, Offset, Record};
use event::{EventId, Reject};
use lake::Claim;

use super::checkpoint::{Detection, SourceCheckpoint};
use super::collect::now;
use super::ends::Ends;
use super::envelope::{Envelope, Extent};
use super::judge::Judge;
use super::reading::position_name;
use super::store::{Knowledge, Order, Rows};

/// How often what detection knows is kept; after a crash so much is judged again.
const KEEP: Duration = Duration::from_secs(30);

/// One partition at work.
pub struct Shard {
    pub judge: Judge,
    /// Of the partition, as positions name it.
    pub name: String,
    /// Next offset to judge.
    pub next: u64,
    /// Up to where the bus was told that nothing is needed any more.
    pub told: i64,
    /// Offsets before these are stored: judged again, but not stored again.
    stored: Stored,
    ends: Ends,
    /// Whether the stream is divided over several partitions.
    is_share: bool,
    /// Where what it knows is kept.
    path: PathBuf,
    kept: u64,
    keep_at: Instant,
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
        let mut known = known.unwrap_or_default();
        if stored.events < known.bus {
            // The table was put back to an older state: what it lacks comes again.
            tracing::warn!(partition = place.name, "the table is behind what detection knows");
            known.ends = Ends::default();
            known.bus = stored.events;
        }
        Self {
            judge,
            name: place.name,
            next: known.bus,
            told: 0,
            stored,
            ends: known.ends,
            is_share: place.is_share,
            path: place.path,
            kept: known.bus,
            keep_at: Instant::now() + KEEP,
            ingested: known.ingested,
        }
    }

    /// Name of its position in the table: the next offset to be stored.
    pub fn position(&self) -> String {
        bus_position(&self.name)
    }

    /// Judges what was delivered; `ingested` is how far `ingest` has stored files. None if all
    /// of it is stored already.
    pub fn take(
        &mut self,
        delivery: Delivery,
        ingested: &BTreeMap<String, i64>,
    ) -> anyhow::Result<Option<Rows>> {
        let next = delivery.next().0;
        if next <= self.next {
            return Ok(None);
        }
        let mut rows = match delivery {
            Delivery::Gap { to, .. } if to.0 <= self.stored.events => Rows::default(),
            Delivery::Gap { from, to, reason } => {
                let partition = &self.name;
                tracing::error!(partition, %from, %to, ?reason, "records of the bus are lost");
                Rows::default()
            }
            Delivery::Record { offset, record } => self.judge_record(offset, &record, ingested)?,
        };
        self.next = next;
        if next <= self.stored.events {
            return Ok(None);
        }
        if next <= self.stored.rejects {
            rows.rejects.clear();
        }
        rows.positions.push((self.position(), next.cast_signed()));
        Ok(Some(rows))
    }

    /// What it knows, if it is time to keep it, or if `at_once` and there is anything new.
    pub fn knowledge(&mut self, at_once: bool) -> Option<Order> {
        if self.next <= self.kept || !(at_once || self.keep_at <= Instant::now()) {
            return None;
        }
        (self.kept, self.keep_at) = (self.next, Instant::now() + KEEP);
        let detection = Detection {
            bus: self.next,
            detector: self.judge.snapshot(),
            ingested: self.ingested.clone(),
            ends: self.ends.clone(),
        };
        let (position, path) = (self.position(), self.path.clone());
        Some(Order::Keep(Knowledge { position, path, detection }))
    }

    fn judge_record(
        &mut self,
        offset: Offset,
        record: &Record,
        ingested: &BTreeMap<String, i64>,
    ) -> anyhow::Result<Rows> {
        let envelope = match Envelope::open(record) {
            Ok(envelope) => envelope,
            Err(error) => {
                let reason = format!("record {offset} of partition {}: {error:#}", self.name);
                tracing::error!("not one of ours, kept as a reject: {reason}");
                let rejects = vec![self.foreign(offset, record, reason)];
                return Ok(Rows { rejects, ..Rows::default() });
            }
        };
        let Envelope { file, end, partitions, copies, events, mut rejects, .. } = envelope;
        let stored = ingested.get(&position_name(file)).map_or(0, |end| end.cast_unsigned());
        let known = self.ends.advance(&Extent { file, end, partitions, copies }).max(stored);
        let events = events.map(|events| super::after(events, known)).filter(|e| !e.is_empty());
        rejects.retain(|reject| reject.position.cast_unsigned() >= known);
        let events = match events {
            Some(copied) if copies => {
                self.judge.count_by_client(&copied)?;
                None
            }
            Some(events) if self.is_share => Some(self.judge.judge_share(events)?),
            Some(events) => Some(self.judge.judge(events)?),
            None => None,
        };
        Ok(Rows { events, rejects, ..Rows::default() })
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

/// Name of a partition's position in the table.
pub fn bus_position(partition: &str) -> String {
    format!("bus/{partition}")
}
