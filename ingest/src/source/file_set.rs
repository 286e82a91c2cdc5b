//! The synchronous core of the file source: which files there are and what is read next.
//!
//! Time is an argument. [`FileSet::reconcile`] looks at the file system, [`FileSet::next_item`]
//! reads; between the two nothing is lost that a descriptor or a copy still holds.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event::EventId;
use hashbrown::{HashMap, HashSet};

use super::content::{FileId, Stamp};
use super::file_position::{FilePosition, FilePositions, tail_start};
use super::item::{Notice, SourceData, SourceItem};
use super::progress::FileProgress;
use super::selection::{Selection, SelectionError};
use super::settings::{FileSourceMode, FileSourceSettings};
use super::stream::{FileOnDisk, Standing, Stream};

/// All files of one source.
pub struct FileSet {
    pub(super) settings: FileSourceSettings,
    pub(super) mode: FileSourceMode,
    /// Name of the source; part of every key.
    pub(super) instance: String,
    pub(super) selection: Selection,
    pub(super) files: HashMap<FileId, FileOnDisk>,
    pub(super) names: HashMap<PathBuf, FileId>,
    pub(super) streams: HashMap<EventId, Stream>,
    /// Keys by first line, lowest ordinal first.
    pub(super) families: HashMap<EventId, Vec<EventId>>,
    /// Contents with something to read, in turn.
    ready: VecDeque<EventId>,
    /// Files still to be read, in `ReadToEnd` mode.
    pub(super) plan: VecDeque<FileId>,
    pub(super) pending: VecDeque<SourceItem>,
    /// Problems already reported, and those met in this pass.
    pub(super) reported: HashSet<String>,
    pub(super) problems: Vec<Notice>,
    pub(super) rejected: HashMap<FileId, (EventId, Stamp)>,
    pub(super) folders: BTreeSet<PathBuf>,
    pub(super) positions: FilePositions,
    pub(super) progress: FileProgress,
    pub(super) finished_count: u64,
    pub(super) waiting_to_open: usize,
    pub(super) stale: bool,
    /// When the last pass was.
    pub(super) now: Instant,
    idle: bool,
}

impl FileSet {
    /// Starts after the last durable `positions`; reads nothing yet.
    pub fn new(
        settings: FileSourceSettings,
        instance: &str,
        mode: FileSourceMode,
        positions: &[FilePosition],
        now: Instant,
    ) -> Result<Self, SelectionError> {
        let mut set = Self {
            selection: Selection::new(&settings)?,
            settings,
            mode,
            instance: instance.to_owned(),
            files: HashMap::new(),
            names: HashMap::new(),
            streams: HashMap::new(),
            families: HashMap::new(),
            ready: VecDeque::new(),
            plan: VecDeque::new(),
            pending: VecDeque::new(),
            reported: HashSet::new(),
            problems: Vec::new(),
            rejected: HashMap::new(),
            folders: BTreeSet::new(),
            positions: FilePositions::default(),
            progress: FileProgress::default(),
            finished_count: 0,
            waiting_to_open: 0,
            stale: false,
            now,
            idle: false,
        };
        for position in positions {
            set.finished_count += 1;
            set.remember(Stream::restored(position, set.finished_count, now));
        }
        Ok(set)
    }

    /// Where position records come from.
    pub fn positions(&self) -> FilePositions {
        self.positions.clone()
    }

    /// How much there is to read, and how much was.
    pub fn progress(&self) -> FileProgress {
        self.progress.clone()
    }

    /// Folders in which a change may matter, as of the last [`FileSet::reconcile`].
    pub fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }

    /// Whether a read met something that only [`FileSet::reconcile`] can settle.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// A notification named this path. `false` if it takes a [`FileSet::reconcile`] to use it.
    pub fn touch(&mut self, path: &std::path::Path) -> bool {
        let file = self.names.get(path).and_then(|id| self.files.get(id));
        let Some(Standing::Carrier(key)) = file.map(|file| file.standing) else { return false };
        self.queue(key);
        true
    }

    /// The next thing there is; `None` when nothing is left until the files change.
    pub fn next_item(&mut self, now: Instant) -> Option<SourceItem> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Some(item);
            }
            if let Some(key) = self.ready.pop_front() {
                if let Some(stream) = self.streams.get_mut(&key) {
                    stream.queued = false;
                }
                if let Some(data) = self.read(key, now) {
                    self.idle = false;
                    self.pending.push_back(SourceItem::Data(data));
                }
                continue;
            }
            if let Some(id) = self.plan.pop_front() {
                self.identify(id, now);
                if !matches!(self.files.get(&id).map(|f| f.standing), Some(Standing::Carrier(_))) {
                    self.files.remove(&id);
                    self.progress.file_done();
                }
                continue;
            }
            if self.idle {
                return None;
            }
            if self.mode == FileSourceMode::ReadToEnd && !self.problems.is_empty() {
                self.report_problems();
                continue;
            }
            self.idle = true;
            return Some(match self.mode {
                FileSourceMode::Follow => SourceItem::Idle,
                FileSourceMode::ReadToEnd => SourceItem::Finished,
            });
        }
    }

    pub(super) fn queue(&mut self, key: EventId) {
        if let Some(stream) = self.streams.get_mut(&key)
            && !stream.queued
        {
            stream.queued = true;
            self.ready.push_back(key);
        }
    }

    pub(super) fn say(&mut self, notice: Notice) {
        self.pending.push_back(SourceItem::Notice(notice));
    }

    pub(super) fn remember(&mut self, stream: Stream) {
        let family = self.families.entry(stream.first_line).or_default();
        if !family.contains(&stream.key) {
            family.push(stream.key);
        }
        let ordinal = |key: &EventId| self.streams.get(key).map_or(stream.ordinal, |s| s.ordinal);
        family.sort_by_key(ordinal);
        self.positions.insert(stream.record());
        self.streams.insert(stream.key, stream);
    }

    pub(super) fn rotate_wait(&self) -> Duration {
        Duration::from_secs(self.settings.rotate_wait_seconds)
    }

    /// Reads one chunk of a content whose turn it is.
    fn read(&mut self, key: EventId, now: Instant) -> Option<SourceData> {
        let id = self.streams.get(&key)?.carrier?;
        if !self.open(id) || self.streams.get(&key)?.carrier != Some(id) {
            return None;
        }
        let file = self.files.get_mut(&id)?;
        match file.content.as_ref()?.plain_file() {
            Some(_) => self.read_plain(key, id, now),
            None => self.read_compressed(key, id, now),
        }
    }

    fn read_plain(&mut self, key: EventId, id: FileId, now: Instant) -> Option<SourceData> {
        let stream = self.streams.get(&key)?;
        let file = self.files.get_mut(&id)?;
        let content = file.content.as_mut()?;
        let offset = stream.offset;
        let size = match content.status() {
            Ok((stamp, _)) => stamp.size,
            Err(error) => return self.read_failed(id, &error),
        };
        if size < offset {
            return self.lose_truncated(key, id, size, now);
        }
        // What was read last is read again in the same call: if it changed, the file was cut and
        // has grown past the offset, and what follows is not what followed.
        let length = (size - offset).min(self.settings.chunk_bytes.max(1) as u64) as usize;
        let window = stream.tail.len() + length;
        let bytes = match content.window(offset - stream.tail.len() as u64, window) {
            Ok(bytes) => bytes,
            Err(error) => return self.read_failed(id, &error),
        };
        if !bytes.starts_with(&stream.tail) {
            return self.lose_truncated(key, id, size, now);
        }
        let bytes = Bytes::from(bytes).slice(stream.tail.len()..);
        let more = offset + (bytes.len() as u64) < size;
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.seen = stream.seen.max(size);
        }
        self.progress.read(bytes.len() as u64);
        let at_end = !more && self.mode == FileSourceMode::ReadToEnd;
        if bytes.is_empty() {
            return if at_end { self.finish(key) } else { None };
        }
        file.quiet_since = now;
        let data = self.hand_on(key, bytes);
        if more {
            self.queue(key);
        }
        if at_end {
            self.finish(key);
            return data.map(|data| SourceData { end_of_file: true, ..data });
        }
        data
    }

    fn read_compressed(&mut self, key: EventId, id: FileId, now: Instant) -> Option<SourceData> {
        let offset = self.streams.get(&key)?.offset;
        let file = self.files.get_mut(&id)?;
        let size = file.stamp.size;
        match file.content.as_mut()?.window(offset, self.settings.chunk_bytes.max(1)) {
            Ok(bytes) if bytes.is_empty() => {
                self.progress.read(size);
                self.finish(key)
            }
            Ok(bytes) => {
                file.quiet_since = now;
                self.queue(key);
                self.hand_on(key, Bytes::from(bytes))
            }
            Err(error) => {
                // It may still be written; the file that it is made from is there until it is.
                let unfinished = error.kind() == std::io::ErrorKind::UnexpectedEof
                    && self.mode == FileSourceMode::Follow
                    && now.duration_since(file.quiet_since) < self.rotate_wait();
                if unfinished {
                    return None;
                }
                let file = self.files.get_mut(&id)?;
                let path = Arc::clone(&file.path);
                file.standing = Standing::Damaged;
                self.say(Notice::Damaged { path, offset, problem: error.to_string() });
                self.progress.read(size);
                self.finish(key)
            }
        }
    }

    /// Counts the bytes as read and makes them an item.
    fn hand_on(&mut self, key: EventId, bytes: Bytes) -> Option<SourceData> {
        let stream = self.streams.get_mut(&key)?;
        let (path, offset) = (Arc::clone(&stream.path), stream.offset);
        if stream.finished {
            stream.finished = false;
            let path = Arc::clone(&path);
            self.pending.push_back(SourceItem::Notice(Notice::Resumed { key, path, offset }));
        }
        stream.advance(&bytes);
        self.positions.advance(key, stream.offset, &stream.tail);
        self.refresh_prefix(key);
        Some(SourceData { key, path, offset, bytes, end_of_file: false })
    }

    /// The content is complete: its descriptor is closed.
    pub(super) fn finish(&mut self, key: EventId) -> Option<SourceData> {
        self.finished_count += 1;
        let stream = self.streams.get_mut(&key)?;
        stream.finished = true;
        stream.orphaned = None;
        stream.age = self.finished_count;
        self.positions.finish(key);
        if let Some(file) = stream.carrier.and_then(|id| self.files.get_mut(&id)) {
            file.content = None;
        }
        self.progress.file_done();
        Some(SourceData {
            key,
            path: Arc::clone(&stream.path),
            offset: stream.offset,
            bytes: Bytes::new(),
            end_of_file: true,
        })
    }

    fn lose_truncated(
        &mut self,
        key: EventId,
        id: FileId,
        size: u64,
        now: Instant,
    ) -> Option<SourceData> {
        self.truncated(key, id, size, now);
        self.stale = true;
        None
    }

    fn read_failed(&mut self, id: FileId, error: &std::io::Error) -> Option<SourceData> {
        let file = self.files.get_mut(&id)?;
        let notice = Notice::unreadable(&file.path, error);
        if file.named {
            file.content = None;
        }
        self.problems.push(notice); // said by the next pass, which tries again
        None
    }

    /// Loads what is compared with every read.
    pub(super) fn load_tail(&mut self, key: EventId) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let file = stream.carrier.and_then(|id| self.files.get_mut(&id));
        let content = file.and_then(|file| file.content.as_mut());
        let Some(content) = content else { return };
        let start = tail_start(stream.offset);
        stream.tail = content.window(start, (stream.offset - start) as usize).unwrap_or_default();
        self.positions.set_file(key, content.plain_file().cloned());
    }
}
