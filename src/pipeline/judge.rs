//! Detection at work: batches in, judged batches out, alerts recorded before anything else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use detect::{DetectSettings, Detector, Figures, Learnt, Observed, Opening, RuleSet, Statistics};
use event::{Alert, EventBatch};
use respond::Respond;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// How long recording alerts pauses before it tries again.
const PAUSE: Duration = Duration::from_secs(1);

/// Told of each new alert.
pub type OnAlert = Arc<dyn Fn(&Alert) + Send + Sync>;

/// Where the alerts of all judges go.
#[derive(Clone)]
pub struct Recorder {
    pub respond: Arc<Respond>,
    pub runtime: Handle,
    pub on_alert: OnAlert,
    pub abandon: CancellationToken,
}

/// Makes judges by the same rules.
pub struct JudgeMaker {
    settings: DetectSettings,
    /// Whether each judges a share of the stream.
    is_share: bool,
    rules: RuleSet,
    recorder: Recorder,
}

/// A detector together with where its alerts go.
pub struct Judge {
    detector: Detector,
    recorder: Recorder,
}

impl JudgeMaker {
    /// Reads the rules; the stream is divided over so many partitions.
    pub fn new(
        settings: &DetectSettings,
        partitions: u32,
        recorder: Recorder,
    ) -> anyhow::Result<Self> {
        let rules = RuleSet::from_settings(&settings.rules).context("the rules are wrong")?;
        Ok(Self { settings: settings.clone(), is_share: partitions > 1, rules, recorder })
    }

    /// What the rules count less of on several partitions.
    pub fn divided(&self) -> Vec<String> {
        self.rules.divided()
    }

    /// A judge that knows nothing yet.
    pub fn make(&self) -> anyhow::Result<Judge> {
        Ok(self.judge(Detector::new(&self.settings, self.rules.clone())?))
    }

    /// A judge that knows what a snapshot knows.
    pub fn restore(&self, snapshot: &[u8]) -> anyhow::Result<Judge> {
        let restored = Detector::restore(&self.settings, self.rules.clone(), snapshot);
        let detector = restored.context(
            "what detection had learnt cannot be read; remove detection.checkpoint and the \
             folder detection",
        )?;
        Ok(self.judge(detector))
    }

    /// A judge that knows of what a judge of the whole stream has known only these identities of
    /// an instance; one of the shares is the heir of what all have in common.
    pub fn restore_share(
        &self,
        snapshot: &[u8],
        is_ours: impl Fn(&str, &str) -> bool,
        is_heir: bool,
    ) -> anyhow::Result<Judge> {
        let mut judge = self.restore(snapshot)?;
        judge.detector.divide(is_ours, is_heir);
        Ok(judge)
    }

    fn judge(&self, detector: Detector) -> Judge {
        let detector = if self.is_share { detector.of_share() } else { detector };
        Judge { detector, recorder: self.recorder.clone() }
    }
}

impl Recorder {
    /// Alerts are durable when this returns; recording them again, after a crash, changes
    /// nothing.
    fn record(&self, alerts: &[Alert]) -> anyhow::Result<()> {
        if alerts.is_empty() {
            return Ok(());
        }
        let new = loop {
            match self.runtime.block_on(self.respond.record(alerts)) {
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
        Ok(())
    }
}

impl Judge {
    /// Judges a batch of the whole stream; its alerts are durable when this returns.
    pub fn judge(&mut self, events: EventBatch) -> anyhow::Result<EventBatch> {
        let Observed { batch, alerts } = self.detector.observe(events);
        self.recorder.record(&alerts)?;
        Ok(batch)
    }

    /// Likewise of a stream that is divided by identity.
    pub fn judge_share(&mut self, events: EventBatch) -> anyhow::Result<EventBatch> {
        let Observed { batch, alerts } = self.detector.observe_share(events);
        self.recorder.record(&alerts)?;
        Ok(batch)
    }

    /// Where the first day opens, if others must be heard before.
    pub fn opening(&self, events: &EventBatch) -> Option<Opening> {
        self.detector.opening(events)
    }

    /// Opens a day with what all have in common.
    pub fn open(&mut self, opening: &Opening, figures: Figures) {
        self.detector.open(opening, figures);
    }

    /// What it has learnt of its identities.
    pub fn learnt(&self) -> Learnt {
        self.detector.learnt()
    }

    /// Counts copies by client.
    pub fn count_by_client(&mut self, copies: &EventBatch) -> anyhow::Result<()> {
        let alerts = self.detector.count_by_client(copies);
        self.recorder.record(&alerts)
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
