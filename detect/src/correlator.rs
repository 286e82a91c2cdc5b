//! Rules that count events: rsigma's correlations in milliseconds of event time, with a state
//! that is bounded and saves to the same bytes for the same stream.
//!
//! A stream is divided by identity. What is counted by client, over many identities, has its own
//! correlator, which may see another share of the stream.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use event::{EventId, Timestamp};
use rsigma_eval::{
    CorrelationConfig, CorrelationEngine, CorrelationEventMode, CorrelationSnapshot, EvalError,
    EvaluationResult, EventRefBuffer, GroupKey, TimestampFallback, WindowState,
};
use rsigma_parser::SigmaCollection;
use serde::{Deserialize, Serialize};

use crate::rule::RuleSet;
use crate::rule_event::RuleEvent;
use crate::settings::RuleSettings;
use crate::statistics::Statistics;

/// Newest hits that an alert names.
const EVENTS_MAX: usize = event::alert::EVENTS_MAX;

/// Stale groups are looked for this often, in event time.
const SWEEP_MS: i64 = 600_000;

/// One source may be so far behind another, as after an outage of a collector: what is stale by
/// the clock of the one is still counted for the other.
pub(crate) const APART_SECONDS: i64 = 24 * 3_600;

pub(crate) struct Correlator {
    engine: CorrelationEngine,
    set: RuleSet,
    settings: RuleSettings,
    side: Side,
    /// Sigma ids that a correlation counts.
    counted: HashSet<String>,
    /// Newest event per (instance, identity), or per (instance, network of the client).
    newest: BTreeMap<(String, String), i64>,
    swept_ms: i64,
}

/// What a correlation counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// By identity, or by something that belongs to one.
    Identity,
    /// By client or its network, whoever it logs in as.
    Client,
}

impl Side {
    /// The side of a correlation with these columns in its `group-by`.
    pub(crate) fn of(group_by: &[String]) -> Self {
        let client = ["client", "client_address", "client_host", "client_network"];
        let is_of_client = group_by.iter().any(|column| client.contains(&column.as_str()));
        let is_of_identity = Self::names_identity(group_by);
        if is_of_client && !is_of_identity { Self::Client } else { Self::Identity }
    }

    /// Whether one of the columns belongs to an identity.
    pub(crate) fn names_identity(group_by: &[String]) -> bool {
        let identity = ["identity", "user", "actor", "session"];
        group_by.iter().any(|column| identity.contains(&column.as_str()))
    }
}

/// A correlation whose condition holds.
pub(crate) struct Firing {
    /// Sigma id of the correlation.
    pub(crate) sigma_id: String,
    /// Values of the group's columns, in the order of the rule.
    pub(crate) group: Vec<(String, String)>,
    /// What was counted or summed.
    pub(crate) value: f64,
    pub(crate) window_seconds: i64,
    pub(crate) first_time: Option<Timestamp>,
    pub(crate) events: Vec<EventId>,
}

impl Correlator {
    pub(crate) fn new(
        set: &RuleSet,
        settings: &RuleSettings,
        side: Side,
    ) -> Result<Self, EvalError> {
        let collection = collection(set, side);
        let mut counted = HashSet::new();
        for correlation in &collection.correlations {
            counted.extend(correlation.rules.iter().cloned());
        }
        let named = collection
            .rules
            .iter()
            .filter(|rule| rule.name.as_ref().is_some_and(|name| counted.contains(name)));
        let ids: Vec<String> = named.filter_map(|rule| rule.id.clone()).collect();
        counted.extend(ids);
        Ok(Self {
            engine: engine(set, settings, side)?,
            set: set.clone(),
            settings: settings.clone(),
            side,
            counted,
            newest: BTreeMap::new(),
            swept_ms: 0,
        })
    }

    /// Counts the results of one event; returns the correlations that hold now.
    ///
    /// Events are counted as they come. One that is older than the newest of its identity (or
    /// client) by more than `lateness_seconds` is left out: a window must not mix last week with
    /// today.
    pub(crate) fn count(
        &mut self,
        subject: &RuleEvent<'_>,
        results: &[EvaluationResult],
        statistics: &mut Statistics,
    ) -> Vec<Firing> {
        let counts = |result: &&EvaluationResult| {
            result.header.rule_id.as_ref().is_some_and(|id| self.counted.contains(id))
        };
        let results: Vec<_> = results.iter().filter(counts).cloned().collect();
        if results.is_empty() {
            return Vec::new();
        }
        let now_ms = subject.event.time.0.div_euclid(1_000);
        if self.is_late(subject, now_ms) {
            statistics.late_events += 1;
            return Vec::new();
        }
        self.sweep(now_ms, statistics);
        let fired = self.engine.process_with_detections(subject, results, now_ms);
        fired.into_iter().filter_map(|result| self.firing(result)).collect()
    }

    fn is_late(&mut self, subject: &RuleEvent<'_>, now_ms: i64) -> bool {
        let whose = match self.side {
            Side::Identity => subject.event.identity(),
            Side::Client => Some(subject.client_network),
        };
        let key = (subject.event.instance.to_owned(), whose.unwrap_or_default().to_owned());
        let newest = self.newest.entry(key).or_insert(now_ms);
        let late = now_ms < *newest - i64::from(self.settings.lateness_seconds) * 1_000;
        *newest = (*newest).max(now_ms);
        late
    }

    fn firing(&self, result: EvaluationResult) -> Option<Firing> {
        let sigma_id = result.header.rule_id.clone()?;
        let body = result.as_correlation()?;
        let references = body.event_refs.as_deref().unwrap_or_default();
        let events = references.iter().filter_map(|r| r.id.as_ref()?.parse().ok()).collect();
        let first = references.iter().map(|reference| reference.timestamp).min();
        Some(Firing {
            sigma_id,
            group: body.group_key.clone(),
            value: body.aggregated_value,
            window_seconds: (body.timespan_secs / 1_000) as i64,
            first_time: first.map(|ms| Timestamp(ms.saturating_mul(1_000))),
            events,
        })
    }

    /// Forgets what no window reaches any more, and under a flood the stalest groups.
    ///
    /// It runs at points that the events decide, never at those of batches, and takes away only
    /// what no window counts any more: it does not matter when it runs, or whose events decide.
    fn sweep(&mut self, now_ms: i64, statistics: &mut Statistics) {
        let full = self.engine.state_count() >= self.settings.groups_max;
        if now_ms - self.swept_ms < SWEEP_MS && !full {
            return;
        }
        self.swept_ms = self.swept_ms.max(now_ms);
        let kept_ms = now_ms - APART_SECONDS * 1_000;
        self.engine.evict_expired(kept_ms);
        self.newest.retain(|_, newest| *newest >= kept_ms);
        if self.engine.state_count() >= self.settings.groups_max {
            let dropped = self.drop_stalest();
            statistics.group_evictions += dropped;
        }
    }

    fn drop_stalest(&mut self) -> u64 {
        let mut saved = SavedCorrelations::from(self.engine.export_state());
        let mut ages: Vec<(i64, String, Vec<Option<String>>)> = Vec::new();
        for (rule, groups) in &saved.windows {
            ages.extend(groups.iter().map(|(group, w)| (w.newest(), rule.clone(), group.clone())));
        }
        ages.sort_unstable();
        let keep = self.settings.groups_max * 9 / 10;
        let dropped = ages.len().saturating_sub(keep);
        for (_, rule, group) in &ages[..dropped] {
            saved.forget(rule, group);
        }
        // The same rules compiled when the detector was made.
        if let Ok(mut engine) = engine(&self.set, &self.settings, self.side) {
            engine.import_state(saved.into());
            self.engine = engine;
        }
        dropped as u64
    }

    /// Groups counted now.
    pub(crate) fn groups(&self) -> usize {
        self.engine.state_count()
    }

    pub(crate) fn save(&self) -> SavedCorrelator {
        SavedCorrelator {
            windows: self.engine.export_state().into(),
            newest: self.newest.iter().map(|(key, ms)| (key.clone(), *ms)).collect(),
            swept_ms: self.swept_ms,
        }
    }

    /// Takes over a state that was saved with the same rules.
    pub(crate) fn load(&mut self, saved: SavedCorrelator) {
        self.newest = saved.newest.into_iter().collect();
        self.swept_ms = saved.swept_ms;
        self.engine.import_state(saved.windows.into());
    }
}

/// The documents, with the correlations of one side.
fn collection(set: &RuleSet, side: Side) -> SigmaCollection {
    let mut collection = set.collection();
    collection.correlations.retain(|correlation| Side::of(&correlation.group_by) == side);
    collection
}

fn engine(
    set: &RuleSet,
    settings: &RuleSettings,
    side: Side,
) -> Result<CorrelationEngine, EvalError> {
    let mut collection = collection(set, side);
    for correlation in &mut collection.correlations {
        // The engine counts in whatever unit it is fed; a brute force lasts less than a second.
        correlation.timespan.seconds = correlation.timespan.seconds.saturating_mul(1_000);
        if let Some(gap) = &mut correlation.gap {
            gap.seconds = gap.seconds.saturating_mul(1_000);
        }
    }
    let mut engine = CorrelationEngine::new(CorrelationConfig {
        timestamp_fields: Vec::new(),
        timestamp_fallback: TimestampFallback::Skip,
        // The engine's own cap breaks ties by the order of a hash map; see `drop_stalest`.
        max_state_entries: usize::MAX,
        max_group_entries: Some(settings.group_hits_max),
        correlation_event_mode: CorrelationEventMode::Refs,
        max_correlation_events: EVENTS_MAX,
        ..CorrelationConfig::default()
    });
    engine.add_collection(&collection)?;
    Ok(engine)
}

/// What [`Correlator::save`] gives; sorted, so the same state is the same bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedCorrelator {
    windows: SavedCorrelations,
    newest: Vec<((String, String), i64)>,
    swept_ms: i64,
}

type Groups<T> = BTreeMap<String, Vec<(Vec<Option<String>>, T)>>;

#[derive(Serialize, Deserialize)]
struct SavedCorrelations {
    version: u32,
    windows: Groups<SavedWindow>,
    last_alert: Groups<i64>,
    references: Groups<EventRefBuffer>,
}

#[derive(Serialize, Deserialize)]
enum SavedWindow {
    Events(VecDeque<i64>),
    Values(VecDeque<(i64, String)>),
    Rules(BTreeMap<String, VecDeque<i64>>),
    Numbers(VecDeque<(i64, f64)>),
}

impl SavedWindow {
    fn newest(&self) -> i64 {
        let newest = match self {
            Self::Events(times) => times.back().copied(),
            Self::Values(entries) => entries.back().map(|entry| entry.0),
            Self::Rules(hits) => hits.values().filter_map(|times| times.back().copied()).max(),
            Self::Numbers(entries) => entries.back().map(|entry| entry.0),
        };
        newest.unwrap_or(i64::MIN)
    }
}

impl SavedCorrelations {
    fn forget(&mut self, rule: &str, group: &[Option<String>]) {
        fn remove<T>(groups: &mut Groups<T>, rule: &str, group: &[Option<String>]) {
            if let Some(groups) = groups.get_mut(rule) {
                groups.retain(|(other, _)| other != group);
            }
        }
        remove(&mut self.windows, rule, group);
        remove(&mut self.last_alert, rule, group);
        remove(&mut self.references, rule, group);
    }
}

fn sorted<T, S>(
    groups: HashMap<String, Vec<(GroupKey, T)>>,
    convert: impl Fn(T) -> S,
) -> Groups<S> {
    let sort = |entries: Vec<(GroupKey, T)>| {
        let mut entries: Vec<_> =
            entries.into_iter().map(|(key, value)| (key.0, convert(value))).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries
    };
    groups.into_iter().map(|(rule, entries)| (rule, sort(entries))).collect()
}

fn unsorted<T, S>(
    groups: Groups<T>,
    convert: impl Fn(T) -> S,
) -> HashMap<String, Vec<(GroupKey, S)>> {
    let revive = |entries: Vec<(Vec<Option<String>>, T)>| {
        entries.into_iter().map(|(key, value)| (GroupKey(key), convert(value))).collect()
    };
    groups.into_iter().map(|(rule, entries)| (rule, revive(entries))).collect()
}

impl From<CorrelationSnapshot> for SavedCorrelations {
    fn from(snapshot: CorrelationSnapshot) -> Self {
        let window = |state| match state {
            WindowState::EventCount { timestamps } => SavedWindow::Events(timestamps),
            WindowState::ValueCount { entries } => SavedWindow::Values(entries),
            WindowState::Temporal { rule_hits } => {
                SavedWindow::Rules(rule_hits.into_iter().collect())
            }
            WindowState::NumericAgg { entries } => SavedWindow::Numbers(entries),
        };
        Self {
            version: snapshot.version,
            windows: sorted(snapshot.windows, window),
            last_alert: sorted(snapshot.last_alert, |time| time),
            references: sorted(snapshot.event_ref_buffers, |buffer| buffer),
        }
    }
}

impl From<SavedCorrelations> for CorrelationSnapshot {
    fn from(saved: SavedCorrelations) -> Self {
        let window = |window| match window {
            SavedWindow::Events(timestamps) => WindowState::EventCount { timestamps },
            SavedWindow::Values(entries) => WindowState::ValueCount { entries },
            SavedWindow::Rules(hits) => {
                WindowState::Temporal { rule_hits: hits.into_iter().collect() }
            }
            SavedWindow::Numbers(entries) => WindowState::NumericAgg { entries },
        };
        Self {
            version: saved.version,
            windows: unsorted(saved.windows, window),
            last_alert: unsorted(saved.last_alert, |time| time),
            event_buffers: HashMap::new(),
            event_ref_buffers: unsorted(saved.references, |buffer| buffer),
        }
    }
}
