//! The detector of one partition: what it tells goes to the queue of all, and it holds the newest
//! models.

use ::detect::{DetectSettings, Detector, Models, Observed, RuleSet, Statistics, Told};
use anyhow::Context;
use event::EventBatch;
use event::decision::Decision;
use model::DayProfile;

use super::alerts::AlertQueue;
use super::training::ModelShelf;
use crate::collect::partition_slice::partition_of;
use crate::collect::tick::Tick;

/// Makes detectors by the same rules.
pub struct Detectors {
    settings: DetectSettings,
    rules: RuleSet,
    alerts: AlertQueue,
    shelf: ModelShelf,
}

/// A detector together with where what it tells goes.
pub struct PartitionDetector {
    detector: Detector,
    alerts: AlertQueue,
    shelf: ModelShelf,
    generation: u64,
    /// Days of identities that have ended and are not kept yet.
    profiles: Vec<DayProfile>,
}

impl Detectors {
    /// Reads the rules.
    pub fn new(
        settings: &DetectSettings,
        alerts: AlertQueue,
        shelf: ModelShelf,
    ) -> anyhow::Result<Self> {
        let rules = RuleSet::from_settings(&settings.rules).context("the rules are wrong")?;
        Ok(Self { settings: settings.clone(), rules, alerts, shelf })
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
        let (alerts, shelf) = (self.alerts.clone(), self.shelf.clone());
        Ok(PartitionDetector { detector, alerts, shelf, generation: 0, profiles: Vec::new() })
    }
}

impl PartitionDetector {
    /// Judges a batch of the whole stream.
    pub fn observe(&mut self, events: EventBatch) -> EventBatch {
        self.swap_models();
        let Observed { batch, alerts, cases, profiles } = self.detector.observe(events);
        self.tell(Told { alerts, cases, profiles });
        batch
    }

    /// Likewise of a stream that is divided by identity.
    pub fn observe_share(&mut self, events: EventBatch) -> EventBatch {
        self.swap_models();
        let Observed { batch, alerts, cases, profiles } = self.detector.observe_share(events);
        self.tell(Told { alerts, cases, profiles });
        batch
    }

    /// Counts copies by client.
    pub fn count_by_client(&mut self, copies: &EventBatch) {
        let told = self.detector.count_by_client(copies);
        self.tell(told);
    }

    /// An instance has come to an hour, in hours since 1970 by event time; the same hour may come
    /// again. All that its files hold before is observed.
    pub fn tick(&mut self, tick: &Tick) {
        let told = self.detector.tick(&tick.instance, tick.hour);
        self.tell(told);
    }

    /// Takes what somebody has decided.
    pub fn decide(&mut self, decision: &Decision) {
        self.detector.decide(decision);
    }

    /// Forgets the identities that other partitions watch.
    pub fn retain(&mut self, partition: u32, partitions: u32) {
        self.detector.retain(|instance, identity| {
            partition_of(instance, Some(identity), partitions) == partition
        });
    }

    /// Judges with these models from now on.
    pub fn set_models(&mut self, models: Models) {
        self.detector.set_models(models);
    }

    /// The days that have ended since this was last asked.
    pub fn take_profiles(&mut self) -> Vec<DayProfile> {
        std::mem::take(&mut self.profiles)
    }

    /// What detection knows now.
    pub fn snapshot(&self) -> Vec<u8> {
        self.detector.snapshot()
    }

    /// What it has met.
    pub fn statistics(&self) -> Statistics {
        self.detector.statistics()
    }

    /// How much all detectors have handed over until now.
    pub fn alerts_given(&self) -> u64 {
        self.alerts.given()
    }

    fn tell(&mut self, told: Told) {
        self.profiles.extend(told.profiles);
        self.alerts.push(told.alerts, told.cases);
    }

    fn swap_models(&mut self) {
        if let Some(models) = self.shelf.newer_than(&mut self.generation) {
            self.detector.set_models(models);
        }
    }
}
