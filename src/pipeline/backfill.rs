//! `ingest`: logs that exist, read to their end without the bus. The files are their own log:
//! their positions enter the table in the commit of their rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use event::EventId;
use ingest::source::{FilePositions, FileSource, FileSourceMode, SourceItem};
use ingest::{Decoded, Stream};
use lake::{Lake, Sharing};
use respond::{Respond, RespondMetrics, system_clock};
use serde::Serialize;
use state::State;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::checkpoint::{self, Detection, SourceCheckpoint};
use super::collect::now;
use super::folder::DataFolder;
use super::judge::{Judge, JudgeMaker, OnAlert, Recorder};
use super::reading::{ReadingFile, position_name};
use super::store::{Knowledge, Order, Rows, Store, StoreHandle};
use crate::config::{Config, SourceConfig};

/// Parts of files that may wait for detection.
const PARTS_MAX: usize = 8;

/// How often what is known is kept; after a crash so much is read again.
const KEEP: Duration = Duration::from_secs(20);

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
    /// Cases opened; alerts are not grouped into cases yet.
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
pub fn backfill(
    config: &Config,
    source: &SourceConfig,
    folder: &DataFolder,
    runtime: &Handle,
    on_alert: OnAlert,
    on_progress: OnProgress,
) -> anyhow::Result<Summary> {
    let begun = Instant::now();
    let stop = CancellationToken::new();
    let (lake, writer) =
        runtime.block_on(Lake::open(&folder.lake(), &config.lake, Sharing::Alone))?;
    let state = runtime.block_on(State::open(&folder.state()))?;
    let known: Option<Detection> = checkpoint::read(&folder.detection())?;
    let respond = recorder(state, runtime, &stop)?;
    let recorder = Recorder { respond, runtime: runtime.clone(), on_alert, abandon: stop.clone() };
    let judges = JudgeMaker::new(&config.detect, 1, recorder)?;
    let judge = match &known {
        Some(known) => judges.restore(&known.detector)?,
        None => judges.make()?,
    };
    let reading = ReadingFile::open(folder.reading(), BTreeSet::new())?;
    let files = reading.files(&source.name, known.as_ref());
    let known = known.unwrap_or_default();
    let snapshot = known.ingested.get(&source.name).map(|kept| kept.stream.clone());
    let (opened, items) = FileSource::spawn(
        source.files.clone(),
        source.instance(),
        &files,
        FileSourceMode::ReadToEnd,
        stop.clone(),
    )?;
    let stream = super::open_stream(source, snapshot.as_deref())?;
    let (store, orders) = Store::start(writer, stop.clone())?;
    let (parts, received) = sync_channel(PARTS_MAX);
    let progress = opened.progress();
    let reader = Reader {
        stream,
        items,
        positions: opened.positions(),
        before: known.ingested.get(&source.name).cloned().unwrap_or_default(),
        fed: HashMap::new(),
        parts,
        summary: Summary::default(),
        events_of: HashMap::new(),
        report: Box::new(move |events| {
            on_progress(progress.bytes_read(), progress.bytes(), events)
        }),
        runtime: runtime.clone(),
    };
    let reading = std::thread::Builder::new()
        .name("read".to_owned())
        .spawn(move || reader.run())
        .context("no thread for the reader; raise the limit of tasks")?;
    let detecting = Detecting {
        judge,
        stored: lake.positions().into_iter().collect(),
        stored_rejects: lake.reject_positions().into_iter().collect(),
        orders,
        path: folder.detection(),
        name: source.name.clone(),
        known,
    };
    let detected = detecting.run(&received);
    drop(received);
    let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let stored = store.join();
    stop.cancel();
    stored?;
    detected?;
    let mut summary = read?;
    let progress = opened.progress();
    (summary.files, summary.bytes) = (progress.files(), progress.bytes());
    summary.seconds = begun.elapsed().as_secs_f64();
    summary.events_per_second = summary.events as f64 / summary.seconds.max(1e-9);
    Ok(summary)
}

/// Records alerts, but sends none: news of last month would wake people for nothing.
fn recorder(
    state: State,
    runtime: &Handle,
    stop: &CancellationToken,
) -> anyhow::Result<Arc<Respond>> {
    let mut registry = prometheus_client::registry::Registry::default();
    let metrics = RespondMetrics::register(&mut registry);
    let settings = respond::RespondSettings::default();
    let start = Respond::start(&settings, state, metrics, system_clock(), stop.clone());
    Ok(Arc::new(runtime.block_on(start)?))
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
                    self.stream.feed(data.key, data.offset, &data.bytes, data.end_of_file, now());
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
        let mut files = self.positions.positions_at(&fed);
        let before = self.before.files.iter();
        files.extend(before.filter(|file| !self.fed.contains_key(&file.key)).cloned());
        files.sort_by_key(|file| file.key);
        let stream = self.stream.snapshot();
        self.send(Part::Checkpoint(SourceCheckpoint { log: Vec::new(), files, stream }))
    }

    fn send(&self, part: Part) -> anyhow::Result<()> {
        self.parts.send(part).ok().context("detection has stopped; its error says why")
    }
}

struct Detecting {
    judge: Judge,
    stored: BTreeMap<String, i64>,
    stored_rejects: BTreeMap<String, i64>,
    orders: StoreHandle,
    path: PathBuf,
    name: String,
    known: Detection,
}

impl Detecting {
    fn run(mut self, parts: &Receiver<Part>) -> anyhow::Result<()> {
        for part in parts {
            let order = match part {
                Part::Decoded(decoded) => Order::Rows(self.judge(decoded)?),
                Part::Checkpoint(checkpoint) => {
                    self.known.ingested.insert(self.name.clone(), checkpoint);
                    self.known.detector = self.judge.snapshot();
                    let (path, detection) = (self.path.clone(), self.known.clone());
                    Order::Keep(Knowledge { position: self.name.clone(), path, detection })
                }
            };
            self.orders.give(order)?;
        }
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
        let judged = if events.is_empty() { events } else { self.judge.judge(events)? };
        let events = super::after(judged, stored);
        let events = if events.is_empty() { Vec::new() } else { vec![events] };
        rejects.retain(|reject| reject.position.cast_unsigned() >= stored_rejects);
        let positions = vec![(name, end.max(stored).cast_signed())];
        Ok(Rows { events, rejects, positions })
    }
}
