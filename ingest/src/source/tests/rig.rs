//! A folder, a source that reads it under a clock of its own, and what came out of it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use event::EventId;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::source::{
    FilePosition, FileSet, FileSourceMode, FileSourceSettings, Notice, SourceData, SourceItem,
};

/// What was delivered of one key.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) bytes: Vec<u8>,
    /// Where the next bytes have to begin; a restart sets it back.
    next: u64,
    pub(super) ended: bool,
}

pub(super) struct Rig {
    folder: TempDir,
    pub(super) settings: FileSourceSettings,
    pub(super) set: FileSet,
    pub(super) now: Instant,
    pub(super) delivered: BTreeMap<EventId, Delivered>,
    pub(super) notices: Vec<Notice>,
    pub(super) idles: usize,
    pub(super) finished: bool,
}

impl Rig {
    /// Follows these patterns within the folder.
    pub(super) fn new(patterns: &[&str]) -> Self {
        Self::with(patterns, FileSourceMode::Follow, |_| {})
    }

    pub(super) fn with(
        patterns: &[&str],
        mode: FileSourceMode,
        change: impl FnOnce(&mut FileSourceSettings),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |pattern: &&str| folder.path().join(pattern).to_string_lossy().into_owned();
        let mut settings = FileSourceSettings {
            paths: patterns.iter().map(path).collect(),
            rotate_wait_seconds: 5,
            chunk_bytes: 700,
            ..Default::default()
        };
        change(&mut settings);
        let now = Instant::now();
        let set = FileSet::new(settings.clone(), "db", mode, &[], now).expect("good settings");
        let (delivered, notices) = (BTreeMap::new(), Vec::new());
        Self { folder, settings, set, now, delivered, notices, idles: 0, finished: false }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn append(&self, name: &str, bytes: &[u8]) {
        let file = OpenOptions::new().create(true).append(true).open(self.path(name));
        file.and_then(|mut file| file.write_all(bytes)).expect("written");
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).expect("renamed");
    }

    pub(super) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).expect("removed");
    }

    pub(super) fn gzip(&self, from: &str, to: &str) {
        let bytes = std::fs::read(self.path(from)).expect("read");
        std::fs::write(self.path(to), gzipped(&bytes)).expect("written");
    }

    pub(super) fn zstd(&self, from: &str, to: &str) {
        let bytes = std::fs::read(self.path(from)).expect("read");
        std::fs::write(self.path(to), zstd::encode_all(&*bytes, 1).expect("encoded"))
            .expect("written");
    }

    pub(super) fn copy(&self, from: &str, to: &str) {
        std::fs::copy(self.path(from), self.path(to)).expect("copied");
    }

    pub(super) fn truncate(&self, name: &str) {
        File::options().write(true).truncate(true).open(self.path(name)).expect("truncated");
    }

    /// One look and everything there is to read.
    pub(super) fn read(&mut self) {
        self.set.reconcile(self.now);
        self.drain();
        let mut passes = 0;
        while self.set.is_stale() {
            passes += 1;
            assert!(passes < 20, "it does not come to rest: {:?}", self.notices.last());
            self.set.reconcile(self.now);
            self.drain();
        }
    }

    /// A while later, one more look.
    pub(super) fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.read();
    }

    fn drain(&mut self) {
        let mut items = 0;
        while let Some(item) = self.set.next_item(self.now) {
            items += 1;
            assert!(items < 1_000_000, "it does not come to an end: {item:?}");
            match item {
                SourceItem::Data(data) => self.take(data),
                SourceItem::Idle => self.idles += 1,
                SourceItem::Notice(notice) => self.notices.push(notice),
                SourceItem::Finished => self.finished = true,
            }
        }
    }

    /// Checks that the bytes follow, and that what was there before is the same.
    pub(super) fn take(&mut self, data: SourceData) {
        let known = self.delivered.entry(data.key).or_default();
        assert_eq!(data.offset, known.next, "a hole or an overlap in {}", data.path.display());
        let start = data.offset as usize;
        let again = (known.bytes.len() - start).min(data.bytes.len());
        assert_eq!(
            known.bytes[start..start + again],
            data.bytes[..again],
            "other bytes at the same place"
        );
        known.bytes.extend_from_slice(&data.bytes[again..]);
        known.next += data.bytes.len() as u64;
        known.ended = data.end_of_file;
    }

    /// Records of all keys, at offsets chosen from what was read.
    pub(super) fn positions(&self, choose: impl Fn(u64) -> u64) -> Vec<FilePosition> {
        let offset = |(key, delivered): (&EventId, &Delivered)| (*key, choose(delivered.next));
        let offsets: Vec<_> = self.delivered.iter().map(offset).collect();
        let positions = self.set.positions().positions_at(&offsets);
        assert_eq!(positions.len(), offsets.len());
        positions
    }

    /// Starts anew from records that were through the codec.
    pub(super) fn restart(&mut self, positions: &[FilePosition]) {
        let coded = rmp_serde::to_vec(positions).expect("encoded");
        let positions: Vec<FilePosition> = rmp_serde::from_slice(&coded).expect("decoded");
        for position in &positions {
            let delivered = self.delivered.get_mut(&position.key).expect("a known key");
            delivered.next = position.offset;
        }
        let mode = FileSourceMode::Follow;
        self.set = FileSet::new(self.settings.clone(), "db", mode, &positions, self.now)
            .expect("good settings");
    }

    /// The delivered contents, sorted.
    pub(super) fn contents(&self) -> Vec<String> {
        let text = |delivered: &Delivered| String::from_utf8_lossy(&delivered.bytes).into_owned();
        let mut contents: Vec<String> = self.delivered.values().map(text).collect();
        contents.retain(|content| !content.is_empty());
        contents.sort();
        contents
    }

    pub(super) fn noticed(&self, wanted: impl Fn(&Notice) -> bool) -> usize {
        self.notices.iter().filter(|notice| wanted(notice)).count()
    }
}

pub(super) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("encoded");
    encoder.finish().expect("encoded")
}

/// `count` lines of which no two tests of a name share one.
pub(super) fn lines(name: &str, count: usize) -> String {
    (0..count).map(|number| format!("{name} line {number:05} of {count}\n")).collect()
}
