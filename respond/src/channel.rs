//! What a channel is: it says one thing to one receiver, and tells what became of it.

pub mod webhook;

use std::time::Duration;

use async_trait::async_trait;

use crate::notification::Notification;

/// Takes notifications to one receiver. One attempt a call; the outbox tries again.
#[async_trait]
pub trait Channel: Send + Sync {
    /// One attempt. Ends within the channel's timeout.
    async fn send(&self, note: &Notification) -> Result<Receipt, SendError>;
}

/// The receiver has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What the receiver answered, such as `204`.
    pub answer: String,
}

/// What the outbox does about a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Try again.
    #[error("{reason}")]
    Retry {
        /// What the receiver asked us to wait; nothing else is sent to it until then.
        after: Option<Duration>,
        /// What happened, one plain line.
        reason: String,
    },
    /// The same attempt would end the same way: do not try this one again.
    #[error("{reason}")]
    Refused {
        /// What happened, one plain line.
        reason: String,
    },
    /// The receiver wants nothing any more: switch the channel off.
    #[error("the receiver is gone (410)")]
    Gone,
}
