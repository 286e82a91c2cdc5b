//! What time it is at an instance, by its events: a clock that jumps ahead for a moment must not
//! age what is known, nor make all that comes after it late.

use bounded::BoundedMap;
use event::{AuditEvent, Timestamp};
use serde::{Deserialize, Serialize};

/// Instances whose clock is kept.
const INSTANCES_MAX: usize = 4_096;

/// A later time is a jump, in seconds: more than a day and its changes of the clock.
const JUMP_SECONDS: i64 = 26 * 3_600;

/// An event that was read so soon after its time is of now: our own clock confirms it.
const LIVE_SECONDS: i64 = 2 * 3_600;

/// A jump in a back-fill is believed once so many events in a row were there, or once they span
/// so many seconds.
const CONFIRMING_EVENTS: u32 = 32;
const CONFIRMING_SECONDS: i64 = 600;

/// The clocks of all instances.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Clocks {
    clocks: BoundedMap<String, Clock>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Clock {
    /// Newest time that is believed.
    newest: Timestamp,
    /// A jump that is not believed yet: time of its first event, and how many came in a row.
    ahead: Option<(Timestamp, u32)>,
    /// The hour up to which ticks were given.
    ticked: i64,
}

impl Default for Clocks {
    fn default() -> Self {
        Self { clocks: BoundedMap::new(INSTANCES_MAX) }
    }
}

impl Clocks {
    /// Sets the limit again, which is not saved.
    pub(crate) fn set_limits(&mut self) {
        self.clocks.set_limit(INSTANCES_MAX);
    }

    /// The time for which the event counts: its own, unless it is far ahead of its instance.
    pub(crate) fn time_of(&mut self, event: &AuditEvent<'_>) -> Timestamp {
        // No event is of a later day than the one after it was read.
        let read = event.received > Timestamp(0);
        let latest = Timestamp((i64::from(event.received.day()) + 2) * 86_400_000_000 - 1);
        let time = if read { event.time.min(latest) } else { event.time };
        let new = || Clock { newest: time, ahead: None, ticked: hour_of(time) };
        let clock = self.clocks.get_or_insert_with(event.instance, new);
        let is_live = read && event.received < time.plus_seconds(LIVE_SECONDS);
        clock.believe(time, is_live)
    }

    /// The hours that have ended at an instance since this was last asked, if its time is now
    /// `time`; at most the last 48 of them. Hours count from 1970.
    pub(crate) fn tick(&mut self, instance: &str, time: Timestamp) -> std::ops::Range<i64> {
        let hour = hour_of(time);
        let new = || Clock { newest: time, ahead: None, ticked: hour };
        let clock = self.clocks.get_or_insert_with(instance, new);
        // Of a stream that is divided, a quiet part hears the time by ticks alone.
        clock.believe(time, false);
        let ended = clock.ticked.max(hour - 48)..hour;
        clock.ticked = clock.ticked.max(hour);
        ended
    }
}

impl Clock {
    /// Moves on to `time`, unless that is a jump which nothing confirms; returns the time now.
    fn believe(&mut self, time: Timestamp, is_live: bool) -> Timestamp {
        if time <= self.newest.plus_seconds(JUMP_SECONDS) {
            self.newest = self.newest.max(time);
            self.ahead = None;
            return time;
        }
        let (first, count) = match self.ahead {
            Some((first, count)) if time >= first.plus_seconds(-JUMP_SECONDS) => (first, count + 1),
            _ => (time, 1),
        };
        let spans = time >= first.plus_seconds(CONFIRMING_SECONDS);
        if is_live || count >= CONFIRMING_EVENTS || spans {
            self.newest = time;
            self.ahead = None;
            return time;
        }
        self.ahead = Some((first, count));
        self.newest
    }
}

fn hour_of(time: Timestamp) -> i64 {
    time.0.div_euclid(3_600_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn event<'a>(time: i64, received: i64) -> AuditEvent<'a> {
        let base = AuditEvent::new("log", "test", "postgresql", "main");
        AuditEvent { time: Timestamp(time), received: Timestamp(received), ..base }
    }

    #[test]
    fn a_clock_that_jumps_for_a_moment_is_not_believed() {
        let (mut clocks, now) = (Clocks::default(), 10_000 * 24 * HOUR);
        let mut time = |at: i64| clocks.time_of(&event(at, now)).0;
        assert_eq!(time(0), 0);
        for second in 0..20 {
            assert_eq!(time(20 * 24 * HOUR + second), 0, "ahead");
        }
        assert_eq!(time(HOUR), HOUR);
        assert_eq!(time(30 * 24 * HOUR), HOUR);
        assert_eq!(time(30 * 24 * HOUR + HOUR), 30 * 24 * HOUR + HOUR, "it goes on there");
    }

    #[test]
    fn a_jump_to_now_is_believed_at_once_and_no_later_one() {
        let (mut clocks, day) = (Clocks::default(), 24 * HOUR);
        clocks.time_of(&event(0, day));
        let now = 100 * day;
        assert_eq!(clocks.time_of(&event(now, now + HOUR)).0, now);
        let bounded = clocks.time_of(&event(400 * day, now + HOUR)).0;
        assert!(bounded < 102 * day, "{}", bounded / day);
    }

    #[test]
    fn each_hour_ends_once() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.tick("main", Timestamp(5 * HOUR)), 5..5);
        assert_eq!(clocks.tick("main", Timestamp(7 * HOUR + 1)), 5..7);
        assert!(clocks.tick("main", Timestamp(6 * HOUR)).is_empty());
        assert_eq!(clocks.tick("main", Timestamp(1_000 * HOUR)).count(), 48);
    }
}
