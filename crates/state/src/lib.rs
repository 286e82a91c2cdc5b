//! Keeps what people decide: cases and decisions, with alerts, deliveries and tokens.
//!
//! # Layout
//!
//! - [`State`]: the database, opened and migrated; every function below is one of its methods.
//! - `record`: what detection found, written as one; counted; forgotten.
//! - `alerts`, `cases`: pages of them. `filter`: which.
//! - `triage`: what people decide about a case.
//! - `decisions`: what of that enters the stream, and the outbox that takes it there.
//! - `deliveries`: the outbox of channels: claimed, delivered, tried again, refused.
//! - `disabled`: channels whose receiver is gone.
//! - `tokens`: bearer tokens, of which only hashes are kept.
//!
//! Time is always an argument. Every list has a limit.

mod admin_token;
mod alerts;
mod cases;
mod decisions;
mod deliveries;
mod disabled;
mod filter;
mod record;
mod state;
mod text;
mod tokens;
mod triage;

pub use alerts::{AlertPage, PAGE_MAX};
pub use cases::{CasePage, KeptCase};
pub use decisions::{DecideError, DecisionFilter, DecisionPage, KeptDecision};
pub use deliveries::{Attempt, Delivery, DeliveryStatus, DueDelivery};
pub use disabled::DisabledChannel;
pub use filter::{AlertFilter, CaseFilter, Cursor, InvalidCursor};
pub use record::{Counts, Forgotten};
pub use state::{State, StateError};
pub use tokens::{NewToken, Scope, Token, TokenError};
pub use triage::{CaseStatus, Triage, TriageChange, VerdictChange};
