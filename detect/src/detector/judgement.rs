//! From what rules and baselines find in one event to its risk and its cases.

use std::sync::Arc;

use event::alert::{Detector as Layer, Severity};
use event::vocabulary::{ActorKind, CaseChange, CauseFamily};
use event::{Alert, Timestamp};
use rsigma_eval::EvaluationResult;

use super::{Detector, Share};
use crate::anomaly::Anomaly;
use crate::cases::Scene;
use crate::context::{Family as ValueFamily, Identities, Looked};
use crate::correlation::Firing;
use crate::explanation;
use crate::repeats::eased;
use crate::risk;
use crate::rule::RuleSet;
use crate::rule_event::RuleEvent;
use crate::rule_signal::{Match, fits};
use crate::sensitivity::Sensitivity;
use crate::settings::JobSettings;
use crate::signal::{About, Family, Signal, Told, chance_of};
use crate::statistics::Statistics;

/// The engine of events that tell of reads of audit data.
const OWN_ENGINE: &str = "querywatch";

/// What came of one event, for its row.
#[derive(Default)]
pub(super) struct RowOutcome {
    pub(super) risk: f64,
    pub(super) reasons: Vec<String>,
    pub(super) rules: Vec<String>,
}

/// A signal, and what gave it.
struct Found<'a> {
    signal: Signal,
    evidence: Evidence<'a>,
}

enum Evidence<'a> {
    Match(Match<'a>),
    Anomaly(Anomaly),
}

impl Detector {
    /// Rules and baselines give signals, which give risk and cases; none for an ordinary event.
    pub(super) fn judge_event(
        &mut self,
        event: &RuleEvent<'_>,
        time: Timestamp,
        looked: Option<&Looked>,
        share: Share,
        alerts: &mut Vec<Alert>,
    ) -> Option<RowOutcome> {
        // Rules are about databases; of reads of audit data only what is unusual tells something.
        let results = match event.event.engine {
            OWN_ENGINE => None,
            _ => self.engine.matches(event, &self.rules, &mut self.statistics),
        };
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
    pub(super) fn judge_client(
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
            let found = Found { signal, evidence: Evidence::Match(matched) };
            self.join_cases(event, time, &[found], &[], alerts);
        }
        self.settings.jobs = jobs;
    }

    /// Amends what was told of the statement that the event is the error of.
    pub(super) fn settle(
        &mut self,
        event: &RuleEvent<'_>,
        time: Timestamp,
        alerts: &mut Vec<Alert>,
    ) {
        if event.event.outcome.is_failure() {
            let models = self.models.versions(event.event.instance);
            alerts.extend(self.cases.settle(&Scene { event, time, risk: 0.0, models: &models }));
        }
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
            steps += u32::from(self.decisions.announces(&signal, event, time));
            if steps > 0 {
                signal.severity = eased(signal.severity, steps);
                signal.p = signal.p.max(chance_of(signal.severity));
            }
            // What is worth keeping is on the row; a case is for what is worth a look.
            signal.opens_case = signal.severity > Severity::Low;
            found.push(Found { signal, evidence: Evidence::Match(matched) });
        }
        found
    }

    /// The signals of what is unusual, eased by what was allowed and announced. They open a case
    /// once the day is unusual enough; what comes with a grave rule only joins.
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
        let score_min = self.score_min(event);
        let Some(profile) = self.identities.profile_mut(event.event) else { return Vec::new() };
        let before = profile.today.score(looked.kind);
        profile.today.add(&looked.anomalies, event.context.sensitivity);
        let score = profile.today.score(looked.kind);
        let opens_case = !is_grave && score >= score_min && profile.today.is_more_than_an_hour();
        profile.risk.add((score - before).max(0.0), time);
        let of_day = profile.today.best().to_vec();
        // A release brings new statements, however many: by themselves they wake nobody.
        let is_new_work = of_day.iter().all(|anomaly| {
            matches!(anomaly.value_family(), Some(ValueFamily::Statement | ValueFamily::Command))
        });
        let severity = match behaviour_severity(score, looked.kind, score_min) {
            Severity::High if is_new_work => Severity::Medium,
            severity => severity,
        };
        let found = |anomaly: &Anomaly| {
            let detector = format!("baseline.{}", anomaly.word());
            let kind = (Layer::Baseline, anomaly.family());
            let family = CauseFamily::Behaviour;
            let signal = Signal::of_identity(&detector, kind, family, severity, anomaly.cause());
            let (p, weight) = (anomaly.chance, anomaly.weight);
            let mut signal = Signal { p, weight, ..signal };
            let is_allowed = self.repeats.is_allowed(&signal, event);
            let is_announced = self.decisions.announces(&signal, event, time);
            signal.severity =
                eased(severity, u32::from(is_announced) + if is_allowed { 2 } else { 0 });
            signal.opens_case = opens_case && signal.severity > Severity::Low;
            Found { signal, evidence: Evidence::Anomaly(anomaly.clone()) }
        };
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
        // What is unusual about one event is told once.
        let (mut told, mut is_unusual_told) = (Vec::new(), false);
        let (news, score_min) = (self.news(found, &scene), self.score_min(event));
        for found in found {
            let signal = &found.signal;
            if self.decisions.expects(signal, event, time) {
                Statistics::count(&mut self.statistics.expected, &signal.detector);
                continue;
            }
            if !signal.opens_case && !self.cases.is_open(signal, &scene) {
                continue;
            }
            let Self { identities, sensitivity, cases, .. } = self;
            let tell = |change| match &found.evidence {
                Evidence::Match(matched) => {
                    let profile = identities
                        .profile(event.event.instance, event.event.identity().unwrap_or_default());
                    let maturity = profile.filter(|_| !reasons.is_empty());
                    matched.tell(event, reasons, maturity.map(|profile| profile.maturity()))
                }
                Evidence::Anomaly(_) => {
                    let news = (change == CaseChange::Extended).then_some(news.as_slice());
                    tell_baseline(event, news, identities, sensitivity, score_min)
                }
            };
            let is_unusual = matches!(found.evidence, Evidence::Anomaly(_));
            let tells_cause = !is_unusual || signal.opens_case && !is_unusual_told;
            if let Some(alert) = cases.add(signal, &scene, tells_cause, tell) {
                is_unusual_told |= is_unusual;
                told.push((signal.case_family, signal.severity, signal.about));
                alerts.push(alert);
            }
        }
        // What is counted by client may be counted elsewhere than its identities are.
        if told.iter().any(|(.., about)| *about != About::Client) {
            self.accumulate(event, time, &told, alerts);
        }
        points
    }

    /// The score from which a day of the event's identity opens a case.
    fn score_min(&self, event: &RuleEvent<'_>) -> f64 {
        let budget = self.settings.baseline.cases_per_identity_day;
        self.models.score_min(event.event.instance, budget)
    }

    /// What is unusual about the event and new to the open case of its identity.
    fn news(&self, found: &[Found<'_>], scene: &Scene<'_>) -> Vec<Anomaly> {
        let news = found.iter().filter_map(|found| match &found.evidence {
            Evidence::Anomaly(anomaly) if self.cases.extends(&found.signal, scene) => {
                Some(anomaly.clone())
            }
            _ => None,
        });
        news.collect()
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
        let kind = (Layer::Risk, Family::Context);
        let (family, cause) = (CauseFamily::Behaviour, "accumulated risk".to_owned());
        let signal = Signal::of_identity("risk.accumulated", kind, family, Severity::High, cause);
        let told = Told::of_behaviour(title, explanation);
        let models = self.models.versions(event.event.instance);
        let risk = risk::points(signal.score(), 1.0);
        let scene = Scene { event, time, risk, models: &models };
        alerts.extend(self.cases.add(&signal, &scene, true, |_| told));
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

/// What is told of an unusual day: all of it, or what is new to a case that has told of the rest.
fn tell_baseline(
    event: &RuleEvent<'_>,
    news: Option<&[Anomaly]>,
    identities: &Identities,
    sensitivity: &Sensitivity,
    score_min: f64,
) -> Told {
    let identity = event.event.identity().unwrap_or_default();
    let Some(profile) = identities.profile(event.event.instance, identity) else {
        return Told::default();
    };
    let subject = explanation::Subject {
        identity,
        name: identities.name(event.event),
        profile,
        table_name: &|table| sensitivity.name(table),
    };
    let anomalies = news.unwrap_or(profile.today.best());
    let score = profile.today.score(event.context.identity_kind);
    let title = explanation::title(anomalies, identity);
    let explanation = explanation::explain(anomalies, &subject, score, score_min);
    let attack = vec![explanation::technique(anomalies.first()).into()];
    Told { attack, ..Told::of_behaviour(title, explanation) }
}
