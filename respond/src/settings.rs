//! The stage's settings: who is told what, and how.

use std::collections::HashSet;

use event::alert::Severity;
use serde::{Deserialize, Serialize};

use crate::respond::RespondError;
use secret::SecretSource;

/// Settings of the stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RespondSettings {
    /// Receivers of Standard Webhooks.
    pub webhooks: Vec<WebhookSettings>,
}

/// One receiver of Standard Webhooks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Names the channel in lists, metrics and the outbox: a renamed channel starts a new outbox.
    pub name: String,
    /// Where alerts are posted to.
    pub url: String,
    /// One secret, or two while one replaces the other: `whsec_` and base64 of 24 to 64 bytes.
    pub secrets: Vec<SecretSource>,
    /// Alerts this bad or worse are sent.
    pub severity_min: Severity,
    /// Only alerts of these rules and baselines; all if empty.
    pub rules: Vec<String>,
    /// Only alerts of these servers; all if empty.
    pub instances: Vec<String>,
    /// Allows addresses inside your network, and http.
    pub allow_private: bool,
    /// An attempt that takes longer has failed.
    pub timeout_seconds: u32,
    /// Most attempts at the same time.
    pub concurrency_max: u32,
}

/// Most channels.
const CHANNELS_MAX: usize = 100;

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            secrets: Vec::new(),
            severity_min: Severity::Low,
            rules: Vec::new(),
            instances: Vec::new(),
            allow_private: false,
            timeout_seconds: 15,
            concurrency_max: 4,
        }
    }
}

impl RespondSettings {
    /// Refuses settings that cannot be meant; addresses and secrets are checked by the channels.
    pub(crate) fn check(&self) -> Result<(), RespondError> {
        if self.webhooks.len() > CHANNELS_MAX {
            let problem = format!("at most {CHANNELS_MAX} channels");
            return Err(RespondError::Settings { setting: "respond.webhooks".into(), problem });
        }
        let mut names = HashSet::new();
        for (index, webhook) in self.webhooks.iter().enumerate() {
            if let Some((field, problem)) = webhook.problem(&mut names) {
                let setting = format!("respond.webhooks[{index}].{field}");
                return Err(RespondError::Settings { setting, problem: problem.to_owned() });
            }
        }
        Ok(())
    }
}

impl WebhookSettings {
    /// The field that is wrong, and what it must be.
    fn problem<'a>(&'a self, names: &mut HashSet<&'a str>) -> Option<(&'static str, &'static str)> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(plain) {
            Some(("name", "must be 1 to 64 letters, digits, `-`, `_` or `.`"))
        } else if !names.insert(&self.name) {
            Some(("name", "is taken by another channel; names must differ"))
        } else if !(1..=2).contains(&self.secrets.len()) {
            Some(("secrets", "must name one secret, or two while one replaces the other"))
        } else if !(1..=30).contains(&self.timeout_seconds) {
            Some(("timeout_seconds", "must be between 1 and 30"))
        } else if !(1..=64).contains(&self.concurrency_max) {
            Some(("concurrency_max", "must be between 1 and 64"))
        } else {
            None
        }
    }
}
