//! The values of one family that an identity is used to, in decayed counts of its days.
//!
//! What is new today stands apart until the day closes, so that a flood pushes out only itself.

use bounded::BoundedMap;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// A value seen on less than this many decayed days is forgotten.
const FORGOTTEN: f64 = 0.05;

/// The first days of an identity are all new; they say nothing of how often it changes.
const WARM_UP_DAYS: u32 = 3;

pub(super) type Key = Box<[u8]>;

/// The habits of one family.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    known: HashMap<Key, Entry>,
    /// New today, with how often each was seen.
    today: BoundedMap<Key, u32>,
    /// Came with something grave: not learnt before the moment, in microseconds.
    quarantined: BoundedMap<Key, i64>,
    values_max: usize,
    /// Days after the warm-up, those of them with something new, and new values; decayed.
    watched_days: f64,
    new_days: f64,
    new_values: f64,
    evictions: u64,
}

/// What is known of one value.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Decayed days on which it was seen, today included if it was.
    days: f64,
    /// Days on which it was seen, not decayed.
    times: u32,
    last_day: i32,
}

/// What looking at a value found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Touched {
    /// Seen on earlier days and already today.
    Usual,
    /// For the first time today; seen on so many decayed days before.
    FirstToday(f64),
    /// Never seen before; the number of new values of the day so far, this one included.
    New(usize),
    /// Never seen before today, but already today.
    NewToday,
    /// Came with something grave, and is not learnt yet.
    Quarantined,
}

/// Habits as they are saved: what has no order of its own is sorted.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedHabits {
    known: Vec<(Key, Entry)>,
    today: BoundedMap<Key, u32>,
    quarantined: BoundedMap<Key, i64>,
    figures: (f64, f64, f64),
}

impl Habits {
    pub(super) fn new(values_max: usize) -> Self {
        Self {
            known: HashMap::new(),
            today: BoundedMap::new(values_max),
            quarantined: BoundedMap::new(values_max),
            values_max: values_max.max(1),
            watched_days: 0.0,
            new_days: 0.0,
            new_values: 0.0,
            evictions: 0,
        }
    }

    /// Looks at one value on `day` at the moment `now`, and learns it.
    pub(super) fn touch(&mut self, key: &[u8], day: i32, now: i64) -> Touched {
        if let Some(entry) = self.known.get_mut(key) {
            if entry.last_day >= day {
                return Touched::Usual;
            }
            let before = entry.days;
            *entry = Entry { days: before + 1.0, times: entry.times + 1, last_day: day };
            return Touched::FirstToday(before);
        }
        if let Some(times) = self.today.get_mut(key) {
            *times = times.saturating_add(1);
            return Touched::NewToday;
        }
        if let Some(until) = self.quarantined.peek(key) {
            if now < *until {
                return Touched::Quarantined;
            }
            self.quarantined.remove(key);
            self.remember(key);
            return Touched::NewToday;
        }
        self.remember(key);
        Touched::New(self.today.len())
    }

    /// Unlearns a value that is new today, until the moment `until`.
    pub(super) fn quarantine(&mut self, key: &[u8], until: i64) {
        if let Some((key, _)) = self.today.remove(key).map(|times| (Key::from(key), times)) {
            self.quarantined.insert(key, until);
        }
    }

    /// Chance that a day brings something new, from the days that did.
    pub(super) fn novelty(&self) -> f64 {
        ((self.new_days + 0.05) / (self.watched_days + 1.0)).min(1.0)
    }

    /// Chance that a day brings `count` new values or more (Poisson with the mean of the days
    /// before, and half a value more for what is not known).
    pub(super) fn novelty_of(&self, count: usize) -> f64 {
        let mean = (self.new_values + 0.5) / (self.watched_days + 1.0);
        let (mut term, mut below) = ((-mean).exp(), 0.0);
        for index in 0..count.min(64) {
            below += term;
            term *= mean / (index as f64 + 1.0);
        }
        (1.0_f64 - below).clamp(1e-9, 1.0)
    }

    /// Ends the day: what was new is known from now on.
    pub(super) fn close_day(&mut self, day: i32, active_days: u32) {
        let new = self.today.len();
        if active_days > WARM_UP_DAYS {
            self.watched_days += 1.0;
            self.new_days += f64::from(u8::from(new > 0));
            self.new_values += new as f64;
        }
        let today = std::mem::replace(&mut self.today, BoundedMap::new(self.values_max));
        let learnt = today
            .iter()
            .map(|(key, _)| (key.clone(), Entry { days: 1.0, times: 1, last_day: day }));
        self.known.extend(learnt.collect::<Vec<_>>());
        self.make_room();
    }

    /// What was seen counts less by `decay`, and nothing at all once it is little.
    pub(super) fn fade(&mut self, decay: f64) {
        self.watched_days *= decay;
        self.new_days *= decay;
        self.new_values *= decay;
        self.known.retain(|_, entry| {
            entry.days *= decay;
            entry.days >= FORGOTTEN
        });
    }

    /// The values of the day: those known that were seen on it, and those that are new.
    pub(super) fn values_of(&self, day: i32) -> impl Iterator<Item = &[u8]> {
        let known = self.known.iter().filter(move |(_, entry)| entry.last_day == day);
        known.map(|(key, _)| &**key).chain(self.today.iter().map(|(key, _)| &**key))
    }

    /// How many values are new today.
    pub(super) fn new_today(&self) -> usize {
        self.today.len()
    }

    /// How many values are known from before today.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The most usual values, with the days on which they were seen.
    pub(super) fn usual(&self, count: usize) -> Vec<(&[u8], u32)> {
        let mut values: Vec<_> = self.known.iter().collect();
        values.sort_by(|a, b| b.1.days.total_cmp(&a.1.days).then_with(|| a.0.cmp(b.0)));
        values.iter().take(count).map(|(key, entry)| (&***key, entry.times)).collect()
    }

    /// Values that have made room for others since this was last asked.
    pub(super) fn take_evictions(&mut self) -> u64 {
        std::mem::take(&mut self.evictions)
    }

    pub(super) fn save(&self) -> SavedHabits {
        let mut known: Vec<_> =
            self.known.iter().map(|(key, entry)| (key.clone(), *entry)).collect();
        known.sort_by(|a, b| a.0.cmp(&b.0));
        SavedHabits {
            known,
            today: self.today.clone(),
            quarantined: self.quarantined.clone(),
            figures: (self.watched_days, self.new_days, self.new_values),
        }
    }

    pub(super) fn load(saved: SavedHabits, values_max: usize) -> Self {
        let mut habits = Self {
            known: saved.known.into_iter().collect(),
            today: saved.today,
            quarantined: saved.quarantined,
            ..Self::new(values_max)
        };
        (habits.watched_days, habits.new_days, habits.new_values) = saved.figures;
        habits.today.set_limit(values_max);
        habits.quarantined.set_limit(values_max);
        habits
    }

    fn remember(&mut self, key: &[u8]) {
        self.evictions += u64::from(self.today.insert(key.into(), 1).is_some());
    }

    /// Drops what is rarest and oldest when there is too much, once a day.
    fn make_room(&mut self) {
        let excess = self.known.len().saturating_sub(self.values_max);
        if excess == 0 {
            return;
        }
        let mut ranked: Vec<(&Key, &Entry)> = self.known.iter().collect();
        ranked.sort_by(|a, b| {
            let order = a.1.days.total_cmp(&b.1.days).then(a.1.last_day.cmp(&b.1.last_day));
            order.then_with(|| a.0.cmp(b.0))
        });
        let rarest: Vec<Key> = ranked[..excess].iter().map(|(key, _)| (*key).clone()).collect();
        rarest.iter().for_each(|key| {
            self.known.remove(key);
        });
        self.evictions += rarest.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(habits: &mut Habits, day: i32, values: &[&str]) -> Vec<Touched> {
        let touched = values.iter().map(|v| habits.touch(v.as_bytes(), day, 0)).collect();
        habits.close_day(day, day as u32);
        habits.fade(0.98);
        touched
    }

    #[test]
    fn one_busy_day_does_not_blind() {
        let mut habits = Habits::new(768);
        for number in 1..60 {
            day(&mut habits, number, &["a", "b"]);
        }
        let calm = habits.novelty();
        let busy: Vec<String> = (0..400).map(|index| format!("release {index}")).collect();
        day(&mut habits, 60, &busy.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(calm < 0.01 && habits.novelty() < 0.05, "{calm} {}", habits.novelty());
    }

    #[test]
    fn a_flood_pushes_out_only_itself() {
        let mut habits = Habits::new(16);
        for number in 1..10 {
            day(&mut habits, number, &["usual"]);
        }
        let flood: Vec<String> = (0..5_000).map(|index| format!("new {index}")).collect();
        day(&mut habits, 10, &flood.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(habits.len() <= 16 && habits.known.contains_key(&b"usual"[..]));
        assert!(habits.take_evictions() > 4_900);
    }

    #[test]
    fn many_new_values_are_rarer_than_one() {
        let mut habits = Habits::new(100);
        for number in 1..60 {
            day(&mut habits, number, &["a"]);
        }
        assert!(habits.novelty_of(1) < 0.02);
        assert!(habits.novelty_of(3) < 1e-5);
    }

    #[test]
    fn what_came_with_something_grave_is_learnt_later() {
        let mut habits = Habits::new(100);
        assert_eq!(habits.touch(b"t", 1, 0), Touched::New(1));
        habits.quarantine(b"t", 10);
        assert_eq!(habits.touch(b"t", 1, 5), Touched::Quarantined);
        habits.close_day(1, 1);
        assert!(!habits.known.contains_key(&b"t"[..]));
        assert_eq!(habits.touch(b"t", 2, 10), Touched::NewToday);
        habits.close_day(2, 2);
        assert!(habits.known.contains_key(&b"t"[..]));
    }
}
