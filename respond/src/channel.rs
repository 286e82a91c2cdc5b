//! What a channel is: it says one thing to one receiver, and tells what became of it.

pub mod file;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use open_set::{Entry, KindSettings, OneOf, OpenSet};

use crate::notification::Notification;
use crate::respond::RespondError;
use crate::settings::Limits;

/// Every kind of channel: a new one is a file beside these and its entry here.
const KINDS: &[Entry<dyn Kind>] = &[
    entry::<file::FileSettings>(), // lines of JSON
    entry::<webhook::WebhookSettings>(),
];

/// The set of channels.
pub struct Channels;

impl OpenSet for Channels {
    type Kind = dyn Kind;

    const NOUN: &'static str = "channel";

    const FIELDS: &'static str =
        "name, severity_min, rules, instances, families, timeout_seconds, concurrency_max";

    fn kinds() -> &'static [Entry<dyn Kind>] {
        KINDS
    }
}

const fn entry<K: Kind + KindSettings + 'static>() -> Entry<dyn Kind> {
    Entry::new(K::NAME, |settings| Ok(Arc::new(K::deserialize(settings)?)))
}

/// Where a channel leads: the table of its kind in `[[respond.channels]]`.
pub type ChannelKind = OneOf<Channels>;

/// Takes notifications to one receiver. One attempt a call; the outbox tries again.
#[async_trait]
pub trait Channel: Send + Sync {
    /// One attempt. Ends within the channel's timeout.
    async fn send(&self, note: &Notification) -> Result<Receipt, SendError>;
}

/// What the settings of each kind of channel can do.
pub trait Kind: Send + Sync {
    /// What identifies the receiver; if it changes, a channel that was gone is tried again. Only a
    /// hash of it is kept.
    fn receiver(&self) -> &str;

    /// Checks the settings and gets ready to send; changes nothing anywhere.
    fn open(&self, opening: &Opening<'_>) -> Opened;
}

/// A channel that is ready to send, or why it is not.
pub type Opened = Result<Box<dyn Channel>, RespondError>;

/// What a channel is opened with beside the settings of its kind.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Name of the channel.
    pub name: &'a str,
    /// What it may ask of its receiver.
    pub limits: &'a Limits,
}

impl Opening<'_> {
    /// Name of a setting of the kind, for errors.
    pub fn setting<K: KindSettings>(&self, field: &str) -> String {
        format!("respond.channels `{}`: {}.{field}", self.name, K::NAME)
    }
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
