//! What moves: audit events in Arrow batches, the records that could not be read, and alerts.
//!
//! # Layout
//!
//! - [`vocabulary`]: the closed sets of words that columns may hold.
//! - [`AuditEvent`]: one event, borrowed; what formats push and rules look at.
//! - [`EventBatch`], [`EventBatchBuilder`], [`Enrichment`]: up to [`BATCH_ROWS`] events as columns.
//! - [`Reject`]: a record that no format could read, with its bytes and the reason.
//! - [`Case`]: what belongs together of what detection found; [`alert`]: its events, and why.
//! - [`Decision`]: what people decide about it: exceptions, verdicts, change windows.
//!
//! No I/O, no clock, no dependency on any other crate of the house.

pub mod alert;
mod audit_event;
mod batch;
mod builder;
mod case;
pub mod decision;
pub mod enrichment;
mod id;
mod json;
mod reject;
pub mod schema;
mod text_column;
mod timestamp;
pub mod vocabulary;
mod wire;

pub use alert::Alert;
pub use audit_event::AuditEvent;
pub use batch::{EventBatch, EventRow, IpcError};
pub use builder::EventBatchBuilder;
pub use case::{Case, CaseCause};
pub use decision::Decision;
pub use enrichment::Enrichment;
pub use id::EventId;
pub use reject::{Reject, RejectBatch};
pub use timestamp::Timestamp;

/// The most rows one [`EventBatch`] holds.
pub const BATCH_ROWS: usize = 8_192;
