//! Character literals, quoted identifiers and numbers.

use memchr::{memchr, memchr2, memmem};

use super::{Escapes, Kind, Lexer, Token, is_word};
use crate::Dialect;
use crate::flag::Flag;

impl<'a> Lexer<'a> {
    /// The literal whose opening quote is here and whose prefix began at `start`.
    pub(super) fn text(&mut self, start: usize, escapes: Escapes) -> Token<'a> {
        let quote = self.peek(0);
        let from = self.at + 1;
        let close = match escapes {
            Escapes::Backslash => self.backslash_end(quote, from),
            _ => self.doubled_end(quote, from),
        };
        let text = self.close(from, close);
        self.quoted(Kind::Text(escapes), text, start)
    }

    pub(super) fn identifier(&mut self, kind: Kind, start: usize) -> Token<'a> {
        let from = self.at + 1;
        let close = self.doubled_end(self.peek(0), from);
        let text = self.close(from, close);
        self.quoted(kind, text, start)
    }

    fn close(&mut self, from: usize, close: Option<usize>) -> &'a [u8] {
        if close.is_none() {
            self.flags.insert(Flag::Unterminated);
        }
        let end = close.unwrap_or(self.input.len());
        self.at = (end + 1).min(self.input.len());
        self.slice(from, end)
    }

    fn doubled_end(&self, quote: u8, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            at += memchr(quote, self.input.get(at..)?)?;
            if self.input.get(at + 1) != Some(&quote) {
                return Some(at);
            }
            at += 2;
        }
    }

    fn backslash_end(&self, quote: u8, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            at += memchr2(quote, b'\\', self.input.get(at..)?)?;
            let escaped = self.input.get(at) == Some(&b'\\');
            if !escaped && self.input.get(at + 1) != Some(&quote) {
                return Some(at);
            }
            at += 2;
        }
    }

    /// `$tag$ … $tag$`, if a tag is here.
    pub(super) fn dollar_quoted(&mut self) -> Option<Token<'a>> {
        let start = self.at;
        let rest = self.input.get(start..)?;
        let tag_length = 1 + rest.get(1..)?.iter().position(|&b| b == b'$' || !is_word(b))?;
        if rest.get(tag_length) != Some(&b'$') {
            return None;
        }
        let tag = rest.get(..=tag_length)?;
        let body = rest.get(tag_length + 1..)?;
        let found = memmem::find(body, tag);
        let length = found.unwrap_or(body.len());
        if found.is_none() {
            self.flags.insert(Flag::Unterminated);
        }
        self.at = (start + 2 * tag.len() + length).min(self.input.len());
        Some(self.quoted(Kind::Text(Escapes::None), body.get(..length)?, start))
    }

    /// Skips `UESCAPE 'c'` and gives `c`.
    pub(super) fn escape_clause(&mut self) -> Option<u8> {
        let (at, flags) = (self.at, self.flags);
        self.skip_trivia();
        let word = self.slice(self.at, self.at + 7);
        if word.eq_ignore_ascii_case(b"uescape") && !is_word(self.peek(7)) {
            self.at += 7;
            self.skip_trivia();
            if let [b'\'', escape @ 0..128, b'\''] = self.slice(self.at, self.at + 3) {
                self.at += 3;
                return Some(*escape);
            }
        }
        (self.at, self.flags) = (at, flags);
        None
    }

    pub(super) fn number(&mut self) -> Token<'a> {
        if self.dialect == Dialect::MySql && self.peek(0) != b'.' {
            let length = self.word_length(0);
            if !is_number(self.slice(self.at, self.at + length)) {
                return self.token(Kind::Word, length);
            }
        }
        let length = self.number_length();
        self.token(Kind::Number, length)
    }

    fn number_length(&self) -> usize {
        let rest = self.input.get(self.at..).unwrap_or_default();
        if is_radix(rest) {
            return self.word_length(0);
        }
        let digits = |from: usize| {
            let tail = rest.get(from..).unwrap_or_default();
            let stop = tail.iter().position(|&b| !b.is_ascii_digit() && b != b'_');
            from + stop.unwrap_or(tail.len())
        };
        let byte = |at: usize| rest.get(at).copied().unwrap_or(0);
        let mut length = digits(0);
        if byte(length) == b'.' && byte(length + 1) != b'.' {
            length = digits(length + 1);
        }
        if byte(length) | 0x20 == b'e' {
            let sign = usize::from(matches!(byte(length + 1), b'+' | b'-'));
            if byte(length + 1 + sign).is_ascii_digit() {
                length = digits(length + 1 + sign);
            }
        }
        length
    }
}

/// `0x1f`, `0b01`, `0o17`.
fn is_radix(text: &[u8]) -> bool {
    match text {
        [b'0', b'x' | b'X', next, ..] => next.is_ascii_hexdigit(),
        [b'0', b'b' | b'B' | b'o' | b'O', next, ..] => next.is_ascii_digit(),
        _ => false,
    }
}

/// Whether MySQL reads the run of word bytes as a number and not as a name such as `2024_sales`.
pub(super) fn is_number(run: &[u8]) -> bool {
    let digits = run.iter().take_while(|b| b.is_ascii_digit()).count();
    match run.get(digits..).unwrap_or_default() {
        [] => true,
        [b'e' | b'E', exponent @ ..] => exponent.iter().all(u8::is_ascii_digit),
        _ => is_radix(run) && run.iter().skip(2).all(u8::is_ascii_hexdigit),
    }
}
