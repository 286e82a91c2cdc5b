//! The stage: batches in, enriched batches, alerts and cases out.

use std::sync::Arc;

use event::alert::{Detector as Layer, Severity};
use event::decision::{Decision, DecisionKind};
use event::enrichment::{DetectionColumns, StatementColumns};
use event::vocabulary::{Action, ActorKind, CauseFamily, Outcome};
use event::{Alert, AuditEvent, Case, Enrichment, EventBatch, Timestamp};
use rsigma_eval::EvaluationResult;

use crate::analysis::{StatementAnalysis, StatementAnalyzer};
use crate::anomaly::Anomaly;
use crate::cases::{Cases, Scene, tick_event};
use crate::context::{AuditGaps, Clocks, Closed, Context, Identities, Looked};
use crate::correlation::{CorrelationError, Firing};
use crate::correlator::{Correlator, Side};
use crate::decisions::Decisions;
use crate::explanation;
use crate::models::Models;
use crate::repeats::{Repeats, eased};
use crate::risk;
use crate::rule::RuleSet;
use crate::rule_engine::RuleEngine;
use crate::rule_event::{RuleEvent, client_network};
use crate::rule_signal::{Match, fits};
use crate::sensitivity::Sensitivity;
use crate::settings::{DetectSettings, JobSettings};
use crate::signal::{About, Family, Signal, chance_of};
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
    network: String,
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
    let failed = matches!(event.outcome, Outcome::Failed | Outcome::Denied);
    (failed && event.action == Action::Login).then(|| {
        let mut network = String::new();
        client_network(event, &mut network);
        network
    })
}

/// What came of one event, for its row.
#[derive(Default)]
struct RowOutcome {
    risk: f64,
    reasons: Vec<String>,
    rules: Vec<String>,
}

/// A signal, and the match that gave it; none for a baseline.
struct Found<'a> {
    signal: Signal,
    matched: Option<Match<'a>>,
}

impl Detector {
    /// A detector that knows nothing yet.
    ///
    /// # Errors
    /// If the rules or the settings cannot be used.
    pub fn new(settings: &DetectSettings, rules: RuleSet) -> Result<Self, DetectError> {
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
            network: String::new(),
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
            client_network(&event, &mut network);
            let context = Context::default();
            let rule_event = RuleEvent {
                event: &event,
                analysis: &analysis,
                client_network: &network,
                context: &context,
            };
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
        self.end_hours(instance, Timestamp(hour.saturating_mul(3_600_000_000)), &mut alerts);
        self.tell(alerts)
    }

    /// Takes what somebody has decided; it holds for the events that come after it.
    pub fn decide(&mut self, decision: &Decision) {
        self.decisions.take(decision);
        if let DecisionKind::Verdict(verdict) = &decision.kind {
            self.repeats.judge(verdict);
        }
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
        let time = self.clocks.time_of(event);
        self.end_hours(event.instance, time, alerts);
        // Taken out of `self`, which the rest borrows.
        let mut analysis = std::mem::take(&mut self.analysis);
        let mut network = std::mem::take(&mut self.network);
        self.analyzer.analyze(event, &mut analysis);
        if let Some(gap) = self.audit_gaps.observe(event) {
            analysis.add_flag(gap.flag(), gap.bit());
        }
        client_network(event, &mut network);
        let sensitivity = self.sensitivity.level(analysis.tables());
        let mut context = Context { sensitivity, ..Context::default() };
        let mut closed = Vec::new();
        let looked = self.identities.look(
            event,
            &analysis,
            &network,
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
            RuleEvent { event, analysis: &analysis, client_network: &network, context: &context };
        let is_announced =
            self.decisions.has_windows() && self.decisions.announces(None, &rule_event, time);
        let context = Context { in_change_window: is_announced, ..context.clone() };
        let rule_event = RuleEvent { context: &context, ..rule_event };
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

    /// Rules and baselines give signals, which give risk and cases; none for an ordinary event.
    fn judge_event(
        &mut self,
        event: &RuleEvent<'_>,
        time: Timestamp,
        looked: Option<&Looked>,
        share: Share,
        alerts: &mut Vec<Alert>,
    ) -> Option<RowOutcome> {
        let results = self.engine.matches(event, &self.rules, &mut self.statistics);
        if results.is_none() && looked.is_none_or(|looked| looked.anomalies.is_empty()) {
            return None;
        }
        let results = results.as_deref().map_or(&[][..], Vec::as_slice);
        let outcome = self.judge_identity(event, time, results, looked, alerts);
        if share == Share::Whole {
            self.judge_client(event, time, results, alerts);
        }
        Some(outcome).filter(|outcome| !outcome.reasons.is_empty())
    }

    /// What is counted by client raises alerts that name the events; it does not mark a row,
    /// because it may be counted elsewhere than the row is stored.
    fn judge_client(
        &mut self,
        event: &RuleEvent<'_>,
        time: Timestamp,
        results: &[EvaluationResult],
        alerts: &mut Vec<Alert>,
    ) {
        let firings = self.by_client.count(event, results);
        if firings.is_empty() {
            return;
        }
        let rules = Arc::clone(&self.rules);
        let jobs = std::mem::take(&mut self.settings.jobs);
        for matched in matches(&rules, &jobs, event, &[], firings) {
            let signal = matched.signal(event);
            let found = Found { signal, matched: Some(matched) };
            self.join_cases(event, time, &[found], &[], alerts);
        }
        self.settings.jobs = jobs;
    }

    fn judge_identity(
        &mut self,
        event: &RuleEvent<'_>,
        time: Timestamp,
        results: &[EvaluationResult],
        looked: Option<&Looked>,
        alerts: &mut Vec<Alert>,
    ) -> RowOutcome {
        let firings = match results {
            [] => Vec::new(),
            results => self.by_identity.count(event, results),
        };
        let rules = Arc::clone(&self.rules);
        let jobs = std::mem::take(&mut self.settings.jobs);
        let matched = matches(&rules, &jobs, event, results, firings);
        let anomalies = looked.map_or(&[][..], |looked| &looked.anomalies);
        let mut outcome = RowOutcome::default();
        for matched in &matched {
            if !outcome.rules.contains(&matched.rule.id) {
                outcome.reasons.push(matched.reason());
                outcome.rules.push(matched.rule.id.clone());
            }
        }
        outcome.reasons.extend(anomalies.iter().map(explanation::short));
        let mut found = self.rule_signals(event, time, matched);
        let worst = found.iter().map(|found| found.signal.severity).max();
        let is_grave = worst.is_some_and(|severity| severity >= Severity::High);
        if let Some(looked) = looked {
            found.extend(self.baseline_signals(event, time, looked, is_grave));
        }
        let is_grave = is_grave
            || found
                .iter()
                .any(|found| found.signal.opens_case && found.signal.severity >= Severity::High);
        if let Some(looked) = looked.filter(|_| is_grave) {
            self.identities.quarantine(event.event, time, &looked.new_values);
        }
        let reasons: Vec<String> = anomalies.iter().map(explanation::short).collect();
        outcome.risk = self.join_cases(event, time, &found, &reasons, alerts);
        self.settings.jobs = jobs;
        outcome
    }

    /// The signals of rules, eased by what was told on earlier days; none for what a registered
    /// job was meant to do.
    fn rule_signals<'a>(
        &mut self,
        event: &RuleEvent<'_>,
        time: Timestamp,
        matched: Vec<Match<'a>>,
    ) -> Vec<Found<'a>> {
        let mut found: Vec<Found<'a>> = Vec::new();
        // The gravest of a rule's documents speaks for it.
        let mut matched = matched;
        matched.sort_by_key(|matched| std::cmp::Reverse(matched.severity));
        for matched in matched {
            if matched.is_expected() {
                Statistics::count(&mut self.statistics.expected, &matched.rule.id);
                continue;
            }
            // A burst that completes two counts of one rule at once is still one cause.
            if found.iter().any(|known| known.signal.detector == matched.rule.id) {
                continue;
            }
            let mut signal = matched.signal(event);
            let mut steps = 0;
            if signal.layer == Layer::Rule {
                steps += self.repeats.note(&signal, event, time.day());
            }
            steps += u32::from(self.decisions.announces(Some(&signal), event, time));
            if steps > 0 {
                signal.severity = eased(signal.severity, steps);
                signal.p = signal.p.max(chance_of(signal.severity));
            }
            // What is worth keeping is on the row; a case is for what is worth a look.
            signal.opens_case = signal.severity > Severity::Low;
            found.push(Found { signal, matched: Some(matched) });
        }
        found
    }

    /// The signals of what is unusual. They open a case once the day is unusual enough; what comes
    /// with a grave rule only joins.
    fn baseline_signals<'a>(
        &mut self,
        event: &RuleEvent<'_>,
        time: Timestamp,
        looked: &Looked,
        is_grave: bool,
    ) -> Vec<Found<'a>> {
        if looked.anomalies.is_empty() {
            return Vec::new();
        }
        let score_min = self.settings.baseline.score_min;
        let Some(profile) = self.identities.profile_mut(event.event) else { return Vec::new() };
        let before = profile.today.score(looked.kind);
        profile.today.add(&looked.anomalies, event.context.sensitivity);
        let score = profile.today.score(looked.kind);
        let opens_case = !is_grave && score >= score_min && profile.today.is_more_than_an_hour();
        profile.risk.add((score - before).max(0.0), time);
        let severity = behaviour_severity(score, looked.kind, score_min);
        let of_day = profile.today.best().to_vec();
        let signal = |anomaly: &Anomaly| Signal {
            detector: format!("baseline.{}", anomaly.word()),
            layer: Layer::Baseline,
            family: anomaly.family(),
            case_family: CauseFamily::Behaviour,
            p: anomaly.chance,
            weight: anomaly.weight,
            severity,
            cause: anomaly.cause(),
            opens_case,
            about: About::Identity,
            act: None,
        };
        let found = |anomaly: &Anomaly| Found { signal: signal(anomaly), matched: None };
        // The case begins with what made the day unusual, the strongest first.
        let mut all: Vec<Found<'a>> = Vec::new();
        if opens_case && before < score_min {
            all.extend(of_day.iter().map(found));
        }
        for anomaly in &looked.anomalies {
            if !all.iter().any(|known| known.signal.cause == anomaly.cause()) {
                all.push(found(anomaly));
            }
        }
        all
    }

    /// Lets signals join their cases; returns the risk points of the event.
    fn join_cases(
        &mut self,
        event: &RuleEvent<'_>,
        time: Timestamp,
        found: &[Found<'_>],
        reasons: &[String],
        alerts: &mut Vec<Alert>,
    ) -> f64 {
        if found.is_empty() {
            return 0.0;
        }
        let kind = event.context.identity_kind;
        let stake = risk::stake(event.context.sensitivity, kind);
        let points = risk::points(risk::fuse(found.iter().map(|found| &found.signal)), stake);
        let models = self.models.versions(event.event.instance);
        let scene = Scene { event, time, risk: points, models: &models };
        let (mut told, mut is_told) = (Vec::new(), false);
        for found in found {
            let signal = &found.signal;
            if self.decisions.expects(signal, event, time) {
                Statistics::count(&mut self.statistics.expected, &signal.detector);
                continue;
            }
            if !signal.opens_case && !self.cases.is_open(signal, &scene) {
                continue;
            }
            let Self { identities, sensitivity, settings, cases, .. } = self;
            let tell = || match &found.matched {
                Some(matched) => {
                    let profile = identities
                        .profile(event.event.instance, event.event.identity().unwrap_or_default());
                    let maturity = profile.filter(|_| !reasons.is_empty());
                    matched.tell(event, reasons, maturity.map(|profile| profile.maturity()))
                }
                None => tell_baseline(event, identities, sensitivity, settings),
            };
            // What is unusual about one event is told once.
            let is_first = found.matched.is_some() || !std::mem::replace(&mut is_told, true);
            if let Some(alert) = cases.add(signal, &scene, is_first, tell) {
                told.push((signal.case_family, signal.severity, signal.about));
                alerts.push(alert);
            }
        }
        if !told.is_empty() {
            self.accumulate(event, time, &told, alerts);
        }
        points
    }

    /// Adds what was told to the risk of the identity, which may be worth a case of its own.
    fn accumulate(
        &mut self,
        event: &RuleEvent<'_>,
        time: Timestamp,
        told: &[(CauseFamily, Severity, About)],
        alerts: &mut Vec<Alert>,
    ) {
        let sum_min = self.settings.cases.risk_sum_min;
        let Some(profile) = self.identities.profile_mut(event.event) else { return };
        for (family, severity, about) in told {
            if *about != About::Client && *severity >= Severity::Medium {
                profile.risk.step(*family, time);
            }
        }
        let Some(accumulated) = profile.risk.accumulated(sum_min, time) else { return };
        let identity = event.event.identity().unwrap_or_default();
        let (title, explanation) =
            explanation::explain_accumulated(identity, &accumulated, sum_min);
        let signal = Signal {
            detector: "risk.accumulated".into(),
            layer: Layer::Risk,
            family: Family::Context,
            case_family: CauseFamily::Behaviour,
            p: chance_of(Severity::High),
            weight: 1.0,
            severity: Severity::High,
            cause: explanation.engineer.clone(),
            opens_case: true,
            about: About::Identity,
            act: None,
        };
        let told = crate::signal::Told {
            title,
            explanation,
            attack: Vec::new(),
            controls: vec!["SOC 2 CC7.2".into()],
            events: Vec::new(),
        };
        let models = self.models.versions(event.event.instance);
        let risk = risk::points(signal.score(), 1.0);
        let scene = Scene { event, time, risk, models: &models };
        alerts.extend(self.cases.add(&signal, &scene, true, || told));
    }

    fn end_hours(&mut self, instance: &str, time: Timestamp, alerts: &mut Vec<Alert>) {
        for hour in self.clocks.tick(instance, time) {
            let closed = self.identities.close_hour(instance, hour, &mut self.statistics);
            let end = Timestamp((hour + 1).saturating_mul(3_600_000_000));
            for closed in closed {
                self.close(instance, end, closed, alerts);
            }
        }
    }

    /// What the end of an hour or a day of an identity tells.
    fn close(&mut self, instance: &str, time: Timestamp, closed: Closed, alerts: &mut Vec<Alert>) {
        let Closed { identity, kind, profile, day, silence } = closed;
        self.profiles.extend(profile);
        let maturity = self.maturity(instance, &identity);
        let mut found = Vec::new();
        if let Some((hours, usual)) = silence {
            let told = explanation::explain_silence(&identity, hours, usual, maturity.clone());
            found.push(("baseline.silence", CauseFamily::Tampering, Severity::Medium, told));
        }
        if let Some(collapse) = day.collapse {
            let told = explanation::explain_collapse(&identity, collapse, maturity.clone());
            found.push(("baseline.collapse", CauseFamily::Tampering, Severity::Medium, told));
        }
        if let Some(told) = explanation::explain_leak(&identity, &day, maturity) {
            found.push(("baseline.leak", CauseFamily::Exfiltration, Severity::High, told));
        }
        let models = self.models.versions(instance);
        for (detector, case_family, severity, (title, explanation)) in found {
            let hour = time.0.div_euclid(3_600_000_000);
            let event = tick_event(instance, &identity, hour, "querywatch");
            let analysis = StatementAnalysis::default();
            let context = Context { identity_kind: kind, ..Context::default() };
            let event = RuleEvent {
                event: &event,
                analysis: &analysis,
                client_network: "",
                context: &context,
            };
            let signal = Signal {
                detector: detector.to_owned(),
                layer: Layer::Baseline,
                family: Family::Silence,
                case_family,
                p: chance_of(severity),
                weight: 1.0,
                severity,
                cause: String::new(),
                opens_case: true,
                about: About::Identity,
                act: None,
            };
            let told = crate::signal::Told {
                title,
                explanation,
                attack: Vec::new(),
                controls: vec!["SOC 2 CC7.2".into()],
                events: Vec::new(),
            };
            let risk = risk::points(signal.score(), 1.0);
            let scene = Scene { event: &event, time, risk, models: &models };
            alerts.extend(self.cases.add(&signal, &scene, true, || told));
        }
    }
}

/// What matched and would alert by itself, and the correlations that the event completed.
fn matches<'a>(
    rules: &'a RuleSet,
    jobs: &'a [JobSettings],
    event: &RuleEvent<'_>,
    results: &[EvaluationResult],
    firings: Vec<Firing>,
) -> Vec<Match<'a>> {
    let ids = results.iter().filter_map(|result| result.header.rule_id.clone());
    let single = ids.map(|id| (id, None));
    let counted = firings.into_iter().map(|firing| (firing.sigma_id.clone(), Some(firing)));
    let found = single.chain(counted).filter_map(|(id, firing)| {
        let document = rules.document(&id).filter(|document| document.alerts)?;
        let rule = rules.rules().get(document.rule)?;
        let job = jobs.iter().find(|job| fits(job, &rule.id, event));
        let severity = if job.is_some() { Severity::Low } else { document.severity };
        Some(Match { rule, severity, firing, job })
    });
    found.collect()
}

/// How bad an unusual day is: of a program sooner than of a person, whose work changes.
fn behaviour_severity(score: f64, kind: ActorKind, score_min: f64) -> Severity {
    let beyond = match kind {
        ActorKind::Service | ActorKind::Etl => 1.5,
        _ => 3.0,
    };
    if score >= score_min + beyond { Severity::High } else { Severity::Medium }
}

fn tell_baseline(
    event: &RuleEvent<'_>,
    identities: &Identities,
    sensitivity: &Sensitivity,
    settings: &DetectSettings,
) -> crate::signal::Told {
    let identity = event.event.identity().unwrap_or_default();
    let Some(profile) = identities.profile(event.event.instance, identity) else {
        return crate::signal::Told::default();
    };
    let subject = explanation::Subject {
        identity,
        name: identities.name(event.event),
        profile,
        table_name: &|table| sensitivity.name(table),
    };
    let anomalies = profile.today.best();
    let score = profile.today.score(event.context.identity_kind);
    crate::signal::Told {
        title: explanation::title(anomalies, identity),
        explanation: explanation::explain(anomalies, &subject, score, settings.baseline.score_min),
        attack: vec![explanation::technique(anomalies.first()).into()],
        controls: vec!["SOC 2 CC7.2".into()],
        events: Vec::new(),
    }
}
