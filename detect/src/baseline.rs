//! What is usual for each identity, and when a day is too surprising.
//!
//! Everything is counted in days of the identity, not in statements, so that a score is a chance
//! per identity and day. Time is the events' own; what is known of other identities is two
//! closed days old, so that it does not matter which worker saw them.

mod kind;
mod organisation;
mod profile;
mod story;
mod surprise;
mod value;

use event::alert::Severity;
use event::{AuditEvent, EventBatch, Timestamp};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::DetectSettings;
use crate::normaliser::Meaning;
use crate::settings::IdentitySettings;
use crate::statistics::Statistics;
use crate::subject::Subject;

use organisation::Organisation;
pub use organisation::{Figures, Learnt};
use profile::Profile;
use surprise::Reason;
use value::{Family, ValueRef};

pub(crate) use story::Story;
pub(crate) use surprise::Surprise;

/// All identities that one detector watches.
pub(crate) struct Baseline {
    settings: DetectSettings,
    profiles: HashMap<Key, Profile>,
    /// By instance.
    organisations: BTreeMap<String, Organisation>,
    /// Whether others watch other identities of the same instances.
    is_share: bool,
}

/// The first event of a day at an instance: the share that meets it needs the figures of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The row of that event.
    pub row: usize,
    /// Its time.
    pub time: Timestamp,
    /// The instance.
    pub instance: String,
    /// The day, in days since 1970.
    pub day: i32,
}

/// Instance and identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Key {
    instance: Box<str>,
    identity: Box<str>,
}

#[derive(Hash)]
struct KeyRef<'a> {
    instance: &'a str,
    identity: &'a str,
}

impl hashbrown::Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.instance == *key.instance && *self.identity == *key.identity
    }
}

/// What [`Baseline::save`] gives; sorted, so the same state is the same bytes.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct SavedBaseline {
    profiles: Vec<(Key, profile::SavedProfile)>,
    organisations: BTreeMap<String, organisation::SavedOrganisation>,
}

impl Baseline {
    pub(crate) fn new(settings: &DetectSettings) -> Self {
        Self {
            settings: settings.clone(),
            profiles: HashMap::new(),
            organisations: BTreeMap::new(),
            is_share: false,
        }
    }

    /// From now on, what is common is what it is [given](Self::open).
    pub(crate) fn become_share(&mut self) {
        self.is_share = true;
    }

    /// The first event that opens a day; never one of a whole stream, which knows what it needs.
    pub(crate) fn opening(&self, batch: &EventBatch) -> Option<Opening> {
        if !self.is_share || !self.settings.baseline.enabled {
            return None;
        }
        let mut newest: Option<(&str, Option<i32>)> = None;
        batch.rows().iter().find_map(|row| {
            let (instance, identity) = row.instance_and_identity();
            let day = match newest {
                Some((known, day)) if known == instance => day,
                _ => self.organisations.get(instance).map(Organisation::newest_day),
            };
            newest = Some((instance, day));
            if identity.is_none() || day.is_some_and(|day| row.time().day() <= day) {
                return None;
            }
            let event = row.event();
            let (row, time, opened) = (row.index(), event.time, day_of(&event));
            let opens = day.is_none_or(|day| opened > day) && opens_days(&event);
            let instance = instance.to_owned();
            opens.then_some(Opening { row, time, instance, day: opened })
        })
    }

    /// Opens a day with what all shares have learnt.
    pub(crate) fn open(
        &mut self,
        opening: &Opening,
        figures: Figures,
        statistics: &mut Statistics,
    ) {
        let organisation = self
            .organisations
            .entry(opening.instance.clone())
            .or_insert_with(|| Organisation::new(opening.day));
        organisation.open_day_with(opening.day, figures, &self.settings.baseline, statistics);
    }

    /// What this share has learnt.
    pub(crate) fn learnt(&self) -> Learnt {
        let organisations = self.organisations.iter();
        Learnt::of(organisations.map(|(name, learnt)| (name.clone(), learnt.learnt_at())))
    }

    /// Compares one event with what is usual for its identity, then learns from it.
    ///
    /// `grave` is the gravest alert that a rule raises for the event: what comes with a high one
    /// is not learnt for `quarantine_hours`, and raises no second alert.
    pub(crate) fn observe(
        &mut self,
        subject: &Subject<'_>,
        grave: Option<Severity>,
        statistics: &mut Statistics,
    ) -> Option<Surprise> {
        let event = subject.event;
        let key = KeyRef { instance: event.instance, identity: event.identity()? };
        // A failed log-in says what an attacker typed, not what the account does.
        if !self.settings.baseline.enabled || has_failed_to_log_in(event) {
            return None;
        }
        let day = day_of(event);
        if !self.profiles.contains_key(&key) {
            self.add(&key, event.time, day, statistics);
        }
        let profile = self.profiles.get_mut(&key)?;
        let organisation = self.organisations.get_mut(event.instance)?;
        let known = known_identity(&self.settings.identities, subject);
        if !self.is_share {
            organisation.open_day(day, &self.settings.baseline, statistics);
        }
        let hour = profile.begin(event, day, &self.settings.baseline);

        let held = grave.is_some_and(|severity| severity >= Severity::High);
        let mut found = Vec::new();
        visit(subject, |value| {
            let touched = profile.touch(value, event.time, held, &self.settings.baseline);
            statistics.value_evictions += touched.evicted;
            if touched.learnt {
                let most = self.settings.baseline.organisation_values_max;
                organisation.learn(day, value, most);
            }
            if let Some(seen) = touched.seen {
                found.push((value.to_owned(), seen));
            }
        });
        if !profile.is_mature(&self.settings.baseline) {
            return None;
        }
        let kind = profile.kind(known.and_then(|known| known.kind), event.actor_kind);
        let hour = hour.and_then(|(hour, days)| Reason::of_hour(hour, days, profile, kind));
        let scores = found.into_iter().map(|(value, seen)| {
            let share = organisation.share(&value);
            Reason::of_value(value, seen, share, profile, kind, &self.settings.baseline)
        });
        let reasons: Vec<Reason> = scores.flatten().chain(hour).collect();
        let mut surprise = profile.today.add(reasons, kind, &self.settings.baseline)?;
        if held {
            surprise.alerts = None;
        } else if let Some(alert) = &surprise.alerts
            && alert.severity >= Severity::High
        {
            profile.hold(&surprise.day, event.time, &self.settings.baseline);
        }
        surprise.know(profile, known.and_then(|known| known.name.clone()));
        Some(surprise)
    }

    /// What is known of an identity, such as `6 active days in 7, 212 sessions, …`.
    pub(crate) fn maturity(&self, instance: &str, identity: &str) -> Option<String> {
        self.profiles.get(&KeyRef { instance, identity }).map(Profile::maturity)
    }

    /// Makes what was learnt of the whole stream that of a share with these identities; one of
    /// the shares is the heir, who tells the others what was common until now.
    pub(crate) fn divide(&mut self, is_ours: impl Fn(&str, &str) -> bool, is_heir: bool) {
        self.is_share = true;
        self.profiles.retain(|key, _| is_ours(&key.instance, &key.identity));
        self.organisations.values_mut().for_each(|common| common.divide(is_heir));
    }

    /// Identities known now.
    pub(crate) fn identities(&self) -> usize {
        self.profiles.len()
    }

    pub(crate) fn save(&self) -> SavedBaseline {
        let mut profiles: Vec<_> =
            self.profiles.iter().map(|(key, profile)| (key.clone(), profile.save())).collect();
        profiles.sort_by(|a, b| a.0.cmp(&b.0));
        let organisations =
            self.organisations.iter().map(|(name, figures)| (name.clone(), figures.save()));
        SavedBaseline { profiles, organisations: organisations.collect() }
    }

    pub(crate) fn load(&mut self, saved: SavedBaseline) {
        let profiles = saved.profiles.into_iter();
        self.profiles = profiles.map(|(key, saved)| (key, Profile::load(saved))).collect();
        let organisations = saved.organisations.into_iter();
        self.organisations =
            organisations.map(|(name, saved)| (name, Organisation::load(saved))).collect();
    }

    fn add(&mut self, key: &KeyRef<'_>, time: Timestamp, day: i32, statistics: &mut Statistics) {
        if self.profiles.len() >= self.settings.baseline.identities_max {
            statistics.identity_evictions += self.drop_stalest();
        }
        let owned = Key { instance: key.instance.into(), identity: key.identity.into() };
        self.profiles.insert(owned, Profile::new(time));
        if !self.organisations.contains_key(key.instance) {
            self.organisations.insert(key.instance.to_owned(), Organisation::new(day));
        }
        if let Some(organisation) = self.organisations.get_mut(key.instance) {
            organisation.add_identity(day);
        }
    }

    /// Drops the sixteenth that was silent longest: sorting for each single one would be slow.
    fn drop_stalest(&mut self) -> u64 {
        let ages = self.profiles.iter().map(|(key, profile)| (profile.newest(), key.clone()));
        let mut ages: Vec<_> = ages.collect();
        ages.sort_unstable();
        let dropped = (ages.len() / 16).max(1);
        for (_, key) in ages.drain(..dropped) {
            self.profiles.remove(&key);
        }
        dropped as u64
    }
}

/// The day that an event counts for. A clock that was years ahead for a moment would end all
/// learning until then, so that no event is of a later day than the one after it was read.
fn day_of(event: &AuditEvent<'_>) -> i32 {
    let latest = event.received.day() + 1;
    if event.received > Timestamp(0) { event.time.day().min(latest) } else { event.time.day() }
}

/// The latest day that a batch opens, of those who learn.
pub fn newest_day(batch: &EventBatch) -> Option<i32> {
    batch.rows().iter().fold(None, |newest, row| {
        // Hardly ever later: what is quickly seen is looked at first.
        if newest.is_some_and(|newest| row.time().day() <= newest) {
            return newest;
        }
        let event = row.event();
        match opens_days(&event) {
            true => newest.max(Some(day_of(&event))),
            false => newest,
        }
    })
}

/// Anyone can fail to log in, and say any name.
fn opens_days(event: &AuditEvent<'_>) -> bool {
    event.identity().is_some() && !has_failed_to_log_in(event)
}

fn has_failed_to_log_in(event: &AuditEvent<'_>) -> bool {
    use event::vocabulary::{Action, Outcome};
    event.action == Action::Login && matches!(event.outcome, Outcome::Failed | Outcome::Denied)
}

fn known_identity<'s>(
    identities: &'s [IdentitySettings],
    subject: &Subject<'_>,
) -> Option<&'s IdentitySettings> {
    let event = subject.event;
    identities.iter().find(|known| {
        Some(known.identity.as_str()) == event.identity()
            && known.instance.as_deref().is_none_or(|instance| instance == event.instance)
    })
}

/// Every value of the event that an identity may be used to.
fn visit(subject: &Subject<'_>, mut see: impl FnMut(ValueRef<'_>)) {
    let meaning: &Meaning = subject.meaning;
    for tables in [meaning.tables_read(), meaning.tables_written()] {
        for table in tables {
            see(ValueRef::text(Family::Table, table));
        }
    }
    if let Some(fingerprint) = meaning.fingerprint {
        see(ValueRef { family: Family::Fingerprint, bytes: &fingerprint.to_be_bytes() });
    }
    if let Some(command) = subject.command() {
        see(ValueRef::text(Family::Command, command));
    }
    if !subject.client_network.is_empty() {
        see(ValueRef::text(Family::Network, subject.client_network));
    }
    if let Some(application) = subject.event.application.filter(|name| !name.is_empty()) {
        see(ValueRef::text(Family::Application, kind::application_name(application)));
    }
}
