//! What a surprise says to an engineer and to a manager: the same text for the same events.

use event::alert::{Explanation, Fact};

use super::profile::grouped;
use super::surprise::{Reason, Surprise};
use super::value::Family;

/// What the texts speak about, beside the surprise itself.
pub(crate) struct Story<'a> {
    /// The account or person.
    pub(crate) identity: &'a str,
    /// How a manager calls a table, if the operator has said.
    pub(crate) table_name: &'a dyn Fn(&str) -> Option<String>,
    /// Score from which a day alerts.
    pub(crate) surprise_min: f64,
}

impl Surprise {
    /// Short reasons for the row, such as `first network 10.9.0.0/24`.
    pub(crate) fn short_reasons(&self) -> impl Iterator<Item = String> {
        self.reasons.iter().map(Reason::short)
    }

    /// Id of the strongest family, such as `baseline.table`.
    pub(crate) fn rule(&self) -> String {
        let family = self.day.first().map_or("day", |reason| reason.family.as_str());
        format!("baseline.{family}")
    }

    /// What it may be in MITRE ATT&CK: data from databases, or a valid account misused.
    pub(crate) fn technique(&self) -> &'static str {
        match self.day.first().map(|reason| reason.family) {
            Some(Family::Table | Family::Fingerprint | Family::Command) => "T1213.006",
            _ => "T1078",
        }
    }

    /// A title such as `First network for app`.
    pub(crate) fn title(&self, identity: &str) -> String {
        let causes: Vec<_> = self.day.iter().map(|reason| reason.family.as_str()).collect();
        let verb = if self.day.iter().any(|reason| reason.days > 0.0) { "Unusual" } else { "New" };
        format!("{verb} {} for {identity}", join(&causes))
    }

    /// Why the day of this event is surprising.
    pub(crate) fn explain(&self, story: &Story<'_>) -> Explanation {
        let observed = self.day.iter().map(|r| Fact::new(r.family.as_str(), &r.shown)).collect();
        let engineer: Vec<_> = self.day.iter().map(|reason| self.engineer(reason, story)).collect();
        Explanation {
            observed,
            usual: self.facts.clone(),
            maturity: Some(self.maturity.clone()),
            engineer: format!(
                "{}; surprise {:.1}, alerts from {:.1}",
                engineer.join("; "),
                self.score,
                story.surprise_min
            ),
            manager: self.manager(story),
            counterfactual_engineer: self.silent_engineer(),
            counterfactual_manager: self.silent_manager(),
        }
    }

    fn engineer(&self, reason: &Reason, story: &Story<'_>) -> String {
        let (identity, shown) = (story.identity, &reason.shown);
        let statements = grouped(self.statements);
        let span = count(self.span_days, "day");
        if reason.family == Family::HourOfWeek {
            return format!("active at {shown}, near which it was on {:.1} days", reason.days);
        }
        let family = reason.family.as_str();
        let organisation =
            format!("organisation: {} of {} identities", reason.holders, reason.identities);
        let chance = format!("chance {:.4} a day", reason.chance);
        if reason.days > 0.0 {
            let days = reason.days;
            format!(
                "rare {family} `{shown}` of `{identity}`: {days:.1} days; {organisation}; {chance}"
            )
        } else {
            format!(
                "first {family} `{shown}` of `{identity}`: 0 of {statements} statements in {span}; \
                 {organisation}; {chance}"
            )
        }
    }

    fn manager(&self, story: &Story<'_>) -> String {
        let who = match &self.name {
            Some(name) => capitalised(name),
            None => format!("The account {}", story.identity),
        };
        let since = match self.span_days {
            days @ ..14 => format!("{} ago", count(days, "day")),
            days => format!("{} ago", count(days / 7, "week")),
        };
        let what: Vec<_> = self.day.iter().map(|reason| deed(reason, story)).collect();
        let what: Vec<_> = what.iter().map(String::as_str).collect();
        let frequency = if self.day.iter().all(|reason| reason.days > 0.0) {
            "which it seldom does"
        } else {
            "for the first time"
        };
        format!("{who} {}, {frequency} since we began watching it {since}.", join(&what))
    }

    fn silent_engineer(&self) -> String {
        let conditions: Vec<_> = self
            .day
            .iter()
            .map(|reason| match reason.family {
                Family::HourOfWeek => "within its usual hours".to_owned(),
                family => {
                    let name = format!("usual {}", family.as_str());
                    let usual = self.facts.iter().find(|fact| fact.name == name);
                    let usual = usual.map_or("none yet", |fact| fact.value.as_str());
                    format!("{} among {usual}", family.as_str())
                }
            })
            .collect();
        format!("silent if {}", conditions.join(", or "))
    }

    fn silent_manager(&self) -> String {
        let usual: Vec<_> = self
            .day
            .iter()
            .map(|reason| match reason.family {
                Family::Table => "looked only at its usual data",
                Family::Fingerprint | Family::Command => "done only its usual work",
                Family::Network => "come from its usual place",
                Family::Application => "used its usual program",
                Family::HourOfWeek => "kept to its usual hours",
            })
            .collect();
        format!("There would be no alert had it {}.", join(&usual))
    }
}

impl Reason {
    fn short(&self) -> String {
        let first = if self.days > 0.0 { "rare" } else { "first" };
        let first = if self.family == Family::HourOfWeek { "unusual" } else { first };
        format!("{first} {} {}", self.family.as_str(), self.shown)
    }
}

fn deed(reason: &Reason, story: &Story<'_>) -> String {
    let shown = &reason.shown;
    match reason.family {
        Family::Table => match (story.table_name)(shown) {
            Some(name) => format!("used {name}"),
            None => format!("used the table {shown}"),
        },
        Family::Fingerprint => "ran a statement of a new form".to_owned(),
        Family::Command => format!("ran {shown}"),
        Family::Network => format!("came from {shown}"),
        Family::Application => format!("used the program {shown}"),
        Family::HourOfWeek => format!("was active at {shown}"),
    }
}

/// `a, b and c`.
fn join(texts: &[&str]) -> String {
    match texts {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `one day`, `three weeks`, `21 days`.
fn count(number: i32, noun: &str) -> String {
    const WORDS: [&str; 13] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
        "eleven", "twelve",
    ];
    let plural = if number == 1 { "" } else { "s" };
    match usize::try_from(number).ok().and_then(|index| WORDS.get(index)) {
        Some(word) => format!("{word} {noun}{plural}"),
        None => format!("{number} {noun}{plural}"),
    }
}
