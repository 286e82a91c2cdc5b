//! PostgreSQL's stderr: text behind a `log_line_prefix`, which a client can forge; see
//! `forgery.rs` for how that shows.
//!
//! A record is complete when the next one begins: only then is it certain that it does not go on.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::forgery;
use super::prefix::{Line, Prefix};
use super::prefix_guess;
use super::text_record::{Envelope, TextReader, TextRecord, begins, lossy};
use crate::format::{Format, Registration, byte_order_mark_length};
use crate::framing::lines;
use crate::parsed::Parsed;
use crate::stream::StreamSettings;

pub(crate) const REGISTRATION: Registration = Registration {
    name: "postgresql_stderr",
    engine: "postgresql",
    open: |settings| Box::new(Stderr::new(settings)),
    score,
};

/// Lines of which the prefix is told, and the bytes that they may take.
const SAMPLE_LINES: usize = 40;
const SAMPLE_BYTES: usize = 32 << 10;

const BROKEN_PREFIX: &str = "the line before it breaks off in the middle of its prefix";
const NO_PREFIX: &str = "no line here begins with a known log_line_prefix; set `log_line_prefix`";
const FOREIGN: &str = "the line is not the server's: it has neither the prefix nor a TAB";
const TOO_LONG: &str = "the record is longer than `record_bytes_max`";

struct Stderr {
    prefix: Option<Prefix>,
    record_bytes_max: usize,
    /// The line before breaks off: the next record may be what a client made of its rest.
    after_break: bool,
    /// The record before was too long: lines that go on with it are its rest.
    after_cut: bool,
    reader: TextReader,
}

#[derive(Serialize, Deserialize)]
struct State {
    prefix: Option<String>,
    after_break: bool,
    #[serde(default)]
    after_cut: bool,
}

/// A record whose end is not known yet.
struct Open<'a> {
    start: usize,
    after_break: bool,
    head: Option<Line<'a>>,
}

/// What a line is to the record before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Blank,
    /// It begins a record.
    Head,
    GoesOn,
    Foreign,
}

/// The file is of this format if some of its first lines have a prefix and a tag.
fn score(sample: &[u8]) -> u8 {
    let text = lossy(&sample[byte_order_mark_length(sample)..]);
    let lines: Vec<&str> = text.lines().take(SAMPLE_LINES).collect();
    if prefix_guess::guess(&lines).is_some() { 60 } else { 0 }
}

impl Stderr {
    fn new(settings: &StreamSettings) -> Self {
        Self {
            prefix: settings.postgresql.log_line_prefix.as_deref().map(Prefix::compile),
            record_bytes_max: settings.record_bytes_max,
            after_break: false,
            after_cut: false,
            reader: TextReader::default(),
        }
    }

    /// Tells the prefix of the lines at hand; false if more of them are needed. Lines that show
    /// none are skipped: the returned number of bytes is no part of any record.
    fn decide(&mut self, input: &[u8], end: bool) -> Option<usize> {
        if self.prefix.is_some() {
            return Some(0);
        }
        let window = &input[..input.len().min(SAMPLE_BYTES)];
        let mut newlines = memchr::memchr_iter(b'\n', window);
        let last = newlines.nth(SAMPLE_LINES - 1);
        let is_enough = end || last.is_some() || window.len() == SAMPLE_BYTES;
        if !is_enough {
            return None;
        }
        // A line that is cut off here is looked at again with what follows it.
        let is_full = window.len() == SAMPLE_BYTES;
        let last = last.or_else(|| memchr::memrchr(b'\n', window).filter(|_| is_full));
        let length = last.map_or(window.len(), |newline| newline + 1);
        let text = lossy(&window[..length]);
        let lines: Vec<&str> = text.lines().collect();
        self.prefix = prefix_guess::guess(&lines).map(|(prefix, _)| prefix);
        Some(if self.prefix.is_some() { 0 } else { length })
    }

    fn records(&mut self, input: &[u8], end: bool, out: &mut Parsed) -> usize {
        let Some(prefix) = self.prefix.take() else { return 0 };
        let mut open: Option<Open<'_>> = None;
        let mut start = 0;
        while let Some((length, is_whole)) =
            lines::line_length(&input[start..], end, self.record_bytes_max)
            && length > 0
        {
            let next = start + length;
            let line = &input[start..next];
            let (part, head) = part(line, &prefix);
            let is_long = |open: &Open<'_>| {
                !is_whole || lines::text(&input[open.start..next]).len() > self.record_bytes_max
            };
            match part {
                Part::Blank if open.as_ref().is_some_and(is_long) => {
                    self.close(open.take(), start, false, &prefix, input, out);
                }
                Part::Blank => {}
                Part::Head => {
                    self.close(open.take(), start, false, &prefix, input, out);
                    let after_break = std::mem::take(&mut self.after_break);
                    self.after_cut = !is_whole;
                    let begun = Some(Open { start, after_break, head });
                    match is_whole {
                        true => open = begun,
                        false => self.close(begun, next, true, &prefix, input, out),
                    }
                }
                Part::GoesOn if open.as_ref().is_some_and(is_long) => {
                    self.close(open.take(), start, true, &prefix, input, out);
                    self.after_cut = true;
                }
                Part::GoesOn if open.is_some() || self.after_cut => {}
                Part::GoesOn | Part::Foreign => {
                    // A collector may write the TAB as blanks: then what is here is missing there.
                    let is_cut = line.starts_with(b" ");
                    self.close(open.take(), start, is_cut, &prefix, input, out);
                    self.after_cut = false;
                    let reason = if is_whole { FOREIGN } else { TOO_LONG };
                    self.foreign(line, start, reason, &prefix, out);
                }
            }
            start = next;
            if !is_whole {
                out.skips_line = true;
                break;
            }
        }
        let consumed = if end && !out.skips_line {
            self.close(open.take(), input.len(), false, &prefix, input, out);
            input.len()
        } else if let Some(open) = open {
            // It will be read again from its first line.
            self.after_break = open.after_break;
            open.start
        } else {
            start
        };
        self.prefix = Some(prefix);
        consumed
    }

    fn close(
        &mut self,
        open: Option<Open<'_>>,
        end: usize,
        is_cut: bool,
        prefix: &Prefix,
        input: &[u8],
        out: &mut Parsed,
    ) {
        let Some(open) = open else { return };
        let lines = &input[open.start..end];
        let bytes = lines.trim_ascii_end();
        let mut text = lossy(bytes);
        let mut head = open.head;
        if lines.ends_with(b"\r\n") {
            // The file was carried over a system that ends lines so.
            text = Cow::Owned(text.replace("\r\n", "\n"));
            head = None;
        }
        let suspicion = open.after_break.then_some(BROKEN_PREFIX);
        let position = out.offset() + open.start as u64;
        let envelope = Envelope::default();
        let record = TextRecord { position, bytes, text: &text, is_cut, suspicion, envelope };
        let first = text.split('\n').next().unwrap_or_default();
        match head.or_else(|| prefix.read(first)) {
            Some(head) => self.reader.read(&record, &head, prefix, out),
            None => {
                out.records += 1;
                out.reject(position, FOREIGN, bytes);
            }
        }
    }

    /// A line of nobody, or the rest of a line that a client broke.
    fn foreign(
        &mut self,
        line: &[u8],
        start: usize,
        reason: &str,
        prefix: &Prefix,
        out: &mut Parsed,
    ) {
        let position = out.offset() + start as u64;
        let text = lossy(line.trim_ascii_end());
        out.records += 1;
        let breaks_off = !line.starts_with(b"\t") && prefix.breaks_off(&text);
        if breaks_off || forgery::has_login_tail(&text) {
            self.after_break = true;
            let reason =
                format!("{}{BROKEN_PREFIX}", forgery::ERROR).replace("the line before it", "it");
            forgery::doubt_neighbours(position, out);
            out.reject(position, reason, line.trim_ascii_end());
        } else {
            out.reject(position, reason, line.trim_ascii_end());
        }
    }
}

/// What the line is, apart from whether there is a record that it can go on with, and its head: a
/// line that is borrowed need not be read again when its record is complete.
fn part<'a>(line: &'a [u8], prefix: &Prefix) -> (Part, Option<Line<'a>>) {
    if line.starts_with(b"\t") {
        return (Part::GoesOn, None);
    }
    if line.trim_ascii().is_empty() {
        return (Part::Blank, None);
    }
    let text = lossy(line);
    let (is_head, head) = match &text {
        Cow::Borrowed(text) => {
            let head = prefix.read(text);
            (head.map(|head| begins(&head)), head)
        }
        Cow::Owned(text) => (prefix.read(text).map(|head| begins(&head)), None),
    };
    match is_head {
        Some(true) => (Part::Head, head),
        Some(false) => (Part::GoesOn, None),
        None => (Part::Foreign, None),
    }
}

impl Format for Stderr {
    fn parse(&mut self, input: &[u8], end_of_input: bool, out: &mut Parsed) -> usize {
        let mut consumed = 0;
        if out.offset() == 0 {
            consumed = byte_order_mark_length(input);
        }
        while consumed < input.len() {
            let rest = &input[consumed..];
            let Some(skipped) = self.decide(rest, end_of_input) else { break };
            let offset = out.offset();
            out.set_offset(offset + consumed as u64);
            let taken = if skipped > 0 {
                reject_lines(&rest[..skipped], out);
                out.skips_line = rest[skipped - 1] != b'\n' && skipped < rest.len();
                skipped
            } else {
                self.records(rest, end_of_input, out)
            };
            out.set_offset(offset);
            consumed += taken;
            if skipped == 0 || out.skips_line {
                break;
            }
        }
        consumed
    }

    fn flush(&mut self, lines: &[u8], out: &mut Parsed) -> usize {
        self.parse(lines, true, out)
    }

    fn snapshot(&self) -> Vec<u8> {
        let prefix = self.prefix.as_ref().map(|prefix| prefix.text().to_owned());
        let state = State { prefix, after_break: self.after_break, after_cut: self.after_cut };
        rmp_serde::to_vec(&state).unwrap_or_default()
    }

    fn restore(&mut self, snapshot: &[u8]) -> bool {
        let Ok(state) = rmp_serde::from_slice::<State>(snapshot) else { return false };
        self.prefix = state.prefix.as_deref().map(Prefix::compile);
        (self.after_break, self.after_cut) = (state.after_break, state.after_cut);
        true
    }
}

fn reject_lines(lines: &[u8], out: &mut Parsed) {
    let mut start = 0;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let bytes = line.trim_ascii_end();
        if !bytes.is_empty() {
            out.records += 1;
            out.reject(out.offset() + start as u64, NO_PREFIX, bytes);
        }
        start += line.len();
    }
}
