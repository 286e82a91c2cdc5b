//! What a detector has done, in numbers; most of them are part of its snapshot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counters of one detector; they only grow, but for the gauges at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Events observed.
    pub events: u64,
    /// Alerts, by rule.
    pub alerts: BTreeMap<String, u64>,
    /// Hits that a registered job was meant to cause, by rule.
    pub expected: BTreeMap<String, u64>,
    /// Matches of rules that were remembered; as the next two, since the process started.
    pub match_hits: u64,
    /// Matches that the rules had to find.
    pub match_misses: u64,
    /// Remembered matches that made room for others.
    pub match_evictions: u64,
    /// Correlation groups that made room for others: a sign of flooding.
    pub group_evictions: u64,
    /// Open cases that made room for others: a sign of flooding.
    pub case_evictions: u64,
    /// Identities that made room for others: a sign of flooding.
    pub identity_evictions: u64,
    /// Values of identities that made room for others: a sign of flooding.
    pub value_evictions: u64,
    /// Identities known now.
    pub identities: u64,
    /// Correlation groups counted now.
    pub groups: u64,
    /// Cases open to new signals now.
    pub open_cases: u64,
}

impl Statistics {
    /// Adds what another detector has done.
    pub fn add(&mut self, other: &Self) {
        let maps = [(&mut self.alerts, &other.alerts), (&mut self.expected, &other.expected)];
        for (counts, others) in maps {
            for (rule, count) in others {
                *counts.entry(rule.clone()).or_default() += count;
            }
        }
        self.events += other.events;
        self.match_hits += other.match_hits;
        self.match_misses += other.match_misses;
        self.match_evictions += other.match_evictions;
        self.group_evictions += other.group_evictions;
        self.case_evictions += other.case_evictions;
        self.identity_evictions += other.identity_evictions;
        self.value_evictions += other.value_evictions;
        self.identities += other.identities;
        self.groups += other.groups;
        self.open_cases += other.open_cases;
    }

    /// Without what follows from when the process started, not from the events.
    pub(crate) fn of_stream(&self) -> Self {
        Self { match_hits: 0, match_misses: 0, match_evictions: 0, ..self.clone() }
    }

    pub(crate) fn count(counter: &mut BTreeMap<String, u64>, rule: &str) {
        match counter.get_mut(rule) {
            Some(count) => *count += 1,
            None => {
                counter.insert(rule.to_owned(), 1);
            }
        }
    }
}
