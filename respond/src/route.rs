//! Which case events go to which channel.

use event::Alert;
use event::alert::Severity;
use event::vocabulary::CauseFamily;
use serde::{Deserialize, Serialize};

/// What one channel is told; everything by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// Events this bad or worse.
    pub severity_min: Severity,
    /// Only events of these rules and baselines; all if empty.
    pub rules: Vec<String>,
    /// Only events of these servers; all if empty.
    pub instances: Vec<String>,
    /// Only events of cases of these families; all if empty.
    pub families: Vec<CauseFamily>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            severity_min: Severity::Low,
            rules: Vec::new(),
            instances: Vec::new(),
            families: Vec::new(),
        }
    }
}

impl Route {
    /// Whether the channel is told of the event.
    pub(crate) fn takes(&self, alert: &Alert) -> bool {
        alert.severity >= self.severity_min
            && is_listed(&self.rules, &alert.rule)
            && is_listed(&self.instances, &alert.instance)
            && is_listed(&self.families, &alert.family)
    }
}

fn is_listed<T: PartialEq>(list: &[T], item: &T) -> bool {
    list.is_empty() || list.contains(item)
}
