//! What partitions tell each other: what is common among the identities of an instance. Each
//! tells what it has learnt; whoever opens a day first sums it up, and that sum is everybody's,
//! after a crash and in a replay too.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use detect::{Figures, Learnt, Opening};
use event::{EventId, Timestamp};
use serde::{Deserialize, Serialize};

use super::checkpoint;

/// How long events of the last day wait for partitions that do not say what they have learnt.
const PATIENCE_LIVE: Duration = Duration::from_secs(5);

/// How long older events wait for one that does not move.
const PATIENCE_HISTORY: Duration = Duration::from_secs(120);

/// Older than this, events are history.
const LIVE_SECONDS: i64 = 86_400;

/// How often the others are asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Sums are kept for so many days, for partitions that are judged again.
const KEPT_DAYS: i32 = 32;

/// A place that all workers share.
pub struct Exchange {
    folder: PathBuf,
    /// Values that a sum may have.
    values_max: usize,
    asked_at: Option<Instant>,
    answered: Option<SystemTime>,
    /// What others told last, with the time of the file.
    heard: BTreeMap<String, (SystemTime, Told)>,
}

/// What a partition tells.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    /// The next offset to judge.
    pub next: u64,
    /// Day and instance that it last waited to open.
    pub turn: Option<(i32, String)>,
    /// What its identities have learnt.
    pub learnt: Learnt,
}

/// A day that waits to be opened.
pub struct Wait {
    opening: Opening,
    /// Ends of the other partitions when it began to wait, by name.
    ends: BTreeMap<String, u64>,
    since: Instant,
    /// What the others had judged when one of them last moved.
    moved: (Instant, u64),
}

/// The figures of a day, for all.
#[derive(Serialize, Deserialize)]
struct Sum {
    figures: Figures,
    /// Partitions that had not said all of it.
    missing: Vec<String>,
}

impl Exchange {
    pub fn new(folder: PathBuf, values_max: usize) -> Self {
        Self { folder, values_max, asked_at: None, answered: None, heard: BTreeMap::new() }
    }

    /// Tells what a partition has learnt. What cannot be told is told again; others wait for a
    /// while and go on without it.
    pub fn tell(&self, partition: &str, told: &Told) {
        if let Err(error) = checkpoint::place(&self.learnt(partition), told, false) {
            tracing::error!("{error:#}");
        }
    }

    /// Whether somebody wants to know what has been learnt since it was told last.
    pub fn is_asked(&mut self) -> bool {
        let asked = changed(&self.question());
        let is_new = asked.is_some() && asked != self.answered;
        self.answered = asked;
        is_new
    }

    /// Asks everybody to tell.
    pub fn ask(&mut self) -> anyhow::Result<()> {
        if self.asked_at.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
            self.asked_at = Some(Instant::now());
            let path = self.question();
            std::fs::write(&path, b"")
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }

    /// The figures of a day, once they are the same for all; none while others are waited for.
    pub fn figures(&mut self, wait: &mut Wait, now: Timestamp) -> anyhow::Result<Option<Figures>> {
        let path = self.sum(&wait.opening);
        if let Some(sum) = checkpoint::read::<Sum>(&path)? {
            return Ok(Some(sum.figures));
        }
        let names: Vec<String> = wait.ends.keys().cloned().collect();
        names.iter().for_each(|name| self.hear(name));
        let missing = wait.missing(&self.heard);
        if !missing.is_empty() && !wait.is_over(&self.heard, now) {
            return Ok(None);
        }
        if !missing.is_empty() {
            let Opening { instance, day, .. } = &wait.opening;
            tracing::warn!(
                instance, day, partitions = ?missing,
                "what others have in common is judged by without partitions that do not go on"
            );
        }
        let Opening { instance, day, .. } = &wait.opening;
        tracing::debug!(instance, day, waited = ?wait.since.elapsed(), "a day is summed up");
        self.add_up(&wait.opening, &path, missing).map(Some)
    }

    /// The first who has a sum puts it in place; all others take that.
    fn add_up(
        &self,
        opening: &Opening,
        path: &Path,
        missing: Vec<String>,
    ) -> anyhow::Result<Figures> {
        let mut figures = Figures::default();
        for (_, told) in self.heard.values() {
            let learnt = told.learnt.used_on(&opening.instance, opening.day, self.values_max);
            figures.add(&learnt, self.values_max);
        }
        let mut own = path.to_path_buf();
        own.set_extension(format!("{}.sum", std::process::id()));
        checkpoint::write(&own, &Sum { figures, missing })?;
        let placed = std::fs::hard_link(&own, path);
        std::fs::remove_file(&own).context("a sum that was put in place cannot be removed")?;
        match placed {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).context("the figures of a day cannot be put in place");
            }
            _ => self.forget_before(opening),
        }
        let sum = checkpoint::read::<Sum>(path)?.context("the figures of a day have gone")?;
        Ok(sum.figures)
    }

    /// Removes the sum that nobody needs any more; the one of each day goes in its turn.
    fn forget_before(&self, opening: &Opening) {
        let day = opening.day.saturating_sub(KEPT_DAYS);
        let old = (day - 7..=day).map(|day| Opening { day, ..opening.clone() });
        for opening in old {
            // Most are gone already, and what stays does no harm.
            let _ = std::fs::remove_file(self.sum(&opening));
        }
    }

    /// Reads what a partition tells, if it has told something new.
    fn hear(&mut self, partition: &str) {
        let path = self.learnt(partition);
        let Some(changed) = changed(&path) else { return };
        if self.heard.get(partition).is_some_and(|(known, _)| *known == changed) {
            return;
        }
        match checkpoint::read::<Told>(&path) {
            Ok(Some(told)) => {
                self.heard.insert(partition.to_owned(), (changed, told));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("{error:#}"),
        }
    }

    fn learnt(&self, partition: &str) -> PathBuf {
        self.folder.join(format!("{partition}.learnt"))
    }

    fn sum(&self, opening: &Opening) -> PathBuf {
        let instance = EventId::of(&[opening.instance.as_bytes()]);
        self.folder.join(format!("{instance}-{}.figures", opening.day))
    }

    fn question(&self) -> PathBuf {
        self.folder.join("question")
    }
}

impl Wait {
    /// Begins to wait; `ends` of all partitions, by name.
    pub fn new(opening: Opening, ends: BTreeMap<String, u64>) -> Self {
        Self { opening, ends, since: Instant::now(), moved: (Instant::now(), 0) }
    }

    /// Partitions that may still learn something that counts: they have neither come to this
    /// day, nor have they judged what was there when the wait began.
    fn missing(&self, heard: &BTreeMap<String, (SystemTime, Told)>) -> Vec<String> {
        let Opening { instance, day, .. } = &self.opening;
        let has_told = |name: &String, end: u64| match heard.get(name) {
            None => end == 0,
            Some((_, told)) => {
                let turn = told.turn.as_ref().map(|(day, instance)| (*day, instance.as_str()));
                told.next >= end
                    || told.learnt.newest_day(instance) >= Some(*day)
                    || turn >= Some((*day, instance.as_str()))
            }
        };
        let ends = self.ends.iter();
        ends.filter(|(name, end)| !has_told(name, **end)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether it has lasted too long: an attack must not wait for what is merely usual.
    fn is_over(&mut self, heard: &BTreeMap<String, (SystemTime, Told)>, now: Timestamp) -> bool {
        let judged = heard.values().map(|(_, told)| told.next).fold(0, u64::wrapping_add);
        if judged != self.moved.1 {
            self.moved = (Instant::now(), judged);
        }
        let is_live = self.opening.time.plus_seconds(LIVE_SECONDS) >= now;
        (is_live && self.since.elapsed() >= PATIENCE_LIVE)
            || self.moved.0.elapsed() >= PATIENCE_HISTORY
    }
}

/// When a file was changed last; none if it is not there.
fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
