//! The reader of a spool: a thread that hands on what was received, stream by stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event::EventId;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use super::item::{Notice, SourceData, SourceItem};
use super::kind::{Source, SourceError, Start};
use super::position::Position;
use super::spool::{Next, Segment, Spool, SpoolPosition};

/// Items on their way to the caller.
const ITEMS_MAX: usize = 8;

/// The most bytes of an item.
const CHUNK_BYTES: usize = 256 << 10;

/// How soon a quiet spool sees that it shall stop, and what cannot be read is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// A source whose bytes come out of a spool.
pub(super) struct Received {
    spool: Arc<Spool>,
    items: Receiver<SourceItem>,
}

impl Received {
    /// Reads on after the positions of the start.
    pub(super) fn follow(
        spool: Arc<Spool>,
        start: &Start<'_>,
    ) -> Result<Box<dyn Source>, SourceError> {
        let known = start.positions.iter().filter_map(Position::spool).cloned();
        let (sender, items) = channel(ITEMS_MAX);
        let reader = Reader {
            spool: spool.clone(),
            known: known.collect(),
            items: sender,
            shutdown: start.shutdown.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("spool {}", start.instance));
        thread.spawn(move || reader.run()).map_err(|error| {
            let what = "the reader of the spool needs a thread".to_owned();
            SourceError::Receive { what, error }
        })?;
        Ok(Box::new(Self { spool, items }))
    }
}

impl Source for Received {
    fn items(&mut self) -> &mut Receiver<SourceItem> {
        &mut self.items
    }

    fn position(&self, key: EventId, offset: u64) -> Option<Position> {
        let stream = self.spool.stream_of(key)?;
        Some(Position::Spool(SpoolPosition { key, stream, offset }))
    }

    fn wants(&self, position: &Position) -> bool {
        position.spool().is_some_and(|position| self.spool.has(position.stream))
    }

    fn persisted(&mut self, positions: &[Position]) -> io::Result<()> {
        let durable = positions.iter().filter_map(Position::spool).cloned();
        self.spool.remove_read(&durable.collect::<Vec<_>>())
    }
}

struct Reader {
    spool: Arc<Spool>,
    known: Vec<SpoolPosition>,
    items: Sender<SourceItem>,
    shutdown: CancellationToken,
}

/// Nobody takes items any more.
struct Closed;

impl Reader {
    fn run(self) {
        let mut after = None;
        while !self.shutdown.is_cancelled() {
            match self.spool.stream_after(after) {
                Some(stream) => {
                    if self.read(stream).is_err() {
                        return;
                    }
                    after = Some(stream);
                }
                None => self.spool.wait_for_stream(after, PAUSE),
            }
        }
    }

    /// Hands on one stream to its end.
    fn read(&self, stream: u64) -> Result<(), Closed> {
        let key = self.spool.key(stream);
        let known = self.known.iter().find(|position| position.stream == stream);
        let mut offset = known.map_or(0, |position| position.offset);
        let (mut is_idle, mut is_reported) = (false, false);
        loop {
            if self.shutdown.is_cancelled() {
                return Err(Closed);
            }
            match self.spool.next(stream, offset) {
                Next::Bytes(segment) => match segment.read(offset, CHUNK_BYTES) {
                    Ok(bytes) => {
                        let read = bytes.len() as u64;
                        self.give(key, &segment, offset, bytes.into(), false)?;
                        offset += read;
                        (is_idle, is_reported) = (false, false);
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        offset = self.lost(key, &segment, offset, segment.end())?;
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut is_reported, true) {
                            self.say(Notice::unreadable(&segment.path, &error))?;
                        }
                        std::thread::sleep(PAUSE);
                    }
                },
                Next::Hole(segment) => {
                    offset = self.lost(key, &segment, offset, segment.base)?;
                }
                Next::EndOfStream(last) => {
                    return self.give(key, &last, offset, Bytes::new(), true);
                }
                Next::Nothing => {
                    if !std::mem::replace(&mut is_idle, true) {
                        self.send(SourceItem::Idle)?;
                    }
                    self.spool.wait_for_bytes(stream, offset, PAUSE);
                }
            }
        }
    }

    fn give(
        &self,
        key: EventId,
        segment: &Segment,
        offset: u64,
        bytes: Bytes,
        end_of_file: bool,
    ) -> Result<(), Closed> {
        let path = segment.path.clone();
        self.send(SourceItem::Data(SourceData { key, path, offset, bytes, end_of_file }))
    }

    /// Tells of what is missing, and returns where it goes on.
    fn lost(&self, key: EventId, at: &Segment, offset: u64, until: u64) -> Result<u64, Closed> {
        let (path, unread_bytes) = (at.path.clone(), until - offset);
        self.say(Notice::Lost { key, path, offset, unread_bytes })?;
        Ok(until)
    }

    fn say(&self, notice: Notice) -> Result<(), Closed> {
        self.send(SourceItem::Notice(notice))
    }

    fn send(&self, item: SourceItem) -> Result<(), Closed> {
        self.items.blocking_send(item).map_err(|_| Closed)
    }
}
