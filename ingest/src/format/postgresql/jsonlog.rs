//! PostgreSQL's jsonlog, since version 15: one JSON object a line, in which nothing that a client
//! chose can begin a line of its own.

use std::borrow::Cow;
use std::fmt;

use event::vocabulary::Evidence;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::interpret::Interpreter;
use super::record::Record;
use super::severity::Severity;
use super::text_record::lossy;
use crate::format::{Format, Registration, byte_order_mark_length};
use crate::framing::{Frame, lines};
use crate::parsed::Parsed;
use crate::session::Client;
use crate::stream::StreamSettings;

pub(crate) const REGISTRATION: Registration = Registration {
    name: "postgresql_jsonlog",
    engine: "postgresql",
    open: |settings| Box::new(Jsonlog::new(settings)),
    score,
};

/// The keys before the message take fewer bytes.
const HEAD_BYTES_MAX: usize = 4096;

/// `\ud83d\ude00`, one character.
const ESCAPE_BYTES_MAX: usize = 12;

const TOO_LONG: &str = "the record is longer than `record_bytes_max`";

struct Jsonlog {
    record_bytes_max: usize,
    interpreter: Interpreter,
}

/// The keys of `write_jsonlog` in jsonlog.c that are of use here.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow, default)]
    user: Text<'a>,
    #[serde(borrow, default)]
    dbname: Text<'a>,
    #[serde(default)]
    pid: Option<u64>,
    #[serde(borrow, default)]
    remote_host: Text<'a>,
    #[serde(default)]
    remote_port: Option<i32>,
    #[serde(borrow, default)]
    session_id: Text<'a>,
    #[serde(default)]
    line_num: Option<u64>,
    #[serde(borrow, default)]
    ps: Text<'a>,
    #[serde(borrow, default)]
    vxid: Text<'a>,
    #[serde(borrow)]
    error_severity: Text<'a>,
    #[serde(borrow, default)]
    state_code: Text<'a>,
    #[serde(borrow, default)]
    message: Text<'a>,
    #[serde(borrow, default)]
    detail: Text<'a>,
    #[serde(borrow, default)]
    context: Text<'a>,
    #[serde(borrow, default)]
    statement: Text<'a>,
    #[serde(borrow, default)]
    application_name: Text<'a>,
    #[serde(borrow, default)]
    backend_type: Text<'a>,
}

/// A text, borrowed if nothing in it is escaped.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// The server writes the keys in one order, so that the head of a long line shows what it is.
fn score(sample: &[u8]) -> u8 {
    let sample = &sample[byte_order_mark_length(sample)..];
    let first = sample.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let head = &first[..first.len().min(HEAD_BYTES_MAX)];
    let is_head = first.len() == sample.len()
        && head.starts_with(b"{\"timestamp\":\"")
        && memchr::memmem::find(head, b",\"error_severity\":\"").is_some();
    if is_head || serde_json::from_str::<Object<'_>>(&lossy(first)).is_ok() { 90 } else { 0 }
}

impl Jsonlog {
    fn new(settings: &StreamSettings) -> Self {
        Self { record_bytes_max: settings.record_bytes_max, interpreter: Interpreter::default() }
    }

    fn line(&mut self, line: &[u8], position: u64, out: &mut Parsed) {
        let text = lossy(line);
        match serde_json::from_str(&text) {
            Ok(object) => self.object(&object, line, false, position, out),
            Err(error) => reject(line, position, &format!("no object of jsonlog: {error}"), out),
        }
    }

    /// The head of a line that is too long, if it tells who did what.
    fn cut_line(&mut self, head: &[u8], position: u64, out: &mut Parsed) {
        out.skips_line = true;
        let text = lossy(head);
        // In a text an escape may be cut; else the last key is given up. No text has `,"` in it.
        let lengths = (0..=ESCAPE_BYTES_MAX).map(|cut| text.len().saturating_sub(cut));
        let lengths = lengths.filter(|length| text.is_char_boundary(*length));
        let in_text = lengths.map(|length| (length, "\"}"));
        let in_key = text.rfind(",\"").map(|length| (length, "}"));
        for (length, end) in in_text.chain(in_key) {
            let closed = [&text[..length], end].concat();
            if let Ok(object) = serde_json::from_str::<Object<'_>>(&closed)
                && !object.message.is_empty()
            {
                return self.object(&object, head, true, position, out);
            }
        }
        reject(head, position, TOO_LONG, out);
    }

    fn object(
        &mut self,
        object: &Object<'_>,
        line: &[u8],
        is_cut: bool,
        position: u64,
        out: &mut Parsed,
    ) {
        let Some((time, time_basis)) = out.clock.read(&object.timestamp) else {
            return reject(line, position, "its `timestamp` is no time", out);
        };
        let mut digits = [0; 20];
        let record = Record {
            time,
            time_basis,
            user: &object.user,
            database: &object.dbname,
            process: object.pid.map_or("", |pid| decimal(pid, &mut digits)),
            client: Client::new(&object.remote_host, object.remote_port),
            session: &object.session_id,
            line: object.line_num,
            activity: &object.ps,
            transaction: &object.vxid,
            severity: Severity::read(&object.error_severity).unwrap_or(Severity::Message),
            // Left out where there is no error, so that its absence is a code too.
            code: if object.state_code.is_empty() { "00000" } else { &object.state_code },
            message: &object.message,
            detail: &object.detail,
            context: &object.context,
            query: &object.statement,
            application: &object.application_name,
            backend: &object.backend_type,
            is_cut,
            ..Record::new(position, line, Evidence::A)
        };
        self.interpreter.read(&record, out);
    }
}

fn reject(line: &[u8], position: u64, reason: &str, out: &mut Parsed) {
    out.records += 1;
    out.reject(position, reason, line);
}

/// The number in decimal digits, without an allocation.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &str {
    let mut start = digits.len();
    loop {
        start -= 1;
        // A u64 has at most 20 digits.
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&digits[start..]).unwrap_or_default();
        }
    }
}

impl Format for Jsonlog {
    fn parse(&mut self, input: &[u8], end_of_input: bool, out: &mut Parsed) -> usize {
        let mut start = if out.offset() == 0 { byte_order_mark_length(input) } else { 0 };
        while start < input.len() {
            let rest = &input[start..];
            let position = out.offset() + start as u64;
            match lines::frame(rest, end_of_input, self.record_bytes_max) {
                Frame::Skip(length) => start += length,
                Frame::Record(length) => {
                    self.line(rest[..length].trim_ascii(), position, out);
                    start += length;
                }
                Frame::TooLong => {
                    self.cut_line(&rest[..self.record_bytes_max], position, out);
                    start += self.record_bytes_max;
                    break;
                }
                Frame::Partial | Frame::Malformed => break,
            }
        }
        start
    }

    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, snapshot: &[u8]) -> bool {
        snapshot.is_empty()
    }
}
