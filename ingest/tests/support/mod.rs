//! Runs bytes through a stream and shows what comes out.

pub(crate) mod server;

use std::path::{Path, PathBuf};

use event::{EventBatch, EventId, Reject, Timestamp};
use ingest::{Counts, Decoded, Stream, StreamSettings};
use serde_json::Value;

/// Everything that a stream gave for one file.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) batches: Vec<EventBatch>,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) counts: Counts,
    pub(crate) end: u64,
}

/// The key of the only file.
pub(crate) fn file() -> EventId {
    EventId::of(&[b"file"])
}

/// When everything is read here.
pub(crate) fn received() -> Timestamp {
    Timestamp::parse("2026-11-21T12:00:00Z").expect("valid")
}

/// Reads a whole file in one piece.
pub(crate) fn read(settings: StreamSettings, bytes: &[u8]) -> Output {
    let mut stream = Stream::new(settings);
    let mut output = Output::default();
    stream.feed(file(), 0, bytes, true, received());
    output.drain(&mut stream, true);
    output
}

/// Settings with a format, the rest as it comes.
pub(crate) fn of_format(format: &str) -> StreamSettings {
    StreamSettings { format: Some(format.to_owned()), ..StreamSettings::default() }
}

impl Output {
    /// Takes all that is ready.
    pub(crate) fn drain(&mut self, stream: &mut Stream, flush: bool) {
        while let Some(decoded) = stream.take(flush) {
            let Decoded { events, rejects, end, .. } = decoded;
            assert!(end >= self.end, "the end never goes back");
            self.end = end;
            self.batches.push(events);
            self.rejects.extend(rejects);
        }
        self.counts = stream.counts();
    }

    /// The events as JSON objects.
    pub(crate) fn events(&self) -> Vec<Value> {
        let rows = self.batches.iter().flat_map(|batch| batch.rows().iter());
        rows.map(|row| serde_json::to_value(row).expect("a row is JSON")).collect()
    }

    /// The events whose columns have these values.
    pub(crate) fn matching(&self, wanted: &[(&str, &str)]) -> Vec<Value> {
        let fits = |event: &Value| wanted.iter().all(|(key, value)| event[*key] == *value);
        self.events().into_iter().filter(fits).collect()
    }
}

/// The folder with a folder of captures for each format.
pub(crate) fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/formats")
}

/// Every capture of a format, by name.
pub(crate) fn captures_of(format: &str) -> Vec<(String, PathBuf)> {
    let folder = captures().join(format);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let paths = entries.map(|entry| entry.expect("readable").path());
    let logs = paths.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let mut named: Vec<_> = logs
        .map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), path))
        .collect();
    named.sort();
    assert!(!named.is_empty(), "no capture in {folder:?}");
    named
}

/// The settings with which a capture is read: zones that have a name need one.
pub(crate) fn settings_of(format: Option<&str>, topic: &str) -> StreamSettings {
    let timezone = match topic {
        "zone_berlin" => Some(chrono_tz::Europe::Berlin),
        "zone_kolkata" => Some(chrono_tz::Asia::Kolkata),
        _ => None,
    };
    StreamSettings {
        source: "capture".to_owned(),
        instance: "db1".to_owned(),
        format: format.map(ToOwned::to_owned),
        timezone,
        ..StreamSettings::default()
    }
}
