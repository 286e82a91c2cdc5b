//! Where a value ends inside a literal: in quotes however often they were doubled, or bare.

use std::ops::Range;

/// Bytes behind `;` or `&` that may name the next setting.
const NAME_BYTES_MAX: usize = 32;

/// The text of a literal, in lower case, and how much of it was looked at.
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    /// The quote around the literal, which stands doubled within it.
    pub(super) delimiter: u8,
    /// Bytes looked at.
    pub(super) work: usize,
}

impl Text<'_> {
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Behind the bytes at `at` that are to be skipped.
    pub(super) fn skip(&mut self, at: usize, skipped: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| !skipped(byte)).unwrap_or(rest.len());
        self.work += length + 1;
        at + length
    }

    pub(super) fn skip_blanks(&mut self, at: usize) -> usize {
        self.skip(at, |b| b.is_ascii_whitespace())
    }

    /// The value whose opening quote is at `at`, up to the end of the text if nothing closes it.
    pub(super) fn quoted(&mut self, at: usize) -> Option<Range<usize>> {
        if self.byte(at) == b'$' {
            return self.dollar_quoted(at);
        }
        let slashes = self.skip(at, |b| b == b'\\') - at;
        let quote = self.byte(at + slashes);
        if !is_quote(quote) {
            return None;
        }
        if slashes > 0 {
            return Some(self.escaped(at + slashes + 1, quote, slashes));
        }
        let run = self.skip(at, |b| b == quote) - at;
        let least = if quote == self.delimiter { 2 } else { 1 };
        let ends = matches!(self.byte(at + run), b',' | b')' | b';' | b'}' | 0..=b' ');
        if run > least && run.is_multiple_of(2) && ends {
            // `''''` is an empty value in quotes that were doubled once.
            return Some(at + run / 2..at + run / 2);
        }
        Some(self.doubled(at + run, quote, run))
    }

    /// Quotes that were doubled until one stands for `level` of them: twice as many are a quote
    /// within the value.
    fn doubled(&mut self, start: usize, quote: u8, level: usize) -> Range<usize> {
        let mut at = start;
        loop {
            at = self.skip(at, |b| b != quote);
            if at >= self.len() {
                return start..self.len();
            }
            let run = self.skip(at, |b| b == quote) - at;
            // `\''`: a quote within the value of a connection string.
            let escaped = at > start && self.byte(at - 1) == b'\\';
            let held = if escaped { level.min(run) } else { 0 };
            let rest = (run - held) % (2 * level);
            if rest >= level {
                return start..at + run - rest;
            }
            at += run;
        }
    }

    /// Quotes with as many backslashes before them as the opening one.
    fn escaped(&mut self, start: usize, quote: u8, slashes: usize) -> Range<usize> {
        let mut at = start;
        loop {
            let run = self.skip(at, |b| b != b'\\' && b != quote);
            at = self.skip(run, |b| b == b'\\');
            if at >= self.len() {
                return start..self.len();
            }
            if self.byte(at) == quote {
                if at - run <= slashes {
                    return start..run;
                }
                at += 1;
            }
        }
    }

    fn dollar_quoted(&mut self, at: usize) -> Option<Range<usize>> {
        let tag_end = self.skip(at + 1, |b| b.is_ascii_alphanumeric() || b == b'_');
        if self.byte(tag_end) != b'$' || self.byte(at + 1).is_ascii_digit() {
            return None;
        }
        let tag = self.bytes.get(at..=tag_end)?;
        let body = self.bytes.get(tag_end + 1..)?;
        let length = memchr::memmem::find(body, tag).unwrap_or(body.len());
        self.work += length;
        Some(tag_end + 1..tag_end + 1 + length)
    }

    /// Behind the value without quotes that begins at `at`.
    pub(super) fn bare_end(&mut self, mut at: usize, in_query: bool) -> usize {
        let start = at;
        loop {
            at = self.skip(at, |b| {
                !b.is_ascii_whitespace() && !is_quote(b) && !matches!(b, b'\\' | b';' | b'&')
            });
            match self.byte(at) {
                b';' | b'&' if (in_query && self.byte(at) == b'&') || self.names_next(at) => {
                    return at;
                }
                b';' | b'&' => at += 1,
                b'\\' if !is_quote(self.byte(at + 1)) && self.byte(at + 1) != b'\\' => {
                    at = (at + 2).min(self.len());
                }
                b'\\' | b'\'' | b'"' => {
                    let marks = self.skip(at, |b| is_quote(b) || b == b'\\');
                    // A quote within a word is part of it.
                    if at == start || !self.byte(marks).is_ascii_alphanumeric() {
                        return at;
                    }
                    at = marks;
                }
                _ => return at,
            }
        }
    }

    /// Whether the `;` or `&` at `at` ends a setting: a blank, itself or `name=` follows.
    fn names_next(&mut self, at: usize) -> bool {
        let next = self.byte(at + 1);
        if next <= b' ' || next == self.byte(at) || is_quote(next) {
            return true;
        }
        let rest = self.bytes.get(at + 1..).unwrap_or_default();
        let rest = rest.get(..NAME_BYTES_MAX).unwrap_or(rest);
        let named = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let length = rest.iter().take_while(|b| named(b)).count();
        length > 0 && rest.get(length) == Some(&b'=')
    }
}

pub(super) fn is_quote(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"')
}
