//! `ingest`: logs that exist, read to their end without the bus. The files are their own log:
//! their positions enter the table in the commit of their rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use event::EventId;
use ingest::source::{
    FilePositions, FileSource, FileSourceMode, FileSourceSettings, Position, SourceItem,
};
use ingest::{Decoded, Stream};
use lake::{Lake, Sharing};
use model::DayProfile;
use prometheus_client::registry::Registry;
use respond::{Respond, RespondMetrics, RespondSettings, system_clock};
use serde::Serialize;
use state::State;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::alerts::{AlertQueue, OnAlert};
use super::partition_detector::{Detectors, PartitionDetector};
use super::store::{self, PendingCheckpoint, Rows, StoreCommand, StoreHandle};
use super::training::{Apprentice, ModelShelf};
use crate::checkpoint::{self, DetectionCheckpoint, SourceCheckpoint};
use crate::collect::source::SourceSettings;
use crate::collect::source_progress::{SourceProgress, position_name};
use crate::collect::tick::{Step, Tick, TickClock, after, steps};
use crate::folder::DataFolder;
use crate::supervisor::Supervisor;
use crate::{Settings, clock};

/// Parts of files that may wait for detection.
const PARTS_MAX: usize = 8;

/// How often what is known is kept; after a crash so much is read again.
const KEEP: Duration = Duration::from_secs(20);

/// How long alerts may take to be recorded while nothing else goes on.
const ALERTS_WITHIN: Duration = Duration::from_secs(30);

/// What an ingest did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Files found.
    pub files: u64,
    /// Bytes of them on disk.
    pub bytes: u64,
    /// Records read: events and rejects.
    pub records: u64,
    /// Events.
    pub events: u64,
    /// Records that could not be read; they are in the table `rejects`.
    pub rejects: u64,
    /// New alerts.
    pub alerts: u64,
    /// New cases.
    pub cases: u64,
    /// How long it took.
    pub seconds: f64,
    /// Events each second.
    pub events_per_second: f64,
    /// What could not be read, and other things to know.
    pub notices: Vec<String>,
    /// Files and folders of which some or all could not be read.
    pub unread: u64,
    /// Files that had content and gave no event.
    pub files_without_events: Vec<String>,
}

/// Something that goes from the reader to detection.
enum Part {
    Decoded(Decoded),
    /// Everything before is handed over; this is how far the reader is.
    Checkpoint(SourceCheckpoint),
}

/// Told how far it is: bytes read, bytes in all, events.
pub type OnProgress = Box<dyn Fn(u64, u64, u64) + Send>;

/// Reads the source's files to their ends into the data folder.
///
/// # Errors
/// If the folder is in use, or something there cannot be read or written.
pub fn backfill(
    settings: &Settings,
    source: &SourceSettings,
    folder: &DataFolder,
    runtime: &Handle,
    on_alert: OnAlert,
    on_progress: OnProgress,
) -> anyhow::Result<Summary> {
    let begun = Instant::now();
    let (stop, supervisor) = (CancellationToken::new(), Supervisor::new(runtime.clone()));
    let (lake, writer) =
        runtime.block_on(Lake::open(&folder.lake(), &settings.lake, Sharing::Alone))?;
    folder.make_detection()?;
    let path = folder.detection_of_ingest(&settings.bus);
    let known: Option<DetectionCheckpoint> = checkpoint::read(&path)?;
    let alerts = AlertQueue::default();
    let detectors = Detectors::new(&settings.detect, alerts.clone(), ModelShelf::default())?;
    let detector = detectors.make(known.as_ref().map(|known| &known.detector[..]))?;
    let respond = runtime.block_on(recorder(folder))?;
    let (recording, stopped) = (alerts.clone(), stop.clone());
    let recorder = supervisor.task("alerts", &stop, move |task| {
        recording.clone().record(respond.clone(), on_alert.clone(), stopped.clone(), task)
    });
    let progress = SourceProgress::open(folder.sources(), BTreeSet::new())?;
    let positions = progress.positions(&source.name, known.as_ref());
    let positions: Vec<_> = positions.iter().filter_map(Position::file).cloned().collect();
    let files = source.kind.settings::<FileSourceSettings>();
    let files = files.context("files are read to their end, and this source has none")?;
    let known = known.unwrap_or_default();
    let before = known.ingested.get(&source.name).cloned().unwrap_or_default();
    let mode = FileSourceMode::ReadToEnd;
    let (opened, items) =
        FileSource::spawn(files, source.instance(), &positions, mode, stop.clone())?;
    let (store, commands) = store::start(writer, alerts.clone(), &supervisor)?;
    let (parts, received) = sync_channel(PARTS_MAX);
    let read = opened.progress();
    let reader = Reader {
        stream: source.stream(Some(&before.stream))?,
        items,
        positions: opened.positions(),
        before,
        fed: HashMap::new(),
        parts,
        summary: Summary::default(),
        events_of: HashMap::new(),
        report: Box::new(move |events| on_progress(read.bytes_read(), read.bytes(), events)),
        runtime: runtime.clone(),
    };
    let detecting = Detecting {
        detector,
        apprentice: Apprentice::new(folder)?,
        profiles: Vec::new(),
        profiles_folder: folder.profiles(),
        alerts: alerts.clone(),
        hours: TickClock::default(),
        stored: lake.positions().into_iter().collect(),
        stored_rejects: lake.reject_positions().into_iter().collect(),
        commands,
        path,
        name: source.name.clone(),
        known,
    };
    let (detected, summary) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| reader.run());
        let detected = detecting.run(received);
        (detected, reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    stop.cancel();
    store.wait()?;
    detected?;
    recorder.wait()?;
    let (mut summary, progress) = (summary?, opened.progress());
    (summary.files, summary.bytes) = (progress.files(), progress.bytes());
    summary.seconds = begun.elapsed().as_secs_f64();
    summary.events_per_second = summary.events as f64 / summary.seconds.max(1e-9);
    Ok(summary)
}

/// Records alerts, but sends none: news of last month would wake people for nothing.
async fn recorder(folder: &DataFolder) -> anyhow::Result<Arc<Respond>> {
    let state = State::open(&folder.state()).await?;
    let metrics = RespondMetrics::register(&mut Registry::default());
    let settings = RespondSettings::default();
    Ok(Arc::new(Respond::start(&settings, state, metrics, system_clock()).await?))
}

struct Reader {
    stream: Stream,
    items: tokio::sync::mpsc::Receiver<SourceItem>,
    positions: FilePositions,
    before: SourceCheckpoint,
    fed: HashMap<EventId, u64>,
    parts: SyncSender<Part>,
    summary: Summary,
    /// Path, bytes and events of each file read now.
    events_of: HashMap<EventId, (String, u64, u64)>,
    report: Box<dyn Fn(u64) + Send>,
    runtime: Handle,
}

impl Reader {
    fn run(mut self) -> anyhow::Result<Summary> {
        let mut keep_at = Instant::now() + KEEP;
        while let Some(item) = self.runtime.block_on(self.items.recv()) {
            match item {
                SourceItem::Data(data) => {
                    self.stream.feed(data.key, data.offset, &data.bytes, data.end_of_file, clock());
                    let length = data.bytes.len() as u64;
                    self.fed.insert(data.key, data.offset + length);
                    let path = || (data.path.display().to_string(), 0, 0);
                    self.events_of.entry(data.key).or_insert_with(path).1 += length;
                    self.hand_over(false)?;
                    (self.report)(self.summary.events);
                }
                SourceItem::Notice(notice) => self.notice(&notice),
                SourceItem::Idle => {}
                SourceItem::Finished => break,
            }
            if keep_at <= Instant::now() {
                keep_at = Instant::now() + KEEP;
                self.checkpoint()?;
            }
        }
        self.hand_over(true)?;
        self.checkpoint()?;
        let silent =
            self.events_of.values().filter(|(_, bytes, events)| *bytes > 0 && *events == 0);
        self.summary.files_without_events = silent.map(|(path, ..)| path.clone()).collect();
        self.summary.files_without_events.sort();
        Ok(self.summary)
    }

    fn notice(&mut self, notice: &ingest::source::Notice) {
        use ingest::source::Notice;
        match notice {
            Notice::Found { .. } | Notice::Resumed { .. } => {}
            _ => self.summary.notices.push(notice.to_string()),
        }
        let is_unread = matches!(
            notice,
            Notice::Unreadable { .. } | Notice::Damaged { .. } | Notice::Lost { .. }
        );
        self.summary.unread += u64::from(is_unread);
        tracing::info!("{notice}");
    }

    fn hand_over(&mut self, flush: bool) -> anyhow::Result<()> {
        while let Some(decoded) = self.stream.take(flush) {
            self.summary.records += decoded.records;
            self.summary.events += decoded.events.len() as u64;
            self.summary.rejects += decoded.rejects.len() as u64;
            if let Some((_, _, events)) = self.events_of.get_mut(&decoded.file) {
                *events += decoded.events.len() as u64;
            }
            self.send(Part::Decoded(decoded))?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> anyhow::Result<()> {
        let fed: Vec<(EventId, u64)> = self.fed.iter().map(|(k, end)| (*k, *end)).collect();
        let read = self.positions.positions_at(&fed);
        let mut positions: Vec<_> = read.into_iter().map(Position::File).collect();
        let before = self.before.positions.iter();
        positions.extend(before.filter(|it| !self.fed.contains_key(&it.key())).cloned());
        positions.sort_by_key(Position::key);
        let stream = self.stream.snapshot();
        self.send(Part::Checkpoint(SourceCheckpoint { log: Vec::new(), positions, stream }))
    }

    fn send(&self, part: Part) -> anyhow::Result<()> {
        self.parts.send(part).ok().context("detection has stopped; its error says why")
    }
}

struct Detecting {
    detector: PartitionDetector,
    /// Trains as it goes.
    apprentice: Apprentice,
    /// Days of identities that have ended and are not kept yet.
    profiles: Vec<DayProfile>,
    profiles_folder: PathBuf,
    alerts: AlertQueue,
    hours: TickClock,
    stored: BTreeMap<String, i64>,
    stored_rejects: BTreeMap<String, i64>,
    commands: StoreHandle,
    path: PathBuf,
    name: String,
    known: DetectionCheckpoint,
}

impl Detecting {
    /// Judges and hands to the store; ends once all alerts are recorded.
    fn run(mut self, parts: Receiver<Part>) -> anyhow::Result<()> {
        for part in parts {
            while self.alerts.is_full() {
                self.recorded("alerts cannot be recorded")?;
            }
            let command = match part {
                Part::Decoded(decoded) => StoreCommand::Rows(self.judge(decoded)?),
                Part::Checkpoint(checkpoint) => {
                    self.take_profiles();
                    self.known.ingested.insert(self.name.clone(), checkpoint);
                    self.known.detector = self.detector.snapshot();
                    self.known.partitions = 1;
                    StoreCommand::Keep(PendingCheckpoint {
                        position: self.name.clone(),
                        path: self.path.clone(),
                        alerts: self.detector.alerts_given(),
                        profiles: std::mem::take(&mut self.profiles),
                        profiles_folder: self.profiles_folder.clone(),
                        checkpoint: self.known.clone(),
                    })
                }
            };
            self.commands.give(command)?;
        }
        self.recorded("the last alerts cannot be recorded; they come again with the next ingest")
    }

    fn take_profiles(&mut self) {
        for profile in self.detector.take_profiles() {
            self.apprentice.add(profile.clone());
            self.profiles.push(profile);
        }
    }

    /// An instance comes to an hour. History is judged with the models of its own days.
    fn tick(&mut self, tick: &Tick) -> anyhow::Result<()> {
        self.detector.tick(tick);
        self.take_profiles();
        let day = i32::try_from(tick.hour.div_euclid(24))?;
        if let Some(models) = self.apprentice.enter(&tick.instance, day)? {
            self.detector.set_models(models);
        }
        Ok(())
    }

    fn recorded(&self, problem: &'static str) -> anyhow::Result<()> {
        let is_recorded = self.alerts.is_recorded(self.alerts.given(), ALERTS_WITHIN);
        ensure!(is_recorded, "{problem}");
        Ok(())
    }

    /// Everything is judged; what the table has already is not stored again.
    fn judge(&mut self, decoded: Decoded) -> anyhow::Result<Rows> {
        let Decoded { file, events, mut rejects, end, .. } = decoded;
        let name = position_name(file);
        let end_in = |positions: &BTreeMap<String, i64>| {
            positions.get(&name).map_or(0, |end| end.cast_unsigned())
        };
        let stored = end_in(&self.stored);
        let stored_rejects = end_in(&self.stored_rejects).max(stored);
        let ticks = self.hours.advance(&events);
        let events = Some(events).filter(|events| !events.is_empty());
        let mut judged = Vec::new();
        for step in steps(events, &ticks) {
            match step {
                Step::Tick(tick) => self.tick(tick)?,
                Step::Events(events) => judged.push(after(self.detector.observe(events), stored)),
            }
        }
        judged.retain(|events| !events.is_empty());
        rejects.retain(|reject| reject.position.cast_unsigned() >= stored_rejects);
        let positions = vec![(name, end.max(stored).cast_signed())];
        Ok(Rows { events: judged, rejects, positions })
    }
}
