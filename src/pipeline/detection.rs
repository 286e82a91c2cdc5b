//! The detection thread of `run`: from the bus to the judge, from the judge to the lake.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use anyhow::Context;
use bus::{Bus, Delivery, Offset, Record};
use event::{EventId, Reject};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::checkpoint::{Detection, SourceCheckpoint};
use super::collect::now;
use super::envelope::Envelope;
use super::judge::Judge;
use super::store::Handover;

/// The name under which detection tells the bus what it may still want to see again.
pub const DETECT: &str = "detect";

/// Name of the position of the bus in the table: the next offset to be stored.
pub const BUS_POSITION: &str = "bus/0";

/// Bytes taken from the bus at a time.
const READ_BYTES: u64 = 8 << 20;

/// How often what detection knows is kept; after a crash so much is judged again.
const KEEP: Duration = Duration::from_secs(30);

/// Reads the bus until it is told to stop and nothing is left.
pub struct DetectionLoop {
    pub bus: Arc<Bus>,
    pub judge: Judge,
    pub runtime: Handle,
    pub store: SyncSender<Handover>,
    /// Next offset to judge.
    pub next: u64,
    /// Offsets before this one are stored already: judged again, but not stored again.
    pub stored: u64,
    /// How far `ingest` has read; carried from checkpoint to checkpoint.
    pub ingested: BTreeMap<String, SourceCheckpoint>,
    pub stop: CancellationToken,
    pub on_progress: Box<dyn Fn(&Judge) + Send>,
}

impl DetectionLoop {
    /// Works; ends with a last checkpoint.
    pub fn run(mut self) -> anyhow::Result<()> {
        let mut keep_at = Instant::now() + KEEP;
        let mut kept = self.next;
        loop {
            let Some(deliveries) = self.deliveries()? else { break };
            for delivery in deliveries {
                self.take(delivery)?;
            }
            (self.on_progress)(&self.judge);
            if keep_at <= Instant::now() && kept < self.next {
                keep_at = Instant::now() + KEEP;
                kept = self.next;
                self.keep()?;
            }
        }
        if kept < self.next { self.keep() } else { Ok(()) }
    }

    /// What comes next; none if it was told to stop and there is no more.
    fn deliveries(&self) -> anyhow::Result<Option<Vec<Delivery>>> {
        let read = self.bus.read(0, Offset(self.next), READ_BYTES);
        let (stop, bus, next) = (&self.stop, &self.bus, self.next);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                deliveries = read => Ok(Some(deliveries.context("the bus cannot be read")?)),
                () = stop.cancelled(), if next >= bus.end(0).0 => Ok(None),
            }
        })
    }

    fn take(&mut self, delivery: Delivery) -> anyhow::Result<()> {
        let next = delivery.next().0;
        let mut handover = match delivery {
            Delivery::Gap { from, to, reason } => {
                tracing::error!(%from, %to, ?reason, "records of the bus cannot be read any more");
                Handover::default()
            }
            Delivery::Record { offset, record } => self.judge_record(offset, &record)?,
        };
        self.next = next;
        if next <= self.stored {
            return Ok(());
        }
        handover.positions.push((BUS_POSITION.to_owned(), next.cast_signed()));
        self.hand_over(handover)
    }

    fn judge_record(&mut self, offset: Offset, record: &Record) -> anyhow::Result<Handover> {
        match Envelope::open(record) {
            Ok(envelope) => {
                let events = match envelope.events {
                    Some(events) => Some(self.judge.judge(events)?),
                    None => None,
                };
                Ok(Handover { events, rejects: envelope.rejects, ..Handover::default() })
            }
            Err(error) => {
                tracing::error!(%offset, "a record of the bus is not ours: {error:#}");
                let reason = format!("record {offset} of the bus: {error:#}");
                Ok(Handover {
                    rejects: vec![foreign(offset, record, reason)],
                    ..Handover::default()
                })
            }
        }
    }

    fn keep(&mut self) -> anyhow::Result<()> {
        let checkpoint = Detection {
            bus: self.next,
            detector: self.judge.snapshot(),
            ingested: self.ingested.clone(),
        };
        self.hand_over(Handover { checkpoint: Some(checkpoint), ..Handover::default() })
    }

    fn hand_over(&self, handover: Handover) -> anyhow::Result<()> {
        self.store.send(handover).context("the lake has stopped; its error says why")
    }
}

/// A record of the bus that is not ours, kept as what it is.
fn foreign(offset: Offset, record: &Record, reason: String) -> Reject {
    Reject {
        id: EventId::of(&[b"bus/0", &offset.0.to_le_bytes()]),
        received: now(),
        source: "bus".to_owned(),
        format: "envelope".to_owned(),
        position: offset.0.cast_signed(),
        reason,
        bytes: record.payload.to_vec(),
    }
}
