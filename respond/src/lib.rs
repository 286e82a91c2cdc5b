//! Stage: case events to people and programs.
//!
//! # Layout
//!
//! - [`Respond`]: the stage, started and stopped; [`RespondSettings`] beside it.
//! - [`Route`]: which case events go to which channel.
//! - `outbox`: one loop a channel: claim, send, settle, sleep; [`schedule`] says when to try again.
//! - [`channel`]: what a channel is; one file for each kind.
//! - [`destination`]: which addresses a channel may reach.
//!
//! A delivery happens at least once and always under the same id: the outbox is written in one
//! transaction with the alert, by `state`.

pub mod channel;
pub mod destination;
mod metrics;
mod notification;
mod outbox;
mod respond;
mod route;
pub mod schedule;
mod settings;
mod signature;

pub use metrics::RespondMetrics;
pub use notification::{BODY_BYTES_MAX, Notification};
pub use respond::{Clock, Respond, RespondError, system_clock};
pub use route::Route;
pub use settings::{ChannelSettings, Limits, RespondSettings};
