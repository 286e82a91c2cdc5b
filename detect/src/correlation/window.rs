//! What one group of one correlation has counted: up to two timelines.

use event::EventId;
use serde::{Deserialize, Serialize};

use super::hits::{Hits, Mark};
use super::plan::Plan;

/// The timelines of a group, the one used last at the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Window {
    timelines: Vec<Timeline>,
}

/// One for events with the right time, one for a clock that jumped or a source that is behind.
const TIMELINES_MAX: usize = 2;

/// Hits within one timespan of the newest of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Timeline {
    /// Microseconds, as all times here.
    newest: i64,
    /// Time of the newest hit that has made room for others.
    dropped: Option<i64>,
    pub(super) hits: Hits,
}

impl Window {
    /// Counts a hit in the timeline that it belongs to.
    pub(super) fn add(
        &mut self,
        plan: &Plan,
        time: i64,
        event: EventId,
        mark: Mark,
    ) -> &mut Timeline {
        let fits = |timeline: &Timeline| timeline.reaches(time, plan.span_us);
        let timeline = match self.timelines.iter().rposition(fits) {
            Some(index) => self.timelines.remove(index),
            None => {
                if self.timelines.len() >= TIMELINES_MAX {
                    self.timelines.remove(0);
                }
                Timeline { newest: time, dropped: None, hits: plan.no_hits() }
            }
        };
        let timeline = self.timelines.push_mut(timeline);
        timeline.add(plan, time, event, mark);
        timeline
    }
}

impl Timeline {
    fn reaches(&self, time: i64, span_us: i64) -> bool {
        let first = self.newest.saturating_sub(span_us);
        let last = self.newest.saturating_add(span_us);
        (first..=last).contains(&time)
    }

    fn add(&mut self, plan: &Plan, time: i64, event: EventId, mark: Mark) {
        if time > self.newest {
            self.newest = time;
            self.hits.expire(time.saturating_sub(plan.span_us));
        }
        self.hits.insert(time, event, mark);
        self.dropped = self.dropped.max(self.hits.limit(plan.hits_max));
    }

    /// Whether the window has lost hits that it still reaches.
    pub(super) fn is_short(&self, span_us: i64) -> bool {
        self.dropped.is_some_and(|time| time >= self.newest.saturating_sub(span_us))
    }
}
