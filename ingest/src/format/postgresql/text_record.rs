//! One record in the shape of the server's stderr: a line with prefix and severity, further lines
//! with prefix and tag, and lines that begin with a TAB where the text goes on.

use std::borrow::Cow;

use event::vocabulary::{Evidence, TimeBasis};

use super::interpret::Interpreter;
use super::prefix::{Line, Prefix, is_code};
use super::record::Record;
use super::severity::Tag;
use crate::clock::Clock;
use crate::parsed::Parsed;

pub(crate) const SECOND_RECORD: &str = "a second record within one message";
const OTHER_SESSION: &str = "a line within the record that is another session's";
const FOREIGN_LINE: &str = "a line within the record that has neither the prefix nor a TAB";

/// Reads records in text; its memory is only scratch.
#[derive(Default)]
pub(crate) struct TextReader {
    interpreter: Interpreter,
    message: String,
    detail: String,
    context: String,
    statement: String,
    ignored: String,
}

/// A record that is to be read.
#[derive(Clone, Copy)]
pub(crate) struct TextRecord<'a> {
    pub(crate) position: u64,
    /// As it was read, for a reject.
    pub(crate) bytes: &'a [u8],
    /// All of its lines.
    pub(crate) text: &'a str,
    /// There was more of it.
    pub(crate) is_cut: bool,
    pub(crate) suspicion: Option<&'static str>,
    /// What the envelope says, where there is one.
    pub(crate) envelope: Envelope<'a>,
}

/// What the carrier around a text knows of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Envelope<'a> {
    pub(crate) time: Option<(event::Timestamp, TimeBasis)>,
    pub(crate) process: &'a str,
}

impl TextReader {
    /// Hands `out` the one event or reject that the record is. `head` is what `prefix` reads in
    /// the first line.
    pub(crate) fn read(
        &mut self,
        record: &TextRecord<'_>,
        head: &Line<'_>,
        prefix: &Prefix,
        out: &mut Parsed,
    ) {
        let Tag::Severity(severity) = head.tag else {
            out.records += 1;
            return out.reject(record.position, "a line without its record", record.bytes);
        };
        let broken = self.collect(record.text, head, prefix);
        let Some((time, time_basis)) = time_of(head, record, out) else {
            out.records += 1;
            return out.reject(record.position, "its time cannot be read", record.bytes);
        };
        let values = &head.values;
        let (code, message) = split_code(&self.message);
        let message = if severity.is_error() { without_cursor(message) } else { message };
        let process =
            if values.process.is_empty() { record.envelope.process } else { values.process };
        let is_foreign = !record.envelope.process.is_empty() && process != record.envelope.process;
        let foreign = is_foreign.then_some("the process is not the one that sent the message");
        let whole = Record {
            time,
            time_basis,
            user: values.user,
            database: values.database,
            process,
            client: values.client,
            session: values.session,
            line: values.line,
            activity: values.activity,
            transaction: values.transaction,
            severity,
            code: if code.is_empty() { values.code } else { code },
            message,
            detail: &self.detail,
            context: &self.context,
            query: &self.statement,
            application: values.application,
            backend: values.backend,
            is_cut: record.is_cut,
            suspicion: record.suspicion.or(broken).or(foreign),
            ..Record::new(record.position, record.bytes, Evidence::C)
        };
        self.interpreter.read(&whole, out);
    }

    /// Sorts the lines into the parts of the record; says what is wrong if one fits nowhere.
    fn collect(&mut self, text: &str, head: &Line<'_>, prefix: &Prefix) -> Option<&'static str> {
        let mut broken = None;
        for part in [&mut self.message, &mut self.detail, &mut self.context] {
            part.clear();
        }
        self.statement.clear();
        self.ignored.clear();
        self.message.push_str(head.text.trim_end_matches('\n'));
        let mut part = &mut self.message;
        for line in text.split('\n').skip(1) {
            if let Some(rest) = line.strip_prefix('\t') {
                part.push('\n');
                part.push_str(rest);
                continue;
            }
            let Some(line) = prefix.read(line) else {
                broken = broken.or(Some(FOREIGN_LINE).filter(|_| !line.is_empty()));
                continue;
            };
            let (own, other) = (&head.values, &line.values);
            let same = [
                own.process == other.process,
                own.session == other.session,
                own.user == other.user,
                own.database == other.database,
            ];
            if same.contains(&false) {
                broken = Some(OTHER_SESSION);
            }
            part = match line.tag {
                Tag::Severity(_) => {
                    broken = Some(SECOND_RECORD);
                    &mut self.ignored
                }
                Tag::Detail => &mut self.detail,
                Tag::Context => &mut self.context,
                Tag::Statement => &mut self.statement,
                _ => &mut self.ignored,
            };
            part.push_str(line.text);
        }
        broken
    }
}

/// When it was written: by the prefix, else by the envelope, else when it was read.
fn time_of(
    head: &Line<'_>,
    record: &TextRecord<'_>,
    out: &mut Parsed,
) -> Option<(event::Timestamp, TimeBasis)> {
    let values = &head.values;
    if !values.time.is_empty() {
        return out.clock.read(values.time);
    }
    if !values.epoch.is_empty() {
        return Clock::read_epoch(values.epoch);
    }
    Some(record.envelope.time.unwrap_or((out.origin.received, TimeBasis::Assumed)))
}

/// `log_error_verbosity=verbose` puts the SQLSTATE in front.
fn split_code(message: &str) -> (&str, &str) {
    match message.split_once(": ") {
        Some((code, rest)) if is_code(Some(code.as_bytes())) => (code, rest),
        _ => ("", message),
    }
}

/// The other carriers have the place of the error in a column of its own.
fn without_cursor(message: &str) -> &str {
    match message.rsplit_once(" at character ") {
        Some((rest, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => message,
    }
}

/// The bytes as text; what is no UTF-8 is replaced.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    // The check alone is faster than the conversion that nearly no line needs.
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Whether a line begins a record.
pub(crate) fn begins(line: &Line<'_>) -> bool {
    matches!(line.tag, Tag::Severity(_))
}
