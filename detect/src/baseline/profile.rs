//! What one identity has done, in decayed counts of its active days; at most some 128 KB.

use std::collections::BTreeSet;

use event::vocabulary::ActorKind;
use event::{AuditEvent, Timestamp};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::kind::{self, Conduct, Habits};
use super::surprise::{Day, Reason};
use super::value::{Family, Value, ValueRef};
use crate::settings::BaselineSettings;

/// The first days of an identity are all new; they say nothing of how often it changes.
const WARM_UP_DAYS: u32 = 3;

/// A value seen on less than this many decayed days is forgotten.
const FORGOTTEN: f64 = 0.05;

/// Sessions told apart on one day; more are not counted.
const SESSIONS_MAX: usize = 512;

/// Hours of a week.
const WEEK_HOURS: usize = 168;

pub(super) struct Profile {
    figures: Figures,
    values: HashMap<Value, Entry>,
    /// What was surprising today.
    pub(super) today: Day,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Figures {
    first: Timestamp,
    newest: Timestamp,
    day: i32,
    /// Active days, today included; decayed ones too.
    active_days: u32,
    days: f64,
    /// Different (day, hour) pairs, and those of today as bits.
    active_hours: u32,
    hours_today: u32,
    /// Hours of the day ever active, as bits.
    hours_of_day: u32,
    /// Decayed active days by hour of the week.
    week: Vec<f64>,
    statements: u64,
    sessions: u64,
    last_session: Box<str>,
    sessions_today: BTreeSet<u64>,
    interactive_days: u32,
    interactive_today: bool,
    entries: [u32; Family::REMEMBERED],
    /// Days after the warm-up, and those with something new in a family; decayed.
    watched_days: f64,
    new_days: [f64; Family::REMEMBERED],
    new_today: [bool; Family::REMEMBERED],
    /// Values seen on exactly one day before today.
    once: [u32; Family::REMEMBERED],
}

/// What is known of one value.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Entry {
    /// Decayed days on which it was seen.
    days: f64,
    times: u32,
    last_day: i32,
    /// Not learnt before this moment; 0 if learnt.
    held_until: i64,
}

/// What happened to a value that was looked at.
#[derive(Default)]
pub(super) struct Touched {
    /// Whether the identity has it from now on, and had it not before.
    pub(super) learnt: bool,
    /// For the first time today: on how many decayed days it was seen before.
    pub(super) seen: Option<f64>,
    /// Values that made room.
    pub(super) evicted: u64,
}

/// A profile as it is saved.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedProfile {
    figures: Figures,
    values: Vec<(Value, Entry)>,
    today: Day,
}

impl Profile {
    pub(super) fn new(time: Timestamp) -> Self {
        let figures = Figures {
            first: time,
            newest: time,
            day: i32::MIN,
            week: vec![0.0; WEEK_HOURS],
            ..Figures::default()
        };
        Self { figures, values: HashMap::new(), today: Day::default() }
    }

    /// Time of the newest event.
    pub(super) fn newest(&self) -> Timestamp {
        self.figures.newest
    }

    /// The current day of the identity, as [`Timestamp::day`].
    pub(super) fn day(&self) -> i32 {
        self.figures.day
    }

    /// Counts the event itself, of that day; a late one counts for the current day.
    ///
    /// For the first event of an hour of the day: the hour of the week, and on how many decayed
    /// days the identity was active near it.
    pub(super) fn begin(
        &mut self,
        event: &AuditEvent<'_>,
        day: i32,
        settings: &BaselineSettings,
    ) -> Option<(u8, f64)> {
        if day > self.figures.day {
            self.close_day(day, settings);
        }
        let figures = &mut self.figures;
        figures.newest = figures.newest.max(event.time);
        if event.statement.is_some() {
            figures.statements += 1;
        }
        if let Some(session) = event.session
            && *session != *figures.last_session
        {
            figures.last_session = session.into();
            let is_new = figures.sessions_today.len() < SESSIONS_MAX
                && figures.sessions_today.insert(fnv(session.as_bytes()));
            figures.sessions += u64::from(is_new);
        }
        if event.application.is_some_and(kind::is_interactive) && !figures.interactive_today {
            figures.interactive_today = true;
            figures.interactive_days += 1;
        }
        self.begin_hour(event.time)
    }

    /// Looks at one value and learns it, or with `held` remembers only to learn it later.
    pub(super) fn touch(
        &mut self,
        value: ValueRef<'_>,
        time: Timestamp,
        held: bool,
        settings: &BaselineSettings,
    ) -> Touched {
        let day = self.figures.day;
        if let Some(entry) = self.values.get_mut(&value) {
            return entry.touch(day, time, held);
        }
        let held_until = if held { quarantine_end(time, settings) } else { 0 };
        let evicted = self.make_room(value.family, settings);
        let days = if held { 0.0 } else { 1.0 };
        let entry = Entry { days, times: 1, last_day: day, held_until };
        self.values.insert(value.to_owned(), entry);
        let family = value.family as usize;
        self.figures.entries[family] += 1;
        self.figures.new_today[family] = true;
        Touched { learnt: !held, seen: Some(0.0), evicted }
    }

    /// Unlearns the values of `reasons` that were new today, until the quarantine is over.
    pub(super) fn hold(
        &mut self,
        reasons: &[Reason],
        time: Timestamp,
        settings: &BaselineSettings,
    ) {
        for reason in reasons.iter().filter(|reason| reason.days == 0.0) {
            let Some(value) = &reason.value else { continue };
            if let Some(entry) = self.values.get_mut(value) {
                entry.days = 0.0;
                entry.held_until = quarantine_end(time, settings);
            }
        }
    }

    /// Whether enough is known to call something unusual.
    pub(super) fn is_mature(&self, settings: &BaselineSettings) -> bool {
        self.days_before() >= settings.active_days_min
            && self.figures.active_hours >= settings.active_hours_min
    }

    /// Active days before today.
    pub(super) fn days_before(&self) -> u32 {
        self.figures.active_days.saturating_sub(1)
    }

    /// Decayed active days before today.
    pub(super) fn decayed_days_before(&self) -> f64 {
        (self.figures.days - 1.0).max(0.0)
    }

    /// Statements so far.
    pub(super) fn statements(&self) -> u64 {
        self.figures.statements
    }

    /// Chance that a day brings something new in `family`: from the days that did, and from the
    /// values seen on one day only (Good and Turing's estimate, by days).
    pub(super) fn novelty(&self, family: Family) -> f64 {
        let index = family as usize;
        let once = f64::from(self.figures.once[index]);
        let days = self.figures.watched_days;
        let by_days = (self.figures.new_days[index] + 0.05) / (days + 1.0);
        let by_values = (once + 0.05) / (self.decayed_days_before() + 1.0);
        by_days.max(by_values).min(1.0)
    }

    /// The conduct; see [`kind::conduct`].
    pub(super) fn kind(&self, known: Option<ActorKind>, source: Option<ActorKind>) -> Conduct {
        let habits = Habits {
            interactive_days: self.figures.interactive_days,
            active_days: self.figures.active_days,
            novelty: self.novelty(Family::Fingerprint),
            hours: self.figures.hours_of_day.count_ones(),
        };
        kind::conduct(known, source, &habits)
    }

    /// The most usual values of `family`, with the days they were seen on.
    pub(super) fn usual(&self, family: Family, count: usize) -> Vec<(String, u32)> {
        let mut values: Vec<_> = self
            .values
            .iter()
            .filter(|(value, entry)| {
                value.family == family && entry.is_known_before(self.figures.day)
            })
            .collect();
        values.sort_by(|a, b| b.1.days.total_cmp(&a.1.days).then_with(|| a.0.cmp(b.0)));
        values.iter().take(count).map(|(value, entry)| (value.shown(), entry.times)).collect()
    }

    /// How many values of `family` were known before today.
    pub(super) fn known(&self, family: Family) -> usize {
        let known = |(value, entry): &(&Value, &Entry)| {
            value.family == family && entry.is_known_before(self.figures.day)
        };
        self.values.iter().filter(known).count()
    }

    /// `21 days, 212 sessions, 18,402 statements`.
    pub(super) fn maturity(&self) -> String {
        let figures = &self.figures;
        format!(
            "{} active days in {}, {} sessions, {} statements",
            self.days_before(),
            self.span_days(),
            grouped(figures.sessions),
            grouped(figures.statements),
        )
    }

    /// Calendar days since the first event.
    pub(super) fn span_days(&self) -> i32 {
        self.figures.day.saturating_sub(self.figures.first.day())
    }

    pub(super) fn save(&self) -> SavedProfile {
        let mut values: Vec<_> =
            self.values.iter().map(|(value, entry)| (value.clone(), *entry)).collect();
        values.sort_by(|a, b| a.0.cmp(&b.0));
        SavedProfile { figures: self.figures.clone(), values, today: self.today.clone() }
    }

    pub(super) fn load(saved: SavedProfile) -> Self {
        let mut figures = saved.figures;
        figures.week.resize(WEEK_HOURS, 0.0);
        Self { figures, values: saved.values.into_iter().collect(), today: saved.today }
    }

    fn begin_hour(&mut self, time: Timestamp) -> Option<(u8, f64)> {
        let hour = time.hour_of_week();
        let bit = 1_u32 << (hour % 24);
        if self.figures.hours_today & bit != 0 {
            return None;
        }
        let usual = self.days_near(hour);
        self.figures.hours_today |= bit;
        self.figures.hours_of_day |= bit;
        self.figures.active_hours += 1;
        if let Some(days) = self.figures.week.get_mut(usize::from(hour)) {
            *days += 1.0;
        }
        Some((hour, usual))
    }

    /// Decayed days with activity at the same or a neighbouring hour, on the same kind of day.
    fn days_near(&self, hour: u8) -> f64 {
        let weekend = hour >= 120;
        let near = |other: usize| {
            let same_kind = (other >= 120) == weekend;
            let distance = (other % 24).abs_diff(usize::from(hour) % 24);
            same_kind && (distance <= 1 || distance == 23)
        };
        let days = self.figures.week.iter().enumerate().filter(|(other, _)| near(*other));
        days.map(|(_, days)| days).sum()
    }

    fn close_day(&mut self, day: i32, settings: &BaselineSettings) {
        let figures = &mut self.figures;
        let passed = if figures.day == i32::MIN { 0 } else { day.saturating_sub(figures.day) };
        let decay = 0.5_f64.powf(f64::from(passed) / settings.half_life_days.max(0.1));
        figures.days *= decay;
        figures.week.iter_mut().for_each(|days| *days *= decay);
        if figures.active_days > WARM_UP_DAYS {
            figures.watched_days += 1.0;
            for (days, is_new) in figures.new_days.iter_mut().zip(figures.new_today) {
                *days += f64::from(u8::from(is_new));
            }
        }
        figures.watched_days *= decay;
        figures.new_days.iter_mut().for_each(|days| *days *= decay);
        figures.new_today = Default::default();
        self.decay_values(decay);
        let figures = &mut self.figures;
        figures.day = day;
        figures.active_days += 1;
        figures.days += 1.0;
        figures.hours_today = 0;
        figures.interactive_today = false;
        figures.sessions_today.clear();
        self.today = Day::default();
    }

    fn decay_values(&mut self, decay: f64) {
        let figures = &mut self.figures;
        figures.once = Default::default();
        self.values.retain(|value, entry| {
            entry.days *= decay;
            let family = value.family as usize;
            let keep = entry.days >= FORGOTTEN || entry.held_until > 0;
            if !keep {
                figures.entries[family] -= 1;
            } else if entry.times == 1 && entry.held_until == 0 {
                figures.once[family] += 1;
            }
            keep
        });
    }

    /// Drops what is rarest and oldest when a family is full: a flood drops itself first. An
    /// eighth goes at once, so that a flood does not cost a look at everything for each value.
    fn make_room(&mut self, family: Family, settings: &BaselineSettings) -> u64 {
        let limit = match family {
            Family::Table => settings.tables_max,
            Family::Fingerprint => settings.fingerprints_max,
            _ => settings.values_max,
        };
        if (self.figures.entries[family as usize] as usize) < limit.max(1) {
            return 0;
        }
        let known = self.values.iter().filter(|(value, _)| value.family == family);
        let mut ranked: Vec<(&Value, &Entry)> = known.collect();
        let going = (limit / 8).clamp(1, ranked.len().max(1)).min(ranked.len());
        if going < ranked.len() {
            ranked.select_nth_unstable_by(going, |a, b| {
                let order = a.1.days.total_cmp(&b.1.days);
                order.then(a.1.last_day.cmp(&b.1.last_day)).then_with(|| a.0.cmp(b.0))
            });
        }
        let rarest: Vec<Value> =
            ranked[..going].iter().map(|(value, _)| (*value).clone()).collect();
        for value in &rarest {
            self.values.remove(value);
        }
        self.figures.entries[family as usize] -= rarest.len() as u32;
        rarest.len() as u64
    }
}

impl Entry {
    fn touch(&mut self, day: i32, time: Timestamp, held: bool) -> Touched {
        if self.held_until > 0 {
            if time.0 < self.held_until || held {
                return Touched::default();
            }
            *self = Self { days: 1.0, times: 1, last_day: day, held_until: 0 };
            return Touched { learnt: true, ..Touched::default() };
        }
        if self.last_day >= day {
            return Touched::default();
        }
        let before = self.days;
        if !held {
            self.days += 1.0;
            self.times += 1;
        }
        self.last_day = day;
        Touched { seen: Some(before), ..Touched::default() }
    }

    fn is_known_before(&self, day: i32) -> bool {
        self.held_until == 0 && (self.times > 1 || self.last_day < day)
    }
}

fn quarantine_end(time: Timestamp, settings: &BaselineSettings) -> i64 {
    time.plus_seconds(i64::from(settings.quarantine_hours) * 3_600).0.max(1)
}

/// Hash of a session id: it only has to tell the sessions of a day apart.
fn fnv(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// A number with commas.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
