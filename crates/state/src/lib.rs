//! Keeps what people decide: alerts, deliveries, tokens.
//!
//! # Layout
//!
//! - [`State`]: the database, opened and migrated; every function below is one of its methods.
//! - `alerts`: alerts recorded once by their id, together with their outbox; pages of them.
//! - `deliveries`: the outbox: claimed, delivered, tried again, refused.
//! - `disabled`: channels whose receiver is gone.
//! - `tokens`: bearer tokens, of which only hashes are kept.
//!
//! Time is always an argument. Every list has a limit.

mod admin_token;
mod alerts;
mod deliveries;
mod disabled;
mod filter;
mod state;
mod text;
mod tokens;

pub use alerts::{ALERT_PAGE_MAX, AlertPage, Counts};
pub use deliveries::{Attempt, Delivery, DeliveryStatus, DueDelivery};
pub use disabled::DisabledChannel;
pub use filter::{AlertFilter, Cursor, InvalidCursor};
pub use state::{State, StateError};
pub use tokens::{NewToken, Scope, Token, TokenError};
