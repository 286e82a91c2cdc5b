//! Everything that one source writes, whatever files it is in: pieces of files go in, events and
//! rejects come out. Pure: no clock, no I/O; the same bytes give the same events however cut.

mod file;
pub(crate) mod settings;

use event::{EventBatch, EventId, Reject, Timestamp};
use serde::{Deserialize, Serialize};

use self::file::{FileSnapshot, OpenFile};
pub use self::settings::StreamSettings;
use crate::clock::Clock;
use crate::session::Sessions;

/// A part of a file that can be stored.
#[derive(Debug)]
pub struct Decoded {
    /// Key of the file, as given to [`Stream::feed`].
    pub file: EventId,
    /// At most [`event::BATCH_ROWS`] events; may be empty if there are rejects.
    pub events: EventBatch,
    /// Records that could not be read.
    pub rejects: Vec<Reject>,
    /// Records that became the events and rejects.
    pub records: u64,
    /// Every byte of the file before this one is in what was handed out so far.
    pub end: u64,
}

/// What a stream met since it was made, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records begun: always the events and rejects together.
    pub records: u64,
    /// Records that became events and were handed out.
    pub events: u64,
    /// Records that became rejects and were handed out.
    pub rejects: u64,
    /// Sessions forgotten because there were more than `sessions_max`.
    pub sessions_evicted: u64,
    /// Times whose zone was not known, so that one was assumed.
    pub zones_assumed: u64,
}

/// The bytes are no snapshot of a stream.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Damaged, or of another version.
    #[error("not a snapshot of a stream: {0}; remove it to read the files from the start")]
    Encoding(#[from] rmp_serde::decode::Error),
    /// Well-formed, but its parts are not.
    #[error("the snapshot of file {0} is damaged; remove it to read the files from the start")]
    File(EventId),
}

/// Reads the files of one source.
pub struct Stream {
    settings: StreamSettings,
    sessions: Sessions,
    clock: Clock,
    files: Vec<OpenFile>,
    counts: Counts,
}

#[derive(Serialize, Deserialize)]
struct StreamSnapshot {
    sessions: Sessions,
    clock: Clock,
    files: Vec<FileSnapshot>,
    counts: Counts,
}

impl Stream {
    /// A stream that has read nothing yet.
    pub fn new(settings: StreamSettings) -> Self {
        let sessions = Sessions::new(settings.sessions_max);
        let clock = Clock::new(settings.timezone);
        Self { settings, sessions, clock, files: Vec::new(), counts: Counts::default() }
    }

    /// Reads the next bytes of a file. `offset` is the position of the first of them; bytes that
    /// were fed before are skipped. At `end_of_file` the last record is complete.
    pub fn feed(
        &mut self,
        file: EventId,
        offset: u64,
        bytes: &[u8],
        end_of_file: bool,
        received: Timestamp,
    ) {
        let known = self.files.iter().position(|open| open.key() == file);
        let index = known.unwrap_or_else(|| {
            self.files.push(OpenFile::new(file, offset, &self.settings));
            self.files.len() - 1
        });
        let open = &mut self.files[index];
        open.lend(&mut self.sessions, &mut self.clock);
        open.feed(offset, bytes, end_of_file, received, &self.settings);
        open.lend(&mut self.sessions, &mut self.clock);
    }

    /// Hands out what is ready: rows that no later record can change. With `flush` also the
    /// rest, and records that look complete but might still have gone on.
    pub fn take(&mut self, flush: bool) -> Option<Decoded> {
        for index in 0..self.files.len() {
            let open = &mut self.files[index];
            if flush {
                open.lend(&mut self.sessions, &mut self.clock);
                open.flush();
                open.lend(&mut self.sessions, &mut self.clock);
            }
            if let Some((events, rejects, end)) = open.take(flush) {
                let records = (events.len() + rejects.len()) as u64;
                self.counts.events += events.len() as u64;
                self.counts.rejects += rejects.len() as u64;
                return Some(Decoded { file: open.key(), events, rejects, records, end });
            }
        }
        // Only now: a file that was read to its end is done once nothing of it is left.
        let counts = &mut self.counts;
        self.files.retain(|open| {
            counts.records += if open.is_done() { open.records() } else { 0 };
            !open.is_done()
        });
        None
    }

    /// The byte of the file that [`feed`](Self::feed) expects next; 0 for an unknown file.
    pub fn read_position(&self, file: EventId) -> u64 {
        self.files.iter().find(|open| open.key() == file).map_or(0, OpenFile::read_position)
    }

    /// The name of the format of a file, once it is known.
    pub fn format_of(&self, file: EventId) -> Option<&'static str> {
        self.files.iter().find(|open| open.key() == file).and_then(OpenFile::format)
    }

    /// What was met so far.
    pub fn counts(&self) -> Counts {
        let open: u64 = self.files.iter().map(OpenFile::records).sum();
        Counts {
            records: self.counts.records + open,
            sessions_evicted: self.sessions.evicted(),
            zones_assumed: self.clock.assumed(),
            ..self.counts
        }
    }

    /// Everything that is needed to go on reading at the read positions, as MessagePack.
    pub fn snapshot(&mut self) -> Vec<u8> {
        let snapshot = StreamSnapshot {
            sessions: self.sessions.stored(),
            clock: self.clock.clone(),
            files: self.files.iter_mut().map(OpenFile::snapshot).collect(),
            counts: self.counts,
        };
        rmp_serde::to_vec(&snapshot).expect("numbers, texts and lists can be written to memory")
    }

    /// Continues from a snapshot as if there had been no interruption.
    pub fn restore(settings: StreamSettings, snapshot: &[u8]) -> Result<Self, RestoreError> {
        let snapshot: StreamSnapshot = rmp_serde::from_slice(snapshot)?;
        let mut stream = Self::new(settings);
        stream.sessions = Sessions::continued(snapshot.sessions, stream.settings.sessions_max);
        stream.clock.continue_from(&snapshot.clock);
        stream.counts = snapshot.counts;
        for file in snapshot.files {
            let key = file.key();
            let open = OpenFile::restore(file, &stream.settings);
            stream.files.push(open.ok_or(RestoreError::File(key))?);
        }
        Ok(stream)
    }
}
