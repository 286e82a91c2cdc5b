//! What events move on: a durable, partitioned, replayable log with the semantics of Kafka.
//!
//! # Layout
//!
//! - [`Bus`]: the contract. [`EmbeddedBus`]: the bus inside this process.
//! - [`Record`], [`Offset`], [`Delivery`]: what travels.
//! - `writer` takes appends to the `log`, which writes `segment`s of `frame`s; `read` reads them;
//!   `recover` opens them after a crash; `marks` keeps how far consumers are.
//! - [`disk`]: the file operations beneath. [`status`]: what the bus says about itself.
//!
//! # Promises
//!
//! - An append returns once its records are durable; a record is readable once it is durable.
//! - A full log or disk makes appenders wait. Nothing is dropped.
//! - What cannot be read any more is delivered as a gap with its exact offsets.
//! - Segments are deleted only after every registered consumer has committed beyond them.

mod bus;
pub mod disk;
mod embedded;
mod frame;
mod log;
mod marks;
mod partition;
mod read;
mod record;
mod recover;
mod segment;
mod settings;
pub mod status;
mod writer;

pub use bus::{Bus, BusError};
pub use embedded::EmbeddedBus;
pub use record::{Delivery, GapReason, Offset, Record};
pub use settings::BusSettings;
