//! The stage's settings: which channels there are, what each is told, and how.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::channel::ChannelKind;
use crate::respond::RespondError;
use crate::route::Route;

/// Settings of the stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RespondSettings {
    /// Where case events go.
    pub channels: Vec<ChannelSettings>,
}

/// One channel: `name`, route and limits side by side, and one table named for its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelSettings {
    /// Names the channel in lists, metrics and the outbox: a renamed channel starts a new outbox.
    #[serde(default)]
    pub name: String,
    /// What it is told.
    #[serde(flatten)]
    pub route: Route,
    /// How much of its receiver it may ask.
    #[serde(flatten)]
    pub limits: Limits,
    /// Where it leads. Takes all fields that are left, so that none is unknown.
    #[serde(flatten)]
    pub kind: ChannelKind,
}

/// How much a channel may ask of its receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// An attempt that takes longer has failed.
    pub timeout_seconds: u32,
    /// Most attempts at the same time.
    pub concurrency_max: u32,
}

/// Most channels.
const CHANNELS_MAX: usize = 100;

impl Default for Limits {
    fn default() -> Self {
        Self { timeout_seconds: 15, concurrency_max: 4 }
    }
}

impl RespondSettings {
    /// Refuses settings that cannot be meant; what only a kind knows is checked as it opens.
    pub(crate) fn check(&self) -> Result<(), RespondError> {
        if self.channels.len() > CHANNELS_MAX {
            let problem = format!("are more than {CHANNELS_MAX}; leave some out");
            return Err(RespondError::Settings { setting: "respond.channels".into(), problem });
        }
        let mut names = HashSet::new();
        for (index, channel) in self.channels.iter().enumerate() {
            if let Some((field, problem)) = channel.problem(&mut names) {
                let setting = format!("respond.channels[{index}].{field}");
                return Err(RespondError::Settings { setting, problem: problem.to_owned() });
            }
        }
        Ok(())
    }
}

impl ChannelSettings {
    /// A channel that is told everything.
    pub fn new(name: &str, kind: ChannelKind) -> Self {
        let (route, limits) = (Route::default(), Limits::default());
        Self { name: name.to_owned(), route, limits, kind }
    }

    /// The field that is wrong, and what it must be.
    fn problem<'a>(&'a self, names: &mut HashSet<&'a str>) -> Option<(&'static str, &'static str)> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(plain) {
            Some(("name", "must be 1 to 64 letters, digits, `-`, `_` or `.`"))
        } else if !names.insert(&self.name) {
            Some(("name", "is taken by another channel; names must differ"))
        } else if !(1..=30).contains(&self.limits.timeout_seconds) {
            Some(("timeout_seconds", "must be between 1 and 30"))
        } else if !(1..=64).contains(&self.limits.concurrency_max) {
            Some(("concurrency_max", "must be between 1 and 64"))
        } else {
            None
        }
    }
}
