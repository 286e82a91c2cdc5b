//! What a rule tells: its match as a signal, with the texts of its file filled in.

use event::EventId;
use event::alert::{Detector, Explanation, Fact, Severity};
use event::vocabulary::Outcome;

use crate::correlation::Firing;
use crate::correlator::Side;
use crate::rule::{Deed, Rule, Template};
use crate::rule_event::RuleEvent;
use crate::settings::JobSettings;
use crate::signal::{About, Family, Signal, Told, chance_of};

/// Longest cause, in bytes.
const CAUSE_BYTES_MAX: usize = 300;

/// A rule that matched an event, or a correlation that an event completed.
pub(crate) struct Match<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) severity: Severity,
    /// None for a rule on one event.
    pub(crate) firing: Option<Firing>,
    /// The registered job that was meant to do this.
    pub(crate) job: Option<&'a JobSettings>,
}

impl Match<'_> {
    /// The signal, without its text; see [`Match::tell`].
    pub(crate) fn signal(&self, event: &RuleEvent<'_>) -> Signal {
        let layer = if self.firing.is_some() { Detector::Correlation } else { Detector::Rule };
        // What was refused did less harm.
        let attempt = if self.deed(event) == Deed::Tried { 10.0 } else { 1.0 };
        Signal {
            detector: self.rule.id.clone(),
            layer,
            family: Family::Rule,
            case_family: self.rule.details.family,
            p: (chance_of(self.severity) * attempt).min(1.0),
            weight: 1.0,
            severity: self.severity,
            cause: self.cause(event),
            opens_case: true,
            about: self.about(),
            act: event.act().filter(|_| self.firing.is_none()),
        }
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

    /// What people read; `new` are short reasons of what is unusual about the same event.
    pub(crate) fn tell(
        &self,
        event: &RuleEvent<'_>,
        new: &[String],
        maturity: Option<String>,
    ) -> Told {
        Told {
            title: self.rule.title.clone(),
            explanation: self.explain(event, new, maturity),
            attack: self.rule.attack.clone(),
            controls: self.rule.controls.clone(),
            events: self.firing.as_ref().map_or_else(Vec::new, |firing| firing.events.clone()),
        }
    }

    fn about(&self) -> About {
        let group = self.firing.iter().flat_map(|firing| &firing.group);
        let names: Vec<String> = group.map(|(name, _)| name.clone()).collect();
        match Side::of(&names) {
            Side::Client => About::Client,
            Side::Identity => About::Lineage,
        }
    }

    /// What tells this act from others: the group of a correlation; else what the statement aims
    /// at (program, path, URL, role), or the columns that the rule names; else its tables.
    fn cause(&self, event: &RuleEvent<'_>) -> String {
        let mut cause = match &self.firing {
            Some(firing) => pairs(firing.group.iter().map(|(name, value)| (&**name, &**value))),
            None => {
                let named = self.rule.details.cause.iter();
                let named: Vec<_> =
                    named.filter_map(|name| Some((name.as_str(), event.shown(name)?))).collect();
                pairs(named.iter().map(|(name, value)| (*name, value.as_str())))
            }
        };
        if cause.is_empty() {
            let tables = event.analysis.tables().map(|table| ("table", table.as_str()));
            cause = pairs(tables);
        }
        if cause.is_empty() {
            cause = event.command().unwrap_or_default().to_owned();
        }
        if cause.len() > CAUSE_BYTES_MAX {
            // Two that begin alike are two.
            let id = EventId::of(&[cause.as_bytes()]).to_string();
            cause.truncate(cause.floor_char_boundary(CAUSE_BYTES_MAX - 40));
            cause += &format!("… #{}", &id[..16]);
        }
        cause
    }

    /// Whether what the rule looks for happened. What a correlation counts did.
    fn deed(&self, event: &RuleEvent<'_>) -> Deed {
        match event.event.outcome {
            outcome if outcome.is_failure() && self.firing.is_none() => Deed::Tried,
            Outcome::Unknown => Deed::Open,
            _ => Deed::Done,
        }
    }

    fn explain(
        &self,
        event: &RuleEvent<'_>,
        new: &[String],
        maturity: Option<String>,
    ) -> Explanation {
        let texts = &self.rule.details.explanation;
        let value = |name: &str| self.value(event, name);
        let deed = self.deed(event);
        let tell = |template: &Template| {
            let text = template.fill(deed, value);
            match deed {
                Deed::Tried if !template.knows(deed) => format!("Tried: {text}"),
                _ => text,
            }
        };
        let mut engineer = tell(&texts.engineer);
        let mut manager = tell(&texts.manager);
        match deed {
            Deed::Done => {}
            Deed::Tried => {
                let error = event.event.error.unwrap_or("no message");
                engineer += &format!(" (failed: {error})");
                let is_denied = event.event.outcome == Outcome::Denied;
                manager += if is_denied { " The database refused it." } else { " It failed." };
            }
            Deed::Open => {
                engineer += " (outcome unknown)";
                if !texts.manager.knows(deed) && self.firing.is_none() {
                    manager += " The log does not say whether it succeeded.";
                }
            }
        }
        if let Some(job) = self.job {
            engineer += &format!("; the registered job `{}` is meant to do this", job.name);
            manager += &format!(" The registered job {} is meant to do this.", job.name);
        }
        let observed = self.rule.details.observed.iter();
        let observed =
            observed.filter_map(|name| Some(Fact::new(name.as_str(), value(name)?))).collect();
        Explanation {
            observed,
            usual: new.iter().map(|reason| Fact::new("new", reason)).collect(),
            maturity,
            engineer,
            manager,
            counterfactual_engineer: texts.silent_engineer.fill(deed, value),
            counterfactual_manager: texts.silent_manager.fill(deed, value),
        }
    }

    /// A name of a template: `count` and `window` of a correlation, a column of its group, else
    /// of the event.
    fn value(&self, event: &RuleEvent<'_>, name: &str) -> Option<String> {
        if let Some(firing) = &self.firing {
            match name {
                "count" if firing.at_least => return Some(format!("at least {}", firing.value)),
                "count" => return Some(firing.value.to_string()),
                "window" => return Some(duration(firing.window_seconds)),
                _ => {}
            }
            if let Some((_, value)) = firing.group.iter().find(|(column, _)| column == name) {
                return Some(value.clone());
            }
        }
        event.shown(name)
    }
}

/// `program /opt/etl/fetch.sh, table stage`.
fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut texts: Vec<String> = pairs
        .map(|(name, value)| match name {
            // Targets carry their own names.
            "targets" => value.to_owned(),
            name => format!("{name} {value}"),
        })
        .collect();
    texts.dedup();
    texts.join(", ")
}

fn duration(seconds: i64) -> String {
    match seconds {
        s if s > 0 && s % 3_600 == 0 => format!("{} h", s / 3_600),
        s if s > 0 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// Whether a registered job is meant to cause matches of `rule` like this one.
pub(crate) fn fits(job: &JobSettings, rule: &str, rule_event: &RuleEvent<'_>) -> bool {
    let event = rule_event.event;
    let same = |wanted: &Option<String>, value: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| Some(wanted) == value)
    };
    let is_client = job.client.as_deref().is_none_or(|client| {
        [event.client_address, event.client_host, Some(rule_event.client_network)]
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
