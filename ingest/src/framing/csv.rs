//! CSV records, in which newlines may stand between quotes and quotes are doubled: finds the end of
//! one, and its columns, in one pass over the bytes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Frame, lines};

/// Columns that are kept; further ones are counted only.
const COUNT_KEPT: usize = 32;

/// The columns of the record that was scanned last.
#[derive(Default)]
pub(crate) struct Columns {
    spans: [Span; COUNT_KEPT],
    count: usize,
    /// Where the text of a field in quotes begins that does not end.
    open: Option<usize>,
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
pub(crate) struct Texts<'a> {
    spans: &'a [Span],
    record: &'a str,
    rewritten: &'a str,
}

impl<'a> Texts<'a> {
    pub(crate) fn get(self, column: usize) -> &'a str {
        let Some(span) = self.spans.get(column) else { return "" };
        let from = if span.rewritten { self.rewritten } else { self.record };
        &from[span.start..span.end]
    }
}

impl Columns {
    /// Scans one record of `limit` bytes at most, what ends it aside. At `end` of the file the last
    /// line needs no newline.
    pub(crate) fn scan(&mut self, input: &[u8], end: bool, limit: usize) -> Frame {
        let longest = limit.saturating_add(lines::LINE_END_BYTES);
        let window = &input[..input.len().min(longest)];
        let is_whole = window.len() == input.len();
        match self.scan_window(window, end && is_whole) {
            Frame::Record(length) if lines::text(&window[..length]).len() > limit => Frame::TooLong,
            Frame::Partial if !is_whole => Frame::TooLong,
            Frame::Partial if end => Frame::Malformed,
            frame => frame,
        }
    }

    fn scan_window(&mut self, input: &[u8], end: bool) -> Frame {
        (self.count, self.open, self.lone_quotes, self.decoded) = (0, None, false, false);
        self.texts.clear();
        match input {
            [b'\n', ..] => return Frame::Skip(1),
            [b'\r', b'\n', ..] => return Frame::Skip(2),
            _ => {}
        }
        let mut at = 0;
        loop {
            let (span, next) = if input.get(at) == Some(&b'"') {
                match quoted(input, at + 1) {
                    Some(found) => found,
                    None => {
                        self.open = Some(at + 1);
                        return Frame::Partial;
                    }
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
                Some(b'\r') if input.len() == next + 1 && !end => return Frame::Partial,
                None if end => return self.finish(input, next),
                None => return Frame::Partial,
                Some(_) => return Frame::Malformed,
            };
        }
    }

    fn finish(&mut self, input: &[u8], length: usize) -> Frame {
        // `\r` before the newline is part of an unquoted last field.
        if let Some(last) = self.spans.get_mut(self.count - 1)
            && last.end > last.start
            && input.get(last.end - 1) == Some(&b'\r')
            && input.get(last.end) == Some(&b'\n')
        {
            last.end -= 1;
        }
        Frame::Record(length)
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Keeps what is in `record`, the head of the bytes that were scanned. What is there of a field
    /// that does not end becomes the last column.
    pub(crate) fn cut(&mut self, record: &[u8]) {
        for span in &mut self.spans {
            (span.start, span.end) = (span.start.min(record.len()), span.end.min(record.len()));
        }
        let Some(start) = self.open.take().filter(|start| *start <= record.len()) else { return };
        let quotes = record[start..].iter().rev().take_while(|byte| **byte == b'"').count();
        // The other half of the last quote is missing.
        let end = record.len() - quotes % 2;
        if let Some(kept) = self.spans.get_mut(self.count) {
            *kept = Span { start, end, doubled: true, rewritten: false };
        }
        self.count += 1;
    }

    /// A column of `record`, the bytes that were scanned, as it stands there; before decoding.
    pub(crate) fn raw<'a>(&self, record: &'a [u8], column: usize) -> &'a [u8] {
        let span = self.spans.get(column).copied().unwrap_or_default();
        &record[span.start..span.end]
    }

    /// Whether a quote opened a field that is not empty.
    pub(crate) fn has_lone_quotes(&self) -> bool {
        self.lone_quotes
    }
}

impl Columns {
    /// The texts of the columns of `record`, the bytes that were scanned.
    pub(crate) fn decode<'a>(&'a mut self, record: &'a [u8]) -> Texts<'a> {
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

/// Where in a record some bytes end: all that there is to know of a record that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    FieldStart,
    Bare,
    Quoted,
    /// Behind a quote that closes the field, or is the first half of one within it.
    AfterQuote,
    /// Between a closing quote and the newline.
    CarriageReturn,
}

/// What the bytes behind a place are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The record ends with the last of so many bytes.
    Ended(usize),
    /// It goes on from here.
    Open(Place),
    Malformed,
}

impl Place {
    /// Goes on through `bytes` by the rules of [`Columns::scan`].
    pub(crate) fn pass(self, bytes: &[u8]) -> Pass {
        let mut place = self;
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            place = match (place, byte) {
                (Self::Quoted, _) => {
                    let Some(quote) = memchr::memchr(b'"', &bytes[at..]) else { break };
                    at += quote;
                    Self::AfterQuote
                }
                (Self::FieldStart, b'"') | (Self::AfterQuote, b'"') => Self::Quoted,
                (Self::FieldStart | Self::Bare | Self::AfterQuote, b',') => Self::FieldStart,
                (_, b'\n') => return Pass::Ended(at + 1),
                (Self::AfterQuote, b'\r') => Self::CarriageReturn,
                (Self::FieldStart | Self::Bare, byte) if *byte != b'"' => Self::Bare,
                _ => return Pass::Malformed,
            };
            at += 1;
        }
        Pass::Open(place)
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

/// Appends a text with every pair of quotes made one.
pub(crate) fn push_undoubled(mut raw: &str, out: &mut String) {
    while let Some(at) = memchr::memchr(b'"', raw.as_bytes()) {
        out.push_str(&raw[..=at]);
        // A lone quote can only be the last byte of a text that was cut.
        raw = raw.get(at + 2..).unwrap_or_default();
    }
    out.push_str(raw);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(record: &[u8]) -> Option<Vec<String>> {
        let mut columns = Columns::default();
        match columns.scan(record, true, 99) {
            Frame::Record(length) => {
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
    fn a_record_that_is_not_kept_ends_where_it_would() {
        let records = [
            "a,\"b\"\"c\nd\",,\"\",e\r\n",
            "a\n",
            ",\n",
            "\"a\n\"\r\n",
            "\"\"\"\"\n",
            "a\"b,c\n",
            "\"a\"b\n",
            "\"a\" ,b\n",
            "a\rb,\"c,\"\n",
            "\"a\"\rb\n",
        ];
        for record in records {
            let whole = Columns::default().scan(record.as_bytes(), false, 99);
            let input = [record, "x\n"].concat();
            for cut in 0..record.len() {
                let (head, tail) = input.as_bytes().split_at(cut);
                let passed = match Place::FieldStart.pass(head) {
                    Pass::Open(place) => place.pass(tail),
                    told => told,
                };
                match (passed, whole) {
                    (Pass::Ended(length), Frame::Record(whole)) => assert_eq!(cut + length, whole),
                    (Pass::Malformed, Frame::Malformed) => {}
                    told => panic!("{record:?} at {cut}: {told:?}"),
                }
            }
        }
    }

    #[test]
    fn the_limit_is_that_of_the_text() {
        for (record, limit) in [("a,\"b\"\n", 5), ("a,\"b\"\r\n", 5), ("a,b\r\n", 3), ("a,b", 3)] {
            let scan = |limit| Columns::default().scan(record.as_bytes(), true, limit);
            assert_eq!(scan(limit), Frame::Record(record.len()), "{record:?}");
            assert_eq!(scan(limit - 1), Frame::TooLong, "{record:?}");
        }
    }

    #[test]
    fn a_lone_quote_in_the_wrong_place_is_damage() {
        for wrong in [&b"a\"b,c\n"[..], b"\"a\"b\n", b"\"a\" ,b\n"] {
            assert_eq!(Columns::default().scan(wrong, true, 99), Frame::Malformed);
        }
        assert_eq!(Columns::default().scan(b"a,\"b\n", true, 99), Frame::Malformed);
        assert_eq!(Columns::default().scan(b"a,b", false, 99), Frame::Partial);
    }
}
