//! What partitions tell each other: what is common among the identities of an instance. Each
//! tells what it has learnt; whoever opens a day first sums it up, and that sum is everybody's,
//! after a crash and in a replay too.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use detect::{Figures, Opening};
use event::{EventId, Timestamp};

use super::checkpoint;
use super::shard::Shard;
use super::wait::{Heard, Patience, Stamp, Told, Turn, Wait};

/// How often the others are asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How often it is told that the folder cannot be used.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How often a wait is looked at, and when again if a sum cannot be put in place.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sums are kept for so long, for partitions that are judged again.
const KEPT: Duration = Duration::from_secs(32 * 86_400);

/// How often it is looked for what is too old.
const CLEAN_EVERY: Duration = Duration::from_secs(86_400);

/// A place that all workers share.
pub struct Exchange {
    folder: PathBuf,
    /// Values that a sum may have.
    values_max: usize,
    asked_at: Option<Instant>,
    answered: Option<Stamp>,
    /// What all told last, with the time of the file.
    heard: Heard,
    troubled_at: Option<Instant>,
    /// What each partition of this process told last, and the time of the file.
    told: BTreeMap<String, (Turn, Option<Stamp>)>,
    patience: Patience,
    cleaned_at: Option<Instant>,
}

impl Exchange {
    pub fn new(folder: PathBuf, values_max: usize) -> Self {
        Self {
            folder,
            values_max,
            asked_at: None,
            answered: None,
            heard: BTreeMap::new(),
            troubled_at: None,
            told: BTreeMap::new(),
            patience: Patience::default(),
            cleaned_at: None,
        }
    }

    /// Tells what a partition has learnt, if it is anything new. What cannot be told is told when
    /// somebody asks again.
    pub fn tell(&mut self, shard: &Shard) {
        let waits = shard.opening().map(|opening| (opening.day, opening.instance.clone()));
        let turn = Turn { next: shard.next, waits };
        let path = self.learnt(&shard.name);
        // One that has lost the partition and does not know yet may have told in between.
        if self.told.get(&shard.name) == Some(&(turn.clone(), changed(&path))) {
            return;
        }
        let (newest_days, learnt) = (shard.newest_days(), shard.judge.learnt());
        if self.place(&shard.name, &Told { turn: turn.clone(), newest_days, learnt }) {
            self.told.insert(shard.name.clone(), (turn, changed(&path)));
        }
    }

    fn place(&mut self, partition: &str, told: &Told) -> bool {
        let placed = checkpoint::place(&self.learnt(partition), told, false);
        self.passed(placed).is_some()
    }

    /// Others tell of a partition from now on.
    pub fn leave(&mut self, partition: &str) {
        self.told.remove(partition);
    }

    /// Once nobody waits: what was heard will be told anew, and what is old is in the way.
    pub fn rest(&mut self) {
        self.heard.clear();
        if self.cleaned_at.is_none_or(|at| at.elapsed() >= CLEAN_EVERY) {
            self.cleaned_at = Some(Instant::now());
            let cleaned = self.clean();
            self.passed(cleaned);
        }
    }

    /// Removes old sums, and what processes that were killed have left.
    fn clean(&self) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(&self.folder).context("the folder cannot be read")? {
            let path = entry.context("the folder cannot be read")?.path();
            let kept = match path.extension().and_then(|extension| extension.to_str()) {
                Some("figures") => KEPT,
                Some("new" | "sum") => CLEAN_EVERY,
                _ => continue,
            };
            let age = changed(&path).and_then(|(written, _)| written.elapsed().ok());
            if age.is_some_and(|age| age >= kept) {
                // Somebody else may have been quicker.
                let _ = std::fs::remove_file(&path);
            }
        }
        Ok(())
    }

    /// The figures of a day, if they have been added up.
    pub fn known(&mut self, opening: &Opening) -> Option<Figures> {
        let path = self.sum(opening);
        match checkpoint::read::<Figures>(&path) {
            Ok(figures) => figures,
            Err(error) => {
                if !error.is::<std::io::Error>() {
                    // Damaged: it is added up again.
                    let _ = std::fs::remove_file(&path);
                }
                self.passed(Err(error))
            }
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
    pub fn ask(&mut self) {
        if self.asked_at.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
            self.asked_at = Some(Instant::now());
            let path = self.question();
            let asked = std::fs::write(&path, b"?");
            self.passed(asked.with_context(|| format!("{} cannot be written", path.display())));
        }
    }

    /// The figures of a day, once they are the same for all; none while others are waited for.
    pub fn figures(&mut self, wait: &mut Wait, now: Timestamp) -> Option<Figures> {
        if Instant::now() < wait.look_at {
            return None;
        }
        wait.look_at = Instant::now() + LOOK_EVERY;
        if let Some(figures) = self.known(&wait.opening) {
            return Some(figures);
        }
        let names: Vec<String> = wait.ends.keys().cloned().collect();
        names.iter().for_each(|name| self.hear(name));
        let missing = wait.missing(&self.heard, &self.patience);
        let is_over = wait.is_over(&missing, &self.heard, &self.patience, now);
        if !missing.is_empty() && !is_over {
            return None;
        }
        let Opening { instance, day, .. } = &wait.opening;
        if missing.is_empty() {
            self.patience.learn_of_success(wait, &self.heard);
        } else {
            self.patience.learn_of_failure(wait, now);
            tracing::warn!(
                instance, day, partitions = ?missing,
                "what others have in common is judged by without partitions that do not go on"
            );
        }
        tracing::debug!(instance, day, waited = ?wait.since.elapsed(), "a day is added up");
        let figures = self.add_up(&wait.opening);
        let placed = self.put_in_place(&wait.opening, &figures);
        match self.passed(placed) {
            Some(()) => self.known(&wait.opening),
            // Detection must not stop because the disk is full.
            None if is_over => Some(figures),
            None => {
                wait.look_at = Instant::now() + RETRY_AFTER;
                None
            }
        }
    }

    fn add_up(&self, opening: &Opening) -> Figures {
        let mut figures = Figures::default();
        for (_, told) in self.heard.values() {
            let learnt = told.learnt.used_on(&opening.instance, opening.day, self.values_max);
            figures.add(&learnt, self.values_max);
        }
        figures
    }

    /// The first who has a sum puts it in place; all others take that.
    fn put_in_place(&self, opening: &Opening, figures: &Figures) -> anyhow::Result<()> {
        let path = self.sum(opening);
        let mut own = path.clone();
        // Of each process its own; on several machines their numbers may be the same.
        own.set_extension(format!("{:016x}.sum", RandomState::new().hash_one(Instant::now())));
        checkpoint::write(&own, figures)?;
        let placed = std::fs::hard_link(&own, path);
        std::fs::remove_file(&own).context("a sum that was put in place cannot be removed")?;
        match placed {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(error).context("the figures of a day cannot be put in place")
            }
            _ => Ok(()),
        }
    }

    /// Reads what a partition tells, if it has told something new.
    fn hear(&mut self, partition: &str) {
        let path = self.learnt(partition);
        let Some(changed) = changed(&path) else { return };
        if self.heard.get(partition).is_some_and(|(known, _)| *known == changed) {
            return;
        }
        let told = checkpoint::read::<Told>(&path);
        if let Some(Some(told)) = self.passed(told) {
            self.heard.insert(partition.to_owned(), (changed, told));
        }
    }

    /// What went well. Trouble with the folder is told once a minute; the lake has it too, and
    /// everything goes on once it is over.
    fn passed<T>(&mut self, done: anyhow::Result<T>) -> Option<T> {
        let error = match done {
            Ok(done) => return Some(done),
            Err(error) => error,
        };
        if self.troubled_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            self.troubled_at = Some(Instant::now());
            tracing::error!("partitions cannot tell each other what is common: {error:#}");
        }
        None
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

/// Which file stands at a path, and of when; none if there is none.
fn changed(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.ino()))
}

#[cfg(test)]
mod tests {
    use detect::{DetectSettings, Detector, RuleSet};
    use event::{AuditEvent, EventBatchBuilder};

    use super::*;
    use crate::pipeline::ends::NewestDays;

    const DAY: i64 = 86_400_000_000;

    /// What is told by who has judged so much, of identities that worked on the first day.
    fn told(next: u64, users: &[&str]) -> Told {
        let detector = Detector::new(&DetectSettings::default(), RuleSet::default());
        let mut detector = detector.expect("valid settings").of_share();
        let mut builder = EventBatchBuilder::default();
        for user in users {
            let mut event = AuditEvent::new("log", "test", "postgresql", "orders");
            event.user = Some(user);
            builder.push(&event);
        }
        detector.observe_share(builder.finish());
        let newest_days = NewestDays::new();
        Told { turn: Turn { next, waits: None }, newest_days, learnt: detector.learnt() }
    }

    fn wait(day: i32) -> Wait {
        let time = Timestamp(i64::from(day) * DAY);
        let opening = Opening { row: 0, time, instance: "orders".to_owned(), day };
        Wait::new(opening, None, [("0".to_owned(), 5), ("1".to_owned(), 7)].into())
    }

    fn exchange(folder: &tempfile::TempDir) -> Exchange {
        Exchange::new(folder.path().to_path_buf(), 100)
    }

    const LATER: Timestamp = Timestamp(1_000 * DAY);

    #[test]
    fn a_day_has_one_sum_once_all_have_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut first, mut second) = (exchange(&folder), exchange(&folder));
        let turn = Turn { next: 4, waits: Some((3, "orders".to_owned())) };
        first.place("0", &Told { turn, ..told(4, &["ana", "bo"]) });
        assert_eq!(first.figures(&mut wait(3), LATER), None, "1 has told nothing");
        second.place("1", &told(6, &["kim"]));
        assert_eq!(first.figures(&mut wait(3), LATER), None, "1 is not that far");
        second.place("1", &told(7, &["kim", "lena"]));
        let sum = first.figures(&mut wait(3), LATER).expect("all have told");
        let mut expected = told(0, &["ana", "bo"]).learnt.used_on("orders", 3, 100);
        expected.add(&told(0, &["kim", "lena"]).learnt.used_on("orders", 3, 100), 100);
        assert_eq!(sum, expected);
        assert_ne!(sum, Figures::default());
        // What is learnt later is of later days, for everybody.
        second.place("1", &told(9, &["kim", "lena", "finn"]));
        assert_eq!(second.figures(&mut wait(3), LATER), Some(sum.clone()));
        second.place("0", &told(9, &["ana", "bo"]));
        assert_ne!(second.figures(&mut wait(4), LATER), Some(sum));
    }

    /// A collector takes partitions to Kafka at different speeds.
    #[test]
    fn what_is_still_to_be_published_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut exchange = exchange(&folder);
        let file = EventId::of(&[b"log"]);
        let mut wait = Wait { file: Some(file), ..wait(3) };
        exchange.place("0", &Told { newest_days: [(file, 3)].into(), ..told(5, &["ana"]) });
        let mut is_opened = |days: &[(EventId, i32)], users: &[&str]| {
            let newest_days = days.iter().copied().collect();
            exchange.place("1", &Told { newest_days, ..told(7, users) });
            wait.look_at = Instant::now();
            exchange.figures(&mut wait, LATER).is_some()
        };
        assert!(!is_opened(&[], &["kim"]), "all that is there is judged, nothing of that file");
        assert!(!is_opened(&[(file, 2)], &["kim"]), "the file has come to an earlier day");
        assert!(is_opened(&[(file, 3)], &["kim", "lena"]));
    }

    /// A collector that was stopped in between, or a record that somebody forged.
    #[test]
    fn what_never_comes_is_waited_for_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut exchange = exchange(&folder);
        let files = [b"log", b"two"].map(|name| EventId::of(&[name]));
        exchange.place("0", &Told { newest_days: [(files[0], 9)].into(), ..told(5, &["ana"]) });
        let opens = |exchange: &mut Exchange, wait: &mut Wait, waited: Duration| {
            for next in [50, 60] {
                // That it goes on with what came later is no reason to wait.
                exchange.place("1", &told(next, &["kim"]));
                wait.look_at = Instant::now();
                if exchange.figures(wait, LATER).is_some() {
                    return true;
                }
                wait.moved.0 -= waited;
            }
            false
        };
        let short = Duration::from_secs(3);
        let [mut first, mut next] = [3, 4].map(|day| Wait { file: Some(files[0]), ..wait(day) });
        assert!(!opens(&mut exchange, &mut first, short));
        assert!(opens(&mut exchange, &mut first, Duration::from_secs(120)));
        assert!(opens(&mut exchange, &mut next, Duration::ZERO), "the file is given up");
        let mut other = Wait { file: Some(files[1]), ..wait(5) };
        assert!(opens(&mut exchange, &mut other, short), "so soon after it was in vain");
        exchange.place("1", &Told { newest_days: [(files[0], 9)].into(), ..told(60, &[]) });
        let mut heard = Wait { file: Some(files[0]), ..wait(6) };
        assert!(exchange.figures(&mut heard, LATER).is_some());
        let mut again = Wait { file: Some(files[0]), ..wait(10) };
        assert!(!opens(&mut exchange, &mut again, Duration::ZERO), "it is heard of again");
    }

    /// What a partition has of other files is of no interest.
    #[test]
    fn who_has_heard_of_the_day_may_be_far_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut exchange = exchange(&folder);
        let file = EventId::of(&[b"log"]);
        for partition in ["0", "1"] {
            exchange.place(partition, &Told { newest_days: [(file, 3)].into(), ..told(2, &[]) });
        }
        let mut waits = [Some(file), None].map(|file| Wait { file, ..wait(3) });
        let is_opened = waits.each_mut().map(|wait| exchange.figures(wait, LATER).is_some());
        assert_eq!(is_opened, [true, true], "the second takes what the first has added up");
        let mut other = Wait { file: None, ..wait(4) };
        assert_eq!(exchange.figures(&mut other, LATER), None);
    }

    #[test]
    fn a_damaged_sum_is_added_up_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut exchange = exchange(&folder);
        exchange.place("0", &told(5, &["ana"]));
        exchange.place("1", &told(7, &["kim"]));
        let sum = exchange.figures(&mut wait(3), LATER).expect("all have told");
        std::fs::write(exchange.sum(&wait(3).opening), b"damaged").expect("written");
        assert_eq!(exchange.figures(&mut wait(3), LATER), Some(sum));
    }

    /// As on a full disk.
    #[test]
    fn where_a_sum_cannot_be_kept_detection_goes_on_after_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut exchange = exchange(&folder);
        for (partition, next) in [("0", 5), ("1", 7)] {
            exchange.place(partition, &told(next, &["ana"]));
            exchange.hear(partition);
        }
        folder.close().expect("removed");
        let mut wait = wait(3);
        wait.opening.time = LATER;
        assert_eq!(exchange.figures(&mut wait, LATER), None, "it is tried again");
        (wait.since, wait.look_at) = (wait.since - Duration::from_secs(5), Instant::now());
        assert!(exchange.figures(&mut wait, LATER).is_some());
    }

    #[test]
    fn whoever_asks_is_answered_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut first, mut second) = (exchange(&folder), exchange(&folder));
        assert!(!second.is_asked());
        first.ask();
        assert!(second.is_asked());
        assert!(!second.is_asked());
    }
}
