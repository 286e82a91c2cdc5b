//! The thread around [`FileSet`]: wakes up on changes, looks at everything once a second, and
//! hands on what it read as fast as it is taken.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use event::EventId;
use open_set::KindSettings;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use super::file_position::{FilePosition, FilePositions};
use super::file_set::FileSet;
use super::item::{Notice, SourceItem};
use super::kind::{Examined, Kind, Source, SourceError, Start, WrongSetting};
use super::position::Position;
use super::progress::FileProgress;
use super::selection::{Selection, SelectionError};
use super::settings::{FileSourceMode, FileSourceSettings};
use super::watch::Watch;

/// Items on their way to the caller; with chunks of 512 KiB at most 4 MiB.
const ITEMS_MAX: usize = 8;

/// How much of a file is looked at to tell its format.
const SAMPLE_BYTES: u64 = 64 << 10;

/// New and renamed files are looked for at most this often.
const RECONCILE_PAUSE: Duration = Duration::from_millis(10);

/// How long data is handed on before notifications have their turn.
const TURN: Duration = Duration::from_millis(20);

/// How soon a quiet source sees that it shall stop.
const STOP_SEEN_WITHIN: Duration = Duration::from_millis(100);

/// The file source could not be started.
#[derive(Debug, thiserror::Error)]
pub enum FileSourceError {
    /// The settings are wrong.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// There is no thread for it.
    #[error("the file source cannot start its thread: {0}; raise the limit of tasks")]
    Thread(#[source] io::Error),
}

impl KindSettings for FileSourceSettings {
    const NAME: &'static str = "files";
}

impl Kind for FileSourceSettings {
    fn places(&self) -> Vec<String> {
        self.paths.clone()
    }

    fn check(&self) -> Result<(), WrongSetting> {
        match Selection::new(self) {
            Ok(_) => Ok(()),
            Err(error) => Err(WrongSetting(error.to_string())),
        }
    }

    fn examine(&self, format: Option<&str>) -> Vec<Examined> {
        let files = match Selection::new(self) {
            Ok(selection) => selection.list().files,
            Err(error) => {
                let problem = Some(error.to_string());
                return vec![Examined { place: self.paths.join(", "), problem }];
            }
        };
        if files.is_empty() {
            let problem = Some("no file matches; check files.paths, or wait for the first".into());
            return vec![Examined { place: self.paths.join(", "), problem }];
        }
        files.iter().map(|file| examine(&file.path, format)).collect()
    }

    fn open(&self, start: Start<'_>) -> Result<Box<dyn Source>, SourceError> {
        let known: Vec<FilePosition> =
            start.positions.iter().filter_map(Position::file).cloned().collect();
        let (mode, shutdown) = (FileSourceMode::Follow, start.shutdown);
        let (files, items) =
            FileSource::spawn(self.clone(), start.instance, &known, mode, shutdown)?;
        Ok(Box::new(Followed { files, items }))
    }
}

fn examine(path: &Path, format: Option<&str>) -> Examined {
    let mut sample = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SAMPLE_BYTES).read_to_end(&mut sample));
    let place = path.display().to_string();
    let (place, problem) = match read.map(|_| crate::recognise(&sample)) {
        Err(error) => (place, Some(format!("{error}; let the service's user read it"))),
        Ok(_) if sample.is_empty() => (format!("{place} (empty)"), None),
        Ok(Some(found)) => (format!("{place} ({found})"), None),
        Ok(None) if format.is_some() => (place, None),
        Ok(None) => (place, Some("its format is not recognised; set log.format".to_owned())),
    };
    Examined { place, problem }
}

/// Files that are followed.
struct Followed {
    files: FileSource,
    items: Receiver<SourceItem>,
}

impl Source for Followed {
    fn items(&mut self) -> &mut Receiver<SourceItem> {
        &mut self.items
    }

    fn position(&self, key: EventId, offset: u64) -> Option<Position> {
        self.files.position(key, offset).map(Position::File)
    }

    fn wants(&self, position: &Position) -> bool {
        self.files.positions.knows(position.key())
    }
}

/// A running file source. It stops when the token is cancelled, after the item that is waiting
/// to be taken, or when the receiver is dropped.
pub struct FileSource {
    positions: FilePositions,
    progress: FileProgress,
}

impl FileSource {
    /// Starts reading after the last durable `positions`. `instance` is the name of the source:
    /// it is part of every key, so it must not change.
    pub fn spawn(
        settings: FileSourceSettings,
        instance: &str,
        positions: &[FilePosition],
        mode: FileSourceMode,
        shutdown: CancellationToken,
    ) -> Result<(Self, Receiver<SourceItem>), FileSourceError> {
        let interval = Duration::from_millis(settings.reconcile_milliseconds);
        let interval = interval.clamp(RECONCILE_PAUSE, Duration::from_secs(60));
        let set = FileSet::new(settings, instance, mode, positions, Instant::now())?;
        let source = Self { positions: set.positions(), progress: set.progress() };
        let (items, receiver) = channel(ITEMS_MAX);
        let run = Run { set, mode, interval, items, shutdown };
        std::thread::Builder::new()
            .name(format!("files {instance}"))
            .spawn(move || run.run())
            .map_err(FileSourceError::Thread)?;
        Ok((source, receiver))
    }

    /// The record to persist when everything before `offset` of `key` is durable.
    pub fn position(&self, key: EventId, offset: u64) -> Option<FilePosition> {
        self.positions.position(key, offset)
    }

    /// Hands out position records; may be cloned and sent elsewhere.
    pub fn positions(&self) -> FilePositions {
        self.positions.clone()
    }

    /// How much there is to read, and how much was.
    pub fn progress(&self) -> FileProgress {
        self.progress.clone()
    }
}

struct Run {
    set: FileSet,
    mode: FileSourceMode,
    interval: Duration,
    items: Sender<SourceItem>,
    shutdown: CancellationToken,
}

/// What became of handing on.
enum Handed {
    /// Everything there was.
    All,
    /// The turn is over and more is there.
    Some,
    /// Nobody takes any more.
    Refused,
}

impl Run {
    fn run(mut self) {
        if self.mode == FileSourceMode::Follow {
            return self.follow();
        }
        self.set.reconcile(Instant::now());
        while matches!(self.hand_on(), Handed::Some) {}
    }

    fn follow(mut self) {
        let (mut watch, mut problem) = Watch::new();
        let mut is_polling = false;
        let mut changed = true;
        let mut reconciled: Option<Instant> = None;
        loop {
            let since = reconciled.map(|then| then.elapsed());
            if since.is_none_or(|since| since >= self.pause(changed)) {
                self.set.reconcile(Instant::now());
                let watched = watch.follow(self.set.folders());
                // What a folder got before it was watched is only seen by looking again.
                changed = watched.added;
                problem = watched.problem.or(problem);
                reconciled = Some(Instant::now());
            }
            if let Some(problem) = problem.take().filter(|_| !is_polling) {
                is_polling = true;
                if !self.say_polling(problem) {
                    return;
                }
            }
            let handed = self.hand_on();
            if matches!(handed, Handed::Refused) {
                return;
            }
            changed |= self.set.is_stale() || watch.take_overflowed();
            let since = reconciled.map_or(Duration::MAX, |then| then.elapsed());
            let due = self.pause(changed).saturating_sub(since);
            let timeout = match handed {
                Handed::All => due.min(STOP_SEEN_WITHIN),
                _ => Duration::ZERO,
            };
            changed |= self.take_wakes(&mut watch, timeout);
        }
    }

    /// How long after a look at the file system the next one follows.
    fn pause(&self, changed: bool) -> Duration {
        if changed { RECONCILE_PAUSE } else { self.interval }
    }

    /// Waits for notifications; whether one of them takes a look at the file system.
    fn take_wakes(&mut self, watch: &mut Watch, timeout: Duration) -> bool {
        let mut changed = false;
        let mut wake = watch.wait(timeout);
        while let Some(path) = wake {
            if !self.set.touch(&path) {
                watch.renew(&path);
                changed = true;
            }
            wake = watch.wait(Duration::ZERO);
        }
        changed
    }

    fn hand_on(&mut self) -> Handed {
        let start = Instant::now();
        loop {
            if self.shutdown.is_cancelled() {
                return Handed::Refused;
            }
            let now = Instant::now();
            let Some(item) = self.set.next_item(now) else { return Handed::All };
            if self.items.blocking_send(item).is_err() {
                return Handed::Refused;
            }
            if now - start > TURN {
                return Handed::Some;
            }
        }
    }

    fn say_polling(&mut self, problem: String) -> bool {
        let interval_milliseconds = self.interval.as_millis() as u64;
        tracing::warn!(problem, interval_milliseconds, "files are polled");
        let notice = Notice::Polling { problem, interval_milliseconds };
        self.items.blocking_send(SourceItem::Notice(notice)).is_ok()
    }
}
