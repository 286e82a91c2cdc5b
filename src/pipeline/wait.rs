//! How long a partition that opens a day waits for what the others have learnt.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use detect::{Learnt, Opening};
use event::{EventId, Timestamp};
use serde::{Deserialize, Serialize};

use super::ends::NewestDays;

/// How long events of the last day wait for partitions that do not say what they have learnt.
const PATIENCE_LIVE: Duration = Duration::from_secs(5);

/// How long older events wait for one that does not move.
const PATIENCE_HISTORY: Duration = Duration::from_secs(120);

/// How long after such a wait was in vain others last no longer than this, once nothing that was
/// on the bus is left to be judged: whoever may write to it must not be able to stop a partition.
const PATIENCE_RESTORED: Duration = Duration::from_secs(600);
const PATIENCE_AGAIN: Duration = Duration::from_secs(2);

/// Older than this, events are history.
const LIVE_SECONDS: i64 = 86_400;

/// Files of which it is remembered that they were waited for in vain.
const GIVEN_UP_MAX: usize = 4096;

/// When a file was written, and its inode: clocks tick slowly, a file that is put in place of
/// another is another.
pub type Stamp = (SystemTime, u64);

/// What all partitions told last, with the time of the file.
pub type Heard = BTreeMap<String, (Stamp, Told)>;

/// What a partition tells.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    pub turn: Turn,
    /// To which days files have come: what they have of earlier ones is judged.
    #[serde(default)]
    pub newest_days: NewestDays,
    /// What its identities have learnt.
    pub learnt: Learnt,
}

/// Where a partition is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The next offset to judge.
    pub next: u64,
    /// Day and instance that it waits to open, if it does.
    pub waits: Option<(i32, String)>,
}

/// A day that waits to be opened.
pub struct Wait {
    pub opening: Opening,
    /// The file in which the day is, if every partition hears of its days.
    pub file: Option<EventId>,
    /// Ends of all partitions when it began to wait, by name; beyond everything where the bus did
    /// not say.
    pub ends: BTreeMap<String, u64>,
    pub since: Instant,
    /// When it is looked at again.
    pub look_at: Instant,
    /// When one of those that are missing last moved, and what they had judged then of what was
    /// there when it began.
    pub moved: (Instant, u64),
}

impl Wait {
    /// Begins to wait for a day of a file; `ends` of all partitions, by name.
    pub fn new(opening: Opening, file: Option<EventId>, ends: BTreeMap<String, u64>) -> Self {
        let now = Instant::now();
        Self { opening, file, ends, since: now, look_at: now, moved: (now, 0) }
    }

    /// Partitions that may still learn something that counts: they have neither come to this
    /// day, nor heard that the file has, wherever that is on its way to them. Of a file that does
    /// not tell, what was there when the wait began is all that can be waited for.
    pub fn missing(&self, heard: &Heard, patience: &Patience) -> Vec<String> {
        let Opening { instance, day, .. } = &self.opening;
        let file = self.file.filter(|file| !patience.given_up.contains(file));
        let is_through = |(name, end): &(&String, &u64)| {
            heard.get(*name).is_some_and(|(_, Told { turn, learnt, .. })| {
                let waits = turn.waits.as_ref().map(|(day, instance)| (*day, instance.as_str()));
                (file.is_none() && turn.next >= **end)
                    || self.has_heard(heard, name)
                    || learnt.newest_day(instance) >= Some(*day)
                    || waits >= Some((*day, instance.as_str()))
            })
        };
        let missing = self.ends.iter().filter(|partition| !is_through(partition));
        missing.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a partition has judged what the file has of earlier days.
    fn has_heard(&self, heard: &Heard, partition: &str) -> bool {
        let told = heard.get(partition).zip(self.file);
        told.is_some_and(|((_, told), file)| told.newest_days.get(&file) >= Some(&self.opening.day))
    }

    /// Whether it has lasted too long: an attack must not wait for what is merely usual.
    pub fn is_over(
        &mut self,
        missing: &[String],
        heard: &Heard,
        patience: &Patience,
        now: Timestamp,
    ) -> bool {
        let (mut judged, mut is_all_judged) = (0_u64, true);
        for name in missing {
            let next = heard.get(name).map_or(0, |(_, told)| told.turn.next);
            let end = self.ends.get(name).copied().unwrap_or(0);
            // What came later does not count, or it would never be over.
            judged = judged.wrapping_add(if end == u64::MAX { 0 } else { next.min(end) });
            is_all_judged &= next >= end;
        }
        if judged != self.moved.1 {
            self.moved = (Instant::now(), judged);
        }
        if self.is_live(now)
            && (self.since.elapsed() >= PATIENCE_LIVE || self.opening.day <= patience.waited_for)
        {
            return true;
        }
        let was_in_vain = patience.given_up_at.is_some_and(|at| at.elapsed() < PATIENCE_RESTORED);
        let patience = if is_all_judged && was_in_vain { PATIENCE_AGAIN } else { PATIENCE_HISTORY };
        self.moved.0.elapsed() >= patience
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.opening.time.plus_seconds(LIVE_SECONDS) >= now
    }
}

/// What waiting in vain has taught.
pub struct Patience {
    /// The latest day that was waited for as long as it may be: live events of other instances
    /// wait for it no more.
    waited_for: i32,
    /// Files of which not all partitions heard, until all do. It is not waited for what may be on
    /// its way of them.
    given_up: BTreeSet<EventId>,
    given_up_at: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { waited_for: i32::MIN, given_up: BTreeSet::new(), given_up_at: None }
    }
}

impl Patience {
    /// Nobody was missing.
    pub fn learn_of_success(&mut self, wait: &Wait, heard: &Heard) {
        if let Some(file) = &wait.file
            && self.given_up.contains(file)
            && wait.ends.keys().all(|partition| wait.has_heard(heard, partition))
        {
            self.given_up.remove(file);
        }
    }

    /// It was over before all were there.
    pub fn learn_of_failure(&mut self, wait: &Wait, now: Timestamp) {
        self.waited_for = self.waited_for.max(wait.opening.day);
        if let Some(file) = wait.file.filter(|_| !wait.is_live(now)) {
            if self.given_up.len() >= GIVEN_UP_MAX {
                self.given_up.clear();
            }
            self.given_up.insert(file);
            self.given_up_at = Some(Instant::now());
        }
    }
}
