//! The stage: batches in, enriched batches, alerts and cases out.

mod closing;
mod judgement;

use std::sync::Arc;

use event::decision::{Decision, DecisionKind};
use event::enrichment::{DetectionColumns, StatementColumns};
use event::vocabulary::Action;
use event::{Alert, AuditEvent, Case, Enrichment, EventBatch, Timestamp};

use crate::analysis::{StatementAnalysis, StatementAnalyzer};
use crate::cases::Cases;
use crate::context::{AuditGaps, Clocks, Context, Identities};
use crate::correlation::CorrelationError;
use crate::correlator::{Correlator, Side};
use crate::decisions::Decisions;
use crate::held_models::Models;
use crate::repeats::Repeats;
use crate::rule::RuleSet;
use crate::rule_engine::RuleEngine;
use crate::rule_event::{ClientNetwork, RuleEvent};
use crate::sensitivity::Sensitivity;
use crate::settings::DetectSettings;
use crate::snapshot::{Header, ReadSnapshot, VERSION, WrittenSnapshot};
use crate::statistics::Statistics;

/// Judges events: analysis → context → signals → risk → cases.
///
/// Pure: time comes from the events, so the same events and the same models give the same alerts,
/// byte for byte, however the stream is cut into batches and wherever it was saved and restored.
///
/// Events are taken in the order of the stream; a late event counts for the current day of its
/// identity, and an event whose clock is far ahead of its instance for the time of the instance.
pub struct Detector {
    settings: DetectSettings,
    rules: Arc<RuleSet>,
    sensitivity: Sensitivity,
    analyzer: StatementAnalyzer,
    engine: RuleEngine,
    by_identity: Correlator,
    by_client: Correlator,
    clocks: Clocks,
    identities: Identities,
    audit_gaps: AuditGaps,
    repeats: Repeats,
    decisions: Decisions,
    cases: Cases,
    models: Models,
    statistics: Statistics,
    /// Days of identities that have ended since the last batch.
    profiles: Vec<model::DayProfile>,
    /// Kept to reuse their memory.
    analysis: StatementAnalysis,
    network: ClientNetwork,
}

/// What [`Detector::observe`] gives.
#[derive(Debug)]
pub struct Observed {
    /// The same rows, with the columns of detection.
    pub batch: EventBatch,
    /// What is told of cases, in the order of the rows.
    pub alerts: Vec<Alert>,
    /// The cases that have grown, as they are now.
    pub cases: Vec<Case>,
    /// Days of identities that have ended, for the models.
    pub profiles: Vec<model::DayProfile>,
}

/// What [`Detector::count_by_client`] and [`Detector::tick`] give.
#[derive(Debug, Default)]
pub struct Told {
    /// See [`Observed::alerts`].
    pub alerts: Vec<Alert>,
    /// See [`Observed::cases`].
    pub cases: Vec<Case>,
    /// See [`Observed::profiles`].
    pub profiles: Vec<model::DayProfile>,
}

/// A detector that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The rules do not work together.
    #[error("rules cannot be compiled: {0}; run `querywatch rules check`")]
    Rules(#[from] rsigma_eval::EvalError),
    /// A correlation cannot be counted.
    #[error("{0}; run `querywatch rules check`")]
    Correlation(String),
    /// A setting can have no effect as it stands.
    #[error("{0}")]
    Settings(String),
    /// A glob of `detect.sensitive` is wrong.
    #[error("`detect.sensitive` has a wrong glob: {0}")]
    Sensitive(#[from] globset::Error),
    /// The snapshot is not one of ours, or damaged.
    #[error("the snapshot of detection cannot be read: {0}; start without it and replay")]
    Damaged(#[from] rmp_serde::decode::Error),
    /// Another version of the program wrote it.
    #[error(
        "the snapshot of detection has version {found}, this program reads {VERSION}; start \
         without it and replay"
    )]
    Version {
        /// Version in the snapshot.
        found: u32,
    },
}

impl From<CorrelationError> for DetectError {
    fn from(error: CorrelationError) -> Self {
        Self::Correlation(error.to_string())
    }
}

/// How much of the stream an observation is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    Whole,
    Identities,
}

/// What decides where an event is counted by client, if the stream is divided: the network of the
/// client for failed log-ins, because an attacker tries many names. None for all others.
pub fn counted_by_client(event: &AuditEvent<'_>) -> Option<String> {
    (event.outcome.is_failure() && event.action == Action::Login)
        .then(|| ClientNetwork::default().of(event).to_owned())
}

/// Refuses settings that could have no effect.
fn check(settings: &DetectSettings, rules: &RuleSet) -> Result<(), DetectError> {
    for sensitive in &settings.sensitive {
        if !(1..=3).contains(&sensitive.level) {
            let (tables, level) = (sensitive.tables.join(", "), sensitive.level);
            let problem =
                format!("detect.sensitive `{tables}`: level is {level}; choose 1, 2 or 3");
            return Err(DetectError::Settings(problem));
        }
    }
    for job in &settings.jobs {
        let is_unknown = |id: &&String| rules.rules().iter().all(|rule| rule.id != **id);
        if let Some(id) = job.rules.iter().find(is_unknown) {
            let name = &job.name;
            let problem = format!(
                "detect.jobs `{name}`: there is no rule {id}; `querywatch rules list` has them"
            );
            return Err(DetectError::Settings(problem));
        }
    }
    Ok(())
}

impl Detector {
    /// A detector that knows nothing yet.
    ///
    /// # Errors
    /// If the rules or the settings cannot be used.
    pub fn new(settings: &DetectSettings, rules: RuleSet) -> Result<Self, DetectError> {
        check(settings, &rules)?;
        Ok(Self {
            sensitivity: Sensitivity::new(&settings.sensitive)?,
            analyzer: StatementAnalyzer::new(),
            engine: RuleEngine::new(&rules, settings.rules.matches_max)?,
            by_identity: Correlator::new(&rules, &settings.rules, Side::Identity)?,
            by_client: Correlator::new(&rules, &settings.rules, Side::Client)?,
            clocks: Clocks::default(),
            identities: Identities::new(settings),
            audit_gaps: AuditGaps::default(),
            repeats: Repeats::default(),
            decisions: Decisions::default(),
            cases: Cases::new(&settings.cases),
            models: Models::default(),
            statistics: Statistics::default(),
            profiles: Vec::new(),
            analysis: StatementAnalysis::default(),
            network: ClientNetwork::default(),
            settings: settings.clone(),
            rules: Arc::new(rules),
        })
    }

    /// Judges the events of a batch, in their order: all of a stream, or what one source says.
    pub fn observe(&mut self, batch: EventBatch) -> Observed {
        self.observe_rows(batch, Share::Whole)
    }

    /// Judges events of a stream that is divided by identity: as [`observe`](Self::observe), but
    /// for what is counted by client, of which this share sees only a part.
    pub fn observe_share(&mut self, batch: EventBatch) -> Observed {
        self.observe_rows(batch, Share::Identities)
    }

    /// Counts, by client, copies of the events that are [counted so](counted_by_client), of
    /// whatever identity; nothing else is done with them.
    pub fn count_by_client(&mut self, copies: &EventBatch) -> Told {
        let mut alerts = Vec::new();
        for row in copies.rows().iter() {
            let event = row.event();
            let mut analysis = std::mem::take(&mut self.analysis);
            let mut network = std::mem::take(&mut self.network);
            self.analyzer.analyze(&event, &mut analysis);
            let client_network = network.of(&event);
            let context = Context::default();
            let rule_event =
                RuleEvent { event: &event, analysis: &analysis, client_network, context: &context };
            let results = self.engine.matches(&rule_event, &self.rules, &mut self.statistics);
            if let Some(results) = results {
                self.judge_client(&rule_event, event.time, &results, &mut alerts);
            }
            self.analysis = analysis;
            self.network = network;
        }
        self.tell(alerts)
    }

    /// Ends the hours before `hour` (since 1970, by the events' clock) at an instance, and the
    /// days with them: for who sees no event of its own that says so. An hour ends once.
    pub fn tick(&mut self, instance: &str, hour: i64) -> Told {
        let mut alerts = Vec::new();
        self.clocks.hear(instance, Timestamp(hour.saturating_mul(3_600_000_000)));
        self.end_hours(instance, &mut alerts);
        self.tell(alerts)
    }

    /// Takes what somebody has decided; it holds for the events that come after it.
    pub fn decide(&mut self, decision: &Decision) {
        self.decisions.take(decision);
        if let DecisionKind::Verdict(verdict) = &decision.kind {
            self.repeats.judge(verdict);
        }
    }

    /// Forgets the identities, given as (instance, identity), that others watch: for a detector
    /// that goes on with what one of a whole stream knew.
    pub fn retain(&mut self, is_ours: impl Fn(&str, &str) -> bool) {
        self.identities.retain(is_ours);
    }

    /// Puts other models in place; what comes after is judged with them.
    pub fn set_models(&mut self, models: Models) {
        self.models = models;
    }

    /// The models in use.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// What has been done so far.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            identities: self.identities.len() as u64,
            groups: (self.by_identity.groups() + self.by_client.groups()) as u64,
            group_evictions: self.statistics.group_evictions
                + self.by_identity.evictions()
                + self.by_client.evictions(),
            open_cases: self.cases.len() as u64,
            case_evictions: self.statistics.case_evictions + self.cases.evictions(),
            ..self.statistics.clone()
        }
    }

    /// How much is known of an identity, such as `6 active days in 7, 212 sessions, 18,402
    /// statements`; none if it was never seen, or has made room for others.
    pub fn maturity(&self, instance: &str, identity: &str) -> Option<String> {
        self.identities.profile(instance, identity).map(|profile| profile.maturity())
    }

    /// The rules that run.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The state as bytes, for [`Detector::restore`]. The same state is the same bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        // Remembered matches are left out: the rules give them again.
        let snapshot = WrittenSnapshot {
            version: VERSION,
            rules: self.rules.digest(),
            models: self.models.all_versions(),
            by_identity: self.by_identity.save(),
            by_client: self.by_client.save(),
            table_names: self.analyzer.table_names.clone(),
            clocks: self.clocks.clone(),
            identities: self.identities.save(),
            audit_gaps: self.audit_gaps.clone(),
            repeats: self.repeats.clone(),
            decisions: self.decisions.save(),
            cases: self.cases.clone(),
            statistics: self.statistics().of_stream(),
        };
        rmp_serde::to_vec_named(&snapshot).expect("a snapshot in memory is made of plain data")
    }

    /// A detector that continues where [`Detector::snapshot`] was taken, without models: see
    /// [`Detector::set_models`], and [`Detector::models_of_snapshot`] for those that it had.
    ///
    /// With other rules than those of the snapshot, everything else is kept, and the windows of
    /// correlations start empty: what they counted may have changed.
    ///
    /// # Errors
    /// If the bytes are damaged or of another version, and as [`Detector::new`].
    pub fn restore(
        settings: &DetectSettings,
        rules: RuleSet,
        bytes: &[u8],
    ) -> Result<Self, DetectError> {
        let header: Header = rmp_serde::from_slice(bytes)?;
        if header.version != VERSION {
            return Err(DetectError::Version { found: header.version });
        }
        let snapshot: ReadSnapshot = rmp_serde::from_slice(bytes)?;
        let mut detector = Self::new(settings, rules)?;
        if snapshot.rules == detector.rules.digest() {
            detector.by_identity.load(snapshot.by_identity);
            detector.by_client.load(snapshot.by_client);
        }
        detector.analyzer.table_names = snapshot.table_names;
        detector.analyzer.table_names.set_limits();
        detector.clocks = snapshot.clocks;
        detector.clocks.set_limits();
        detector.identities.load(snapshot.identities);
        detector.audit_gaps = snapshot.audit_gaps;
        detector.audit_gaps.set_limits();
        detector.repeats = snapshot.repeats;
        detector.repeats.set_limit();
        detector.decisions.load(&snapshot.decisions);
        detector.cases = snapshot.cases;
        detector.cases.set_limit(&settings.cases);
        detector.statistics = snapshot.statistics.of_stream();
        Ok(detector)
    }

    fn observe_rows(&mut self, batch: EventBatch, share: Share) -> Observed {
        let mut enrichment = Enrichment::default();
        let mut alerts = Vec::new();
        for row in batch.rows().iter() {
            self.observe_event(&row.event(), share, &mut enrichment, &mut alerts);
        }
        let Told { alerts, cases, profiles } = self.tell(alerts);
        Observed { batch: batch.enrich(enrichment), alerts, cases, profiles }
    }

    fn tell(&mut self, alerts: Vec<Alert>) -> Told {
        for alert in &alerts {
            Statistics::count(&mut self.statistics.alerts, &alert.rule);
        }
        let profiles = std::mem::take(&mut self.profiles);
        Told { alerts, cases: self.cases.take_grown(), profiles }
    }

    fn observe_event(
        &mut self,
        event: &AuditEvent<'_>,
        share: Share,
        enrichment: &mut Enrichment,
        alerts: &mut Vec<Alert>,
    ) {
        self.statistics.events += 1;
        let time = self.clocks.time_of(event.instance, event.time, event.received);
        self.end_hours(event.instance, alerts);
        // Taken out of `self`, which the rest borrows.
        let mut analysis = std::mem::take(&mut self.analysis);
        let mut network = std::mem::take(&mut self.network);
        self.analyzer.analyze(event, &mut analysis);
        if let Some(gap) = self.audit_gaps.observe(event) {
            analysis.add_flag(gap.flag(), gap.bit());
        }
        let client_network = network.of(event);
        let sensitivity = self.sensitivity.level(analysis.tables());
        let mut context = Context { sensitivity, ..Context::default() };
        let mut closed = Vec::new();
        let looked = self.identities.look(
            event,
            &analysis,
            client_network,
            time,
            &self.models,
            &mut context,
            &mut self.statistics,
            &mut closed,
        );
        for closed in closed {
            self.close(event.instance, time, closed, alerts);
        }
        let rule_event =
            RuleEvent { event, analysis: &analysis, client_network, context: &context };
        let is_announced = self.decisions.announces_event(&rule_event, time);
        let context = Context { in_change_window: is_announced, ..context.clone() };
        let rule_event = RuleEvent { context: &context, ..rule_event };
        self.settle(&rule_event, time, alerts);
        let outcome = self.judge_event(&rule_event, time, looked.as_ref(), share, alerts);
        let statement = StatementColumns {
            fingerprint: analysis.fingerprint,
            tables_read: analysis.tables_read(),
            tables_written: analysis.tables_written(),
            columns: analysis.columns(),
            functions: analysis.functions(),
            flags: analysis.flags(),
        };
        let detection =
            outcome.as_ref().map_or_else(DetectionColumns::default, |outcome| DetectionColumns {
                sensitivity: None,
                risk: Some(outcome.risk),
                reasons: &outcome.reasons,
                rules: &outcome.rules,
            });
        enrichment.push(&statement, &DetectionColumns { sensitivity, ..detection });
        self.analysis = analysis;
        self.network = network;
    }
}
