//! SQL text to its normal form: what stays when literals, spelling and layout are taken away.
//!
//! The normal form of a normal form is itself, and the facts are read from it alone: texts with
//! one fingerprint have one set of facts.

mod emit;
mod state;

use std::borrow::Cow;

use crate::flag::FlagSet;
use crate::lexer::{Escapes, Kind, Lexer, Token};
use crate::word::Role;
use crate::{Dialect, Fingerprint, Flag};
use state::{Last, State};

/// Code in `DO` and in `EXECUTE` inside it; what is quoted deeper is a literal.
const CODE_DEPTH_MAX: usize = 2;
/// A buffer that one huge statement has blown up is given back.
const BUFFER_KEPT_BYTES: usize = 1 << 20;

/// Normalises statements one after another in buffers that it keeps: no allocation per statement.
#[derive(Default)]
pub struct Normalizer {
    state: State,
}

/// The normal form of one text; borrows from the `Normalizer` that made it.
#[derive(Clone, Copy, Debug)]
pub struct Normalized<'a> {
    /// Lower case, single spaces, `?` for literals and binds, one element for a list of like ones.
    pub normal_form: &'a str,
    /// Of the normal form.
    pub fingerprint: Fingerprint,
    pub(crate) text_flags: FlagSet,
}

impl Normalized<'_> {
    /// Flags of this text that its fingerprint does not tell: comments and open quotes.
    pub fn text_flags(&self) -> impl Iterator<Item = Flag> + use<> {
        self.text_flags.iter()
    }
}

impl Normalizer {
    /// Reads `sql` by the rules of `dialect`. Never fails; cost is linear in the text.
    pub fn normalize(&mut self, sql: &str, dialect: Dialect) -> Normalized<'_> {
        self.state.reset(BUFFER_KEPT_BYTES);
        self.state.out.reserve(sql.len());
        let mut lexer = Lexer::new(sql.as_bytes(), dialect);
        self.state.run(&mut lexer, dialect, 0);
        self.state.finish();
        let out = self.state.out.as_slice();
        Normalized {
            // Tokens end where characters end, so this is always text.
            normal_form: std::str::from_utf8(out).unwrap_or_default(),
            fingerprint: Fingerprint::of(out),
            text_flags: lexer.flags,
        }
    }

    /// Bytes lexed and compared for the last text.
    #[cfg(test)]
    pub(crate) fn work(&self) -> usize {
        self.state.work + self.state.lists.work
    }
}

impl State {
    fn run(&mut self, lexer: &mut Lexer<'_>, dialect: Dialect, depth: usize) {
        loop {
            let token = lexer.next(self.expect());
            self.work += token.end - token.start;
            if self.lists.in_rows() && self.leaves_rows(&token) {
                self.lists.end_rows(&mut self.out);
            }
            match token.kind {
                Kind::End => return,
                Kind::Word => self.word(token.text),
                Kind::Quoted => self.identifier(token.text, dialect),
                Kind::UnicodeQuoted(escape) => {
                    self.identifier(&decode_unicode(token.text, escape), dialect);
                }
                Kind::Number | Kind::Parameter => self.literal(),
                Kind::Text(escapes) => self.text(&token, escapes, dialect, depth),
                Kind::Operator => self.operator(token.text),
                _ => self.punctuation(token.kind, dialect),
            }
        }
    }

    /// After `VALUES (…)` only a comma goes on, after that only `(` or `ROW`.
    fn leaves_rows(&self, token: &Token<'_>) -> bool {
        match token.kind {
            Kind::Comma => !self.lists.after_row(&self.out),
            Kind::Open => self.lists.after_row(&self.out) && self.role != Role::Row,
            Kind::Word => {
                self.lists.after_row(&self.out) || !token.text.eq_ignore_ascii_case(b"row")
            }
            _ => true,
        }
    }

    fn text(&mut self, token: &Token<'_>, escapes: Escapes, dialect: Dialect, depth: usize) {
        if self.keeps_text(token.text) {
            return self.kept_text(token.text);
        }
        if dialect == Dialect::PostgreSql && depth < CODE_DEPTH_MAX && self.takes_code(depth) {
            self.open_brace();
            let code = unescape(token.text, escapes);
            self.run(&mut Lexer::new(&code, dialect), dialect, depth + 1);
            return self.close_brace();
        }
        // Literals in a row are one: `'a' 'b'` is a long way to write `'ab'`.
        if self.last != Last::Text {
            self.literal();
            self.last = Last::Text;
        }
    }

    /// Names that are written as literals decide what a statement does: which setting
    /// `set_config` changes, in which `LANGUAGE` a function is. They stay in the normal form.
    fn keeps_text(&self, text: &[u8]) -> bool {
        let context = self.role == Role::Names
            || (self.last == Last::Open && self.out.ends_with(b"set_config("));
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        context && !text.is_empty() && text.len() <= 64 && text.iter().all(plain)
    }

    /// The body of `DO` is code; so is a literal that `EXECUTE` runs inside such code.
    fn takes_code(&self, depth: usize) -> bool {
        match self.role {
            Role::Do => true,
            Role::Execute => depth > 0,
            Role::Names => false,
            _ => self.in_do,
        }
    }
}

/// What a literal says once its escapes are undone.
fn unescape(text: &[u8], escapes: Escapes) -> Cow<'_, [u8]> {
    let marks: &[u8] = match escapes {
        Escapes::None => return Cow::Borrowed(text),
        Escapes::Doubled => b"'",
        Escapes::Backslash => b"'\\",
    };
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        // The mark makes way for the byte after it.
        let byte = if marks.contains(&byte) { rest.next().copied() } else { Some(byte) };
        plain.extend(byte);
    }
    Cow::Owned(plain)
}

/// Undoes `\0061` and `\+000061` of `U&"…"`; what is no valid escape stays as written.
fn decode_unicode(text: &[u8], escape: u8) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let (digits, skip) = match tail {
            [b'+', more @ ..] => (more.get(..6), 7),
            _ => (tail.get(..4), 4),
        };
        let decoded = digits.filter(|_| byte == escape).and_then(hexadecimal);
        if let Some(letter) = decoded {
            plain.extend(letter.encode_utf8(&mut [0; 4]).bytes());
            rest = tail.get(skip..).unwrap_or_default();
        } else {
            plain.push(byte);
            let doubled = byte == escape && tail.first() == Some(&escape);
            rest = tail.get(usize::from(doubled)..).unwrap_or_default();
        }
    }
    plain
}

fn hexadecimal(digits: &[u8]) -> Option<char> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

#[cfg(test)]
mod tests;
