//! PostgreSQL's csvlog: one CSV record an event, newlines raw within quotes.
//!
//! Within quotes every quote of a text is doubled, so nothing that a client chose can close a
//! field: as long as the bytes are what the server wrote, a real CSV reader cannot be misled. After
//! damage (a crash in the middle of a record, bytes lost) it is unknown whether a byte is inside
//! quotes, so reading goes on only where that is certain again:
//!
//! - at the head of a line where a whole record stands whose fields are well-formed, and which
//!   holds a text in quotes that is not empty. A lone quote after a comma, before something else
//!   than a comma or the end of the line, can only open a field: were it to close one, what
//!   follows it would be malformed, and text within quotes has no lone quotes;
//! - and whose session id is that of its process, and fits what is known of the session: its line
//!   number grows, or is the first.
//!
//! Every line up to there becomes a reject. Of a record that is too long only the head is read: it
//! is followed to its end, which the quotes tell, without being kept.

use event::vocabulary::Evidence;
use serde::{Deserialize, Serialize};

use super::interpret::Interpreter;
use super::prefix::time_length;
use super::record::Record;
use super::severity::Severity;
use crate::format::{Format, Registration, byte_order_mark_length};
use crate::framing::csv::{Columns, Pass, Place};
use crate::framing::{Frame, lines};
use crate::parsed::Parsed;
use crate::session::Client;
use crate::stream::StreamSettings;

pub(crate) const REGISTRATION: Registration = Registration {
    name: "postgresql_csvlog",
    engine: "postgresql",
    open: |settings| Box::new(Csvlog::new(settings)),
    score,
};

/// Columns before version 9.0; later versions only append.
const COUNT_MIN: usize = 22;

/// The column of the SQLSTATE, before that of the message.
const CODE: usize = 12;

const DAMAGED: &str = "damaged csv: a quote is not closed, or text follows a closing quote";
const IN_DAMAGE: &str = "in a damaged region, where quotes cannot be told from text";
const TOO_LONG: &str = "the record is longer than `record_bytes_max`";

struct Csvlog {
    record_bytes_max: usize,
    state: State,
    columns: Columns,
    interpreter: Interpreter,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    /// After damage: it is not known whether the next byte is inside quotes.
    damaged: bool,
    /// Where in a record that is too long the next byte is, and whether it begins a line.
    #[serde(default)]
    skipped: Option<(Place, bool)>,
}

/// A record that does not end in the sample shows in its first columns what it is.
fn score(sample: &[u8]) -> u8 {
    let mut columns = Columns::default();
    let sample = &sample[byte_order_mark_length(sample)..];
    let count_min = match columns.scan(sample, true, sample.len()) {
        Frame::Record(_) => COUNT_MIN,
        _ if columns.scan(sample, false, sample.len()) == Frame::Partial => CODE + 1,
        _ => return 0,
    };
    if columns.count() >= count_min && is_plausible(&columns, sample) { 90 } else { 0 }
}

impl Csvlog {
    fn new(settings: &StreamSettings) -> Self {
        Self {
            record_bytes_max: settings.record_bytes_max,
            state: State::default(),
            columns: Columns::default(),
            interpreter: Interpreter::default(),
        }
    }

    /// Reads what begins at `input`; returns its length, or none if its end is not there yet.
    fn next(&mut self, input: &[u8], end: bool, position: u64, out: &mut Parsed) -> Option<usize> {
        if let Some((place, begins_line)) = self.state.skipped {
            return self.skip(place, begins_line, input, end, out);
        }
        match self.columns.scan(input, end, self.record_bytes_max) {
            Frame::Skip(length) => Some(length),
            Frame::Record(length) => {
                let record = &input[..length];
                if self.state.damaged && !is_proven(&mut self.columns, record, out) {
                    return self.quarantine(input, end, position, IN_DAMAGE, out);
                }
                self.state.damaged = false;
                self.record(record, false, position, out);
                Some(length)
            }
            Frame::Partial => None,
            Frame::TooLong if self.state.damaged => {
                self.quarantine(input, end, position, IN_DAMAGE, out)
            }
            Frame::TooLong => {
                let head = &input[..self.record_bytes_max];
                self.cut_record(head, position, out);
                self.state.skipped = match Place::FieldStart.pass(head) {
                    Pass::Open(place) => Some((place, head.ends_with(b"\n"))),
                    Pass::Ended(_) | Pass::Malformed => None,
                };
                Some(head.len())
            }
            Frame::Malformed => {
                let reason = if self.state.damaged { IN_DAMAGE } else { DAMAGED };
                self.quarantine(input, end, position, reason, out)
            }
        }
    }

    /// Passes over one more line of a record that is too long.
    fn skip(
        &mut self,
        place: Place,
        begins_line: bool,
        input: &[u8],
        end: bool,
        out: &mut Parsed,
    ) -> Option<usize> {
        let (length, is_whole) = lines::line_length(input, end, self.record_bytes_max)?;
        self.state.skipped = None;
        match place.pass(&input[..length]) {
            Pass::Ended(ended) => Some(ended),
            Pass::Open(place) => {
                self.state.skipped = Some((place, is_whole));
                Some(length)
            }
            // Its quotes were not closed: the line may be a record of its own.
            Pass::Malformed => {
                self.state.damaged = true;
                out.skips_line = !begins_line && !is_whole;
                Some(if begins_line { 0 } else { length })
            }
        }
    }

    /// Makes the line a reject and distrusts what follows.
    fn quarantine(
        &mut self,
        input: &[u8],
        end: bool,
        position: u64,
        reason: &str,
        out: &mut Parsed,
    ) -> Option<usize> {
        let (length, is_whole) = lines::line_length(input, end, self.record_bytes_max)?;
        let line = input[..length].trim_ascii_end();
        self.state.damaged = true;
        if is_whole {
            out.records += 1;
            out.reject(position, reason, line);
        } else {
            out.reject_line(position, TOO_LONG, line);
        }
        Some(length)
    }

    /// The head of a record that is too long, if it tells who did what.
    fn cut_record(&mut self, head: &[u8], position: u64, out: &mut Parsed) {
        self.columns.cut(head);
        if self.columns.count() > CODE + 1 && is_plausible(&self.columns, head) {
            return self.record(head, true, position, out);
        }
        out.records += 1;
        out.reject(position, TOO_LONG, head);
    }

    fn record(&mut self, bytes: &[u8], is_cut: bool, position: u64, out: &mut Parsed) {
        let count = self.columns.count();
        let columns = self.columns.decode(bytes);
        let bytes = bytes.trim_ascii_end();
        let reject = |reason: &str, out: &mut Parsed| {
            out.records += 1;
            out.reject(position, reason, bytes);
        };
        if count < COUNT_MIN && !is_cut {
            return reject("it has fewer than 22 columns", out);
        }
        let Some((time, time_basis)) = out.clock.read(columns.get(0)) else {
            return reject("its first column is no time", out);
        };
        let code = columns.get(CODE);
        // Severity words are translated, SQLSTATE is not: 00 to 02 are no errors.
        let by_code = match code.as_bytes() {
            [b'0', b'0' | b'2', ..] => Severity::Message,
            [b'0', b'1', ..] => Severity::Warning,
            _ => Severity::Error,
        };
        let record = Record {
            time,
            time_basis,
            user: columns.get(1),
            database: columns.get(2),
            process: columns.get(3),
            client: Client::read(columns.get(4)),
            session: columns.get(5),
            line: columns.get(6).parse().ok(),
            activity: columns.get(7),
            transaction: columns.get(9),
            severity: Severity::read(columns.get(11)).unwrap_or(by_code),
            code,
            message: columns.get(13),
            detail: columns.get(14),
            context: columns.get(18),
            query: columns.get(19),
            application: columns.get(22),
            backend: columns.get(23),
            is_cut,
            ..Record::new(position, bytes, Evidence::B)
        };
        self.interpreter.read(&record, out);
    }
}

/// Whether the columns of `record`, the bytes that were scanned, have the shapes of csvlog.
fn is_plausible(columns: &Columns, record: &[u8]) -> bool {
    let field = |column| columns.raw(record, column);
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(field(0)).is_ok_and(|time| time_length(time) == Some(time.len()))
        && digits(field(3))
        && field(CODE).len() == 5
}

/// Whether a record in a damaged region can only be a record.
fn is_proven(columns: &mut Columns, record: &[u8], out: &Parsed) -> bool {
    let is_whole = columns.count() >= COUNT_MIN && is_plausible(columns, record);
    if !is_whole || !columns.has_lone_quotes() {
        return false;
    }
    let columns = columns.decode(record);
    let session = columns.get(5);
    let process = session.split_once('.').and_then(|(_, hex)| u64::from_str_radix(hex, 16).ok());
    let line = columns.get(6).parse::<u64>().ok();
    let known = out.sessions.get(session).map(|session| session.line);
    let continues = match (line, known) {
        (Some(line), Some(known)) => line > known,
        (Some(line), None) => line == 1,
        (None, _) => false,
    };
    continues && process.is_some() && process == columns.get(3).parse().ok()
}

impl Format for Csvlog {
    fn parse(&mut self, input: &[u8], end_of_input: bool, out: &mut Parsed) -> usize {
        let mut consumed = if out.offset() == 0 { byte_order_mark_length(input) } else { 0 };
        while consumed < input.len() {
            let position = out.offset() + consumed as u64;
            let Some(length) = self.next(&input[consumed..], end_of_input, position, out) else {
                break;
            };
            consumed += length;
            if out.skips_line {
                break;
            }
        }
        consumed
    }

    fn snapshot(&self) -> Vec<u8> {
        rmp_serde::to_vec(&self.state).unwrap_or_default()
    }

    fn restore(&mut self, snapshot: &[u8]) -> bool {
        rmp_serde::from_slice(snapshot).map(|state| self.state = state).is_ok()
    }
}
