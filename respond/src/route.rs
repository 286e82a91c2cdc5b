//! Which alerts go to which channel.

use std::collections::HashSet;

use event::Alert;
use event::alert::Severity;

use crate::settings::WebhookSettings;

/// What one channel is told.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    channel: String,
    severity_min: Severity,
    /// Empty: every rule.
    rules: HashSet<String>,
    /// Empty: every server.
    instances: HashSet<String>,
}

impl Route {
    pub(crate) fn of(settings: &WebhookSettings) -> Self {
        Self {
            channel: settings.name.clone(),
            severity_min: settings.severity_min,
            rules: settings.rules.iter().cloned().collect(),
            instances: settings.instances.iter().cloned().collect(),
        }
    }

    fn takes(&self, alert: &Alert) -> bool {
        alert.severity >= self.severity_min
            && (self.rules.is_empty() || self.rules.contains(&alert.rule))
            && (self.instances.is_empty() || self.instances.contains(&alert.instance))
    }
}

/// Names of the channels that are told about the alert.
pub(crate) fn channels(routes: &[Route], alert: &Alert) -> Vec<String> {
    let takers = routes.iter().filter(|route| route.takes(alert));
    takers.map(|route| route.channel.clone()).collect()
}
