//! What a channel is: it says one thing to one receiver, and tells what became of it.

pub mod file;
pub mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::notification::Notification;
use crate::respond::RespondError;
use crate::settings::Limits;

/// Every kind of channel: a new one is a file beside these and its entry here.
const KINDS: &[KindEntry] = &[
    KindEntry::of::<file::FileSettings>(), // lines of JSON
    KindEntry::of::<webhook::WebhookSettings>(),
];

/// Takes notifications to one receiver. One attempt a call; the outbox tries again.
#[async_trait]
pub trait Channel: Send + Sync {
    /// One attempt. Ends within the channel's timeout.
    async fn send(&self, note: &Notification) -> Result<Receipt, SendError>;
}

/// The settings of one kind of channel: the table of its name in `[[respond.channels]]`.
pub trait Kind: Serialize + DeserializeOwned {
    /// Name of the table.
    const NAME: &'static str;

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
    pub fn setting<K: Kind>(&self, field: &str) -> String {
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

/// Settings of some kind, which were read as that kind.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelKind {
    name: &'static str,
    settings: Value,
}

/// A kind without its type.
struct KindEntry {
    name: &'static str,
    check: fn(&Value) -> serde_json::Result<()>,
    receiver: fn(&Value) -> serde_json::Result<String>,
    open: fn(&Value, &Opening<'_>) -> Opened,
}

impl KindEntry {
    const fn of<K: Kind>() -> Self {
        Self {
            name: K::NAME,
            check: |settings| K::deserialize(settings).map(drop),
            receiver: |settings| Ok(K::deserialize(settings)?.receiver().to_owned()),
            open: |settings, opening| {
                let kind = K::deserialize(settings).map_err(|error| RespondError::Settings {
                    setting: format!("respond.channels `{}`: {}", opening.name, K::NAME),
                    problem: format!("cannot be read: {error}"),
                })?;
                kind.open(opening)
            },
        }
    }
}

impl ChannelKind {
    /// Settings of a kind.
    pub fn new<K: Kind>(settings: &K) -> serde_json::Result<Self> {
        Ok(Self { name: K::NAME, settings: serde_json::to_value(settings)? })
    }

    /// What identifies the receiver.
    pub(crate) fn receiver(&self) -> String {
        let receiver = self.entry().and_then(|entry| (entry.receiver)(&self.settings).ok());
        receiver.unwrap_or_default()
    }

    /// Checks the settings and gets ready to send; changes nothing anywhere.
    pub fn open(&self, opening: &Opening<'_>) -> Opened {
        let entry = self.entry().ok_or_else(|| RespondError::Settings {
            setting: format!("respond.channels `{}`: {}", opening.name, self.name),
            problem: format!("is no kind of channel; choose {}", names()),
        })?;
        (entry.open)(&self.settings, opening)
    }

    fn entry(&self) -> Option<&'static KindEntry> {
        KINDS.iter().find(|entry| entry.name == self.name)
    }
}

impl Serialize for ChannelKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BTreeMap::from([(self.name, &self.settings)]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ChannelKind {
    /// Reads what the other fields of a channel have left: one table named for its kind.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let mut found = None;
        for (name, settings) in left {
            let Some(entry) = KINDS.iter().find(|entry| entry.name == name) else {
                let known = "name, severity_min, rules, instances, families, timeout_seconds, \
                             concurrency_max";
                let message =
                    format!("unknown field `{name}`; a channel has {known} and {}", names());
                return Err(D::Error::custom(message));
            };
            (entry.check)(&settings)
                .map_err(|error| D::Error::custom(format!("`{name}`: {error}")))?;
            if found.replace(Self { name: entry.name, settings }).is_some() {
                let message = format!("a channel leads to one of {}, not to several", names());
                return Err(D::Error::custom(message));
            }
        }
        let missing = || D::Error::custom(format!("the channel leads nowhere; add {}", names()));
        found.ok_or_else(missing)
    }
}

fn names() -> String {
    let names: Vec<_> = KINDS.iter().map(|entry| format!("`{}`", entry.name)).collect();
    names.join(" or ")
}
