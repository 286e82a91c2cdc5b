//! What the identities of one instance have in common, as of two closed days ago.
//!
//! A worker cannot know when the others have finished a day; after a day more all have, and the
//! figures are the same wherever they are used.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::value::{Value, ValueRef};
use crate::settings::BaselineSettings;
use crate::statistics::Statistics;

/// Figures of a day are used this many days later.
const LAG_DAYS: i32 = 2;

pub(super) struct Organisation {
    identities: u32,
    /// How many identities have learnt a value.
    counts: HashMap<Value, u32>,
    open: BTreeMap<i32, Learnt>,
    newest_day: i32,
}

/// What was learnt on one day.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Learnt {
    identities: u32,
    values: BTreeMap<Value, u32>,
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
    open: BTreeMap<i32, Learnt>,
    newest_day: i32,
}

impl Organisation {
    pub(super) fn new(day: i32) -> Self {
        Self { identities: 0, counts: HashMap::new(), open: BTreeMap::new(), newest_day: day }
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
        let still_open = self.open.split_off(&day.saturating_sub(LAG_DAYS - 1));
        for learnt in std::mem::replace(&mut self.open, still_open).into_values() {
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
    fn learnt(&mut self, day: i32) -> &mut Learnt {
        let oldest_open = self.newest_day.saturating_sub(LAG_DAYS - 1);
        self.open.entry(day.max(oldest_open)).or_default()
    }

    pub(super) fn save(&self) -> SavedOrganisation {
        SavedOrganisation {
            identities: self.identities,
            counts: self.counts.iter().map(|(value, count)| (value.clone(), *count)).collect(),
            open: self.open.clone(),
            newest_day: self.newest_day,
        }
    }

    pub(super) fn load(saved: SavedOrganisation) -> Self {
        Self {
            identities: saved.identities,
            counts: saved.counts.into_iter().collect(),
            open: saved.open,
            newest_day: saved.newest_day,
        }
    }
}
