//! One alert for one cause: a cause that has alerted stays silent until it has been quiet.

use std::collections::BTreeMap;

use event::Timestamp;
use serde::{Deserialize, Serialize};

use crate::correlator::APART_SECONDS;

/// Rule, instance, and the values that tell one cause from another.
pub(crate) type Cause = (String, String, Vec<String>);

/// The causes that have alerted and have not been quiet since.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Episodes {
    running: BTreeMap<Cause, Episode>,
    swept: Timestamp,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Episode {
    alerted: Timestamp,
    newest: Timestamp,
    ends: Timestamp,
}

/// How long an episode lasts, and how many there may be.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) quiet_seconds: i64,
    pub(crate) hours_max: u32,
    pub(crate) episodes_max: usize,
}

/// What [`Episodes::hit`] says.
pub(crate) struct Hit {
    /// Whether an alert is due.
    pub(crate) alerts: bool,
    /// Episodes that made room.
    pub(crate) evicted: u64,
}

impl Episodes {
    /// Notes a hit of `cause` at `time`.
    pub(crate) fn hit(&mut self, cause: Cause, time: Timestamp, limits: Limits) -> Hit {
        let evicted = self.sweep(time, limits.episodes_max);
        let ends = |newest: Timestamp| newest.plus_seconds(limits.quiet_seconds);
        if let Some(episode) = self.running.get_mut(&cause) {
            let longest = episode.alerted.plus_seconds(i64::from(limits.hours_max) * 3_600);
            if time <= episode.ends && time < longest {
                episode.newest = episode.newest.max(time);
                episode.ends = ends(episode.newest);
                return Hit { alerts: false, evicted };
            }
        }
        self.running.insert(cause, Episode { alerted: time, newest: time, ends: ends(time) });
        Hit { alerts: true, evicted }
    }

    /// Episodes running now, those included that have ended since the last sweep.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Removes ended episodes once an hour of event time, and the oldest tenth under a flood.
    fn sweep(&mut self, now: Timestamp, episodes_max: usize) -> u64 {
        let full = self.running.len() >= episodes_max;
        if now < self.swept.plus_seconds(3_600) && !full {
            return 0;
        }
        self.swept = self.swept.max(now);
        // An ended episode that is kept longer has ended all the same.
        let kept = now.plus_seconds(-APART_SECONDS);
        self.running.retain(|_, episode| episode.ends >= kept);
        if self.running.len() < episodes_max {
            return 0;
        }
        let mut ages: Vec<_> = self.running.iter().map(|(c, e)| (e.newest, c.clone())).collect();
        ages.sort_unstable();
        let dropped = ages.len() - episodes_max * 9 / 10;
        for (_, cause) in &ages[..dropped] {
            self.running.remove(cause);
        }
        dropped as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { quiet_seconds: 60, hours_max: 24, episodes_max: 10 };

    fn alerts_at(seconds: &[i64]) -> Vec<bool> {
        let mut episodes = Episodes::default();
        let cause = || ("D01".to_owned(), "main".to_owned(), vec!["bo".to_owned()]);
        let hit = |s: &i64| episodes.hit(cause(), Timestamp(s * 1_000_000), LIMITS).alerts;
        seconds.iter().map(hit).collect()
    }

    #[test]
    fn alerts_again_only_after_quiet() {
        assert_eq!(alerts_at(&[0, 30, 90, 151]), [true, false, false, true]);
    }

    #[test]
    fn an_endless_episode_reminds_once_a_day() {
        let every_minute: Vec<i64> = (0..=24 * 60).map(|minute| minute * 60).collect();
        let alerts = alerts_at(&every_minute);
        assert_eq!(alerts.iter().filter(|alerts| **alerts).count(), 2);
        assert!(alerts[0] && alerts[24 * 60]);
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let mut episodes = Episodes::default();
        let mut evicted = 0;
        for user in 0..100 {
            let cause = ("D01".to_owned(), "main".to_owned(), vec![format!("user{user}")]);
            evicted += episodes.hit(cause, Timestamp(user * 1_000_000), LIMITS).evicted;
        }
        assert!(episodes.len() <= 10);
        assert_eq!(evicted, 100 - episodes.len() as u64);
    }
}
