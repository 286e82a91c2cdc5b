//! Where the stages meet: wires them, and stops them in order.
//!
//! `run` has three parts, in one process or in many (`role`, `running`):
//! - `collecting`: `collect` → `partition` → `envelope` → the log of this machine, which is the
//!   bus, or is taken to Kafka by `forward`;
//! - `detecting`: bus → `worker` → `shard` (`judge`), one a partition → `store` → lake, alerts to
//!   `respond`; partitions tell each other what is common in an `exchange`, and `wait` for it;
//! - `answering`: questions to `query`; `access` records them.
//!
//! Over Kafka each `process` gives `account` of itself, which `reports` takes to the others.
//!
//! `ingest`: `backfill`, the same without the bus.

mod access;
mod account;
mod answering;
pub mod backfill;
mod board;
mod checkpoint;
mod collect;
mod collecting;
mod detecting;
mod ends;
mod envelope;
mod exchange;
pub mod folder;
mod forward;
pub mod judge;
mod lag;
mod metrics;
mod partition;
mod process;
mod reading;
mod reports;
mod role;
mod running;
mod shard;
mod store;
mod wait;
mod worker;

use anyhow::Context;
use event::EventBatch;
use ingest::Stream;

use crate::config::SourceConfig;

pub use account::Account;
pub use collect::now as clock;
pub use lag::bus_state;
pub use role::Role;
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
