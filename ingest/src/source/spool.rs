//! What a source receives and cannot read again, kept on the disk until it is durable elsewhere.
//!
//! What one start of the program receives is a stream. It lies in segments, which are called
//! `<stream>-<offset of the first byte>.log` and go once they are read. A stream's number is the
//! time of its start, so that none comes twice, even if the folder is emptied.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use event::EventId;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::kind::{SourceError, Start, WrongSetting};
use super::position::Position;

/// How large a segment becomes before the next one is begun.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Ends the name of each segment.
const EXTENSION: &str = "log";

/// How long a full spool, or a disk that refuses, is waited for at a time.
const PAUSE: Duration = Duration::from_millis(100);

/// The durable record of one stream of a spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolPosition {
    /// Identifies the stream; event ids derive from it and the offset.
    pub key: EventId,
    /// Number of the stream.
    pub stream: u64,
    /// Everything before is durable.
    pub offset: u64,
}

/// The folder of one source. Whoever receives appends, and one reader follows.
pub(super) struct Spool {
    folder: PathBuf,
    /// With the instance, tells the streams of this source from those of others.
    identity: EventId,
    bytes_max: u64,
    kept: Mutex<Kept>,
    grown: Condvar,
}

/// What is there.
struct Kept {
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The stream that grows.
    stream: u64,
    /// Nothing will be appended any more.
    is_closed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    stream: u64,
    /// Offset of its first byte in the stream.
    pub(super) base: u64,
    /// Durable bytes.
    length: u64,
    pub(super) path: Arc<Path>,
}

/// What follows an offset of a stream.
pub(super) enum Next {
    /// Bytes of this segment.
    Bytes(Segment),
    /// Nothing until this segment begins: what was before it is gone.
    Hole(Segment),
    /// Nothing any more; this was its last segment.
    EndOfStream(Segment),
    /// Nothing yet.
    Nothing,
}

/// Appends to a spool.
pub(super) struct SpoolWriter {
    spool: Arc<Spool>,
    growing: Option<File>,
    is_reported: bool,
}

impl Spool {
    /// Lists what was left unread; what is appended from now on is a new stream. All segments
    /// together take about `bytes_max` bytes at most.
    pub(super) fn open(start: &Start<'_>, bytes_max: u64) -> Result<Arc<Self>, SourceError> {
        let folder = start.spool.to_owned();
        let failed = |error| SourceError::Spool { folder: start.spool.to_owned(), error };
        fs::create_dir_all(&folder).map_err(failed)?;
        let segments = list(&folder).map_err(failed)?;
        let known = start.positions.iter().filter_map(Position::spool).map(|known| known.stream);
        let last = segments.iter().map(|segment| segment.stream).chain(known).max();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let stream = (since.as_nanos() as u64).max(last.map_or(0, |last| last + 1));
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let identity = EventId::of(&[b"spool", start.instance.as_bytes(), name.as_bytes()]);
        let kept = Mutex::new(Kept { segments, stream, is_closed: false });
        Ok(Arc::new(Self { folder, identity, bytes_max, kept, grown: Condvar::new() }))
    }

    /// What appends to it; there is one.
    pub(super) fn writer(self: &Arc<Self>) -> SpoolWriter {
        SpoolWriter { spool: self.clone(), growing: None, is_reported: false }
    }

    /// The key of a stream.
    pub(super) fn key(&self, stream: u64) -> EventId {
        EventId::of(&[&self.identity.0, &stream.to_le_bytes()])
    }

    /// The stream of this key, if it is there or grows.
    pub(super) fn stream_of(&self, key: EventId) -> Option<u64> {
        let kept = self.lock();
        let streams = kept.segments.iter().map(|segment| segment.stream).chain([kept.stream]);
        streams.rev().find(|stream| self.key(*stream) == key)
    }

    /// Whether a stream is there or grows.
    pub(super) fn has(&self, stream: u64) -> bool {
        let kept = self.lock();
        kept.stream == stream || kept.segments.iter().any(|segment| segment.stream == stream)
    }

    /// The first stream after this one, or of all, that has a segment.
    pub(super) fn stream_after(&self, stream: Option<u64>) -> Option<u64> {
        self.lock().stream_after(stream)
    }

    /// What follows the offset of a stream that has a segment.
    pub(super) fn next(&self, stream: u64, offset: u64) -> Next {
        let kept = self.lock();
        let mut of_stream = kept.segments.iter().filter(|segment| segment.stream == stream);
        match of_stream.clone().find(|segment| offset < segment.end()) {
            Some(segment) if segment.base > offset => Next::Hole(segment.clone()),
            Some(segment) => Next::Bytes(segment.clone()),
            None => match of_stream.next_back() {
                Some(last) if stream != kept.stream || kept.is_closed => {
                    Next::EndOfStream(last.clone())
                }
                _ => Next::Nothing,
            },
        }
    }

    /// Waits until there is a stream after this one, or a while.
    pub(super) fn wait_for_stream(&self, stream: Option<u64>, patience: Duration) {
        self.wait_while(patience, |kept| kept.stream_after(stream).is_none());
    }

    /// Waits until the stream goes on after the offset or has ended, or a while.
    pub(super) fn wait_for_bytes(&self, stream: u64, offset: u64, patience: Duration) {
        self.wait_while(patience, |kept| {
            let newest = kept.segments.back();
            !kept.is_closed && newest.is_none_or(|it| (it.stream, it.end()) <= (stream, offset))
        });
    }

    fn wait_while(&self, patience: Duration, is_so: impl Fn(&Kept) -> bool) {
        let waited = self.grown.wait_timeout_while(self.lock(), patience, |kept| is_so(kept));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Removes the segments that are durable elsewhere to their end, but for the one that grows.
    pub(super) fn remove_read(&self, durable: &[SpoolPosition]) -> io::Result<()> {
        let mut kept = self.lock();
        let growing = kept.segments.back().filter(|it| it.stream == kept.stream && !kept.is_closed);
        let growing = growing.map(|segment| segment.path.clone());
        let is_read = |segment: &Segment| {
            growing.as_ref() != Some(&segment.path)
                && durable.iter().any(|position| {
                    position.stream == segment.stream && position.offset >= segment.end()
                })
        };
        while let Some(segment) = kept.segments.front().filter(|segment| is_read(segment)) {
            match fs::remove_file(&segment.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(kept.segments.pop_front()),
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let kept = self.lock();
        kept.segments.iter().map(|segment| segment.length).sum::<u64>() >= self.bytes_max
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Segment {
    pub(super) fn end(&self) -> u64 {
        self.base + self.length
    }

    /// Durable bytes from the offset on, at most so many.
    pub(super) fn read(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; (self.end() - offset).min(bytes_max as u64) as usize];
        File::open(&self.path)?.read_exact_at(&mut bytes, offset - self.base)?;
        Ok(bytes)
    }
}

impl Kept {
    fn stream_after(&self, stream: Option<u64>) -> Option<u64> {
        let mut streams = self.segments.iter().map(|segment| segment.stream);
        streams.find(|found| stream.is_none_or(|stream| *found > stream))
    }
}

impl SpoolWriter {
    /// Waits until there is room, or the program is to end.
    pub(super) fn wait_for_room(&self, shutdown: &CancellationToken) {
        while self.spool.is_full() && !shutdown.is_cancelled() {
            std::thread::sleep(PAUSE);
        }
    }

    /// Appends bytes that cannot be had again: tries until they are on the disk. If the program is
    /// to end it tries once.
    pub(super) fn keep(&mut self, bytes: &[u8], shutdown: &CancellationToken) -> io::Result<()> {
        loop {
            match self.append(bytes) {
                Err(error) if !shutdown.is_cancelled() => {
                    if !std::mem::replace(&mut self.is_reported, true) {
                        let folder = self.spool.folder.display();
                        tracing::warn!(
                            "the spool {folder} cannot be written: {error}; senders wait"
                        );
                    }
                    std::thread::sleep(PAUSE);
                }
                kept => {
                    self.is_reported &= kept.is_err();
                    return kept;
                }
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.growing {
            Some(file) if self.spool.newest_length() < SEGMENT_BYTES_MAX => file,
            _ => self.growing.insert(self.spool.begin_segment()?),
        };
        let written = file.write_all(bytes).and_then(|()| file.sync_data());
        if written.is_err() {
            // Whatever part of them is there goes, since they will come again.
            let cut = file.set_len(self.spool.newest_length());
            if cut.is_err() {
                // It stays: nothing may follow it directly.
                self.growing = None;
                self.spool.begin_stream();
            }
            return written;
        }
        self.spool.grew(bytes.len() as u64);
        Ok(())
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        self.spool.lock().is_closed = true;
        self.spool.grown.notify_all();
    }
}

/// What only the writer does.
impl Spool {
    fn newest_length(&self) -> u64 {
        self.lock().segments.back().map_or(0, |segment| segment.length)
    }

    /// A segment whose name survives a crash of the machine. Tried again, it is the same.
    fn begin_segment(&self) -> io::Result<File> {
        let mut kept = self.lock();
        let stream = kept.stream;
        let before = kept.segments.back().filter(|segment| segment.stream == stream);
        let base = before.map_or(0, Segment::end);
        let path = self.folder.join(format!("{stream:020}-{base:020}.{EXTENSION}"));
        let file = File::options().append(true).create(true).open(&path)?;
        File::open(&self.folder)?.sync_all()?;
        kept.segments.push_back(Segment { stream, base, length: 0, path: path.into() });
        Ok(file)
    }

    fn begin_stream(&self) {
        self.lock().stream += 1;
    }

    fn grew(&self, bytes: u64) {
        if let Some(segment) = self.lock().segments.back_mut() {
            segment.length += bytes;
        }
        self.grown.notify_all();
    }
}

/// Refuses a spool that could keep nothing.
pub(super) fn check_spool(bytes_max: u64) -> Result<(), WrongSetting> {
    match bytes_max {
        0 => Err(WrongSetting("spool_bytes_max is 0; allow at least 1".to_owned())),
        _ => Ok(()),
    }
}

fn list(folder: &Path) -> io::Result<VecDeque<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.'));
        let parts = name.and_then(|name| name.split_once('-'));
        match parts.map(|(stream, base)| (stream.parse(), base.parse())) {
            Some((Ok(stream), Ok(base))) => {
                let length = entry.metadata()?.len();
                segments.push(Segment { stream, base, length, path: path.into() });
            }
            _ => tracing::warn!("{} is no segment of a spool and is left alone", path.display()),
        }
    }
    segments.sort_by_key(|segment| (segment.stream, segment.base));
    Ok(segments.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path, positions: &[Position]) -> Arc<Spool> {
        let shutdown = CancellationToken::new();
        let start = Start { instance: "orders", spool: folder, positions, shutdown };
        Spool::open(&start, 4).expect("opened")
    }

    #[test]
    fn a_full_spool_takes_more_once_something_was_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = open(folder.path(), &[]);
        let mut writer = spool.writer();
        assert!(!spool.is_full());
        writer.append(b"line\n").expect("appended");
        assert!(spool.is_full());
        let stream = spool.stream_after(None).expect("a stream");
        let position = |offset| SpoolPosition { key: spool.key(stream), stream, offset };
        spool.remove_read(&[position(5)]).expect("it grows");
        assert!(spool.is_full());
        drop((writer, spool.remove_read(&[position(4)]).expect("a byte is not read")));
        assert!(spool.is_full());
        spool.remove_read(&[position(5)]).expect("removed");
        assert!(!spool.is_full());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
    }

    #[test]
    fn no_two_starts_share_a_stream_whatever_the_folder_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = open(folder.path(), &[]);
        let ahead = first.lock().stream + (1 << 60);
        let key = first.key(ahead);
        let position = Position::Spool(SpoolPosition { key, stream: ahead, offset: 7 });
        assert_eq!(open(folder.path(), &[position]).lock().stream, ahead + 1);
        fs::write(folder.path().join(format!("{ahead:020}-{:020}.log", 0)), "x").expect("written");
        assert_eq!(open(folder.path(), &[]).lock().stream, ahead + 1);
    }
}
