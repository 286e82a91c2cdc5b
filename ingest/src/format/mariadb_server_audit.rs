//! MariaDB's `server_audit`, and what RDS and Aurora MySQL made of it: commas, the statement in
//! single quotes with backslash escapes, the other fields as they are.
//!
//! Source: `plugin/server_audit/server_audit.c`. A name may hold commas, so fields are counted from
//! the operation. Older releases and RDS write a newline of a statement as it is: then a client can
//! write what looks like a record, and such a record counts as text that can be forged.

use std::borrow::Cow;

use event::vocabulary::{Action, Evidence, Outcome, StatementState};
use event::{AuditEvent, Timestamp};
use statement::{Command, Dialect, redact_secrets};

use super::{Format, Registration, action};
use crate::clock::Clock;
use crate::framing::{Frame, lines};
use crate::parsed::Parsed;
use crate::session::Client;

pub(crate) const REGISTRATION: Registration = Registration {
    name: "mariadb_server_audit",
    engine: "mariadb",
    open: |settings| {
        let record_bytes_max = settings.record_bytes_max;
        Box::new(ServerAudit { record_bytes_max, skips_record: false })
    },
    score,
};

/// What the server refuses because of who asks: access denied, in its many kinds.
const DENIED: &[&str] = &[
    "1044", "1045", "1095", "1142", "1143", "1227", "1370", "1396", "1410", "1419", "1449", "1698",
    "1873", "3118", "3159", "4151",
];

/// A statement is cut to `server_audit_query_log_limit`, without a sign of it. Lengths just below a
/// power of two from here on are taken for one that was.
const CUT_BYTES_MIN: usize = 1024;

/// What tells whether a line begins a record is within so many bytes.
const HEAD_BYTES_MAX: usize = 4096;

const FOREIGN: &str = "the line is no record: it has no time, connection and operation";
const TOO_LONG: &str = "the record is longer than `record_bytes_max`";

struct ServerAudit {
    record_bytes_max: usize,
    /// The record was too long: what follows is its rest, up to where another one begins.
    skips_record: bool,
}

/// A record, as far as its operation.
struct Head<'a> {
    time: &'a str,
    user: &'a str,
    host: &'a str,
    connection: &'a str,
    query: &'a str,
    operation: &'a str,
    rest: &'a str,
}

/// The object and what follows it.
struct Tail<'a> {
    database: &'a str,
    object: &'a str,
    code: &'a str,
    /// The quotes of the statement are not closed.
    is_cut: bool,
}

fn score(sample: &[u8]) -> u8 {
    let text = String::from_utf8_lossy(sample);
    if text.lines().take(4).any(|line| head(line).is_some()) { 85 } else { 0 }
}

fn is_operation(text: &str) -> bool {
    matches!(
        text,
        "CONNECT"
            | "FAILED_CONNECT"
            | "DISCONNECT"
            | "CHANGEUSER"
            | "PROXY_CONNECT"
            | "QUERY"
            | "READ"
            | "WRITE"
            | "CREATE"
            | "DROP"
            | "ALTER"
            | "RENAME"
            | "AUDIT_CONFIG"
    )
}

/// Reads the head of a record; none if the line begins none.
fn head(line: &str) -> Option<Head<'_>> {
    let (time, rest) = line.split_once(',')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = match time.split_once(' ') {
        Some((day, hours)) => {
            day.len() == 8 && digits(day) && hours.len() == 8 && hours.split(':').all(digits)
        }
        None => time.len() == 16 && digits(time),
    };
    let (_, rest) = is_time.then(|| rest.split_once(','))??;
    // The user may hold commas: what is counted from are two numbers and an operation.
    let commas: Vec<usize> = memchr::memchr_iter(b',', rest.as_bytes()).take(64).collect();
    let field = |at: usize| {
        let start = if at == 0 { 0 } else { commas.get(at - 1)? + 1 };
        rest.get(start..*commas.get(at)?)
    };
    let is_query = |at: &usize| {
        field(*at).is_some_and(digits)
            && field(at - 1).is_some_and(digits)
            && field(at + 1).is_some_and(is_operation)
    };
    let query = (3..commas.len()).find(is_query)?;
    Some(Head {
        time,
        user: rest.get(..*commas.get(query - 3)?)?,
        host: field(query - 2)?,
        connection: field(query - 1)?,
        query: field(query)?,
        operation: field(query + 1)?,
        rest: rest.get(commas.get(query + 1)? + 1..)?,
    })
}

/// Where the quote that opened before `text` closes; none if it does not.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'\'', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'\'') {
            return Some(at);
        }
        at += 2;
    }
}

fn tail<'a>(head: &Head<'a>) -> Option<Tail<'a>> {
    let (database, rest) = head.rest.split_once(',')?;
    if let Some(text) = rest.strip_prefix('\'') {
        let Some(close) = closing_quote(text.as_bytes()) else {
            return Some(Tail { database, object: text, code: "", is_cut: true });
        };
        let after = text.get(close + 1..)?.trim_start_matches(',');
        let code = after.split(',').next().unwrap_or_default().trim_ascii_end();
        return Some(Tail { database, object: text.get(..close)?, code, is_cut: false });
    }
    let (object, code) = rest.split_once(',').unwrap_or((rest, ""));
    let code = code.split(',').next().unwrap_or_default().trim_ascii_end();
    Some(Tail { database, object, code, is_cut: false })
}

impl ServerAudit {
    /// A record is a line, unless its quotes are open at the end of it: then it goes on until they
    /// close, or another record begins.
    fn frame(&self, input: &[u8], end: bool) -> Frame {
        let mut length = match lines::frame(input, end, self.record_bytes_max) {
            Frame::Record(length) => length,
            frame => return frame,
        };
        let Some(quote) = open_quote(&input[..length]) else { return Frame::Record(length) };
        // With the newline of a line that is just as long as it may be.
        let longest = self.record_bytes_max.saturating_add(lines::LINE_END_BYTES);
        let window = &input[..input.len().min(longest)];
        let is_long = |record: &[u8]| lines::text(record).len() > self.record_bytes_max;
        let mut from = quote;
        loop {
            let is_closed = closing_quote(&window[from..length]).is_some();
            if is_long(&window[..length]) {
                return Frame::TooLong;
            }
            if is_closed {
                return Frame::Record(length);
            }
            // No escape is parted: a newline behind a backslash is its second half.
            from = length;
            let rest = &input[length..];
            if begins(rest) {
                return Frame::Record(length);
            }
            match memchr::memchr(b'\n', &window[length..]) {
                Some(newline) => length += newline + 1,
                // Whether the line begins a record shows in its head.
                None if is_long(window) && (end || is_told(rest)) => return Frame::TooLong,
                None if end => return Frame::Record(input.len()),
                None => return Frame::Partial,
            }
        }
    }

    /// Reads a record, or the head of one that is too long.
    fn record(bytes: &[u8], is_long: bool, position: u64, out: &mut Parsed) {
        out.records += 1;
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        let read = head(text).and_then(|head| {
            let tail = tail(&head)?;
            Some((time(head.time, &mut out.clock)?, head, tail))
        });
        let Some(((time, basis), head, tail)) = read else {
            let reason = if is_long { TOO_LONG } else { FOREIGN };
            return out.reject(position, reason, bytes.trim_ascii_end());
        };
        let tail = Tail { is_cut: tail.is_cut || is_long, ..tail };
        let origin = out.origin.clone();
        let mut event = Parsed::event(&origin, position);
        (event.time, event.time_basis) = (time, basis);
        event.evidence = if text.contains('\n') { Evidence::C } else { Evidence::B };
        event.user = some(head.user);
        event.database = some(tail.database);
        let client = Client::read(head.host.strip_suffix(":unavailable").unwrap_or(head.host));
        event.client_address = client.address;
        event.client_host = client.host;
        event.client_port = client.port;
        event.session = some(head.connection);
        event.statement_number = head.query.parse().ok().filter(|number| *number > 0);
        event.outcome = match tail.code {
            "0" => Outcome::Succeeded,
            "" => Outcome::Unknown,
            code if DENIED.contains(&code) => Outcome::Denied,
            _ => Outcome::Failed,
        };
        event.error_code = some(tail.code).filter(|code| *code != "0");
        if head.operation == "QUERY" {
            query(event, &tail, out);
        } else {
            other(event, head.operation, &tail, out);
        }
    }
}

/// Whether the head of the line at `rest` is all there.
fn is_told(rest: &[u8]) -> bool {
    rest.len() >= HEAD_BYTES_MAX || rest.contains(&b'\n')
}

/// Whether a record begins at `rest`.
fn begins(rest: &[u8]) -> bool {
    let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len()).min(HEAD_BYTES_MAX)];
    head(&String::from_utf8_lossy(line)).is_some()
}

/// Behind the quote that opens the statement of this line, if it does not close there.
fn open_quote(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?;
    let head = head(text)?;
    let (_, rest) = head.rest.split_once(',')?;
    let quoted = rest.strip_prefix('\'')?;
    closing_quote(quoted.as_bytes()).is_none().then(|| text.len() - quoted.len())
}

fn time(text: &str, clock: &mut Clock) -> Option<(Timestamp, event::vocabulary::TimeBasis)> {
    let Some((day, hours)) = text.split_once(' ') else {
        // Aurora: microseconds since 1970.
        return Clock::read_epoch(&format!("{}.{}", text.get(..10)?, text.get(10..)?));
    };
    clock.read(&format!("{}-{}-{} {hours}", day.get(..4)?, day.get(4..6)?, day.get(6..)?))
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn query(event: AuditEvent<'_>, tail: &Tail<'_>, out: &mut Parsed) {
    let text = unescaped(tail.object);
    let masked = redact_secrets(&text, Dialect::MySql);
    let mut event = event;
    let command = Command::of(&masked, Dialect::MySql);
    if command.is_known() {
        (event.command, event.action) = (Some(command.tag), action(command.class));
    } else {
        event.action = Action::Other;
    }
    let bytes = tail.object.len();
    let near_limit = bytes + 2 >= CUT_BYTES_MIN && (bytes..bytes + 3).any(usize::is_power_of_two);
    let is_cut = tail.is_cut || near_limit;
    event.statement = Some(&masked);
    event.statement_state = match () {
        () if is_cut => StatementState::Truncated,
        () if matches!(masked, Cow::Owned(_)) || masked.contains("*****") => {
            StatementState::Redacted
        }
        () => StatementState::Full,
    };
    out.push(&event);
}

/// A connection, or a table that a statement opened.
fn other(event: AuditEvent<'_>, operation: &str, tail: &Tail<'_>, out: &mut Parsed) {
    let name = format!("{}.{}", tail.database, tail.object);
    let mut event = event;
    event.command = Some(operation);
    event.action = match operation {
        "CONNECT" | "FAILED_CONNECT" | "CHANGEUSER" => Action::Login,
        "DISCONNECT" => Action::Logout,
        "READ" => Action::Read,
        "WRITE" => Action::Write,
        "CREATE" | "DROP" | "ALTER" | "RENAME" => Action::Define,
        "AUDIT_CONFIG" => Action::Set,
        _ => Action::Other,
    };
    let is_table = !matches!(event.action, Action::Login | Action::Logout | Action::Other);
    if is_table && !tail.object.is_empty() {
        (event.object_kind, event.object) = (Some("TABLE"), Some(name.as_str()));
    }
    if operation == "FAILED_CONNECT" {
        event.outcome = Outcome::Denied;
    }
    out.push(&event);
}

/// The statement without its escapes.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, false) => plain.push(character),
            (_, true) => match characters.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some('t') => plain.push('\t'),
                Some('b') => plain.push('\u{8}'),
                Some('f') => plain.push('\u{c}'),
                Some(other) => plain.push(other),
                None => {}
            },
        }
    }
    Cow::Owned(plain)
}

impl Format for ServerAudit {
    fn parse(&mut self, input: &[u8], end_of_input: bool, out: &mut Parsed) -> usize {
        let mut consumed = 0;
        while consumed < input.len() {
            let rest = &input[consumed..];
            let position = out.offset() + consumed as u64;
            if self.skips_record {
                let line = lines::line_length(rest, end_of_input, self.record_bytes_max);
                let Some((length, is_whole)) = line else { break };
                self.skips_record = !begins(&rest[..length]);
                if self.skips_record {
                    consumed += length;
                    out.skips_line = !is_whole;
                }
                if out.skips_line {
                    break;
                }
                continue;
            }
            match self.frame(rest, end_of_input) {
                Frame::Skip(length) => consumed += length,
                Frame::Record(length) => {
                    Self::record(&rest[..length], false, position, out);
                    consumed += length;
                }
                Frame::Partial | Frame::Malformed => break,
                Frame::TooLong => {
                    Self::record(&rest[..self.record_bytes_max], true, position, out);
                    out.skips_line = true;
                    self.skips_record = true;
                    consumed += self.record_bytes_max;
                    break;
                }
            }
        }
        consumed
    }

    fn flush(&mut self, lines: &[u8], out: &mut Parsed) -> usize {
        self.parse(lines, true, out)
    }

    fn snapshot(&self) -> Vec<u8> {
        if self.skips_record { vec![1] } else { Vec::new() }
    }

    fn restore(&mut self, snapshot: &[u8]) -> bool {
        self.skips_record = snapshot == [1];
        self.skips_record || snapshot.is_empty()
    }
}
