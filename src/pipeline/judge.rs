//! Detection at work: batches in, judged batches out, alerts recorded before anything else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use detect::{Detector, Observed, RuleSet, Statistics};
use event::{Alert, EventBatch};
use respond::Respond;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Detection;
use crate::config::Config;

/// How long recording alerts pauses before it tries again.
const PAUSE: Duration = Duration::from_secs(1);

/// Told of each new alert.
pub type OnAlert = Arc<dyn Fn(&Alert) + Send + Sync>;

/// The detector together with where its alerts go.
pub struct Judge {
    detector: Detector,
    respond: Arc<Respond>,
    runtime: Handle,
    on_alert: OnAlert,
    abandon: CancellationToken,
}

impl Judge {
    /// A judge that knows what the checkpoint knows.
    pub fn new(
        config: &Config,
        known: Option<&Detection>,
        respond: Arc<Respond>,
        runtime: Handle,
        on_alert: OnAlert,
        abandon: CancellationToken,
    ) -> anyhow::Result<Self> {
        let rules = RuleSet::from_settings(&config.detect.rules).context("the rules are wrong")?;
        let detector = match known {
            Some(known) => Detector::restore(&config.detect, rules, &known.detector)
                .context("what detection had learnt cannot be read; remove detection.checkpoint")?,
            None => Detector::new(&config.detect, rules)?,
        };
        Ok(Self { detector, respond, runtime, on_alert, abandon })
    }

    /// Judges a batch. Its alerts are durable when this returns; recording them again, after a
    /// crash, changes nothing.
    pub fn judge(&mut self, events: EventBatch) -> anyhow::Result<EventBatch> {
        let Observed { batch, alerts } = self.detector.observe(events);
        if alerts.is_empty() {
            return Ok(batch);
        }
        let new = loop {
            match self.runtime.block_on(self.respond.record(&alerts)) {
                Ok(new) => break new,
                Err(error) if self.abandon.is_cancelled() => {
                    return Err(error).context("alerts could not be recorded; they come again");
                }
                Err(error) => tracing::error!(%error, "alerts cannot be recorded, trying again"),
            }
            std::thread::sleep(PAUSE);
        };
        for alert in alerts.iter().filter(|alert| new.contains(&alert.id)) {
            (self.on_alert)(alert);
        }
        Ok(batch)
    }

    /// What detection knows now.
    pub fn snapshot(&self) -> Vec<u8> {
        self.detector.snapshot()
    }

    /// What it has met.
    pub fn statistics(&self) -> Statistics {
        self.detector.statistics()
    }
}
