//! What the identities of one instance have in common, as of two closed days ago.
//!
//! A worker cannot know when the others have finished a day; after a day more all have, and the
//! figures are the same wherever they are used. Of a divided stream, each share tells what it has
//! learnt by day and is given the sum of all when it opens a day.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::value::{Value, ValueRef};
use crate::settings::BaselineSettings;
use crate::statistics::Statistics;

/// Figures of a day are used this many days later.
const LAG_DAYS: i32 = 2;

/// For so many days a share can tell what it had learnt by each of them; other shares that are
/// further behind get the figures of the oldest.
const TOLD_DAYS: i32 = 16;

pub(super) struct Organisation {
    identities: u32,
    /// How many identities have learnt a value.
    counts: HashMap<Value, u32>,
    /// What was learnt on days that are not in the figures above; of a share, on the last days.
    days: BTreeMap<i32, Figures>,
    /// Of a share: what it had itself learnt before those days.
    before: Figures,
    newest_day: i32,
}

/// How many identities an instance has, and how many of them have learnt each value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    identities: u32,
    values: BTreeMap<Value, u32>,
}

/// What a share of the stream has learnt, by instance and day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    instances: BTreeMap<String, LearntAt>,
}

/// At one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LearntAt {
    before: Figures,
    days: BTreeMap<i32, Figures>,
    newest_day: i32,
}

impl Figures {
    /// Adds those of another share. There may be `values_max` values; says how many more there
    /// were.
    pub fn add(&mut self, other: &Self, values_max: usize) -> u64 {
        let mut dropped = 0;
        self.identities += other.identities;
        for (value, count) in &other.values {
            let is_full = self.values.len() >= values_max;
            if let Some(total) = self.values.get_mut(value) {
                *total += count;
            } else if !is_full {
                self.values.insert(value.clone(), *count);
            } else {
                dropped += 1;
            }
        }
        dropped
    }
}

impl Learnt {
    /// The newest day, in days since 1970, that the share has opened at an instance.
    pub fn newest_day(&self, instance: &str) -> Option<i32> {
        self.instances.get(instance).map(|learnt| learnt.newest_day)
    }

    /// What the share adds to the figures that are used on a day.
    pub fn used_on(&self, instance: &str, day: i32, values_max: usize) -> Figures {
        let Some(learnt) = self.instances.get(instance) else { return Figures::default() };
        let mut figures = learnt.before.clone();
        for (_, learnt) in learnt.days.range(..=day.saturating_sub(LAG_DAYS)) {
            figures.add(learnt, values_max);
        }
        figures
    }

    pub(super) fn of(instances: impl Iterator<Item = (String, LearntAt)>) -> Self {
        Self { instances: instances.collect() }
    }
}

/// How common a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Share {
    pub(super) holders: u32,
    pub(super) identities: u32,
}

impl Share {
    /// Chance that an identity of the organisation has it: never 0, because the unseen happens.
    pub(super) fn chance(self) -> f64 {
        let holders = f64::from(self.holders.min(self.identities));
        (holders + 0.05) / (f64::from(self.identities) + 1.0)
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct SavedOrganisation {
    identities: u32,
    counts: BTreeMap<Value, u32>,
    open: BTreeMap<i32, Figures>,
    before: Figures,
    newest_day: i32,
}

impl Organisation {
    pub(super) fn new(day: i32) -> Self {
        Self {
            identities: 0,
            counts: HashMap::new(),
            days: BTreeMap::new(),
            before: Figures::default(),
            newest_day: day,
        }
    }

    /// The newest day that was opened.
    pub(super) fn newest_day(&self) -> i32 {
        self.newest_day
    }

    /// Takes over the days that are closed when an event of `day` comes.
    pub(super) fn open_day(
        &mut self,
        day: i32,
        settings: &BaselineSettings,
        statistics: &mut Statistics,
    ) {
        if day <= self.newest_day {
            return;
        }
        self.newest_day = day;
        for learnt in self.days_before(day.saturating_sub(LAG_DAYS - 1)) {
            self.identities += learnt.identities;
            for (value, count) in learnt.values {
                if let Some(total) = self.counts.get_mut(&value) {
                    *total += count;
                } else if self.counts.len() < settings.organisation_values_max {
                    self.counts.insert(value, count);
                } else {
                    statistics.organisation_evictions += 1;
                }
            }
        }
    }

    /// Of a share: opens a day with the figures of all.
    pub(super) fn open_day_with(
        &mut self,
        day: i32,
        figures: Figures,
        settings: &BaselineSettings,
        statistics: &mut Statistics,
    ) {
        self.newest_day = day.max(self.newest_day);
        self.identities = figures.identities;
        self.counts = figures.values.into_iter().collect();
        for learnt in self.days_before(day.saturating_sub(TOLD_DAYS)) {
            let dropped = self.before.add(&learnt, settings.organisation_values_max);
            statistics.organisation_evictions += dropped;
        }
    }

    /// Makes what was learnt of a whole stream that of a share: `is_heir` of the one that tells
    /// the others of it.
    pub(super) fn divide(&mut self, is_heir: bool) {
        self.before = Figures::default();
        if is_heir {
            self.before.identities = self.identities;
            self.before.values =
                self.counts.iter().map(|(value, count)| (value.clone(), *count)).collect();
        } else {
            self.days.clear();
        }
    }

    pub(super) fn learnt_at(&self) -> LearntAt {
        let (before, days) = (self.before.clone(), self.days.clone());
        LearntAt { before, days, newest_day: self.newest_day }
    }

    fn days_before(&mut self, day: i32) -> impl Iterator<Item = Figures> + use<> {
        let later = self.days.split_off(&day);
        std::mem::replace(&mut self.days, later).into_values()
    }

    pub(super) fn add_identity(&mut self, day: i32) {
        self.learnt(day).identities += 1;
    }

    /// Notes that an identity has learnt `value`; beyond `values_max` a day forgets it.
    pub(super) fn learn(&mut self, day: i32, value: ValueRef<'_>, values_max: usize) {
        let values = &mut self.learnt(day).values;
        let value = value.to_owned();
        let is_full = values.len() >= values_max;
        if let Some(count) = values.get_mut(&value) {
            *count += 1;
        } else if !is_full {
            values.insert(value, 1);
        }
    }

    pub(super) fn share(&self, value: &Value) -> Share {
        let holders = self.counts.get(value).copied().unwrap_or_default();
        Share { holders, identities: self.identities }
    }

    /// What comes late counts for the oldest day that is still open.
    fn learnt(&mut self, day: i32) -> &mut Figures {
        let oldest_open = self.newest_day.saturating_sub(LAG_DAYS - 1);
        self.days.entry(day.max(oldest_open)).or_default()
    }

    pub(super) fn save(&self) -> SavedOrganisation {
        SavedOrganisation {
            identities: self.identities,
            counts: self.counts.iter().map(|(value, count)| (value.clone(), *count)).collect(),
            open: self.days.clone(),
            before: self.before.clone(),
            newest_day: self.newest_day,
        }
    }

    pub(super) fn load(saved: SavedOrganisation) -> Self {
        Self {
            identities: saved.identities,
            counts: saved.counts.into_iter().collect(),
            days: saved.open,
            before: saved.before,
            newest_day: saved.newest_day,
        }
    }
}
