//! Where the stages meet: wires them, and stops them in order.
//!
//! `run`: `collect` → bus → `detection` (`judge`) → `store` → lake, alerts to `respond`, questions
//! to `query`. `ingest`: `backfill`, the same without the bus.

mod access;
pub mod backfill;
mod board;
mod checkpoint;
mod collect;
mod detection;
mod envelope;
pub mod folder;
pub mod judge;
mod metrics;
mod reading;
mod running;
mod store;

use anyhow::Context;
use event::EventBatch;
use ingest::Stream;

use crate::config::SourceConfig;

pub use collect::now as clock;
pub use running::Running;

/// The events of a batch at this position of their file or later; positions ascend.
fn after(events: EventBatch, position: u64) -> EventBatch {
    let rows = events.rows();
    let is_before = |row: usize| rows.row(row).position().cast_unsigned() < position;
    let (mut low, mut high) = (0, rows.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    if low == 0 { events } else { events.slice(low, events.len() - low) }
}

/// The reader of a source, as its snapshot left it.
fn open_stream(source: &SourceConfig, snapshot: Option<&[u8]>) -> anyhow::Result<Stream> {
    let settings = source.log.stream(&source.name, source.instance());
    match snapshot {
        Some(snapshot) if !snapshot.is_empty() => Stream::restore(settings, snapshot)
            .with_context(|| format!("the reader of source `{}`", source.name)),
        _ => Ok(Stream::new(settings)),
    }
}
