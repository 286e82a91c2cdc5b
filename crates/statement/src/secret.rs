//! Masks passwords in SQL text, so that an audit log does not become a store of them.

mod connection;

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use crate::Dialect;
use crate::lexer::{Escapes, Expect, Kind, Lexer, Token};
use connection::connection_secrets;

const MASK: &str = "<redacted>";
/// Code in dollar quotes in code in dollar quotes.
const DEPTH_MAX: usize = 3;

/// `sql` with `<redacted>` for the passwords in it: of accounts (`PASSWORD '…'`,
/// `IDENTIFIED BY '…'`, `SET PASSWORD = '…'`), of options and settings whose name speaks of a
/// password or secret, and of connection strings. Also where the text is cut off inside of one.
///
/// Text without such words is handed back after a glance.
pub fn redact_secrets(sql: &str, dialect: Dialect) -> Cow<'_, str> {
    if !may_hold_secrets(sql.as_bytes()) {
        return Cow::Borrowed(sql);
    }
    let mut secrets = Vec::new();
    find(sql, 0, dialect, 0, &mut secrets);
    if secrets.is_empty() {
        return Cow::Borrowed(sql);
    }
    secrets.sort_unstable_by_key(|range: &Range<usize>| range.start);
    let mut masked = String::with_capacity(sql.len());
    let mut copied = 0;
    for range in secrets {
        // Bounds are those of ASCII marks, hence of characters. What overlaps or touches is masked
        // once, so that masking again changes nothing.
        if range.start > copied || masked.is_empty() {
            masked.push_str(sql.get(copied..range.start).unwrap_or_default());
            masked.push_str(MASK);
        }
        copied = copied.max(range.end);
    }
    masked.push_str(sql.get(copied..).unwrap_or_default());
    Cow::Owned(masked)
}

/// Whether one of the tell-tale words may be there: `passw`, `pwd`, `identified`, `secret`, `://`.
///
/// Looks for three letters of each. No branch depends on the text, so that this becomes vector
/// code: every statement of every log comes through here.
fn may_hold_secrets(sql: &[u8]) -> bool {
    let [second, third] = [1, 2].map(|from| sql.get(from..).unwrap_or_default());
    let mut found = false;
    for ((first, second), third) in sql.iter().zip(second).zip(third) {
        // Upper case becomes lower; what else changes only looks alike.
        let (first, second, third) = (first | 0x20, second | 0x20, third | 0x20);
        let is = |word: &[u8; 3]| (first == word[0]) & (second == word[1]) & (third == word[2]);
        found |= is(b"ssw") | is(b"pwd") | is(b"tif") | is(b"ecr") | is(b"://");
    }
    found
}

fn names_secret(word: &[u8]) -> bool {
    let word = word.to_ascii_lowercase();
    let speaks = |part: &[u8]| memmem::find(&word, part).is_some();
    let harmless = word.starts_with(b"password_encryption") || word.ends_with(b"_native_password");
    !harmless && (speaks(b"passw") || speaks(b"secret") || speaks(b"pwd"))
}

/// What the tokens before say of a literal.
#[derive(Default)]
struct Context {
    /// A word that names a secret stands before, with at most `=`, `(` and the like between.
    named: bool,
    /// In an `IDENTIFIED …` clause.
    identified: bool,
    /// In `SET PASSWORD …`, whose literal comes after `=`.
    set_password: bool,
    /// `BY`, `AS` or `USING` stands before.
    by: bool,
    /// The token before was masked; adjacent literals go with it.
    masked: bool,
    words: usize,
    starts_with_set: bool,
}

fn find(sql: &str, offset: usize, dialect: Dialect, depth: usize, secrets: &mut Vec<Range<usize>>) {
    let mut lexer = Lexer::new(sql.as_bytes(), dialect);
    let mut context = Context::default();
    loop {
        let token = lexer.next(Expect { operand: false, slice: true });
        match token.kind {
            Kind::End => return,
            Kind::Text(_) | Kind::Quoted if context.expects_secret(token.kind) => {
                let range = content(&token, sql);
                secrets.push(range.start + offset..range.end + offset);
                context = Context { masked: true, named: false, by: false, ..context };
                continue;
            }
            Kind::Text(Escapes::None) if depth < DEPTH_MAX => {
                let range = content(&token, sql);
                let body = sql.get(range.clone()).unwrap_or_default();
                find(body, offset + range.start, dialect, depth + 1, secrets);
            }
            Kind::Text(_) => {
                let range = content(&token, sql);
                let found = connection_secrets(token.text).into_iter();
                let start = range.start + offset;
                secrets.extend(found.map(|found| start + found.start..start + found.end));
            }
            _ => {}
        }
        context.advance(&token);
    }
}

/// Where the text of a token lies in the text that it borrows from.
fn content(token: &Token<'_>, sql: &str) -> Range<usize> {
    let start = token.text.as_ptr().addr().saturating_sub(sql.as_ptr().addr());
    start..start + token.text.len()
}

impl Context {
    fn expects_secret(&self, kind: Kind) -> bool {
        let literal = matches!(kind, Kind::Text(_));
        (literal && (self.named || self.masked)) || (self.identified && self.by)
    }

    fn advance(&mut self, token: &Token<'_>) {
        self.masked = false;
        match token.kind {
            Kind::Semicolon => *self = Self::default(),
            Kind::Word | Kind::Quoted => self.word(token),
            Kind::Operator if matches!(token.text, b"=" | b"=>" | b":=") => {
                self.named |= self.set_password;
                self.by = false;
            }
            Kind::Open | Kind::Cast => {}
            _ => (self.named, self.by) = (false, false),
        }
    }

    fn word(&mut self, token: &Token<'_>) {
        let is = |word: &[u8]| token.text.eq_ignore_ascii_case(word);
        let secret = names_secret(token.text);
        self.starts_with_set |= self.words == 0 && is(b"set");
        self.set_password |= self.starts_with_set && self.words == 1 && is(b"password");
        self.identified |= is(b"identified");
        self.by = is(b"by") || is(b"as") || is(b"using") || is(b"replace");
        let passes = is(b"to") || is(b"hash") || is(b"for");
        self.named = secret || (self.named && passes && !self.set_password);
        if self.set_password {
            self.named = is(b"to") || (secret && self.words > 1);
        }
        self.words += 1;
    }
}

#[cfg(test)]
mod tests;
