//! Where the stages meet: wires them, supervises them, stops them in order.
//!
//! # Layout
//!
//! - [`Pipeline`]: `run`, in one process or, by [`Role`], in many.
//! - `collect/`: source → slices by identity → the log of this machine, which is the bus, or is
//!   taken to Kafka by a forwarder.
//! - `detect/`: bus → worker → a shard for each partition → lake; alerts → state → channels.
//!   [`backfill`], which is `ingest`: the same without the bus.
//! - `serve/`: queries to `query`, and each of them back to the bus as an event.
//! - `status/`: what the process says of itself: to `/readyz`, to `/metrics`, and over Kafka to
//!   the other processes.
//! - `supervisor`: every task that is to go on runs under it, by name.
//! - `checkpoint`: what spares a restart from beginning at the beginning.

#![expect(
    unreachable_pub,
    reason = "inside `pub` says what other folders use; below is what leaves"
)]

mod checkpoint;
mod collect;
mod detect;
mod folder;
mod pipeline;
mod role;
mod serve;
mod settings;
mod state_door;
mod status;
mod supervisor;
#[cfg(test)]
mod task_faults;

pub use crate::collect::source::SourceSettings;
pub use crate::detect::alerts::OnAlert;
pub use crate::detect::backfill::{OnProgress, Summary, backfill};
pub use crate::detect::training::Calibration;
pub use crate::folder::DataFolder;
pub use crate::pipeline::Pipeline;
pub use crate::role::Role;
pub use crate::settings::Settings;
pub use crate::status::lag::{BusState, bus_state};
pub use crate::status::report::ProcessReport;

/// The edge of the pipeline is where the clock is read.
pub fn clock() -> event::Timestamp {
    (respond::system_clock())()
}
