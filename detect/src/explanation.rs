//! What baselines tell an engineer and a manager: the same text for the same events.

use event::AuditEvent;
use event::alert::{Explanation, Fact};
use event::vocabulary::Outcome;

use crate::anomaly::{Anomaly, AnomalyKind};
use crate::context::{ClosedDay, Family, Measure, Profile, grouped};
use crate::risk::Accumulated;

/// Usual values named in an explanation.
const USUAL_SHOWN: usize = 3;

/// What the texts speak about, beside the anomalies.
pub(crate) struct Subject<'a> {
    /// The account or person.
    pub(crate) identity: &'a str,
    /// How the operator calls it.
    pub(crate) name: Option<&'a str>,
    pub(crate) profile: &'a Profile,
    /// How a manager calls a table, if the operator has said.
    pub(crate) table_name: &'a dyn Fn(&str) -> Option<String>,
}

impl Subject<'_> {
    fn who(&self) -> String {
        match self.name {
            Some(name) => capitalised(name),
            None => format!("The account {}", self.identity),
        }
    }
}

/// A title such as `New table and network for app`.
pub(crate) fn title(anomalies: &[Anomaly], identity: &str) -> String {
    let words: Vec<_> = anomalies.iter().map(Anomaly::word).collect();
    let is_new = anomalies.iter().all(Anomaly::is_new);
    format!("{} {} for {identity}", if is_new { "New" } else { "Unusual" }, join(&words))
}

/// A short reason for the row, such as `first network 10.9.0.0/24`.
pub(crate) fn short(anomaly: &Anomaly) -> String {
    let how = match anomaly.kind {
        AnomalyKind::Value { days: 0.0, .. } => "first",
        AnomalyKind::Value { .. } => "rare",
        AnomalyKind::Hour { .. } | AnomalyKind::Volume { .. } => "unusual",
    };
    format!("{how} {} {}", anomaly.word(), anomaly.shown)
}

/// What it may be in MITRE ATT&CK: data from databases, or a valid account misused.
pub(crate) fn technique(anomaly: Option<&Anomaly>) -> &'static str {
    let Some(anomaly) = anomaly else { return "T1213.006" };
    match anomaly.kind {
        AnomalyKind::Value { family: Family::Network | Family::Application, .. }
        | AnomalyKind::Hour { .. }
        | AnomalyKind::Volume { measure: Measure::Failures, .. } => "T1078",
        _ => "T1213.006",
    }
}

/// Why a day with these anomalies, the strongest first, is unusual.
pub(crate) fn explain(
    anomalies: &[Anomaly],
    subject: &Subject<'_>,
    score: f64,
    score_min: f64,
) -> Explanation {
    let engineer: Vec<_> = anomalies.iter().map(|anomaly| engineer(anomaly, subject)).collect();
    Explanation {
        observed: anomalies.iter().map(|a| Fact::new(a.word(), &a.shown)).collect(),
        usual: usual(anomalies, subject.profile),
        maturity: Some(subject.profile.maturity()),
        engineer: format!("{}; score {score:.1}, cases from {score_min:.1}", engineer.join("; ")),
        manager: manager(anomalies, subject),
        counterfactual_engineer: silent_engineer(anomalies, subject.profile),
        counterfactual_manager: silent_manager(anomalies),
    }
}

fn usual(anomalies: &[Anomaly], profile: &Profile) -> Vec<Fact> {
    let facts = anomalies.iter().filter_map(|anomaly| {
        let name = format!("usual {}", anomaly.word());
        match anomaly.kind {
            AnomalyKind::Volume { usual_max, .. } => {
                Some(Fact::new(name, format!("at most {} a day", grouped(usual_max))))
            }
            AnomalyKind::Hour { .. } => None,
            AnomalyKind::Value { family, .. } => Some(Fact::new(name, usual_of(profile, family))),
        }
    });
    facts.collect()
}

/// `hr.people (21 days), hr.offices (3 days) and 4 more`.
fn usual_of(profile: &Profile, family: Family) -> String {
    let usual = profile.usual(family, USUAL_SHOWN);
    let texts: Vec<_> = usual.iter().map(|(text, days)| format!("{text} ({days} days)")).collect();
    let more = profile.known(family).saturating_sub(texts.len());
    match (texts.is_empty(), more) {
        (true, _) => "none yet".to_owned(),
        (false, 0) => texts.join(", "),
        (false, more) => format!("{} and {more} more", texts.join(", ")),
    }
}

fn engineer(anomaly: &Anomaly, subject: &Subject<'_>) -> String {
    let (identity, shown, word) = (subject.identity, &anomaly.shown, anomaly.word());
    let chance = chance_of_day(anomaly.chance);
    let share = anomaly.share.map(|share| {
        let whose = if share.of_peers { "peers" } else { "organisation" };
        format!("{whose}: {} of {} identities; ", share.holders, share.identities)
    });
    let share = share.unwrap_or_default();
    match anomaly.kind {
        AnomalyKind::Hour { days } => {
            format!("active at {shown}, near which it was active on {days:.1} days; {chance}")
        }
        AnomalyKind::Volume { measure, usual_max } => {
            let (unit, most) = (measure.unit(), grouped(usual_max));
            format!("{shown} {unit} today, at most {most} on a day before; {chance}")
        }
        AnomalyKind::Value { days, .. } if days > 0.0 => {
            format!("rare {word} `{shown}` of `{identity}`: on {days:.1} days; {share}{chance}")
        }
        AnomalyKind::Value { new_today, .. } => {
            let statements = grouped(subject.profile.statements());
            let span = count(subject.profile.span_days(), "day");
            let order = match new_today {
                0 | 1 => String::new(),
                number => format!("new {word} number {number} of today; "),
            };
            format!(
                "first {word} `{shown}` of `{identity}`: in none of {statements} statements in \
                 {span}; {order}{share}{chance}"
            )
        }
    }
}

/// No chance is nought, so a small one is told by the smallest that is shown.
fn chance_of_day(chance: f64) -> String {
    const SHOWN_MIN: f64 = 0.0001;
    if chance < SHOWN_MIN {
        format!("chance below {SHOWN_MIN} a day")
    } else {
        format!("chance {chance:.4} a day")
    }
}

fn manager(anomalies: &[Anomaly], subject: &Subject<'_>) -> String {
    let (new, rare): (Vec<_>, Vec<_>) = anomalies.iter().partition(|anomaly| anomaly.is_new());
    let deeds = |anomalies: &[&Anomaly]| {
        let texts: Vec<_> = anomalies.iter().map(|anomaly| deed(anomaly, subject)).collect();
        join(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let first = match subject.profile.span_days() {
        0 => "on its first day in the records".to_owned(),
        days @ 1..14 => format!("for the first time in {} of records", count(days, "day")),
        days => format!("for the first time in {} of records", count(days / 7, "week")),
    };
    let who = subject.who();
    match (new.as_slice(), rare.as_slice()) {
        (new, []) => format!("{who} {}, {first}.", deeds(new)),
        ([], rare) => format!("{who} {}, which is unusual for it.", deeds(rare)),
        (new, rare) => {
            format!("{who} {}, {first}. It also {}, which is unusual.", deeds(new), deeds(rare))
        }
    }
}

fn deed(anomaly: &Anomaly, subject: &Subject<'_>) -> String {
    let shown = &anomaly.shown;
    let form = if anomaly.is_new() { "new" } else { "rare" };
    match anomaly.kind {
        AnomalyKind::Volume { measure: Measure::Rows, .. } => {
            format!("read or changed {shown} rows on one day")
        }
        AnomalyKind::Volume { measure: Measure::Failures, .. } => {
            format!("had {shown} statements fail on one day")
        }
        AnomalyKind::Hour { .. } => format!("was active at {shown}"),
        AnomalyKind::Value { family, .. } => match family {
            Family::Table => match (subject.table_name)(shown) {
                Some(name) => format!("used {name}"),
                None => format!("used the table {shown}"),
            },
            Family::Statement => format!("ran a statement of a {form} form"),
            Family::Command => format!("ran {shown}"),
            Family::Network => format!("connected from {shown}"),
            Family::Application => format!("used the program {shown}"),
            Family::Hour => format!("was active at {shown}"),
        },
    }
}

fn silent_engineer(anomalies: &[Anomaly], profile: &Profile) -> String {
    let conditions = anomalies.iter().map(|anomaly| match anomaly.kind {
        AnomalyKind::Hour { .. } => "within its usual hours".to_owned(),
        AnomalyKind::Volume { measure, usual_max } => {
            format!("at most {} {}", grouped(usual_max), measure.unit())
        }
        AnomalyKind::Value { family, .. } => {
            format!("{} among {}", family.as_str(), usual_of(profile, family))
        }
    });
    format!("silent if {}", conditions.collect::<Vec<_>>().join(", or "))
}

fn silent_manager(anomalies: &[Anomaly]) -> String {
    let usual: Vec<_> = anomalies
        .iter()
        .map(|anomaly| match anomaly.kind {
            AnomalyKind::Volume { measure: Measure::Rows, .. } => "read no more than usual",
            AnomalyKind::Volume { measure: Measure::Failures, .. } => "failed no more than usual",
            AnomalyKind::Hour { .. } => "kept to its usual hours",
            AnomalyKind::Value { family, .. } => match family {
                Family::Table => "used only its usual data",
                Family::Statement | Family::Command => "done only its usual work",
                Family::Network => "connected from its usual network",
                Family::Application => "used its usual program",
                Family::Hour => "kept to its usual hours",
            },
        })
        .collect();
    format!("There would be no alert had it {}.", join(&usual))
}

/// The error that ended a statement which an alert called `title` said may have been run.
pub(crate) fn explain_error(title: &str, event: &AuditEvent<'_>) -> (String, Explanation) {
    let is_denied = event.outcome == Outcome::Denied;
    let session = event.session.unwrap_or_default();
    let number = event.statement_number.unwrap_or_default();
    let identity = event.identity().unwrap_or("an unknown account");
    let manager = if is_denied {
        format!(
            "The database refused the statement of {identity}, which an earlier alert reported."
        )
    } else {
        format!(
            "The statement of {identity}, which an earlier alert reported, failed. What it did \
             outside of the database until then may remain."
        )
    };
    let explanation = Explanation {
        observed: vec![Fact::new("outcome", event.outcome.as_str())],
        engineer: format!(
            "statement {number} of session {session}, whose outcome was unknown, ended with {}",
            error_text(event)
        ),
        manager,
        counterfactual_engineer: "silent without an error of the same statement number".into(),
        counterfactual_manager: "Nothing would be added had the statement succeeded.".into(),
        ..Explanation::default()
    };
    (format!("{title}: {}", if is_denied { "refused" } else { "failed" }), explanation)
}

/// Adds how the statement ended to what was told of it.
pub(crate) fn add_error(explanation: &mut Explanation, event: &AuditEvent<'_>) {
    let is_denied = event.outcome == Outcome::Denied;
    explanation.engineer += &format!("; ended with {}", error_text(event));
    explanation.manager +=
        if is_denied { " The database then refused it." } else { " It then failed." };
}

/// `42501: permission denied for function pg_read_file`.
fn error_text(event: &AuditEvent<'_>) -> String {
    let error = event.error.unwrap_or("no message");
    match event.error_code {
        Some(code) => format!("{code}: {error}"),
        None => error.to_owned(),
    }
}

/// What the end of an hour or a day told: title, and why.
pub(crate) fn explain_silence(
    identity: &str,
    hours: u32,
    usual: u32,
    maturity: Option<String>,
) -> (String, Explanation) {
    let explanation = Explanation {
        observed: vec![Fact::new("hours without a record", hours)],
        usual: vec![Fact::new("longest usual gap in hours", usual)],
        maturity,
        engineer: format!(
            "no record of `{identity}` for {hours} h; 99 % of its gaps last at most {usual} h"
        ),
        manager: format!(
            "Nothing of the account {identity} was recorded for {}. It may have stopped, or its \
             records may be missing.",
            count(hours.cast_signed(), "hour")
        ),
        counterfactual_engineer: format!("silent below {} h", 5 * usual.max(1)),
        counterfactual_manager: "There would be no alert had records of it come as usual.".into(),
    };
    (format!("No records of {identity}"), explanation)
}

/// A day on which few statements of the usual sessions were recorded.
pub(crate) fn explain_collapse(
    identity: &str,
    (statements, usual): (u64, u64),
    maturity: Option<String>,
) -> (String, Explanation) {
    let explanation = Explanation {
        observed: vec![Fact::new("statements of the day", grouped(statements))],
        usual: vec![Fact::new("usual statements of such a day", grouped(usual))],
        maturity,
        engineer: format!(
            "{} statements of `{identity}` on a day with its usual sessions; usual: {}",
            grouped(statements),
            grouped(usual)
        ),
        manager: format!(
            "Few statements of the account {identity} were recorded although it was logged in as \
             usual. Its audit may have been reduced."
        ),
        counterfactual_engineer: "silent from a tenth of the usual statements on".into(),
        counterfactual_manager: "There would be no alert with the usual amount of records.".into(),
    };
    (format!("Few records of {identity}"), explanation)
}

/// Rows that grew slowly.
pub(crate) fn explain_leak(
    identity: &str,
    day: &ClosedDay,
    maturity: Option<String>,
) -> Option<(String, Explanation)> {
    let leak = day.leak?;
    let explanation = Explanation {
        observed: vec![
            Fact::new("days above the reference", leak.days),
            Fact::new("rows a day", grouped(leak.rows)),
        ],
        usual: vec![Fact::new("rows a day four weeks and more ago", grouped(leak.usual_rows))],
        maturity,
        engineer: format!(
            "rows of `{identity}` above its reference of four weeks and more ago for {} active \
             days: {} a day, in the reference {}; CUSUM k 0.25, h 10",
            leak.days,
            grouped(leak.rows),
            grouped(leak.usual_rows)
        ),
        manager: format!(
            "The account {identity} has read or changed more rows than it used to for {}: about \
             {} a day instead of {}.",
            count(leak.days.cast_signed(), "day"),
            grouped(leak.rows),
            grouped(leak.usual_rows)
        ),
        counterfactual_engineer: "silent if its days were like those of the reference".into(),
        counterfactual_manager: "There would be no alert had it read as much as before.".into(),
    };
    Some((format!("Slowly growing row counts of {identity}"), explanation))
}

/// Weak signals that added up.
pub(crate) fn explain_accumulated(
    identity: &str,
    found: &Accumulated,
    sum_min: f64,
) -> (String, Explanation) {
    let (title, engineer, manager, silent) = match found {
        Accumulated::Sum(sum) => (
            format!("Many slightly unusual acts of {identity}"),
            format!("signals of `{identity}` within a day add up to {sum:.1}"),
            format!(
                "The account {identity} did many things within a day, each of them slightly \
                 unusual."
            ),
            format!("silent below {sum_min:.1}"),
        ),
        Accumulated::Steps(families) => {
            let names: Vec<_> = families.iter().map(|family| family.as_str()).collect();
            (
                format!("Alerts of several kinds about {identity}"),
                format!("cases of `{identity}` within 8 h: {}", names.join(", ")),
                format!(
                    "The account {identity} has alerts of {} kinds within eight hours: {}. They \
                     may be steps of one attack.",
                    names.len(),
                    join(&names)
                ),
                "silent below three kinds within 8 h".to_owned(),
            )
        }
    };
    let explanation = Explanation {
        engineer,
        manager,
        counterfactual_engineer: silent,
        counterfactual_manager: "There would be no alert with fewer or weaker signals.".into(),
        ..Explanation::default()
    };
    (title, explanation)
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

/// `1 day`, `21 days`.
fn count(number: i32, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_chance_is_told_as_nought() {
        assert_eq!(chance_of_day(0.012_34), "chance 0.0123 a day");
        assert_eq!(chance_of_day(0.000_1), "chance 0.0001 a day");
        assert_eq!(chance_of_day(0.000_099), "chance below 0.0001 a day");
        assert_eq!(chance_of_day(1e-9), "chance below 0.0001 a day");
    }
}
