//! The file of pgauditlogtofile (1.5): the columns of csvlog without its quotes, and the payload of
//! pgaudit as pgaudit quotes it.
//!
//! Names, messages and contexts stand there as they are, so a client can write what looks like a
//! record behind a newline in a context. Only statement and parameters are quoted: within them a
//! newline begins nothing. A record is complete when the next one begins, at the end of the file,
//! or when the log pauses.

use event::vocabulary::Evidence;
use serde::{Deserialize, Serialize};

use super::interpret::Interpreter;
use super::prefix::{session_length, time_length};
use super::record::Record;
use super::text_record::lossy;
use crate::format::{Format, Registration};
use crate::framing::{Frame, lines};
use crate::parsed::Parsed;
use crate::session::Client;
use crate::stream::StreamSettings;

pub(crate) const REGISTRATION: Registration = Registration {
    name: "postgresql_logtofile",
    engine: "postgresql",
    open: |settings| Box::new(Logtofile::new(settings)),
    score,
};

/// From the session's id to what is told: line, activity, start, both transactions, code.
const BEFORE_TEXT: usize = 7;
/// Fields of a payload: with `pgaudit.log_rows` one more.
const PAYLOAD_FIELDS: usize = 9;
/// Commas between the text and the context.
const BEFORE_CONTEXT: usize = 5;

/// Where a record begins shows in so many bytes.
const HEAD_BYTES_MAX: usize = 4096;

/// A quote that nothing closes within so many records as long as may be is taken for damage.
const SKIPPED_RECORDS_MAX: usize = 16;

const FOREIGN: &str = "the line begins no record: it has no time, process and session";
const TOO_LONG: &str = "the record is longer than `record_bytes_max`, or its quotes are not closed";
const BREAKS_OFF: &str = "the record before it breaks off before its application";

struct Logtofile {
    record_bytes_max: usize,
    state: State,
    message: String,
    interpreter: Interpreter,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    /// The record before breaks off: a client may have written what follows.
    after_break: bool,
    #[serde(default)]
    skipped: Option<Skipped>,
}

/// A record that is too long, as far as it was passed over.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Skipped {
    bytes: usize,
    /// Newlines within the quotes of the payload begin nothing.
    in_quotes: bool,
    begins_line: bool,
}

/// The fields in front of the text.
struct Head<'a> {
    time: &'a str,
    user: &'a str,
    database: &'a str,
    process: &'a str,
    client: &'a str,
    session: &'a str,
    line: &'a str,
    activity: &'a str,
    transaction: &'a str,
    code: &'a str,
    /// What is told, and all behind it.
    rest: &'a str,
}

fn score(sample: &[u8]) -> u8 {
    let text = lossy(sample);
    let heads = text.lines().filter_map(head).take(4);
    // The payload of a long record may end beyond the line, or the sample.
    let told = |head: Head<'_>| is_payload(head.rest.as_bytes()) || head.rest.starts_with("con");
    if heads.filter(|head| head.line.parse::<u64>().is_ok()).any(told) { 80 } else { 0 }
}

/// Reads the head of a record; none if the line begins none.
fn head(line: &str) -> Option<Head<'_>> {
    let length = time_length(line)?;
    let (time, fields) = (line.get(..length)?, line.get(length..)?.strip_prefix(',')?);
    // A name may hold commas: the session's id is what the fields are counted from.
    let commas: Vec<usize> = memchr::memchr_iter(b',', fields.as_bytes()).take(64).collect();
    let field = |at: usize| {
        let start = at.checked_sub(1).map_or(Some(0), |before| Some(commas.get(before)? + 1))?;
        fields.get(start..*commas.get(at)?)
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_session = |at: &usize| {
        field(*at).is_some_and(|text| session_length(text) == Some(text.len()))
            && field(at - 2).is_some_and(is_number)
            && field(at + 1).is_some_and(is_number)
    };
    let session = (4..commas.len()).find(is_session)?;
    let user_end = commas.get(session.checked_sub(4)?)?;
    Some(Head {
        time,
        user: fields.get(..*user_end)?,
        database: field(session - 3)?,
        process: field(session - 2)?,
        client: field(session - 1)?,
        session: field(session)?,
        line: field(session + 1)?,
        activity: field(session + 2)?,
        transaction: field(session + 5)?,
        code: field(session + BEFORE_TEXT - 1)?,
        rest: fields.get(commas.get(session + BEFORE_TEXT - 1)? + 1..)?,
    })
}

/// How long the payload of pgaudit at the head of `text` is; none if there is none.
fn payload_length(text: &[u8]) -> Option<usize> {
    if !is_payload(text) {
        return None;
    }
    let mut end = 0;
    for number in 0..=PAYLOAD_FIELDS {
        let field = text.get(end..)?;
        let length = field_length(field)?;
        let rows = field.get(..length)?;
        let is_number = !rows.is_empty() && rows.iter().all(u8::is_ascii_digit);
        if number == PAYLOAD_FIELDS && !is_number {
            return Some(end - 1);
        }
        end += length + 1;
    }
    Some(end - 1)
}

fn is_payload(text: &[u8]) -> bool {
    text.starts_with(b"SESSION,") || text.starts_with(b"OBJECT,")
}

/// A field up to its comma; in quotes, which are doubled, it may hold commas and newlines.
fn field_length(text: &[u8]) -> Option<usize> {
    let Some(mut quoted) = text.strip_prefix(b"\"") else {
        return Some(memchr::memchr2(b',', b'\n', text).unwrap_or(text.len()));
    };
    loop {
        let quote = memchr::memchr(b'"', quoted)?;
        quoted = &quoted[quote + 1..];
        match quoted.strip_prefix(b"\"") {
            Some(rest) => quoted = rest,
            None => return Some(text.len() - quoted.len()),
        }
    }
}

impl Logtofile {
    fn new(settings: &StreamSettings) -> Self {
        Self {
            record_bytes_max: settings.record_bytes_max,
            state: State::default(),
            message: String::new(),
            interpreter: Interpreter::default(),
        }
    }

    /// What stands at the head of `input`: it goes on to where another one begins.
    fn frame(&self, input: &[u8], end: bool) -> Frame {
        let first = match lines::frame(input, end, self.record_bytes_max) {
            Frame::Record(length) => length,
            frame => return frame,
        };
        // With the newline of a line that is just as long as it may be.
        let longest = self.record_bytes_max.saturating_add(lines::LINE_END_BYTES);
        let window = &input[..input.len().min(longest)];
        let is_long = |record: &[u8]| lines::text(record).len() > self.record_bytes_max;
        let Some(text) = text_at(&window[..first]) else { return Frame::Malformed };
        // Newlines within the quotes of the payload begin nothing.
        let mut from = match payload_length(&window[text..]) {
            Some(length) => text + length,
            None if !is_payload(&window[text..]) => text,
            None if end || is_long(window) => return Frame::TooLong,
            None => return Frame::Partial,
        };
        while let Some(newline) = memchr::memchr(b'\n', &window[from.min(window.len())..]) {
            from += newline + 1;
            if is_long(&window[..from]) {
                return Frame::TooLong;
            }
            if begins(&input[from..]) {
                return Frame::Record(from);
            }
        }
        let rest = input.get(from..).unwrap_or_default();
        let is_told = end || rest.len() >= HEAD_BYTES_MAX || rest.contains(&b'\n');
        match is_long(window) {
            true if is_told => Frame::TooLong,
            false if end => Frame::Record(input.len()),
            _ => Frame::Partial,
        }
    }

    /// Reads the head of the record at `input`, which is too long, and passes over what is left of
    /// it. What lies within cannot be told from text.
    fn cut(&mut self, input: &[u8], position: u64, out: &mut Parsed) -> usize {
        let head = &input[..input.len().min(self.record_bytes_max)];
        if head.len() == input.len() {
            out.records += 1;
            out.reject(position, TOO_LONG, head.trim_ascii_end());
        } else {
            self.record(head, true, position, out);
            let first = &head[..memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1)];
            let text = text_at(first).and_then(|text| head.get(text..)).unwrap_or_default();
            let in_quotes = is_payload(text) && has_odd_quotes(text);
            let begins_line = head.ends_with(b"\n");
            self.state.skipped = Some(Skipped { bytes: 0, in_quotes, begins_line });
        }
        head.len()
    }

    /// Passes over one more line of a record that is too long; none if it is not all there.
    fn skip(&mut self, skipped: Skipped, input: &[u8], end: bool) -> Option<usize> {
        let (length, is_whole) = lines::line_length(input, end, self.record_bytes_max)?;
        let is_lost = skipped.bytes / SKIPPED_RECORDS_MAX > self.record_bytes_max;
        if skipped.begins_line && (is_lost || !skipped.in_quotes) && begins(&input[..length]) {
            self.state.skipped = None;
            self.state.after_break = is_lost && skipped.in_quotes;
            return Some(0);
        }
        self.state.skipped = Some(Skipped {
            bytes: skipped.bytes.saturating_add(length),
            in_quotes: skipped.in_quotes ^ has_odd_quotes(&input[..length]),
            begins_line: is_whole,
        });
        Some(length)
    }

    /// Reads a record, or what there is of one whose end is missing.
    fn record(&mut self, bytes: &[u8], is_cut: bool, position: u64, out: &mut Parsed) {
        let bytes = bytes.trim_ascii_end();
        let text = lossy(bytes);
        let after_break = std::mem::take(&mut self.state.after_break);
        let Some(head) = head(&text) else {
            out.records += 1;
            return out.reject(position, if is_cut { TOO_LONG } else { FOREIGN }, bytes);
        };
        let Some((time, time_basis)) = out.clock.read(head.time) else {
            out.records += 1;
            return out.reject(position, "its time is no time", bytes);
        };
        let payload = payload_length(head.rest.as_bytes());
        let is_open = is_cut && payload.is_none() && is_payload(head.rest.as_bytes());
        let (told, behind) = match payload {
            Some(length) => head.rest.split_at(length),
            None if is_open => (head.rest, ""),
            // A message of the server has no quotes: what follows it are empty fields.
            None => head.rest.split_at(head.rest.find(",,,,,,,,").unwrap_or(head.rest.len())),
        };
        self.message.clear();
        if payload.is_some() || is_open {
            self.message.push_str(super::pgaudit::MARK);
        }
        self.message.push_str(told);
        let application = application(behind);
        self.state.after_break = application.is_none() && !is_cut;
        let record = Record {
            time,
            time_basis,
            user: head.user,
            database: head.database,
            process: head.process,
            client: Client::read(head.client),
            session: head.session,
            line: head.line.parse().ok(),
            activity: head.activity,
            transaction: head.transaction,
            code: head.code,
            message: &self.message,
            application: application.unwrap_or_default(),
            is_cut,
            suspicion: after_break.then_some(BREAKS_OFF),
            ..Record::new(position, bytes, Evidence::C)
        };
        self.interpreter.read(&record, out);
    }
}

/// Whether a record begins at `rest`.
fn begins(rest: &[u8]) -> bool {
    let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len()).min(HEAD_BYTES_MAX)];
    text_at(line).is_some()
}

fn has_odd_quotes(text: &[u8]) -> bool {
    memchr::memchr_iter(b'"', text).count() % 2 == 1
}

/// Where the text of the record begins that this line is the head of. Fields before it that are no
/// UTF-8 make the line no head.
fn text_at(line: &[u8]) -> Option<usize> {
    let valid = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&line[..error.valid_up_to()]).ok()?,
    };
    head(valid).map(|head| valid.len() - head.rest.len())
}

/// The application, which ends what stands behind the text; none if that breaks off. Before it are
/// detail, hint, internal query and position, the context, and three empty fields. The context is
/// left out: it repeats the statement, and it is where a client can write a record of its own.
fn application(behind: &str) -> Option<&str> {
    let start = memchr::memchr_iter(b',', behind.as_bytes()).nth(BEFORE_CONTEXT - 1)? + 1;
    behind.get(start..)?.rsplit_once(",,,,").map(|(_, application)| application)
}

impl Format for Logtofile {
    fn parse(&mut self, input: &[u8], end_of_input: bool, out: &mut Parsed) -> usize {
        let mut consumed = 0;
        while consumed < input.len() {
            let rest = &input[consumed..];
            let position = out.offset() + consumed as u64;
            let length = match self.state.skipped {
                Some(skipped) => self.skip(skipped, rest, end_of_input),
                None => match self.frame(rest, end_of_input) {
                    Frame::Skip(length) => Some(length),
                    Frame::Record(length) => {
                        self.record(&rest[..length], false, position, out);
                        Some(length)
                    }
                    Frame::Partial => None,
                    Frame::TooLong => Some(self.cut(rest, position, out)),
                    Frame::Malformed => {
                        let line = lines::line_length(rest, end_of_input, self.record_bytes_max);
                        if let Some((length, _)) = line {
                            out.records += 1;
                            out.reject(position, FOREIGN, rest[..length].trim_ascii_end());
                        }
                        line.map(|(length, _)| length)
                    }
                },
            };
            let Some(length) = length else { break };
            consumed += length;
        }
        consumed
    }

    fn flush(&mut self, lines: &[u8], out: &mut Parsed) -> usize {
        self.parse(lines, true, out)
    }

    fn snapshot(&self) -> Vec<u8> {
        rmp_serde::to_vec(&self.state).unwrap_or_default()
    }

    fn restore(&mut self, snapshot: &[u8]) -> bool {
        rmp_serde::from_slice(snapshot).map(|state| self.state = state).is_ok()
    }
}
