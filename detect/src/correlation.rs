//! Correlation rules: windows of event time that count what single rules matched.
//!
//! # What is counted
//!
//! A correlation keeps hits per group: the values of its `group-by` columns. A group has a
//! timeline: hits that lie within one timespan of the newest of them. All of a timeline counts,
//! and nothing else does. An event no older than the timespan takes its place by its time, however
//! late it comes; one that is newer by no more than the timespan moves the window on.
//!
//! An event further away, in either direction, begins another timeline, and a group keeps the two
//! that were used last. So a clock that jumps days ahead, or a source that is days behind, counts
//! by itself, and the events with the right time go on where they were. A jump that is shorter
//! than the timespan shortens the window once. No clock is compared with that of another group:
//! groups make room in the order of their use.
//!
//! A correlation fires at each event that it counts while its condition holds; the caller tells a
//! case from its events. It fires at most once per group and event.
//!
//! # Where this differs from rsigma's engine
//!
//! Of streams in the order of time both give the same, but for four things. An event without the
//! counted field is not counted and fires nothing. `temporal` without a condition needs all of its
//! rules, as Sigma says; rsigma needs one. A chained correlation is given the events at which its
//! parts held. A parent that groups by a column which its part does not have takes the column of
//! the event. Out of order, rsigma counts by the order of arrival and drops what is older than the
//! event that came last.

mod digest;
mod hits;
mod plan;
mod window;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bounded::BoundedMap;
use event::alert::EVENTS_MAX;
use event::{EventId, Timestamp};
use rsigma_parser::SigmaCollection;
use serde::{Deserialize, Serialize};

pub(crate) use plan::CorrelationError;

use digest::Digest;
use plan::{Column, Plan, Plans};
use window::Window;

/// Longest value of a group that a firing shows, in bytes; what tells groups apart is all of it.
const SHOWN_MAX: usize = 256;

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Groups of all correlations together; the least recently used makes room.
    pub(crate) groups_max: usize,
    /// Hits in one timeline; the oldest makes room, and the count is then a lower bound.
    pub(crate) hits_max: usize,
}

/// All correlations of a set of rules, and what they have counted.
///
/// Pure: time comes from the events, and the same events give the same firings in one run and in
/// several with [`state`](Self::state) and [`restore`](Self::restore) between.
pub(crate) struct Correlations {
    plans: Plans,
    groups: BoundedMap<Digest, Window>,
    limits: Limits,
}

/// What has been counted, as it is held; the same state is the same bytes.
#[derive(Serialize)]
pub(crate) struct StateRef<'a>(&'a BoundedMap<Digest, Window>);

/// What [`StateRef`] reads back as.
#[derive(Deserialize)]
pub(crate) struct State(BoundedMap<Digest, Window>);

/// A correlation whose condition holds at an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Firing {
    /// Sigma id of the correlation.
    pub(crate) sigma_id: String,
    /// Columns of the group and their values, cut to 256 bytes, in the order of the rule; those
    /// that the event has.
    pub(crate) group: Vec<(String, String)>,
    /// Events, distinct values, rules, or the sum of the field.
    pub(crate) value: i64,
    /// Whether `value` may be too low, because hits of the window have made room for others.
    pub(crate) at_least: bool,
    pub(crate) window_seconds: i64,
    /// Time of the oldest hit; of values that are counted once, that of their newest events.
    pub(crate) first_time: Timestamp,
    /// The newest 20 by event time, the oldest of them first; of distinct values the newest event
    /// each.
    pub(crate) events: Vec<EventId>,
}

/// Columns of `group-by` and their values, whole.
type Columns<'e> = Vec<(String, Option<Cow<'e, str>>)>;

/// What came of one event in one group.
struct Outcome<'e> {
    group: Digest,
    columns: Columns<'e>,
    firing: Option<Firing>,
}

/// An event as a correlation takes it.
struct Occurrence<'a, 'e> {
    time: Timestamp,
    event: EventId,
    field: &'a dyn Fn(&str) -> Option<Cow<'e, str>>,
}

impl Correlations {
    /// Compiles the correlations of `collection`, which may count its single rules and each other,
    /// by id or name.
    ///
    /// # Errors
    /// A correlation that cannot be counted, with the reason and the cure.
    pub(crate) fn new(
        collection: &SigmaCollection,
        limits: Limits,
    ) -> Result<Self, CorrelationError> {
        let plans = Plans::new(collection, limits.hits_max)?;
        Ok(Self { plans, groups: BoundedMap::new(limits.groups_max), limits })
    }

    /// Whether a correlation counts the single rule with this Sigma id.
    pub(crate) fn counts(&self, sigma_id: &str) -> bool {
        self.plans.feeds.contains_key(sigma_id)
    }

    /// Counts an event that `matched` the single rules with these Sigma ids; returns the
    /// correlations that hold now, parts before the correlations that count them.
    ///
    /// `field` gives a column of the event as text, none for what the event does not have.
    pub(crate) fn count<'e>(
        &mut self,
        time: Timestamp,
        event: EventId,
        matched: &[&str],
        field: &dyn Fn(&str) -> Option<Cow<'e, str>>,
    ) -> Vec<Firing> {
        // By plan, which come after their parts: (reference, index of the firing of the part).
        let mut pending: BTreeMap<usize, Vec<(usize, Option<usize>)>> = BTreeMap::new();
        for feed in matched.iter().filter_map(|id| self.plans.feeds.get(*id)).flatten() {
            pending.entry(feed.plan).or_default().push((feed.reference, None));
        }
        let mut firings: Vec<(Firing, Columns<'e>)> = Vec::new();
        while let Some((index, feeds)) = pending.pop_first() {
            let plan = &self.plans.plans[index];
            let mut outcomes: Vec<Outcome<'e>> = Vec::new();
            for (reference, part) in feeds {
                let of_part = |name: &str| {
                    let (_, columns) = &firings[part?];
                    columns.iter().find(|(column, _)| column == name)?.1.clone()
                };
                let field = |name: &str| of_part(name).or_else(|| field(name));
                let occurrence = Occurrence { time, event, field: &field };
                if let Some(outcome) = hit(&mut self.groups, plan, reference, &occurrence) {
                    // What held before the event was counted as another rule is out of date.
                    outcomes.retain(|other| other.group != outcome.group);
                    outcomes.push(outcome);
                }
            }
            for Outcome { firing, columns, .. } in outcomes {
                let Some(firing) = firing else { continue };
                for parent in &plan.parents {
                    let feeds = pending.entry(parent.plan).or_default();
                    feeds.push((parent.reference, Some(firings.len())));
                }
                firings.push((firing, columns));
            }
        }
        firings.into_iter().map(|(firing, _)| firing).collect()
    }

    /// Groups counted now.
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Groups that have made room for others since the start or [`restore`](Self::restore).
    pub(crate) fn evictions(&self) -> u64 {
        self.groups.evictions()
    }

    /// What has been counted, to be saved.
    pub(crate) fn state(&self) -> StateRef<'_> {
        StateRef(&self.groups)
    }

    /// Takes over what was counted. What a rule counted before it was changed is left unused.
    pub(crate) fn restore(&mut self, state: State) {
        self.groups = state.0;
        self.groups.set_limit(self.limits.groups_max);
    }
}

/// Counts one occurrence for one plan; none if the event lacks what the plan counts.
fn hit<'e>(
    groups: &mut BoundedMap<Digest, Window>,
    plan: &Plan,
    reference: usize,
    occurrence: &Occurrence<'_, 'e>,
) -> Option<Outcome<'e>> {
    let Occurrence { time, event, field } = *occurrence;
    let mark = plan.mark(reference, field)?;
    let column = |column: &Column| (column.name.clone(), field(&column.fields[reference]));
    let columns: Columns<'e> = plan.group_by.iter().map(column).collect();
    let group = plan.group(columns.iter().map(|(_, value)| value.as_deref()));
    if groups.peek(&group).is_none() {
        groups.insert(group, Window::default());
    }
    let timeline = groups.get_mut(&group)?.add(plan, time.0, event, mark);
    let firing = plan.condition.value_if_held(&timeline.hits).map(|value| {
        let shown = |(name, value): &(String, Option<Cow<'_, str>>)| {
            Some((name.clone(), shown(value.as_deref()?)))
        };
        Firing {
            sigma_id: plan.sigma_id.clone(),
            group: columns.iter().filter_map(shown).collect(),
            value,
            at_least: timeline.is_short(plan.span_us),
            window_seconds: plan.span_us / 1_000_000,
            first_time: Timestamp(timeline.hits.oldest().unwrap_or(time.0)),
            events: timeline.hits.newest_events(EVENTS_MAX),
        }
    });
    Some(Outcome { group, columns, firing })
}

/// At most [`SHOWN_MAX`] bytes of a text.
fn shown(text: &str) -> String {
    if text.len() <= SHOWN_MAX {
        return text.to_owned();
    }
    let mark = "…";
    let end = text.floor_char_boundary(SHOWN_MAX - mark.len());
    format!("{}{mark}", &text[..end])
}
