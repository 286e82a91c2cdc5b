//! Finds the columns of one csvlog record, and its end, in one pass over the bytes.

use std::borrow::Cow;

use super::super::postgresql::pgaudit::push_undoubled;
use super::super::postgresql::prefix::time_length;

/// Columns before version 9.0; later versions only append.
pub(super) const COUNT_MIN: usize = 22;

/// Columns that are kept; further ones are counted only.
const COUNT_KEPT: usize = 26;

/// What stands at the head of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// A line without anything.
    Empty(usize),
    /// A record of so many bytes, its newline included.
    Record { length: usize },
    /// A record that goes on behind the bytes.
    Incomplete,
    /// No CSV.
    Malformed,
}

/// The columns of the record that was scanned last.
#[derive(Default)]
pub(super) struct Columns {
    spans: [Span; COUNT_KEPT],
    count: usize,
    /// A field in quotes is not empty.
    lone_quotes: bool,
    /// The spans are those of the texts, not of the record.
    decoded: bool,
    /// Texts of the fields of interest, one after the other.
    texts: String,
}

/// Where a column's text is: in the record, or in `texts` where it had to be rewritten.
#[derive(Clone, Copy, Default)]
struct Span {
    start: usize,
    end: usize,
    doubled: bool,
    rewritten: bool,
}

/// The texts of the columns of one record; missing ones are empty.
#[derive(Clone, Copy)]
pub(super) struct Texts<'a> {
    spans: &'a [Span],
    record: &'a str,
    rewritten: &'a str,
}

impl<'a> Texts<'a> {
    pub(super) fn get(self, column: usize) -> &'a str {
        let Some(span) = self.spans.get(column) else { return "" };
        let from = if span.rewritten { self.rewritten } else { self.record };
        &from[span.start..span.end]
    }
}

impl Columns {
    /// Scans one record. At `end` of the file the last line needs no newline.
    pub(super) fn scan(&mut self, input: &[u8], end: bool) -> Scan {
        (self.count, self.lone_quotes, self.decoded) = (0, false, false);
        self.texts.clear();
        match input {
            [b'\n', ..] => return Scan::Empty(1),
            [b'\r', b'\n', ..] => return Scan::Empty(2),
            _ => {}
        }
        let mut at = 0;
        loop {
            let (span, next) = if input.get(at) == Some(&b'"') {
                match quoted(input, at + 1) {
                    Some(found) => found,
                    None => return Scan::Incomplete,
                }
            } else {
                let length =
                    input[at..].iter().position(|byte| matches!(byte, b',' | b'\n' | b'"'));
                let next = length.map_or(input.len(), |length| at + length);
                (Span { start: at, end: next, ..Span::default() }, next)
            };
            self.lone_quotes |= span.start > at && span.end > span.start;
            if let Some(kept) = self.spans.get_mut(self.count) {
                *kept = span;
            }
            self.count += 1;
            at = match input.get(next) {
                Some(b',') => next + 1,
                Some(b'\n') => return self.finish(input, next + 1),
                Some(b'\r') if input.get(next + 1) == Some(&b'\n') => {
                    return self.finish(input, next + 2);
                }
                Some(b'\r') if input.len() == next + 1 && !end => return Scan::Incomplete,
                None if end => return self.finish(input, next),
                None => return Scan::Incomplete,
                Some(_) => return Scan::Malformed,
            };
        }
    }

    fn finish(&mut self, input: &[u8], length: usize) -> Scan {
        // `\r` before the newline is part of an unquoted last field.
        if let Some(last) = self.spans.get_mut(self.count - 1)
            && last.end > last.start
            && input.get(last.end - 1) == Some(&b'\r')
            && input.get(last.end) == Some(&b'\n')
        {
            last.end -= 1;
        }
        Scan::Record { length }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether the columns of `record`, the bytes that were scanned, have the shapes of csvlog.
    pub(super) fn is_plausible(&self, record: &[u8]) -> bool {
        let field = |column: usize| {
            let span = self.spans[column];
            &record[span.start..span.end]
        };
        let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        self.count >= COUNT_MIN
            && std::str::from_utf8(field(0)).is_ok_and(|time| time_length(time) == Some(time.len()))
            && digits(field(3))
            && field(12).len() == 5
    }

    /// Whether a quote opened a field that is not empty; see the policy above.
    pub(super) fn has_lone_quotes(&self) -> bool {
        self.lone_quotes
    }
}

impl Columns {
    /// The texts of the columns of `record`, the bytes that were scanned.
    pub(super) fn decode<'a>(&'a mut self, record: &'a [u8]) -> Texts<'a> {
        let count = self.count.min(COUNT_KEPT);
        let whole = std::str::from_utf8(record).ok();
        // A record in a damaged region is decoded once to judge it and once to read it.
        let is_first = !std::mem::replace(&mut self.decoded, true);
        for span in self.spans[..count].iter_mut().filter(|_| is_first) {
            span.rewritten = span.doubled || whole.is_none();
            if !span.rewritten {
                continue;
            }
            let text = match whole {
                Some(whole) => Cow::Borrowed(&whole[span.start..span.end]),
                None => String::from_utf8_lossy(&record[span.start..span.end]),
            };
            span.start = self.texts.len();
            if span.doubled {
                push_undoubled(&text, &mut self.texts);
            } else {
                self.texts.push_str(&text);
            }
            span.end = self.texts.len();
        }
        let record = whole.unwrap_or_default();
        Texts { spans: &self.spans[..count], record, rewritten: &self.texts }
    }
}

/// The field that begins after its quote and the byte after its closing quote; none if the bytes
/// end before that is certain.
fn quoted(input: &[u8], start: usize) -> Option<(Span, usize)> {
    let mut from = start;
    let mut doubled = false;
    loop {
        let at = from + memchr::memchr(b'"', &input[from..])?;
        if input.get(at + 1) != Some(&b'"') {
            return Some((Span { start, end: at, doubled, rewritten: false }, at + 1));
        }
        doubled = true;
        from = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(record: &[u8]) -> Option<Vec<String>> {
        let mut columns = Columns::default();
        match columns.scan(record, true) {
            Scan::Record { length } => {
                let count = columns.count();
                columns.decode(&record[..length]);
                let texts = columns.decode(&record[..length]);
                Some((0..count).map(|column| texts.get(column).to_owned()).collect())
            }
            _ => None,
        }
    }

    #[test]
    fn quotes_and_newlines_are_undone() {
        let columns = texts(b"a,\"b\"\"c\nd\",,\"\",e\r\n").expect("a record");
        assert_eq!(columns, ["a", "b\"c\nd", "", "", "e"]);
        assert_eq!(texts(b"\"caf\xe9\",x\n").expect("a record"), ["caf\u{fffd}", "x"]);
    }

    #[test]
    fn a_lone_quote_in_the_wrong_place_is_damage() {
        for wrong in [&b"a\"b,c\n"[..], b"\"a\"b\n", b"\"a\" ,b\n"] {
            assert_eq!(Columns::default().scan(wrong, true), Scan::Malformed);
        }
        assert_eq!(Columns::default().scan(b"a,\"b\n", true), Scan::Incomplete);
        assert_eq!(Columns::default().scan(b"a,b", false), Scan::Incomplete);
    }
}
