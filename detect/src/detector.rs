//! The stage: batches in, enriched batches and alerts out.

use event::alert::Severity;
use event::enrichment::{StatementColumns, VerdictColumns};
use event::{Alert, AuditEvent, Enrichment, EventBatch};
use rsigma_eval::EvaluationResult;

use crate::baseline::{Baseline, Figures, Learnt, Opening, Story, Surprise};
use crate::continuity::Continuity;
use crate::correlator::{Correlator, Firing, Side};
use crate::episode::{Episodes, Limits};
use crate::finding::{Match, baseline_alert, fits, surprise_points};
use crate::normaliser::{Meaning, Normaliser};
use crate::rule::RuleSet;
use crate::sensitivity::Sensitivity;
use crate::settings::{DetectSettings, JobSettings, RuleSettings};
use crate::snapshot::{Header, Snapshot, VERSION};
use crate::statistics::Statistics;
use crate::subject::{Subject, client_network};
use crate::verdict::Judge;

/// Judges events. Pure: time comes from the events, so a replay gives the same alerts, byte for
/// byte, however the stream is cut into batches and wherever it was saved and restored.
///
/// Events are taken in the order of the stream. Rules on one event do not depend on order;
/// correlations leave out an event that is older than the newest of its identity by more than
/// `lateness_seconds`; baselines count a late event for the current day of its identity.
pub struct Detector {
    settings: DetectSettings,
    rules: RuleSet,
    sensitivity: Sensitivity,
    normaliser: Normaliser,
    judge: Judge,
    by_identity: Correlator,
    by_client: Correlator,
    episodes: Episodes,
    baseline: Baseline,
    continuity: Continuity,
    statistics: Statistics,
    /// Kept to reuse their memory.
    meaning: Meaning,
    network: String,
}

/// What [`Detector::observe`] gives.
#[derive(Debug)]
pub struct Observed {
    /// The same rows, with the columns of detection.
    pub batch: EventBatch,
    /// What was found, in the order of the rows.
    pub alerts: Vec<Alert>,
}

/// A detector that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The rules do not work together.
    #[error("rules cannot be compiled: {0}; run `querywatch rules check`")]
    Rules(#[from] rsigma_eval::EvalError),
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

/// How much of the stream an observation is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    Whole,
    Identities,
}

/// What decides where an event is counted by client, if the stream is divided: the network of the
/// client for failed log-ins, because an attacker tries many names. None for all others.
pub fn counted_by_client(event: &AuditEvent<'_>) -> Option<String> {
    use event::vocabulary::{Action, Outcome};
    let failed = matches!(event.outcome, Outcome::Failed | Outcome::Denied);
    (failed && event.action == Action::Login).then(|| {
        let mut network = String::new();
        client_network(event, &mut network);
        network
    })
}

/// What came of one event, before it is written.
struct Outcome {
    risk: f64,
    reasons: Vec<String>,
    rules: Vec<String>,
}

impl Detector {
    /// A detector that knows nothing yet.
    ///
    /// # Errors
    /// If the rules or the settings cannot be used.
    pub fn new(settings: &DetectSettings, rules: RuleSet) -> Result<Self, DetectError> {
        Ok(Self {
            sensitivity: Sensitivity::new(&settings.sensitive)?,
            normaliser: Normaliser::new(),
            judge: Judge::new(&rules, settings.rules.verdicts_max)?,
            by_identity: Correlator::new(&rules, &settings.rules, Side::Identity)?,
            by_client: Correlator::new(&rules, &settings.rules, Side::Client)?,
            episodes: Episodes::default(),
            baseline: Baseline::new(settings),
            continuity: Continuity::default(),
            statistics: Statistics::default(),
            meaning: Meaning::default(),
            network: String::new(),
            settings: settings.clone(),
            rules,
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
    pub fn count_by_client(&mut self, copies: &EventBatch) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for row in copies.rows().iter() {
            let event = row.event();
            let mut meaning = std::mem::take(&mut self.meaning);
            let mut network = std::mem::take(&mut self.network);
            self.normaliser.read(&event, &mut meaning);
            client_network(&event, &mut network);
            let sensitivity = None;
            let subject =
                Subject { event: &event, meaning: &meaning, client_network: &network, sensitivity };
            if let Some(results) = self.judge.judge(&subject, &self.rules, &mut self.statistics) {
                self.judge_client(&subject, &results, &mut alerts);
            }
            self.meaning = meaning;
            self.network = network;
        }
        alerts
    }

    fn observe_rows(&mut self, batch: EventBatch, share: Share) -> Observed {
        let mut enrichment = Enrichment::default();
        let mut alerts = Vec::new();
        for row in batch.rows().iter() {
            self.observe_event(&row.event(), share, &mut enrichment, &mut alerts);
        }
        Observed { batch: batch.enrich(enrichment), alerts }
    }

    /// What has been done so far.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            identities: self.baseline.identities() as u64,
            groups: (self.by_identity.groups() + self.by_client.groups()) as u64,
            episodes: self.episodes.len() as u64,
            ..self.statistics.clone()
        }
    }

    /// How much is known of an identity, such as `6 active days in 7, 212 sessions, 18,402
    /// statements`; none if it was never seen, or has made room for others.
    pub fn maturity(&self, instance: &str, identity: &str) -> Option<String> {
        self.baseline.maturity(instance, identity)
    }

    /// Makes this the detector of a share of the stream: other detectors watch other identities
    /// of the same instances. It tells what it has [learnt](Self::learnt), and what identities
    /// have in common is what it is [given](Self::open).
    #[must_use]
    pub fn of_share(mut self) -> Self {
        self.baseline.become_share();
        self
    }

    /// Makes what one detector has learnt of the whole stream that of a share with the identities
    /// that are `ours`, given as (instance, identity). One of the shares is the heir: it tells
    /// the others what was common until now.
    pub fn divide(&mut self, is_ours: impl Fn(&str, &str) -> bool, is_heir: bool) {
        self.baseline.divide(is_ours, is_heir);
    }

    /// Of a share: the first event of the batch that opens a day at its instance. What is before
    /// it may be observed; then the day is [opened](Self::open). Without that, older figures stay
    /// in use.
    pub fn opening(&self, batch: &EventBatch) -> Option<Opening> {
        self.baseline.opening(batch)
    }

    /// Of a share: opens a day with the sum of what all shares have learnt,
    /// see [`Learnt::used_on`].
    pub fn open(&mut self, opening: &Opening, figures: Figures) {
        self.baseline.open(opening, figures, &mut self.statistics);
    }

    /// Of a share: what it has learnt, for the others.
    pub fn learnt(&self) -> Learnt {
        self.baseline.learnt()
    }

    /// The rules that run.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The state as bytes, for [`Detector::restore`]. The same state is the same bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        // Remembered verdicts are left out: the rules give them again.
        let snapshot = Snapshot {
            version: VERSION,
            rules: self.rules.digest(),
            by_identity: self.by_identity.save(),
            by_client: self.by_client.save(),
            episodes: self.episodes.clone(),
            baseline: self.baseline.save(),
            continuity: self.continuity.save(),
            statistics: self.statistics.of_stream(),
        };
        rmp_serde::to_vec_named(&snapshot).expect("a snapshot in memory is made of plain data")
    }

    /// A detector that continues where [`Detector::snapshot`] was taken.
    ///
    /// With other rules than those of the snapshot, baselines, running episodes and statistics
    /// are kept, and the windows of correlations start empty: what they counted may have changed.
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
        let snapshot: Snapshot = rmp_serde::from_slice(bytes)?;
        let mut detector = Self::new(settings, rules)?;
        if snapshot.rules == detector.rules.digest() {
            detector.by_identity.load(snapshot.by_identity);
            detector.by_client.load(snapshot.by_client);
        }
        detector.episodes = snapshot.episodes;
        detector.baseline.load(snapshot.baseline);
        detector.continuity.load(snapshot.continuity);
        detector.statistics = snapshot.statistics;
        Ok(detector)
    }

    fn observe_event(
        &mut self,
        event: &AuditEvent<'_>,
        share: Share,
        enrichment: &mut Enrichment,
        alerts: &mut Vec<Alert>,
    ) {
        self.statistics.events += 1;
        // Taken out of `self`, which the rest borrows.
        let mut meaning = std::mem::take(&mut self.meaning);
        let mut network = std::mem::take(&mut self.network);
        self.normaliser.read(event, &mut meaning);
        if let Some(missing) = self.continuity.observe(event) {
            meaning.add_flag(missing.flag(), missing.bit());
        }
        client_network(event, &mut network);
        let tables = meaning.tables_read().iter().chain(meaning.tables_written());
        let sensitivity = self.sensitivity.level(tables);
        let subject = Subject { event, meaning: &meaning, client_network: &network, sensitivity };
        let outcome = self.judge_event(&subject, share, alerts);
        let statement = StatementColumns {
            fingerprint: meaning.fingerprint,
            tables_read: meaning.tables_read(),
            tables_written: meaning.tables_written(),
            columns: meaning.columns(),
            functions: meaning.functions(),
            flags: meaning.flags(),
        };
        let verdict =
            outcome.as_ref().map_or_else(VerdictColumns::default, |outcome| VerdictColumns {
                sensitivity: None,
                risk: Some(outcome.risk),
                reasons: &outcome.reasons,
                rules: &outcome.rules,
            });
        enrichment.push(&statement, &VerdictColumns { sensitivity, ..verdict });
        self.meaning = meaning;
        self.network = network;
    }

    /// Rules, then the baseline, then alerts; none for an ordinary event.
    fn judge_event(
        &mut self,
        subject: &Subject<'_>,
        share: Share,
        alerts: &mut Vec<Alert>,
    ) -> Option<Outcome> {
        let verdict = self.judge.judge(subject, &self.rules, &mut self.statistics);
        let outcome = self.judge_identity(subject, verdict.as_deref().map(Vec::as_slice), alerts);
        if let Some(results) = verdict.filter(|_| share == Share::Whole) {
            self.judge_client(subject, &results, alerts);
        }
        outcome
    }

    /// What is counted by client raises alerts that name the events; it does not mark a row,
    /// because it may be counted elsewhere than the row is stored.
    fn judge_client(
        &mut self,
        subject: &Subject<'_>,
        results: &[EvaluationResult],
        alerts: &mut Vec<Alert>,
    ) {
        let Self { settings, rules, statistics, .. } = self;
        let firings = self.by_client.count(subject, results, statistics);
        for found in matches(rules, &settings.jobs, subject, &[], firings) {
            if is_due(&found, subject, &settings.rules, &mut self.episodes, statistics) {
                Statistics::count(&mut statistics.alerts, &found.rule.id);
                alerts.push(found.alert(subject, None));
            }
        }
    }

    fn judge_identity(
        &mut self,
        subject: &Subject<'_>,
        results: Option<&[EvaluationResult]>,
        alerts: &mut Vec<Alert>,
    ) -> Option<Outcome> {
        let Self { settings, rules, sensitivity, statistics, .. } = self;
        let matches = results.map_or_else(Vec::new, |results| {
            let firings = self.by_identity.count(subject, results, statistics);
            matches(rules, &settings.jobs, subject, results, firings)
        });
        let due = matches
            .iter()
            .map(|found| is_due(found, subject, &settings.rules, &mut self.episodes, statistics));
        let due: Vec<bool> = due.collect();
        let grave = matches.iter().map(|found| found.severity).max();
        let surprise = self.baseline.observe(subject, grave, statistics);
        if matches.is_empty() && surprise.is_none() {
            return None;
        }
        let first = alerts.len();
        for (found, due) in matches.iter().zip(due) {
            // A burst that completes two counts of one rule at once is still one cause.
            if due && !alerts[first..].iter().any(|alert| alert.rule == found.rule.id) {
                alerts.push(found.alert(subject, surprise.as_ref()));
            }
        }
        if let Some(surprise) = &surprise {
            let story = Story {
                identity: subject.event.identity().unwrap_or_default(),
                table_name: &|table| sensitivity.name(table),
                surprise_min: settings.baseline.surprise_min,
            };
            alerts.extend(baseline_alert(subject, surprise, &story));
        }
        for alert in &alerts[first..] {
            Statistics::count(&mut statistics.alerts, &alert.rule);
        }
        Some(outcome(subject, &matches, surprise.as_ref()))
    }
}

/// What matched and would alert by itself, and the correlations that the event completed.
fn matches<'a>(
    rules: &'a RuleSet,
    jobs: &'a [JobSettings],
    subject: &Subject<'_>,
    results: &[EvaluationResult],
    firings: Vec<Firing>,
) -> Vec<Match<'a>> {
    let ids = results.iter().filter_map(|result| result.header.rule_id.clone());
    let single = ids.map(|id| (id, None));
    let counted = firings.into_iter().map(|firing| (firing.sigma_id.clone(), Some(firing)));
    let found = single.chain(counted).filter_map(|(id, firing)| {
        let document = rules.document(&id).filter(|document| document.alerts)?;
        let rule = rules.rules().get(document.rule)?;
        let job = jobs.iter().find(|job| fits(job, &rule.id, subject));
        let severity = if job.is_some() { Severity::Low } else { document.severity };
        Some(Match { rule, severity, firing, job })
    });
    found.collect()
}

/// Whether a match is the first of its episode, and not what a registered job is for.
fn is_due(
    found: &Match<'_>,
    subject: &Subject<'_>,
    settings: &RuleSettings,
    episodes: &mut Episodes,
    statistics: &mut Statistics,
) -> bool {
    let rule = found.rule;
    if found.is_expected() {
        Statistics::count(&mut statistics.expected, &rule.id);
        return false;
    }
    let window = found.firing.as_ref().map_or(0, |firing| firing.window_seconds);
    let limits = Limits {
        quiet_seconds: window.max(rule.details.quiet_seconds),
        hours_max: settings.episode_hours_max,
        episodes_max: settings.episodes_max,
    };
    let mut is_first = |values| {
        let cause = (rule.id.clone(), subject.event.instance.to_owned(), values);
        let hit = episodes.hit(cause, subject.event.time, limits);
        statistics.episode_evictions += hit.evicted;
        hit.alerts
    };
    let alerts = is_first(found.cause(subject)) && found.act(subject).is_none_or(is_first);
    if !alerts {
        Statistics::count(&mut statistics.repeated, &rule.id);
    }
    alerts
}

fn outcome(subject: &Subject<'_>, matches: &[Match<'_>], surprise: Option<&Surprise>) -> Outcome {
    let mut outcome = Outcome {
        risk: surprise.map_or(0.0, surprise_points),
        reasons: Vec::new(),
        rules: Vec::new(),
    };
    for found in matches {
        if !outcome.rules.contains(&found.rule.id) {
            outcome.risk += if found.is_expected() { 0.0 } else { found.risk(subject) };
            outcome.reasons.push(found.reason());
            outcome.rules.push(found.rule.id.clone());
        }
    }
    outcome.reasons.extend(surprise.into_iter().flat_map(Surprise::short_reasons));
    outcome
}
