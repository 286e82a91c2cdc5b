//! PostgreSQL through syslog: RFC 3164, ISO times or RFC 5424, one message in numbered chunks.
//!
//! The server splits at newlines and at length; what it wrote is put together again per process
//! and handed to the reader of text records. Messages come out in the order in which they begin.

mod envelope;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use self::envelope::{Chunk, Header, Number};
use super::forgery;
use super::prefix::Prefix;
use super::prefix_guess;
use super::text_record::{Envelope, SECOND_RECORD, TextReader, TextRecord, begins, lossy};
use crate::format::{Format, Registration, byte_order_mark_length};
use crate::framing::lines;
use crate::parsed::Parsed;
use crate::stream::StreamSettings;

pub(crate) const REGISTRATION: Registration = Registration {
    name: "postgresql_syslog",
    engine: "postgresql",
    open: |settings| Box::new(Syslog::new(settings)),
    score,
};

/// Lines of which the prefix is told, and the bytes that they may take.
const SAMPLE_LINES: usize = 40;
const SAMPLE_BYTES: usize = 32 << 10;

/// A sample of this size is as large as one is.
const FULL_SAMPLE_BYTES: usize = 64 << 10;

/// A line that is parted within a word, as `write_syslog` in elog.c does, gives chunks of 900
/// bytes, less what a character of many bytes takes.
const CHUNK_BYTES_MIN: usize = 897;

/// What begins a line as the server does is within so many bytes.
const HEAD_BYTES_MAX: usize = 4096;

/// A message is complete when so many further lines brought no chunk of it.
const OPEN_LINES_MAX: u64 = 64;

const NO_HEADER: &str = "the line has no syslog header of a PostgreSQL server";
const TOO_LONG: &str = "the line is longer than `record_bytes_max`";
const NO_PREFIX: &str = "the message begins with no known log_line_prefix; set `log_line_prefix`";
const SPLIT_PREFIX: &str = "a newline in the middle of the prefix";

struct Syslog {
    configured: Option<Prefix>,
    record_bytes_max: usize,
    state: State,
    prefix: Option<Prefix>,
    reader: TextReader,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    prefix: Option<String>,
    /// Lines read so far.
    lines: u64,
    /// The forwarder leaves control characters as they are, so that `#011` is text.
    raw_controls: bool,
    messages: VecDeque<Message>,
}

/// A message that may go on.
#[derive(Serialize, Deserialize)]
struct Message {
    position: u64,
    /// Host, name and number of the process.
    sender: String,
    process: String,
    /// Time of the header, as it stands there.
    time: String,
    number: Number,
    text: String,
    bytes: Vec<u8>,
    /// Number of the line that added to it last.
    line: u64,
    closed: bool,
    suspicion: Option<Suspicion>,
    /// It is longer than a record may be: only its head is kept.
    #[serde(default)]
    is_cut: bool,
    /// Where the last line of the text begins that no TAB makes part of another.
    #[serde(default)]
    own_line: usize,
    /// Length of the text of the last chunk.
    #[serde(default)]
    chunk_bytes: usize,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Suspicion {
    SecondRecord,
    SplitPrefix,
}

fn score(sample: &[u8]) -> u8 {
    let text = lossy(&sample[byte_order_mark_length(sample)..]);
    let with_header = text.lines().filter_map(Chunk::read).count();
    // The texts behind the headers must be the server's: other programs write to syslog too.
    if with_header > 0 && prefix_guess::guess(&first_texts(&text)).is_some() {
        return 80;
    }
    // Of so many lines of others, the carrier at least is known: the server's may follow.
    u8::from(sample.len() >= FULL_SAMPLE_BYTES && 2 * with_header > text.lines().count())
}

/// The texts behind the headers: of those that are numbered, as the server numbers them, if there
/// are any, so that other programs do not speak for it.
fn first_texts(text: &str) -> Vec<&str> {
    let chunks: Vec<_> = text.lines().filter_map(Chunk::read).collect();
    let is_numbered = |chunk: &&Chunk<'_>| chunk.number != Number::None;
    let has_numbers = chunks.iter().any(|chunk| is_numbered(&chunk));
    let own = chunks.iter().filter(|chunk| !has_numbers || is_numbered(chunk));
    own.take(SAMPLE_LINES).map(|chunk| chunk.text).collect()
}

/// Where the lines end that are enough to tell the prefix of; none if there are not enough. Lines
/// of other programs do not count beside numbered ones.
fn sample_end(window: &[u8]) -> Option<usize> {
    let (mut numbered, mut others) = (0, 0);
    let mut begin = 0;
    for newline in memchr::memchr_iter(b'\n', window) {
        match Chunk::read(&lossy(&window[begin..newline])) {
            Some(chunk) if chunk.number != Number::None => numbered += 1,
            _ => others += 1,
        }
        begin = newline + 1;
        if numbered == SAMPLE_LINES || (numbered == 0 && others == SAMPLE_LINES) {
            return Some(begin);
        }
    }
    None
}

impl Syslog {
    fn new(settings: &StreamSettings) -> Self {
        let configured = settings.postgresql.log_line_prefix.as_deref().map(Prefix::compile);
        Self {
            prefix: configured.clone(),
            configured,
            record_bytes_max: settings.record_bytes_max,
            state: State::default(),
            reader: TextReader::default(),
        }
    }

    /// Tells the prefix of the lines at hand and returns how many bytes may be read now; none if
    /// more of them are needed.
    fn decide(&mut self, input: &[u8], end: bool) -> Option<usize> {
        if self.prefix.is_some() {
            return Some(input.len());
        }
        let window = &input[..input.len().min(SAMPLE_BYTES)];
        let enough = sample_end(window);
        if !end && enough.is_none() && window.len() < SAMPLE_BYTES {
            return None;
        }
        // A line that is cut off here is looked at again with what follows it.
        let is_full = window.len() == SAMPLE_BYTES;
        let whole = memchr::memrchr(b'\n', window).filter(|_| is_full).map(|newline| newline + 1);
        let length = enough.or(whole).unwrap_or(window.len());
        let text = lossy(&window[..length]);
        self.prefix = prefix_guess::guess(&first_texts(&text)).map(|(prefix, _)| prefix);
        self.state.prefix = self.prefix.as_ref().map(|prefix| prefix.text().to_owned());
        Some(if self.prefix.is_some() { input.len() } else { length })
    }

    /// Reads a line without its end, or the head of one that is too long.
    fn line(&mut self, line: &[u8], is_whole: bool, position: u64, out: &mut Parsed) {
        self.state.lines += 1;
        if line.is_empty() {
            return;
        }
        let text = lossy(line);
        let Some(chunk) = Chunk::read(&text) else {
            // In order: what began before it comes out before it.
            self.emit(true, out);
            out.records += 1;
            let reason = if is_whole { NO_HEADER } else { TOO_LONG };
            return out.reject(position, reason, line);
        };
        self.state.raw_controls |= text.bytes().any(|byte| byte == b'\t');
        let decoded = envelope::decode(chunk.text, self.state.raw_controls);
        self.chunk(&chunk.header, chunk.number, &decoded, line, is_whole, position);
        self.emit(false, out);
    }

    /// Adds a chunk to its message or begins one with it.
    fn chunk(
        &mut self,
        header: &Header<'_>,
        number: Number,
        text: &str,
        line: &[u8],
        is_whole: bool,
        position: u64,
    ) {
        let prefix = self.prefix.as_ref();
        let first_line = text.split('\n').next().unwrap_or_default();
        let head = prefix.and_then(|prefix| prefix.read(first_line));
        let is_head = head.is_some_and(|head| begins(&head));
        let is_sender = |message: &&mut Message| !message.closed && header.is(&message.sender);
        let open = self.state.messages.iter_mut().rev().find(is_sender);
        if let Some(message) = open {
            let own = head.is_none_or(|head| head.values.process == message.process);
            let goes_on = message.number.is_followed_by(number, is_head && own);
            if goes_on {
                let fits = message.bytes.len() + 1 + line.len() <= self.record_bytes_max;
                if fits && !message.is_cut {
                    message.add(text, line, number, is_head, head.is_some(), prefix);
                }
                message.is_cut |= !fits || !is_whole;
                (message.number, message.line) = (number, self.state.lines);
                return;
            }
            message.closed = true;
        }
        let mut message = Message {
            position,
            sender: header.sender(),
            process: header.process.to_owned(),
            time: header.time.to_owned(),
            number,
            text: text.to_owned(),
            bytes: line.to_vec(),
            line: self.state.lines,
            closed: false,
            suspicion: None,
            is_cut: !is_whole,
            own_line: 0,
            chunk_bytes: text.len(),
        };
        message.note_line(0);
        self.state.messages.push_back(message);
    }

    /// Hands out the messages at the head that are complete, with `all` every one.
    fn emit(&mut self, all: bool, out: &mut Parsed) {
        let lines = self.state.lines;
        while let Some(message) = self.state.messages.front() {
            if !all && !message.closed && message.line + OPEN_LINES_MAX > lines {
                break;
            }
            let Some(message) = self.state.messages.pop_front() else { break };
            self.read(&message, out);
        }
    }

    fn read(&mut self, message: &Message, out: &mut Parsed) {
        let first = message.text.split('\n').next().unwrap_or_default();
        let head = self.prefix.as_ref().and_then(|prefix| Some((prefix, prefix.read(first)?)));
        let Some((prefix, head)) = head else {
            out.records += 1;
            let broken = self.prefix.as_ref().is_some_and(|prefix| prefix.breaks_off(first));
            let tail = forgery::has_login_tail(&message.text);
            let split = (broken || tail).then_some(Suspicion::SplitPrefix);
            let reason = match message.suspicion.or(split) {
                Some(suspicion) => {
                    forgery::doubt_neighbours(message.position, out);
                    format!("{}{}", forgery::ERROR, suspicion.as_str())
                }
                None => NO_PREFIX.to_owned(),
            };
            return out.reject(message.position, reason, &message.bytes);
        };
        let has_time = !(head.values.time.is_empty() && head.values.epoch.is_empty());
        let time = if has_time { None } else { envelope::time(&message.time, out.origin.received) };
        let record = TextRecord {
            position: message.position,
            bytes: &message.bytes,
            text: &message.text,
            is_cut: message.is_cut,
            suspicion: message.suspicion.map(Suspicion::as_str),
            envelope: Envelope { time, process: &message.process },
        };
        self.reader.read(&record, &head, prefix, out);
    }
}

impl Message {
    fn add(
        &mut self,
        text: &str,
        line: &[u8],
        number: Number,
        is_head: bool,
        is_tagged: bool,
        prefix: Option<&Prefix>,
    ) {
        let starts_line = text.starts_with('\t') || is_tagged;
        let has_head = starts_line || self.has_head(prefix);
        if is_head {
            self.suspicion = Some(Suspicion::SecondRecord);
        } else if !has_head {
            self.suspicion = Some(Suspicion::SplitPrefix);
        }
        // A chunk that could have been longer ended with its line, or before a blank: one that a
        // forwarder took off the head of the next.
        let is_trimmed = (1..CHUNK_BYTES_MIN).contains(&self.chunk_bytes)
            && !text.starts_with(|first: char| first.is_ascii_whitespace());
        let added = self.text.len().saturating_sub(1);
        if starts_line {
            self.text.push('\n');
        } else if is_trimmed && has_head {
            self.text.push_str("\n\t");
        }
        self.chunk_bytes = text.len();
        self.text.push_str(text);
        self.note_line(added);
        self.bytes.push(b'\n');
        self.bytes.extend_from_slice(line);
        self.number = number;
    }

    /// Notes the last line that begins in the text from `added` on and goes on with no other.
    fn note_line(&mut self, added: usize) {
        let text = self.text.as_bytes();
        let mut begun =
            memchr::memrchr_iter(b'\n', &text[added..]).map(|newline| added + newline + 1);
        let is_own = |start: &usize| text.get(*start).is_some_and(|byte| *byte != b'\t');
        self.own_line = begun.find(is_own).unwrap_or(self.own_line);
    }

    /// Whether its last line begins as one of the server's.
    fn has_head(&self, prefix: Option<&Prefix>) -> bool {
        let line = &self.text[self.own_line..];
        let line = &line[..line.floor_char_boundary(HEAD_BYTES_MAX)];
        let line = line.split('\n').next().unwrap_or_default();
        let is_head = |prefix: &Prefix| prefix.read(line).is_some();
        !self.text.ends_with('\n') && prefix.is_some_and(is_head)
    }
}

impl Suspicion {
    fn as_str(self) -> &'static str {
        match self {
            Self::SecondRecord => SECOND_RECORD,
            Self::SplitPrefix => SPLIT_PREFIX,
        }
    }
}

impl Format for Syslog {
    fn parse(&mut self, input: &[u8], end_of_input: bool, out: &mut Parsed) -> usize {
        let mut start = if out.offset() == 0 { byte_order_mark_length(input) } else { 0 };
        let mut readable = start;
        while start < input.len() {
            if start >= readable {
                let Some(length) = self.decide(&input[start..], end_of_input) else { break };
                readable = start + length;
            }
            let rest = &input[start..];
            let line = lines::line_length(rest, end_of_input, self.record_bytes_max);
            let Some((length, is_whole)) = line else { break };
            let line = if is_whole { lines::text(&rest[..length]) } else { &rest[..length] };
            self.line(line, is_whole, out.offset() + start as u64, out);
            start += length;
            if !is_whole {
                out.skips_line = true;
                break;
            }
        }
        if end_of_input && !out.skips_line {
            self.emit(true, out);
        }
        start
    }

    fn flush(&mut self, lines: &[u8], out: &mut Parsed) -> usize {
        self.parse(lines, true, out)
    }

    fn open_from(&self) -> Option<u64> {
        self.state.messages.front().map(|message| message.position)
    }

    fn snapshot(&self) -> Vec<u8> {
        rmp_serde::to_vec(&self.state).unwrap_or_default()
    }

    fn restore(&mut self, snapshot: &[u8]) -> bool {
        let Ok(state) = rmp_serde::from_slice::<State>(snapshot) else { return false };
        let told = state.prefix.as_deref().map(Prefix::compile);
        self.prefix = self.configured.clone().or(told);
        self.state = state;
        true
    }
}
