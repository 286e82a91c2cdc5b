//! Alerts: from what a rule or a baseline found to the texts that people read.

use event::EventId;
use event::alert::{Alert, Detector, Explanation, Fact, STATEMENT_BYTES_MAX, Severity};
use event::vocabulary::Outcome;

use crate::baseline::{Story, Surprise};
use crate::correlator::Firing;
use crate::rule::{Rule, Template};
use crate::settings::JobSettings;
use crate::subject::Subject;

/// A rule that matched an event, or a correlation that an event completed.
pub(crate) struct Match<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) severity: Severity,
    /// None for a rule on one event.
    pub(crate) firing: Option<Firing>,
    /// The registered job that was meant to do this.
    pub(crate) job: Option<&'a JobSettings>,
}

/// Risk points of a severity.
pub(crate) fn points(severity: Severity) -> f64 {
    match severity {
        Severity::Low => 5.0,
        Severity::Medium => 20.0,
        Severity::High => 50.0,
        Severity::Critical => 80.0,
    }
}

impl Match<'_> {
    /// What tells this cause from others: the values of the rule's columns, or the group.
    pub(crate) fn cause(&self, subject: &Subject<'_>) -> Vec<String> {
        match &self.firing {
            Some(firing) => {
                let pairs = firing.group.iter().map(|(name, value)| format!("{name}={value}"));
                std::iter::once(firing.sigma_id.clone()).chain(pairs).collect()
            }
            None => {
                let columns = self.rule.details.episode_by.iter();
                columns.map(|name| subject.shown(name).unwrap_or_default()).collect()
            }
        }
    }

    /// The statement of a session that caused the match: what runs inside of it, such as the
    /// statements of a DO block, is the same act. None where the source does not number.
    pub(crate) fn act(&self, subject: &Subject<'_>) -> Option<Vec<String>> {
        let event = subject.event;
        let number = event.statement_number.filter(|_| self.firing.is_none())?;
        Some(vec!["act".into(), event.session?.into(), number.to_string()])
    }

    /// Whether a registered job was meant to do this, and the rule is silent about such jobs.
    pub(crate) fn is_expected(&self) -> bool {
        self.job.is_some() && self.rule.details.silent_for_jobs
    }

    /// A short reason for the row.
    pub(crate) fn reason(&self) -> String {
        match self.job {
            Some(job) => format!("{} {} by job {}", self.rule.id, self.rule.title, job.name),
            None => format!("{} {}", self.rule.id, self.rule.title),
        }
    }

    /// Points of the match; what was refused did less harm.
    pub(crate) fn risk(&self, subject: &Subject<'_>) -> f64 {
        points(self.severity) * if self.is_attempt(subject) { 0.5 } else { 1.0 }
    }

    /// The alert; `surprise` is what the baseline says of the same event.
    pub(crate) fn alert(&self, subject: &Subject<'_>, surprise: Option<&Surprise>) -> Alert {
        let event = subject.event;
        let firing = self.firing.as_ref();
        let mut alert = base(subject);
        alert.id = self.id(subject);
        alert.rule = self.rule.id.clone();
        alert.title = self.rule.title.clone();
        alert.severity = self.severity;
        alert.detector = if firing.is_some() { Detector::Correlation } else { Detector::Rule };
        if let Some(firing) = firing {
            alert.first_time = firing.first_time.unwrap_or(event.time).min(event.time);
            if !firing.events.is_empty() {
                alert.events = firing.events.clone();
            }
            // A count of events is whole and small; a sum of values may be neither.
            alert.event_count = (firing.value.max(0.0) as u64).max(alert.events.len() as u64);
        }
        alert.attack = self.rule.attack.clone();
        alert.controls = self.rule.controls.clone();
        alert.risk = self.risk(subject) + surprise.map_or(0.0, surprise_points);
        alert.explanation = self.explain(subject, surprise);
        alert
    }

    fn id(&self, subject: &Subject<'_>) -> EventId {
        let rule = self.rule.id.as_bytes();
        match &self.firing {
            None => EventId::of(&[rule, &subject.event.id.0]),
            Some(firing) => {
                let mut parts = vec![rule, firing.sigma_id.as_bytes(), &subject.event.id.0];
                for (name, value) in &firing.group {
                    parts.push(name.as_bytes());
                    parts.push(value.as_bytes());
                }
                EventId::of(&parts)
            }
        }
    }

    /// Whether what the rule looks for was tried and did not happen.
    fn is_attempt(&self, subject: &Subject<'_>) -> bool {
        let is_failure = matches!(subject.event.outcome, Outcome::Failed | Outcome::Denied);
        is_failure && self.firing.is_none()
    }

    fn explain(&self, subject: &Subject<'_>, surprise: Option<&Surprise>) -> Explanation {
        let texts = &self.rule.details.explanation;
        let value = |name: &str| self.value(subject, name);
        let is_attempt = self.is_attempt(subject);
        let tell = |template: &Template| {
            let text = template.fill(is_attempt, value);
            if is_attempt && !template.knows_attempts() { format!("Tried: {text}") } else { text }
        };
        let mut engineer = tell(&texts.engineer);
        let mut manager = tell(&texts.manager);
        if is_attempt {
            let error = subject.event.error.unwrap_or("no message");
            engineer += &format!(" (failed: {error})");
            let is_denied = subject.event.outcome == Outcome::Denied;
            manager += if is_denied { " The database refused it." } else { " It failed." };
        }
        if let Some(job) = self.job {
            engineer += &format!("; the registered job `{}` is meant to do this", job.name);
            manager += &format!(" The registered job {} is meant to do this.", job.name);
        }
        let observed = self.rule.details.observed.iter();
        let observed =
            observed.filter_map(|name| Some(Fact::new(name.as_str(), value(name)?))).collect();
        let first = surprise.map(|s| s.short_reasons().map(|reason| Fact::new("new", reason)));
        Explanation {
            observed,
            usual: first.into_iter().flatten().collect(),
            maturity: surprise.map(|surprise| surprise.maturity.clone()),
            engineer,
            manager,
            counterfactual_engineer: texts.silent_engineer.fill(is_attempt, value),
            counterfactual_manager: texts.silent_manager.fill(is_attempt, value),
        }
    }

    /// A name of a template: `count` and `window` of a correlation, a column of its group, else
    /// of the event.
    fn value(&self, subject: &Subject<'_>, name: &str) -> Option<String> {
        if let Some(firing) = &self.firing {
            match name {
                "count" => return Some(format!("{}", firing.value)),
                "window" => return Some(duration(firing.window_seconds)),
                _ => {}
            }
            if let Some((_, value)) = firing.group.iter().find(|(column, _)| column == name) {
                return Some(value.clone());
            }
        }
        subject.shown(name)
    }
}

/// Risk points of a surprising event.
pub(crate) fn surprise_points(surprise: &Surprise) -> f64 {
    let strongest = surprise.reasons.first().map_or(0.0, |reason| reason.score());
    (strongest * 5.0 * 100.0).round() / 100.0
}

/// The alert of a surprising day.
pub(crate) fn baseline_alert(
    subject: &Subject<'_>,
    surprise: &Surprise,
    story: &Story<'_>,
) -> Option<Alert> {
    let due = surprise.alerts?;
    let mut alert = base(subject);
    alert.id = EventId::of(&[
        b"baseline",
        subject.event.instance.as_bytes(),
        story.identity.as_bytes(),
        &surprise.day_number.to_le_bytes(),
        &due.earlier.to_le_bytes(),
    ]);
    alert.rule = surprise.rule();
    alert.title = surprise.title(story.identity);
    alert.severity = due.severity;
    alert.detector = Detector::Baseline;
    alert.attack = vec![surprise.technique().into()];
    alert.controls = vec!["SOC 2 CC7.2".into()];
    alert.risk = points(due.severity) + surprise_points(surprise);
    alert.explanation = surprise.explain(story);
    Some(alert)
}

/// An alert with all that follows from the event.
fn base(subject: &Subject<'_>) -> Alert {
    let event = subject.event;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let cut = |sql: &str| sql[..sql.floor_char_boundary(STATEMENT_BYTES_MAX)].to_owned();
    Alert {
        id: event.id,
        time: event.time,
        first_time: event.time,
        rule: String::new(),
        title: String::new(),
        severity: Severity::Low,
        detector: Detector::Rule,
        identity: owned(event.identity()),
        instance: event.instance.to_owned(),
        database: owned(event.database),
        user: owned(event.user),
        client: owned(subject.client()),
        application: owned(event.application),
        session: owned(event.session),
        statement: event.statement.map(cut),
        fingerprint: subject.meaning.fingerprint.map(|hash| format!("{hash:016x}")),
        evidence: event.evidence,
        events: vec![event.id],
        event_count: 1,
        explanation: Explanation::default(),
        attack: Vec::new(),
        controls: Vec::new(),
        risk: 0.0,
    }
}

fn duration(seconds: i64) -> String {
    match seconds {
        s if s > 0 && s % 3_600 == 0 => format!("{} h", s / 3_600),
        s if s > 0 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// Whether a registered job is meant to cause matches of `rule` like this one.
pub(crate) fn fits(job: &JobSettings, rule: &str, subject: &Subject<'_>) -> bool {
    let event = subject.event;
    let same = |wanted: &Option<String>, value: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| Some(wanted) == value)
    };
    let is_client = job.client.as_deref().is_none_or(|client| {
        [event.client_address, event.client_host, Some(subject.client_network)]
            .contains(&Some(client))
    });
    let hour = event.time.hour_of_week() % 24;
    let in_hours = job.hours.is_none_or(|[from, to]| {
        if from <= to { (from..=to).contains(&hour) } else { hour >= from || hour <= to }
    });
    job.rules.iter().any(|id| id == rule)
        && Some(job.identity.as_str()) == event.identity()
        && same(&job.instance, Some(event.instance))
        && same(&job.application, event.application)
        && is_client
        && in_hours
}
