//! The head of a syslog line, and the numbers of the chunk that it carries.

use std::borrow::Cow;

use chrono::{Datelike, NaiveDateTime};
use event::Timestamp;
use event::vocabulary::TimeBasis;
use serde::{Deserialize, Serialize};

/// One line: who sent it, which part of a message it is, and the part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub(super) header: Header<'a>,
    pub(super) number: Number,
    pub(super) text: &'a str,
}

/// Who sent a line and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    pub(super) time: &'a str,
    host: &'a str,
    program: &'a str,
    pub(super) process: &'a str,
}

/// `[7-2]`: second chunk of the process's seventh message; `[7]`: one of the two numbers;
/// nothing where both are off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Number {
    Both(u64, u64),
    One(u64),
    None,
}

impl Number {
    /// Whether a chunk of number `next` goes on with a message whose last chunk has this one.
    /// `is_record` says that its text begins as a record of the same process does.
    pub(super) fn is_followed_by(self, next: Self, is_record: bool) -> bool {
        match (self, next) {
            (Self::Both(message, chunk), Self::Both(next_message, next_chunk)) => {
                message == next_message && chunk.checked_add(1) == Some(next_chunk)
            }
            // One number is the chunk's or the message's: the text must tell.
            (Self::One(chunk), Self::One(next)) => {
                next > 1 && chunk.checked_add(1) == Some(next) && !is_record
            }
            (Self::None, Self::None) => !is_record,
            _ => false,
        }
    }
}

impl<'a> Chunk<'a> {
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let rest = match line.strip_prefix('<') {
            Some(rest) => rest.split_once('>')?.1,
            None => line,
        };
        let (header, rest) = match rest.strip_prefix("1 ") {
            Some(rest) => read_5424(rest)?,
            None => read_3164(rest)?,
        };
        let (number, text) = read_number(rest);
        Some(Self { header, number, text })
    }
}

/// `TIME HOST PROGRAM PID ID [DATA] TEXT`
fn read_5424(line: &str) -> Option<(Header<'_>, &str)> {
    let mut fields = line.splitn(6, ' ');
    let mut next = || fields.next();
    let (time, host, program, process, _) = (next()?, next()?, next()?, next()?, next()?);
    let rest = next()?;
    // Structured data has no use here; a bracket that closes it stands before a space.
    let text = match rest.strip_prefix('-') {
        Some(text) => text,
        None => rest.strip_prefix('[')?.split_once("] ")?.1,
    };
    Some((Header { time, host, program, process }, text.trim_start_matches([' ', '\u{feff}'])))
}

/// `Mon dd hh:mm:ss HOST PROGRAM[PID]: TEXT`, or an ISO time in front.
fn read_3164(line: &str) -> Option<(Header<'_>, &str)> {
    let bytes = line.as_bytes();
    let time_length = if bytes.first()?.is_ascii_digit() {
        let length = line.find(' ')?;
        if bytes.get(10) != Some(&b'T') {
            return None;
        }
        length
    } else {
        let shape = bytes.get(..15)?;
        let is_time = shape[3] == b' ' && shape[6] == b' ' && shape[9] == b':' && shape[12] == b':';
        if is_time { 15 } else { return None }
    };
    let time = line.get(..time_length)?;
    let (host, rest) = line.get(time_length + 1..)?.split_once(' ')?;
    let (tag, text) = rest.split_once("]:")?;
    let (program, process) = tag.split_once('[')?;
    let is_process = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix(' ').unwrap_or(text);
    (is_process && !program.contains(' '))
        .then_some((Header { time, host, program, process }, text))
}

/// `[7-2] `, `[7] ` or nothing.
fn read_number(text: &str) -> (Number, &str) {
    let read = || {
        let (number, text) = text.strip_prefix('[')?.split_once("] ").or_else(|| {
            // A blank chunk.
            Some((text.strip_prefix('[')?.strip_suffix(']')?, ""))
        })?;
        let number = match number.split_once('-') {
            Some((message, chunk)) => Number::Both(message.parse().ok()?, chunk.parse().ok()?),
            None => Number::One(number.parse().ok()?),
        };
        Some((number, text))
    };
    read().unwrap_or((Number::None, text))
}

impl Header<'_> {
    /// What messages of one process have in common.
    pub(super) fn sender(&self) -> String {
        format!("{} {}[{}]", self.host, self.program, self.process)
    }

    /// Whether [`Header::sender`] would give `sender`.
    pub(super) fn is(&self, sender: &str) -> bool {
        sender.strip_prefix(self.host).and_then(|rest| rest.strip_prefix(' ')).is_some_and(|rest| {
            let process = rest.strip_prefix(self.program).and_then(|rest| rest.strip_prefix('['));
            process.and_then(|rest| rest.strip_suffix(']')) == Some(self.process)
        })
    }
}

/// The time of a header. RFC 3164 has no year: it is that of the reading, or the one before if the
/// month would lie ahead; and no zone: UTC is assumed.
pub(super) fn time(text: &str, received: Timestamp) -> Option<(Timestamp, TimeBasis)> {
    if text.as_bytes().first()?.is_ascii_digit() {
        return Timestamp::parse(text).map(|time| (time, TimeBasis::Offset));
    }
    let now = chrono::DateTime::from_timestamp_micros(received.0)?;
    let in_year = |year: i32| {
        let text = format!("{year} {text}");
        let local = NaiveDateTime::parse_from_str(&text, "%Y %b %e %H:%M:%S").ok()?;
        Some(Timestamp(local.and_utc().timestamp_micros()))
    };
    let a_day_ahead = received.plus_seconds(86_400);
    let this_year = in_year(now.year()).filter(|time| *time <= a_day_ahead);
    let time = this_year.or_else(|| in_year(now.year() - 1))?;
    Some((time, TimeBasis::Assumed))
}

/// Undoes `#ooo`, which forwarders write for control characters, unless they leave those as
/// they are. A literal `#011` in a statement cannot be told from a TAB.
pub(super) fn decode(text: &str, raw_controls: bool) -> Cow<'_, str> {
    if raw_controls || memchr::memchr(b'#', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('#') {
        decoded.push_str(&rest[..at]);
        let digits = rest.as_bytes().get(at + 1..at + 4);
        let control = digits.and_then(|digits| {
            let octal = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(octal, 8).ok().filter(|byte| *byte < b' ' || *byte == 0x7f)
        });
        match control {
            Some(control) => {
                decoded.push(char::from(control));
                rest = &rest[at + 4..];
            }
            None => {
                decoded.push('#');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_header_is_read() {
        let lines = [
            "Mar  2 10:11:12 db1 postgres[4242]: [9-1] hello",
            "<134>Mar 12 10:11:12 db1 postgres[4242]: [9-1] hello",
            "2025-03-02T10:11:12.345678+00:00 db1 postgres[4242]: [9-1] hello",
            "<134>1 2025-03-02T10:11:12.345678+00:00 db1 postgres 4242 - -  [9-1] hello",
        ];
        for line in lines {
            let chunk = Chunk::read(line).expect(line);
            assert_eq!((chunk.number, chunk.text), (Number::Both(9, 1), "hello"), "{line}");
            assert_eq!(chunk.header.sender(), "db1 postgres[4242]");
            assert!(chunk.header.is("db1 postgres[4242]"));
        }
        assert!(Chunk::read("2025-03-02 10:11:12.345 UTC [4242] LOG:  hello").is_none());
    }

    #[test]
    fn only_control_characters_are_undone() {
        assert_eq!(decode("#011a #1 #101 #", false), "\ta #1 #101 #");
        assert_eq!(decode("#011a", true), "#011a");
    }

    #[test]
    fn december_read_in_january_is_last_year() {
        let chunk = Chunk::read("Dec 31 23:59:59 db1 postgres[1]: [1-1] x").expect("a header");
        let january = Timestamp::parse("2026-01-01T00:00:10Z").expect("valid");
        let time = time(chunk.header.time, january).map(|(time, _)| time.to_string());
        assert_eq!(time.as_deref(), Some("2025-12-31T23:59:59.000000Z"));
    }
}
