//! The hits of one timeline, in the order of their time, kept so that each kind of correlation is
//! counted without looking at all of them.

use std::collections::{BTreeMap, VecDeque};

use event::EventId;
use serde::{Deserialize, Serialize, Serializer};

use super::digest::Digest;

/// What a correlation looks at in a hit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// Adds up: 1, or the value of a field.
    Amount(i64),
    /// Is counted once, with its newest event.
    Value(Digest),
    /// Happened as one step of an order.
    Step(usize),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Hits {
    Amounts(Amounts),
    Values(Values),
    Steps(Steps),
}

/// `event_count` and `value_sum`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "VecDeque<(i64, EventId, i64)>")]
pub(super) struct Amounts {
    entries: VecDeque<(i64, EventId, i64)>,
    sum: i128,
}

/// `value_count` and `temporal`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Vec<(i64, Digest, EventId)>")]
pub(super) struct Values {
    /// By time, then by arrival.
    by_time: BTreeMap<(i64, u64), (Digest, EventId)>,
    newest: BTreeMap<Digest, (i64, u64)>,
    /// Hits so far; what is read back is numbered anew, in the same order.
    arrived: u64,
}

/// `temporal_ordered`: the hits of each step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Steps(Vec<VecDeque<(i64, EventId)>>);

impl Hits {
    pub(super) fn amounts() -> Self {
        Self::Amounts(Amounts::default())
    }

    pub(super) fn values() -> Self {
        Self::Values(Values::default())
    }

    pub(super) fn steps(count: usize) -> Self {
        Self::Steps(Steps(vec![VecDeque::new(); count]))
    }

    /// Puts a hit in its place, after those of the same time.
    pub(super) fn insert(&mut self, time: i64, event: EventId, mark: Mark) {
        match (self, mark) {
            (Self::Amounts(amounts), Mark::Amount(amount)) => {
                amounts.sum += i128::from(amount);
                insert_ordered(&mut amounts.entries, (time, event, amount), |entry| entry.0);
            }
            (Self::Values(values), Mark::Value(value)) => values.insert(time, event, value),
            (Self::Steps(steps), Mark::Step(step)) => {
                if let Some(hits) = steps.0.get_mut(step) {
                    insert_ordered(hits, (time, event), |entry| entry.0);
                }
            }
            // A plan gives marks of the kind that its hits were made for.
            _ => {}
        }
    }

    /// Drops what is older than `cutoff`.
    pub(super) fn expire(&mut self, cutoff: i64) {
        match self {
            Self::Amounts(amounts) => {
                while amounts.entries.front().is_some_and(|entry| entry.0 < cutoff) {
                    amounts.pop_oldest();
                }
            }
            Self::Values(values) => {
                while values.oldest().is_some_and(|time| time < cutoff) {
                    values.pop_oldest();
                }
            }
            Self::Steps(steps) => {
                for hits in &mut steps.0 {
                    while hits.front().is_some_and(|entry| entry.0 < cutoff) {
                        hits.pop_front();
                        touch(1);
                    }
                }
            }
        }
    }

    /// Drops the oldest beyond `hits_max`, of each step if there are steps; returns the time of
    /// the newest that was dropped.
    pub(super) fn limit(&mut self, hits_max: usize) -> Option<i64> {
        let mut dropped = None;
        match self {
            Self::Amounts(amounts) => {
                while amounts.entries.len() > hits_max {
                    dropped = dropped.max(amounts.pop_oldest());
                }
            }
            Self::Values(values) => {
                while values.newest.len() > hits_max {
                    dropped = dropped.max(values.pop_oldest());
                }
            }
            Self::Steps(steps) => {
                for hits in &mut steps.0 {
                    while hits.len() > hits_max {
                        dropped = dropped.max(hits.pop_front().map(|entry| entry.0));
                        touch(1);
                    }
                }
            }
        }
        dropped
    }

    /// Hits, or their sum; distinct values; all steps if they happened in their order, else 0.
    pub(super) fn value(&self) -> i128 {
        match self {
            Self::Amounts(amounts) => amounts.sum,
            Self::Values(values) => values.newest.len() as i128,
            Self::Steps(steps) => {
                if steps.happened_in_order() {
                    steps.0.len() as i128
                } else {
                    0
                }
            }
        }
    }

    /// How many of the rules with these numbers have a hit; see [`Hits::has`].
    pub(super) fn rules(&self, count: usize) -> usize {
        (0..count).filter(|rule| self.has(*rule)).count()
    }

    /// Whether the rule with this number among those of the correlation has a hit.
    pub(super) fn has(&self, rule: usize) -> bool {
        match self {
            Self::Amounts(_) => false,
            Self::Values(values) => values.newest.contains_key(&Digest::of_index(rule)),
            Self::Steps(steps) => steps.0.get(rule).is_some_and(|hits| !hits.is_empty()),
        }
    }

    /// Time of the oldest hit.
    pub(super) fn oldest(&self) -> Option<i64> {
        match self {
            Self::Amounts(amounts) => amounts.entries.front().map(|entry| entry.0),
            Self::Values(values) => values.oldest(),
            Self::Steps(steps) => {
                steps.0.iter().filter_map(|hits| hits.front()).map(|entry| entry.0).min()
            }
        }
    }

    /// The newest `count` events, the oldest of them first; each once.
    pub(super) fn newest_events(&self, count: usize) -> Vec<EventId> {
        let mut events: Vec<EventId> = match self {
            Self::Amounts(amounts) => {
                amounts.entries.iter().rev().take(count).map(|entry| entry.1).collect()
            }
            Self::Values(values) => {
                values.by_time.values().rev().take(count).map(|(_, event)| *event).collect()
            }
            Self::Steps(steps) => {
                let newest = steps.0.iter().flat_map(|hits| hits.iter().rev().take(count));
                let mut newest: Vec<_> = newest.copied().collect();
                newest.sort_unstable();
                newest.dedup();
                newest.into_iter().rev().take(count).map(|entry| entry.1).collect()
            }
        };
        touch(events.len());
        events.reverse();
        events.dedup();
        events
    }
}

impl Amounts {
    fn pop_oldest(&mut self) -> Option<i64> {
        let (time, _, amount) = self.entries.pop_front()?;
        self.sum -= i128::from(amount);
        touch(1);
        Some(time)
    }
}

impl Values {
    fn insert(&mut self, time: i64, event: EventId, value: Digest) {
        touch(1);
        match self.newest.get(&value).copied() {
            Some((newest, _)) if newest > time => return,
            Some(older) => {
                self.by_time.remove(&older);
            }
            None => {}
        }
        self.arrived += 1;
        self.newest.insert(value, (time, self.arrived));
        self.by_time.insert((time, self.arrived), (value, event));
    }

    fn oldest(&self) -> Option<i64> {
        self.by_time.first_key_value().map(|(key, _)| key.0)
    }

    fn pop_oldest(&mut self) -> Option<i64> {
        let ((time, _), (value, _)) = self.by_time.pop_first()?;
        self.newest.remove(&value);
        touch(1);
        Some(time)
    }
}

impl Steps {
    /// Whether each step has a hit that is not older than the one chosen for the step before;
    /// the oldest that fits is chosen, which leaves most to the steps after it.
    fn happened_in_order(&self) -> bool {
        let mut after = i64::MIN;
        for hits in &self.0 {
            touch(1);
            let first = hits.partition_point(|entry| entry.0 < after);
            match hits.get(first) {
                Some(entry) => after = entry.0,
                None => return false,
            }
        }
        true
    }
}

impl From<VecDeque<(i64, EventId, i64)>> for Amounts {
    fn from(entries: VecDeque<(i64, EventId, i64)>) -> Self {
        let sum = entries.iter().map(|entry| i128::from(entry.2)).sum();
        Self { entries, sum }
    }
}

impl Serialize for Amounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

impl From<Vec<(i64, Digest, EventId)>> for Values {
    fn from(entries: Vec<(i64, Digest, EventId)>) -> Self {
        let mut values = Self::default();
        for (time, value, event) in entries {
            values.insert(time, event, value);
        }
        values
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = self.by_time.iter();
        serializer.collect_seq(entries.map(|((time, _), (value, event))| (time, value, event)))
    }
}

/// Inserts after the entries of the same time. Most events come in order, so this is an append;
/// a late one moves the entries after it.
fn insert_ordered<T>(entries: &mut VecDeque<T>, entry: T, time: impl Fn(&T) -> i64) {
    let at = entries.partition_point(|other| time(other) <= time(&entry));
    touch(1 + (entries.len() - at).min(at));
    entries.insert(at, entry);
}

#[cfg(test)]
thread_local! {
    static TOUCHED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts entries that were looked at or moved: tests of cost count work, not time.
fn touch(entries: usize) {
    #[cfg(test)]
    TOUCHED.with(|touched| touched.set(touched.get() + entries as u64));
    #[cfg(not(test))]
    let _ = entries;
}

/// Entries touched on this thread so far.
#[cfg(test)]
pub(super) fn touched() -> u64 {
    TOUCHED.with(std::cell::Cell::get)
}
