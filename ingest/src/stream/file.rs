//! One file of a stream while it is read: bytes that are no whole record yet, and its format.

use std::sync::Arc;

use event::{EventBatch, EventId, Reject, Timestamp};
use serde::{Deserialize, Serialize};

use super::StreamSettings;
use crate::clock::Clock;
use crate::format::{self, Format, Registration};
use crate::framing::lines;
use crate::parsed::{Origin, Parsed, ParsedSnapshot};
use crate::session::Sessions;

/// Bytes after which the format of a file must be known, if a line ends in them.
const SAMPLE_BYTES: usize = 64 << 10;

/// Somebody cut the file while the server went on writing where it was.
const NULS: &str = "the file begins with NUL bytes: what stood there before is lost; let the log \
                    be rotated by renaming it, not by truncating it";

/// Name that rejects of a file carry whose format nobody recognises.
const UNKNOWN_FORMAT: &str = "unknown";

pub(super) struct OpenFile {
    key: EventId,
    /// Position after the last byte that was fed.
    read: u64,
    /// Bytes that were fed but not consumed; they end at `read`.
    carry: Vec<u8>,
    ended: bool,
    /// Nothing but NULs was read.
    is_blank: bool,
    decoder: Decoder,
    parsed: Parsed,
}

enum Decoder {
    /// So many bytes are too few to tell the format.
    Undecided {
        seen: usize,
    },
    Known {
        name: &'static str,
        format: Box<dyn Format>,
    },
    /// No format knows the file: every line becomes a reject.
    Unknown,
}

#[derive(Serialize, Deserialize)]
pub(super) struct FileSnapshot {
    key: EventId,
    read: u64,
    carry: Vec<u8>,
    ended: bool,
    received: i64,
    /// The name and the state of the format.
    format: Option<(String, Vec<u8>)>,
    parsed: ParsedSnapshot,
    #[serde(default)]
    is_blank: bool,
}

impl FileSnapshot {
    pub(super) fn key(&self) -> EventId {
        self.key
    }
}

impl OpenFile {
    pub(super) fn new(key: EventId, offset: u64, settings: &StreamSettings) -> Self {
        let origin = Origin {
            source: settings.source.as_str().into(),
            instance: settings.instance.as_str().into(),
            format: UNKNOWN_FORMAT,
            engine: UNKNOWN_FORMAT,
            file: key,
            received: Timestamp::default(),
        };
        let mut file = Self {
            key,
            read: offset,
            carry: Vec::new(),
            ended: false,
            is_blank: offset == 0,
            decoder: Decoder::Undecided { seen: 0 },
            parsed: Parsed::new(origin),
        };
        if let Some(name) = &settings.format {
            file.decide(format::find(name), settings);
        }
        file
    }

    pub(super) fn key(&self) -> EventId {
        self.key
    }

    pub(super) fn read_position(&self) -> u64 {
        self.read
    }

    pub(super) fn records(&self) -> u64 {
        self.parsed.records
    }

    pub(super) fn is_done(&self) -> bool {
        self.ended && self.carry.is_empty() && self.parsed.is_drained()
    }

    pub(super) fn format(&self) -> Option<&'static str> {
        match &self.decoder {
            Decoder::Known { name, .. } => Some(name),
            Decoder::Undecided { .. } | Decoder::Unknown => None,
        }
    }

    /// Swaps what the stream lends to the file that it reads.
    pub(super) fn lend(&mut self, sessions: &mut Sessions, clock: &mut Clock) {
        std::mem::swap(&mut self.parsed.sessions, sessions);
        std::mem::swap(&mut self.parsed.clock, clock);
    }

    pub(super) fn feed(
        &mut self,
        offset: u64,
        bytes: &[u8],
        end_of_file: bool,
        received: Timestamp,
        settings: &StreamSettings,
    ) {
        let known = self.read.saturating_sub(offset).min(bytes.len() as u64) as usize;
        let bytes = &bytes[known..];
        Arc::make_mut(&mut self.parsed.origin).received = received;
        self.ended = end_of_file;
        if offset > self.read && !bytes.is_empty() {
            // A hole: what went before it cannot be continued by what comes after it.
            let carry = std::mem::take(&mut self.carry);
            self.read_on(&carry, true, settings);
            self.carry.clear();
            self.read = offset;
        }
        self.read += bytes.len() as u64;
        if self.carry.is_empty() {
            let consumed = self.read_on(bytes, end_of_file, settings);
            self.carry.extend_from_slice(&bytes[consumed..]);
        } else {
            let mut carry = std::mem::take(&mut self.carry);
            carry.extend_from_slice(bytes);
            let consumed = self.read_on(&carry, end_of_file, settings);
            carry.drain(..consumed);
            self.carry = carry;
        }
    }

    /// Reads what is complete as it stands, although it might have gone on.
    pub(super) fn flush(&mut self) {
        let lines = memchr::memrchr(b'\n', &self.carry).map_or(0, |newline| newline + 1);
        self.parsed.set_offset(self.read - self.carry.len() as u64);
        if let Decoder::Known { format, .. } = &mut self.decoder {
            let parse = |rest: &[u8], out: &mut Parsed| format.flush(rest, out);
            let consumed = read_lines(&self.carry[..lines], true, &mut self.parsed, parse);
            self.carry.drain(..consumed);
        }
    }

    pub(super) fn take(&mut self, flush: bool) -> Option<(EventBatch, Vec<Reject>, u64)> {
        let consumed = self.read - self.carry.len() as u64;
        let open = match &self.decoder {
            Decoder::Known { format, .. } => format.open_from(),
            Decoder::Undecided { .. } | Decoder::Unknown => None,
        };
        self.parsed.take(flush || self.ended, open.map_or(consumed, |open| open.min(consumed)))
    }

    pub(super) fn snapshot(&mut self) -> FileSnapshot {
        let format = match &self.decoder {
            Decoder::Undecided { .. } => None,
            Decoder::Known { name, format } => Some(((*name).to_owned(), format.snapshot())),
            Decoder::Unknown => Some((UNKNOWN_FORMAT.to_owned(), Vec::new())),
        };
        FileSnapshot {
            key: self.key,
            read: self.read,
            carry: self.carry.clone(),
            ended: self.ended,
            received: self.parsed.origin.received.0,
            format,
            parsed: self.parsed.snapshot(),
            is_blank: self.is_blank,
        }
    }

    pub(super) fn restore(snapshot: FileSnapshot, settings: &StreamSettings) -> Option<Self> {
        let mut file = Self::new(snapshot.key, snapshot.read, settings);
        if let Some((name, state)) = &snapshot.format {
            file.decide(format::find(name), settings);
            let restored = match &mut file.decoder {
                Decoder::Known { format, .. } => format.restore(state),
                Decoder::Undecided { .. } | Decoder::Unknown => name == UNKNOWN_FORMAT,
            };
            if !restored {
                return None;
            }
        }
        file.carry = snapshot.carry;
        (file.ended, file.is_blank) = (snapshot.ended, snapshot.is_blank);
        Arc::make_mut(&mut file.parsed.origin).received = Timestamp(snapshot.received);
        file.parsed.restore(snapshot.parsed)?;
        Some(file)
    }

    /// Returns the bytes consumed of `input`, which ends at `read`.
    fn read_on(&mut self, input: &[u8], end: bool, settings: &StreamSettings) -> usize {
        let nuls = self.skip_nuls(input);
        let input = &input[nuls..];
        if input.is_empty() && nuls > 0 {
            return nuls;
        }
        nuls + self.read_text(input, end, settings)
    }

    /// How many NULs the file begins with, which are told once.
    fn skip_nuls(&mut self, input: &[u8]) -> usize {
        if !self.is_blank {
            return 0;
        }
        let nuls = input.iter().take_while(|byte| **byte == 0).count();
        let position = self.read - input.len() as u64;
        if nuls > 0 && position == 0 {
            self.parsed.records += 1;
            self.parsed.reject(position, NULS, &[0]);
        }
        self.is_blank = nuls == input.len();
        nuls
    }

    fn read_text(&mut self, input: &[u8], end: bool, settings: &StreamSettings) -> usize {
        let record_bytes_max = settings.record_bytes_max;
        if let Decoder::Undecided { seen } = &mut self.decoder {
            let (enough, name) = recognise_head(input, *seen, end, record_bytes_max);
            if name.is_none() && !enough {
                *seen = input.len();
                return 0;
            }
            self.decide(name.and_then(format::find), settings);
        }
        self.parsed.set_offset(self.read - input.len() as u64);
        let decoder = &mut self.decoder;
        read_lines(input, end, &mut self.parsed, |rest, out| match decoder {
            Decoder::Known { format, .. } => format.parse(rest, end, out),
            Decoder::Undecided { .. } | Decoder::Unknown => {
                reject_lines(rest, end, record_bytes_max, out)
            }
        })
    }

    fn decide(&mut self, registration: Option<&'static Registration>, settings: &StreamSettings) {
        self.decoder = match registration {
            Some(registration) => {
                let origin = Arc::make_mut(&mut self.parsed.origin);
                (origin.format, origin.engine) = (registration.name, registration.engine);
                Decoder::Known { name: registration.name, format: (registration.open)(settings) }
            }
            None => Decoder::Unknown,
        };
    }
}

/// Hands `input`, which begins at `out.offset()`, to `parse`, but for what is to be skipped.
/// Returns the bytes consumed.
fn read_lines(
    input: &[u8],
    end: bool,
    out: &mut Parsed,
    mut parse: impl FnMut(&[u8], &mut Parsed) -> usize,
) -> usize {
    let offset = out.offset();
    let mut consumed = 0;
    loop {
        if out.skips_line {
            let newline = memchr::memchr(b'\n', &input[consumed..]);
            consumed = newline.map_or(input.len(), |newline| consumed + newline + 1);
            out.skips_line = newline.is_none() && !end;
        }
        if out.skips_line {
            break;
        }
        out.set_offset(offset + consumed as u64);
        consumed += parse(&input[consumed..], out);
        if !out.skips_line {
            break;
        }
    }
    out.set_offset(offset);
    consumed
}

/// The format that the fewest first lines show, and whether more of them could change that.
///
/// One line is tried, then two, then four…, whatever there is to see: so the answer does not
/// depend on how the file was cut. The first line may be as long as a record. The first `seen`
/// bytes were too few.
fn recognise_head(
    input: &[u8],
    seen: usize,
    end: bool,
    line_bytes_max: usize,
) -> (bool, Option<&'static str>) {
    if seen < SAMPLE_BYTES {
        let sample = &input[..input.len().min(SAMPLE_BYTES)];
        let is_full = sample.len() == SAMPLE_BYTES;
        let name = recognise_sample(sample, end || is_full);
        let is_enough = end || (is_full && sample.contains(&b'\n'));
        if name.is_some() || is_enough || !is_full {
            return (is_enough || is_full, name);
        }
    }
    let longest = line_bytes_max.saturating_add(lines::LINE_END_BYTES).max(SAMPLE_BYTES);
    let window = &input[..input.len().min(longest)];
    match memchr::memchr(b'\n', window.get(seen..).unwrap_or_default()) {
        Some(newline) => (true, format::recognise(&window[..=seen + newline])),
        None if end || window.len() == longest => (true, format::recognise(window)),
        None => (false, None),
    }
}

fn recognise_sample(sample: &[u8], is_whole: bool) -> Option<&'static str> {
    let mut wanted = 1;
    for (count, newline) in memchr::memchr_iter(b'\n', sample).enumerate() {
        if count + 1 < wanted {
            continue;
        }
        wanted *= 2;
        if let Some(name) = format::recognise(&sample[..=newline]) {
            return Some(name);
        }
    }
    if is_whole { format::recognise(sample) } else { None }
}

/// Makes every line a reject that says what was tried.
fn reject_lines(input: &[u8], end: bool, line_bytes_max: usize, out: &mut Parsed) -> usize {
    let tried = format::names().collect::<Vec<_>>().join(", ");
    let reason = format!("the file is of no known format (tried {tried}); set `format`");
    let mut start = 0;
    while let Some((length, is_whole)) = lines::line_length(&input[start..], end, line_bytes_max)
        && length > 0
    {
        let position = out.offset() + start as u64;
        let line = input[start..start + length].trim_ascii_end();
        start += length;
        if !is_whole {
            out.reject_line(position, reason.as_str(), line);
            break;
        }
        if !line.is_empty() {
            out.records += 1;
            out.reject(position, reason.as_str(), line);
        }
    }
    start
}
