//! The detector of one partition, whose alerts go to the queue of all.

use ::detect::{DetectSettings, Detector, Observed, RuleSet, Statistics};
use anyhow::Context;
use event::EventBatch;

use super::alerts::AlertQueue;
use crate::collect::tick::Tick;

/// Makes detectors by the same rules.
pub struct Detectors {
    settings: DetectSettings,
    rules: RuleSet,
    alerts: AlertQueue,
}

/// A detector together with where its alerts go.
pub struct PartitionDetector {
    detector: Detector,
    alerts: AlertQueue,
}

impl Detectors {
    /// Reads the rules.
    pub fn new(settings: &DetectSettings, alerts: AlertQueue) -> anyhow::Result<Self> {
        let rules = RuleSet::from_settings(&settings.rules).context("the rules are wrong")?;
        Ok(Self { settings: settings.clone(), rules, alerts })
    }

    /// What the rules count less of on several partitions.
    pub fn divided(&self) -> Vec<String> {
        self.rules.divided()
    }

    /// A detector that knows what a snapshot knows; without one, nothing yet.
    pub fn make(&self, snapshot: Option<&[u8]>) -> anyhow::Result<PartitionDetector> {
        let (settings, rules) = (&self.settings, self.rules.clone());
        let detector = match snapshot {
            None => Detector::new(settings, rules)?,
            Some(snapshot) => Detector::restore(settings, rules, snapshot).context(
                "what detection had learnt cannot be read; remove the folder `detection` of the \
                 data folder",
            )?,
        };
        Ok(PartitionDetector { detector, alerts: self.alerts.clone() })
    }
}

impl PartitionDetector {
    /// Judges a batch of the whole stream.
    pub fn observe(&mut self, events: EventBatch) -> EventBatch {
        let Observed { batch, alerts } = self.detector.observe(events);
        self.alerts.push(alerts);
        batch
    }

    /// Likewise of a stream that is divided by identity.
    pub fn observe_share(&mut self, events: EventBatch) -> EventBatch {
        let Observed { batch, alerts } = self.detector.observe_share(events);
        self.alerts.push(alerts);
        batch
    }

    /// Counts copies by client.
    pub fn count_by_client(&mut self, copies: &EventBatch) {
        let alerts = self.detector.count_by_client(copies);
        self.alerts.push(alerts);
    }

    /// An instance has come to an hour, in hours since 1970 by event time; the same hour may come
    /// again. All that its files hold before is observed.
    pub fn tick(&mut self, tick: &Tick) {
        // Arrives here: `self.alerts.push(self.detector.tick(&tick.instance, tick.hour))`, once
        // detection closes hours and days by it.
        tracing::trace!(instance = tick.instance, hour = tick.hour, "an hour is entered");
    }

    /// What detection knows now.
    pub fn snapshot(&self) -> Vec<u8> {
        self.detector.snapshot()
    }

    /// What it has met.
    pub fn statistics(&self) -> Statistics {
        self.detector.statistics()
    }

    /// How many alerts all detectors have handed over until now.
    pub fn alerts_given(&self) -> u64 {
        self.alerts.given()
    }
}
