//! How surprising a day of an identity is: the chance of each new thing, and of all together.

use event::alert::{Fact, Severity};
use serde::{Deserialize, Serialize};

use super::kind::Conduct;
use super::organisation::Share;
use super::profile::Profile;
use super::value::{Family, Value};
use crate::settings::BaselineSettings;

/// No single thing counts more than one day in a million.
const SCORE_MAX: f64 = 6.0;

/// Less is no reason worth a word.
const REASON_MIN: f64 = 1.0;

/// A second alert on one day needs to be this much more surprising than the first.
const ESCALATION: f64 = 2.0;

/// From here the new ways of a closed identity are grave.
const GRAVE: f64 = 4.0;

/// One thing that is unusual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub(super) family: Family,
    /// None for an hour.
    pub(super) value: Option<Value>,
    /// Value as text, or `Tue 03:00`.
    pub(super) shown: String,
    /// Decayed days it was seen on before.
    pub(super) days: f64,
    /// Chance of it on a day of this identity, 0–1.
    pub(super) chance: f64,
    /// −log10 of the chance, by how telling the family is for this conduct.
    pub(super) score: f64,
    pub(super) holders: u32,
    pub(super) identities: u32,
}

/// What was surprising on the current day.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Day {
    /// The strongest reason of each cause.
    causes: [Option<Reason>; CAUSES],
    /// Score of the last alert of the day, and how many there were.
    alerted: f64,
    alerts: u32,
}

/// Things that come together have one cause and count once.
const CAUSES: usize = 4;

/// What [`super::Baseline::observe`] says of an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surprise {
    /// What is unusual about this event, the strongest first.
    pub(crate) reasons: Vec<Reason>,
    /// What was unusual on this day so far, the strongest first.
    pub(crate) day: Vec<Reason>,
    /// Score of the day.
    pub(crate) score: f64,
    /// Set if an alert is due.
    pub(crate) alerts: Option<DayAlert>,
    pub(crate) maturity: String,
    pub(crate) name: Option<String>,
    /// What is usual for the identity, with regard to the reasons.
    pub(crate) facts: Vec<Fact>,
    /// Counts behind the explanation.
    pub(crate) statements: u64,
    pub(crate) span_days: i32,
    /// The day of the identity, which a late event does not turn back.
    pub(crate) day_number: i32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DayAlert {
    pub(crate) severity: Severity,
    /// How many came before on this day.
    pub(crate) earlier: u32,
}

impl Reason {
    /// −log10 of the chance, weighted.
    pub(crate) fn score(&self) -> f64 {
        self.score
    }

    /// How unusual a value is that was seen on `days` decayed days before:
    /// p = (c + k·p_org) / (C + k), and for a new one at least the chance of anything new.
    pub(super) fn of_value(
        value: Value,
        days: f64,
        share: Share,
        profile: &Profile,
        conduct: Conduct,
        settings: &BaselineSettings,
    ) -> Option<Self> {
        let k = settings.organisation_days.max(0.01);
        let mut chance = (days + k * share.chance()) / (profile.decayed_days_before() + k);
        if days == 0.0 {
            chance = chance.max(profile.novelty(value.family));
        }
        let score = score(chance, weight(value.family, conduct));
        (score >= REASON_MIN).then(|| Self {
            family: value.family,
            shown: value.shown(),
            value: Some(value),
            days,
            chance: chance.min(1.0),
            score,
            holders: share.holders,
            identities: share.identities,
        })
    }

    /// How unusual an hour of the week is, with activity near it on `days` decayed days.
    pub(super) fn of_hour(
        hour: u8,
        days: f64,
        profile: &Profile,
        conduct: Conduct,
    ) -> Option<Self> {
        let chance = (days + 0.05) / (profile.decayed_days_before() + 1.0);
        let score = score(chance, weight(Family::HourOfWeek, conduct));
        let name = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][usize::from(hour / 24) % 7];
        (score >= REASON_MIN).then(|| Self {
            family: Family::HourOfWeek,
            value: None,
            shown: format!("{name} {:02}:00 UTC", hour % 24),
            days,
            chance: chance.min(1.0),
            score,
            holders: 0,
            identities: 0,
        })
    }
}

fn score(chance: f64, weight: f64) -> f64 {
    (-chance.clamp(1e-9, 1.0).log10()).min(SCORE_MAX) * weight
}

/// How telling something new is: a program that asks a new question is, a person is not.
fn weight(family: Family, conduct: Conduct) -> f64 {
    match (conduct, family) {
        (Conduct::Closed, Family::HourOfWeek) => 0.4,
        (Conduct::Closed, Family::Table | Family::Network | Family::Application) => 1.1,
        (Conduct::Closed, _) => 1.0,
        (Conduct::Inventive, Family::Network) => 1.0,
        (Conduct::Inventive, Family::Application) => 0.8,
        (Conduct::Inventive, Family::Fingerprint) => 0.0,
        (Conduct::Inventive, _) => 0.5,
        (Conduct::Unknown, Family::Network) => 1.0,
        (Conduct::Unknown, Family::Table | Family::Application) => 0.8,
        (Conduct::Unknown, Family::HourOfWeek) => 0.4,
        (Conduct::Unknown, _) => 0.7,
    }
}

/// Usual values named in an explanation.
const USUAL_SHOWN: usize = 3;

/// Index of the cause that a family belongs to: a new statement names new tables and commands.
fn cause(family: Family) -> usize {
    match family {
        Family::Table | Family::Fingerprint | Family::Command => 0,
        Family::Network => 1,
        Family::Application => 2,
        Family::HourOfWeek => 3,
    }
}

impl Day {
    /// Adds the reasons of one event; says whether the day has become worth an alert.
    pub(super) fn add(
        &mut self,
        mut reasons: Vec<Reason>,
        conduct: Conduct,
        settings: &BaselineSettings,
    ) -> Option<Surprise> {
        if reasons.is_empty() {
            return None;
        }
        // Tables before statements at the same score: their names say more.
        reasons.sort_by(|a, b| {
            let order = b.score.total_cmp(&a.score).then(a.family.cmp(&b.family));
            order.then_with(|| a.shown.cmp(&b.shown))
        });
        for reason in &reasons {
            let known = &mut self.causes[cause(reason.family)];
            if known.as_ref().is_none_or(|known| known.score < reason.score) {
                *known = Some(reason.clone());
            }
        }
        let mut day: Vec<Reason> = self.causes.iter().flatten().cloned().collect();
        day.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.family.cmp(&b.family)));
        let fused = fuse(&day);
        let needed =
            if self.alerts == 0 { settings.surprise_min } else { self.alerted + ESCALATION };
        let closed = conduct == Conduct::Closed;
        // An hour alone is no cause: somebody has to do something in it.
        let strongest_is_hour = day.first().is_some_and(|r| r.family == Family::HourOfWeek);
        let alerts = (fused >= needed && !strongest_is_hour).then(|| {
            let severity = if closed && fused >= GRAVE { Severity::High } else { Severity::Medium };
            DayAlert { severity, earlier: self.alerts }
        });
        if alerts.is_some() {
            self.alerted = fused;
            self.alerts += 1;
        }
        Some(Surprise { reasons, day, score: fused, alerts, ..Surprise::default() })
    }
}

impl Surprise {
    /// Adds what the explanation says of the identity.
    pub(super) fn know(&mut self, profile: &Profile, name: Option<String>) {
        self.name = name;
        self.maturity = profile.maturity();
        self.statements = profile.statements();
        self.span_days = profile.span_days();
        self.day_number = profile.day();
        for reason in &self.day {
            if reason.family != Family::HourOfWeek {
                let usual = profile.usual(reason.family, USUAL_SHOWN);
                let texts: Vec<_> =
                    usual.iter().map(|(text, days)| format!("{text} ({days} days)")).collect();
                let more = profile.known(reason.family).saturating_sub(texts.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let name = format!("usual {}", reason.family.as_str());
                self.facts.push(Fact::new(name, format!("{}{more}", texts.join(", "))));
            }
        }
    }
}

/// The strongest cause, and half of each other one: they are seldom independent.
fn fuse(day: &[Reason]) -> f64 {
    let mut scores = day.iter().map(|reason| reason.score);
    scores.next().unwrap_or_default() + 0.5 * scores.sum::<f64>()
}
