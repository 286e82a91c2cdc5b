//! All identities that one detector watches: what an event looks like to each, and what the ends
//! of their hours and days tell.

use bounded::BoundedMap;
use event::vocabulary::{Action, ActorKind};
use event::{AuditEvent, Timestamp};
use serde::{Deserialize, Serialize};

use super::habits::Touched;
use super::profile::{ClosedDay, Profile, SavedProfile};
use super::value::{Family, shown, text_key};
use super::volume::{Measure, UnusualDay};
use super::{AccountAge, Conduct, Context, identity_kind};
use crate::DetectSettings;
use crate::analysis::StatementAnalysis;
use crate::anomaly::{Anomaly, AnomalyKind, weight};
use crate::held_models::{InstanceModels, Models, judged_by_peers};
use crate::settings::{BaselineSettings, IdentitySettings};
use crate::statistics::Statistics;

/// From this level on a table is sensitive.
pub(super) const SENSITIVE: i32 = 2;

/// Peers say something from so many identities on.
const IDENTITIES_MIN: u32 = 5;

/// Every identity of every instance, the one that was active last at the end.
pub(crate) struct Identities {
    settings: BaselineSettings,
    known: Vec<IdentitySettings>,
    profiles: BoundedMap<String, Profile>,
    key: String,
    /// Kept to reuse its memory.
    touched: Vec<(Family, Box<[u8]>, Touched)>,
}

/// What looking at an event found.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) kind: ActorKind,
    /// What is unusual about the event, the strongest first.
    pub(crate) anomalies: Vec<Anomaly>,
    /// Values that are new today, to be unlearnt if the event is grave.
    pub(crate) new_values: Vec<(Family, Box<[u8]>)>,
}

/// What the end of an hour or a day told of one identity.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) identity: String,
    pub(crate) kind: ActorKind,
    /// The day that ended, for the models; none at the end of an hour.
    pub(crate) profile: Option<model::DayProfile>,
    pub(crate) day: ClosedDay,
    /// Length of a silence, and the usual one, in hours.
    pub(crate) silence: Option<(u32, u32)>,
}

/// The identities as they are saved: in their order.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedIdentities {
    profiles: Vec<(String, SavedProfile)>,
}

impl Identities {
    pub(crate) fn new(settings: &DetectSettings) -> Self {
        Self {
            settings: settings.baseline.clone(),
            known: settings.identities.clone(),
            profiles: BoundedMap::new(settings.baseline.identities_max),
            key: String::new(),
            touched: Vec::new(),
        }
    }

    /// Compares an event at the moment `time` with what is usual for its identity, and learns it;
    /// fills in the context. None if the event says nothing of an identity. A day of the
    /// identity that has ended is appended to `closed`.
    #[expect(clippy::too_many_arguments, reason = "an event and what is known of it")]
    pub(crate) fn look(
        &mut self,
        event: &AuditEvent<'_>,
        analysis: &StatementAnalysis,
        network: &str,
        time: Timestamp,
        models: &Models,
        context: &mut Context,
        statistics: &mut Statistics,
        closed: &mut Vec<Closed>,
    ) -> Option<Looked> {
        let identity = event.identity()?;
        set_key(&mut self.key, event.instance, identity);
        let known = known_identity(&self.known, event, identity).and_then(|known| known.kind);
        // A failed log-in says what an attacker typed, and a record of the server what the server
        // does: neither is what the account does.
        let is_no_act = event.action == Action::Log || has_failed_to_log_in(event);
        if !self.settings.enabled || is_no_act {
            self.know(event, known, context);
            return None;
        }
        let is_new = self.profiles.peek(self.key.as_str()).is_none();
        let settings = &self.settings;
        if is_new {
            let evicted = self.profiles.insert(self.key.clone(), Profile::new(time, settings));
            statistics.identity_evictions += u64::from(evicted.is_some());
        }
        let profile = self.profiles.get_mut(self.key.as_str())?;
        let day = time.day();
        if day > profile.day() {
            if profile.has_open_day() {
                closed.push(close_day(profile, event.instance, identity));
                statistics.value_evictions += profile.take_evictions();
            }
            profile.open_day(day, settings);
        }
        let hour = profile.count(event, time);
        let (conduct, kind) = profile.conduct(known, event.actor_kind);
        let is_mature = profile.is_mature(settings);
        context.identity_kind = kind;
        context.active_days = profile.days_before();
        context.account_age = match profile.days_before() {
            0 => AccountAge::New,
            _ if is_mature => AccountAge::Known,
            _ => AccountAge::Learning,
        };
        if context.account_age == AccountAge::New {
            context.see_first(None);
        }
        context.owns_tables = profile.owns(event, analysis.tables_written());
        context.in_migration = profile.is_in_migration(event, analysis.tables());
        let by_peers = judged_by_peers(profile, is_mature);
        let judge = Judgement {
            settings,
            models: models.of(event.instance),
            identity,
            kind,
            conduct,
            by_peers,
            is_mature,
        };
        self.touched.clear();
        touch(profile, event, analysis, network, time, &mut self.touched);
        let mut looked = Looked { kind, anomalies: Vec::new(), new_values: Vec::new() };
        for (family, key, touched) in self.touched.drain(..) {
            judge.value(profile, family, &key, touched, context, &mut looked.anomalies);
            if matches!(touched, Touched::New(_)) {
                looked.new_values.push((family, key));
            }
        }
        statistics.value_evictions += profile.take_evictions();
        judge.hour(profile, hour, context, &mut looked.anomalies);
        judge.volumes(profile, event, context, &mut looked.anomalies);
        profile.note(event, analysis.tables_written(), context.sensitivity);
        looked.anomalies.sort_by(|a, b| {
            let order = b.score().total_cmp(&a.score());
            order
                .then_with(|| a.value_family().cmp(&b.value_family()))
                .then_with(|| a.shown.cmp(&b.shown))
        });
        Some(looked)
    }

    /// Unlearns the new values of a grave event for a time.
    pub(crate) fn quarantine(
        &mut self,
        event: &AuditEvent<'_>,
        time: Timestamp,
        values: &[(Family, Box<[u8]>)],
    ) {
        let until = time.plus_seconds(i64::from(self.settings.quarantine_hours) * 3_600).0;
        if let Some(profile) = self.profile_mut(event) {
            for (family, key) in values {
                if let Some(habits) = profile.habits(*family) {
                    habits.quarantine(key, until);
                }
            }
        }
    }

    /// The profile of the event's identity, without counting as a use.
    pub(crate) fn profile_mut(&mut self, event: &AuditEvent<'_>) -> Option<&mut Profile> {
        set_key(&mut self.key, event.instance, event.identity()?);
        self.profiles.peek_mut(self.key.as_str())
    }

    /// The profile of an identity.
    pub(crate) fn profile(&self, instance: &str, identity: &str) -> Option<&Profile> {
        let mut key = String::new();
        set_key(&mut key, instance, identity);
        self.profiles.peek(key.as_str())
    }

    /// How the operator calls an identity, such as `the order service`.
    pub(crate) fn name(&self, event: &AuditEvent<'_>) -> Option<&str> {
        known_identity(&self.known, event, event.identity()?)?.name.as_deref()
    }

    /// Ends `hour` (hours since 1970) at an instance, and with its last hour the day. What it
    /// found comes in the order of the identities' names.
    pub(crate) fn close_hour(
        &mut self,
        instance: &str,
        hour: i64,
        statistics: &mut Statistics,
    ) -> Vec<Closed> {
        let mut closed = Vec::new();
        let day = i32::try_from((hour + 1).div_euclid(24)).unwrap_or(i32::MAX);
        let ends_day = (hour + 1).rem_euclid(24) == 0;
        for (key, profile) in self.profiles.iter_mut() {
            let Some((at, identity)) = key.split_once('\0') else { continue };
            if at != instance {
                continue;
            }
            let known = self.known.iter().find(|known| fits(known, instance, identity));
            let (conduct, kind) = profile.conduct(known.and_then(|known| known.kind), None);
            let is_steady = conduct == Conduct::Closed && profile.is_mature(&self.settings);
            let silence = if is_steady { profile.hours.silence(hour + 1) } else { None };
            let is_over = ends_day && profile.day() < day && profile.has_open_day();
            if is_over {
                let mut ended = close_day(profile, instance, identity);
                statistics.value_evictions += profile.take_evictions();
                ended.silence = silence;
                closed.push(ended);
            } else if silence.is_some() {
                let (profile, day) = (None, ClosedDay::default());
                closed.push(Closed { identity: identity.into(), kind, profile, day, silence });
            }
        }
        closed.sort_by(|a, b| a.identity.cmp(&b.identity));
        closed
    }

    /// Keeps the identities that are chosen by instance and identity.
    pub(crate) fn retain(&mut self, is_ours: impl Fn(&str, &str) -> bool) {
        self.profiles.retain(|key, _| {
            key.split_once('\0').is_some_and(|(instance, identity)| is_ours(instance, identity))
        });
    }

    /// Identities known now.
    pub(crate) fn len(&self) -> usize {
        self.profiles.len()
    }

    pub(crate) fn save(&self) -> SavedIdentities {
        let profiles = self.profiles.iter();
        let profiles = profiles.map(|(key, profile)| (key.clone(), profile.save()));
        SavedIdentities { profiles: profiles.collect() }
    }

    pub(crate) fn load(&mut self, saved: SavedIdentities) {
        for (key, profile) in saved.profiles {
            self.profiles.insert(key, Profile::load(profile, &self.settings));
        }
    }

    /// Fills in what is known of an identity that the event itself says nothing of.
    fn know(&self, event: &AuditEvent<'_>, known: Option<ActorKind>, context: &mut Context) {
        match self.profiles.peek(self.key.as_str()) {
            Some(profile) => {
                context.identity_kind = profile.conduct(known, event.actor_kind).1;
                context.active_days = profile.days_before();
                context.account_age = if profile.is_mature(&self.settings) {
                    AccountAge::Known
                } else {
                    AccountAge::Learning
                };
            }
            None => {
                context.identity_kind = known.or(event.actor_kind).unwrap_or(ActorKind::Unknown);
                context.see_first(None);
            }
        }
    }
}

/// How the values of one event are judged.
struct Judgement<'a> {
    settings: &'a BaselineSettings,
    models: Option<&'a InstanceModels>,
    identity: &'a str,
    kind: ActorKind,
    conduct: Conduct,
    by_peers: bool,
    is_mature: bool,
}

impl Judgement<'_> {
    /// p = (c + k·p_peers) / (C + k), and for a new value at least the chance of anything new.
    fn value(
        &self,
        profile: &Profile,
        family: Family,
        key: &[u8],
        touched: Touched,
        context: &mut Context,
        anomalies: &mut Vec<Anomaly>,
    ) {
        let (days, new_today) = match touched {
            Touched::Usual => return,
            Touched::FirstToday(days) => (days, 0),
            Touched::New(count) => (0.0, count),
            Touched::NewToday | Touched::Quarantined => {
                context.see_first(Some(family));
                return;
            }
        };
        if new_today > 0 {
            context.see_first(Some(family));
        }
        let text = shown(family, key);
        let share = self.models.and_then(|models| models.share(self.identity, family, &text));
        if family == Family::Table
            && let Some(share) = share
        {
            let share = f64::from(share.holders) / f64::from(share.identities.max(1));
            context.peer_share = Some(context.peer_share.map_or(share, |known| known.min(share)));
        }
        // What else is new of late is no excuse for what is new and sensitive.
        let is_sensitive = family == Family::Table && context.sensitivity >= Some(SENSITIVE);
        let seen = (days, new_today);
        let Some(chance) = self.chance(profile, family, seen, share, is_sensitive) else { return };
        context.see_rare(family, chance);
        let kind = AnomalyKind::Value { family, days, new_today: new_today as u32 };
        let weight = weight(Some(family), self.conduct);
        let by_peers = self.by_peers;
        let anomaly = Anomaly { kind, shown: text, chance, weight, share, by_peers };
        if anomaly.is_telling() {
            anomalies.push(anomaly);
        }
    }

    /// None if too little is known to say anything.
    fn chance(
        &self,
        profile: &Profile,
        family: Family,
        (days, new_today): (f64, usize),
        share: Option<crate::anomaly::Share>,
        is_sensitive: bool,
    ) -> Option<f64> {
        if self.by_peers {
            // Only what peers share says something of a newcomer; its own words do not.
            let share = share.filter(|share| share.identities >= IDENTITIES_MIN)?;
            let says = matches!(family, Family::Table | Family::Network | Family::Application);
            let models = self.models.filter(|_| says && days == 0.0)?;
            let novelty = models.novelty(self.kind.as_str(), family, true)?;
            return Some(share.chance().max(novelty).clamp(1e-9, 1.0));
        }
        if !self.is_mature {
            return None;
        }
        let weight = self.settings.organisation_days.max(0.01);
        let peers = share.unwrap_or(crate::anomaly::Share::NONE).chance();
        let chance = (days + weight * peers) / (profile.decayed_days_before() + weight);
        let habits = profile.habits.get(family as usize)?;
        let novelty = if is_sensitive { 0.0 } else { habits.novelty() };
        let chance = match new_today {
            0 => chance,
            1 | 2 => chance.max(novelty),
            count => chance.max(novelty).min(habits.novelty_of(count)),
        };
        Some(chance.clamp(1e-9, 1.0))
    }

    fn hour(
        &self,
        profile: &Profile,
        hour: Option<(u8, f64)>,
        context: &mut Context,
        anomalies: &mut Vec<Anomaly>,
    ) {
        let Some((hour, days)) = hour.filter(|_| self.is_mature) else { return };
        let chance = ((days + 0.05) / (profile.decayed_days_before() + 1.0)).min(1.0);
        if days < 0.05 {
            context.see_first(Some(Family::Hour));
        }
        context.see_rare(Family::Hour, chance);
        let name = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][usize::from(hour / 24) % 7];
        let anomaly = Anomaly {
            kind: AnomalyKind::Hour { days },
            shown: format!("{name} {:02}:00 UTC", hour % 24),
            chance,
            weight: weight(Some(Family::Hour), self.conduct),
            share: None,
            by_peers: false,
        };
        if anomaly.is_telling() {
            anomalies.push(anomaly);
        }
    }

    fn volumes(
        &self,
        profile: &mut Profile,
        event: &AuditEvent<'_>,
        context: &mut Context,
        anomalies: &mut Vec<Anomaly>,
    ) {
        if let Some(rows) = Measure::Rows.of(event) {
            context.rows_percentile = profile.volume(Measure::Rows).percentile(rows);
        }
        for volume in &mut profile.volumes {
            let measure = volume.measure();
            let unusual = measure.of(event).and_then(|amount| volume.add(amount));
            let Some(unusual) = unusual.filter(|_| self.is_mature) else { continue };
            let UnusualDay { chance, amount, usual_max } = unusual;
            let anomaly = Anomaly {
                kind: AnomalyKind::Volume { measure, usual_max },
                shown: super::profile::grouped(amount),
                chance,
                weight: weight(None, self.conduct),
                share: None,
                by_peers: false,
            };
            if anomaly.is_telling() {
                anomalies.push(anomaly);
            }
        }
    }
}

/// Looks at every value of the event that an identity may be used to.
fn touch(
    profile: &mut Profile,
    event: &AuditEvent<'_>,
    analysis: &StatementAnalysis,
    network: &str,
    time: Timestamp,
    touched: &mut Vec<(Family, Box<[u8]>, Touched)>,
) {
    let day = profile.day();
    let mut see = |family: Family, key: &[u8]| {
        let Some(habits) = profile.habits(family) else { return };
        let found = habits.touch(key, day, time.0);
        if found != Touched::Usual {
            touched.push((family, key.into(), found));
        }
    };
    for table in analysis.tables() {
        see(Family::Table, text_key(&statement::baseline_name(table)));
    }
    if let Some(fingerprint) = analysis.baseline_fingerprint {
        see(Family::Statement, &fingerprint.to_be_bytes());
    }
    if let Some(command) = event.command.or(analysis.command()) {
        see(Family::Command, text_key(command));
    }
    if !network.is_empty() {
        see(Family::Network, text_key(network));
    }
    if let Some(application) = event.application.filter(|name| !name.is_empty()) {
        see(Family::Application, text_key(identity_kind::application_name(application)));
    }
}

fn close_day(profile: &mut Profile, instance: &str, identity: &str) -> Closed {
    let ended = profile.day_profile(instance, identity);
    let kind = profile.conduct(None, None).1;
    let (identity, day) = (identity.to_owned(), profile.close_day());
    Closed { identity, kind, profile: Some(ended), day, silence: None }
}

fn set_key(key: &mut String, instance: &str, identity: &str) {
    key.clear();
    key.push_str(instance);
    key.push('\0');
    key.push_str(identity);
}

fn fits(known: &IdentitySettings, instance: &str, identity: &str) -> bool {
    known.identity == identity && known.instance.as_deref().is_none_or(|name| name == instance)
}

fn known_identity<'s>(
    known: &'s [IdentitySettings],
    event: &AuditEvent<'_>,
    identity: &str,
) -> Option<&'s IdentitySettings> {
    known.iter().find(|known| fits(known, event.instance, identity))
}

/// Anyone can fail to log in, and say any name.
fn has_failed_to_log_in(event: &AuditEvent<'_>) -> bool {
    event.action == Action::Login && event.outcome.is_failure()
}
