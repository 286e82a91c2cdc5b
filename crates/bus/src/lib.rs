//! What events move on: a durable, partitioned, replayable log with the semantics of Kafka.
//!
//! # Layout
//!
//! - [`Bus`]: the contract. [`EmbeddedBus`]: the bus inside this process. [`KafkaBus`]: a topic.
//! - [`Member`]: one of those who read, by [`Turn`]s.
//! - [`Record`], [`Offset`], [`Delivery`]: what travels.
//! - [`kafka`]: what librdkafka is told and why, and the settings of a bus on Kafka.
//! - In the embedded bus, `writer` takes appends to the `log`, which writes `segment`s of
//!   `frame`s; `read` reads them; `recover` opens them after a crash; `consumer_offsets` keeps how
//!   far consumers are.
//! - [`disk`]: the file operations beneath. [`status`]: what the bus says about itself.
//!
//! # Promises
//!
//! - An append returns once its records are durable; a record is readable once it is durable.
//! - A full log or disk makes appenders wait. Nothing is dropped.
//! - What cannot be read any more is delivered as a gap with its exact offsets.
//! - The embedded bus deletes only what every registered consumer has committed; Kafka deletes
//!   by age.

mod bus;
mod consumer_offsets;
pub mod disk;
mod embedded;
mod embedded_member;
mod error;
mod frame;
pub mod kafka;
mod log;
pub mod member;
mod partition;
mod read;
mod record;
mod recover;
mod segment;
mod settings;
pub mod status;
mod writer;

pub use bus::Bus;
pub use embedded::EmbeddedBus;
pub use error::BusError;
pub use kafka::KafkaBus;
pub use member::{Member, Turn};
pub use record::{Delivery, GapReason, Offset, Record};
pub use settings::{BusKind, BusSettings};
