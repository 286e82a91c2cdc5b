//! What time it is at an instance, by its events: a clock that jumps ahead for a moment must not
//! age what is known, nor make all that comes after it late.

use bounded::BoundedMap;
use event::Timestamp;
use serde::{Deserialize, Serialize};

/// Instances whose clock is kept.
const INSTANCES_MAX: usize = 4_096;

/// A later time is a jump, in seconds: no weekend, and no job of each week, is one.
const JUMP_SECONDS: i64 = 8 * 86_400;

/// So is a shorter step to a time that has not come yet where the event was read.
const STEP_AHEAD_SECONDS: i64 = 3_600;

/// An event that was read so soon after or before its time is of now: our own clock confirms it.
const LIVE_SECONDS: i64 = 2 * 3_600;

/// A jump in a back-fill is believed once so many events in a row were there, or once they span
/// so many seconds: more than the hour between two ticks.
const CONFIRMING_EVENTS: u32 = 32;
const CONFIRMING_SECONDS: i64 = 4_200;

/// The clocks of all instances.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Clocks {
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

    /// The time for which an event of the instance counts: its own, unless that is far ahead of
    /// the instance or has not come yet where the event was `received`; then what it was before.
    pub fn time_of(&mut self, instance: &str, time: Timestamp, received: Timestamp) -> Timestamp {
        let is_read = received > Timestamp(0);
        let first = if is_read { time.min(received) } else { time };
        let new = || Clock { newest: first, ahead: None, ticked: hour_of(first) };
        let clock = self.clocks.get_or_insert_with(instance, new);
        if !is_read {
            return clock.believe(time, JUMP_SECONDS, false);
        }
        let lead = time.0.saturating_sub(received.0).div_euclid(1_000_000);
        if time.day() > received.day().saturating_add(1) {
            // No server is a day ahead by its zone alone.
            return clock.newest;
        }
        let step = if lead > LIVE_SECONDS { STEP_AHEAD_SECONDS } else { JUMP_SECONDS };
        clock.believe(time, step, lead.abs() <= LIVE_SECONDS)
    }

    /// Moves an instance on to a time that whoever divides the stream has believed.
    pub(crate) fn hear(&mut self, instance: &str, time: Timestamp) {
        let new = || Clock { newest: time, ahead: None, ticked: hour_of(time) };
        let clock = self.clocks.get_or_insert_with(instance, new);
        clock.newest = clock.newest.max(time);
    }

    /// The hours that have ended at an instance since this was last asked; at most the last 48 of
    /// them. Hours count from 1970.
    pub(crate) fn ended_hours(&mut self, instance: &str) -> std::ops::Range<i64> {
        let Some(clock) = self.clocks.get_mut(instance) else { return 0..0 };
        let hour = hour_of(clock.newest);
        let ended = clock.ticked.max(hour - 48)..hour;
        clock.ticked = clock.ticked.max(hour);
        ended
    }
}

impl Clock {
    /// Moves on to `time`, unless that is a jump which nothing confirms; returns the time now.
    fn believe(&mut self, time: Timestamp, step_seconds: i64, is_live: bool) -> Timestamp {
        if time <= self.newest.plus_seconds(step_seconds) {
            self.newest = self.newest.max(time);
            self.ahead = None;
            return time;
        }
        let (first, count) = match self.ahead {
            Some((first, count)) if time >= first.plus_seconds(-step_seconds) => (first, count + 1),
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

    const DAY: i64 = 24 * HOUR;

    fn time(clocks: &mut Clocks, at: i64, received: i64) -> i64 {
        let time = clocks.time_of("main", Timestamp(at), Timestamp(received)).0;
        // As a detector does with each event.
        clocks.ended_hours("main");
        time
    }

    #[test]
    fn a_clock_that_jumps_for_a_moment_is_not_believed() {
        let (mut clocks, now) = (Clocks::default(), 10_000 * DAY);
        let mut time = |at: i64| time(&mut clocks, at, now);
        assert_eq!(time(0), 0);
        for second in 0..20 {
            assert_eq!(time(20 * DAY + second), 0, "ahead");
        }
        assert_eq!(time(HOUR), HOUR);
        assert_eq!(time(30 * DAY), HOUR);
        assert_eq!(time(30 * DAY + 2 * HOUR), 30 * DAY + 2 * HOUR, "it goes on there");
        for number in 0..32 {
            assert_eq!(time(50 * DAY) == 50 * DAY, number == 31, "the 32nd confirms it");
        }
    }

    #[test]
    fn a_quiet_week_is_no_jump() {
        let (mut clocks, now) = (Clocks::default(), 10_000 * DAY);
        for week in 0..6 {
            assert_eq!(time(&mut clocks, 7 * week * DAY, now), 7 * week * DAY);
        }
    }

    #[test]
    fn a_jump_to_now_is_believed_at_once_and_no_time_that_has_not_come() {
        let mut clocks = Clocks::default();
        time(&mut clocks, 0, DAY);
        let now = 100 * DAY + HOUR;
        assert_eq!(time(&mut clocks, now - HOUR, now), now - HOUR);
        for at in [now + 5 * HOUR, now + 20 * HOUR, 102 * DAY, 400 * DAY, i64::MAX] {
            assert_eq!(time(&mut clocks, at, now), now - HOUR, "{at}");
            assert_eq!(time(&mut clocks, now - HOUR, now), now - HOUR);
        }
        // A server whose zone is taken for another is believed after a while.
        let zone = |second: i64| now + second * 1_000_000;
        for second in 0..40 {
            let counts = time(&mut clocks, zone(second) + 5 * HOUR, zone(second));
            assert_eq!(counts == zone(second) + 5 * HOUR, second >= 31, "{second}");
        }
    }

    #[test]
    fn each_hour_ends_once() {
        let mut clocks = Clocks::default();
        let mut ended = |hour: i64, minute: i64| {
            clocks.hear("main", Timestamp(hour * HOUR + minute));
            clocks.ended_hours("main")
        };
        assert_eq!(ended(5, 0), 5..5);
        assert_eq!(ended(7, 1), 5..7);
        assert!(ended(6, 0).is_empty());
        assert_eq!(ended(1_000, 0).count(), 48);
    }
}
