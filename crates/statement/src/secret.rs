//! Masks passwords in SQL text, so that an audit log does not become a store of them.

mod connection;
mod context;
mod program;
mod value;

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use crate::Dialect;
use crate::lexer::{Escapes, Expect, Kind, Lexer, Token};
use connection::connection_secrets;
use context::Context;

const MASK: &str = "<redacted>";
/// Code in dollar quotes in code in dollar quotes.
const DEPTH_MAX: usize = 3;
const PASSES_MAX: usize = 8;

/// `sql` with `<redacted>` for the passwords in it: of accounts (`PASSWORD '…'`,
/// `IDENTIFIED BY '…'`, `SET PASSWORD = '…'`), of options and settings whose name speaks of a
/// password, secret or token, of connection strings and addresses, of programs (`curl -u ann:x`),
/// and of arguments that `format()` or `||` puts there. Also where the text is cut off inside of
/// one. What follows a password stays.
///
/// Text without such words is handed back after a glance.
pub fn redact_secrets(sql: &str, dialect: Dialect) -> Cow<'_, str> {
    let Some(mut masked) = redacted(sql, dialect) else { return Cow::Borrowed(sql) };
    // What is masked may change what the rest reads like, in broken text: masking again must
    // change nothing.
    for _ in 1..PASSES_MAX {
        match redacted(&masked, dialect) {
            Some(again) if again != masked => masked = again,
            _ => break,
        }
    }
    Cow::Owned(masked)
}

/// `sql` with masks; nothing if it holds no secret.
fn redacted(sql: &str, dialect: Dialect) -> Option<String> {
    if !may_hold_secrets(sql.as_bytes()) {
        return None;
    }
    let mut secrets = Vec::new();
    Masking { dialect, secrets: &mut secrets }.find(sql, 0, 0);
    if secrets.is_empty() {
        return None;
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
    Some(masked)
}

/// Whether one of the tell-tale words may be there: `passw`, `pwd`, `identified`, `secret`,
/// `token`, `apikey`, `authorization`, `://`, or an option such as `-u`.
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
        found |= is(b"tok") | is(b"ike") | is(b"zat");
        // `api_key`, whose `_` becomes a delete character.
        found |= (second == b'k') & ((first == 0x7f) | (first == b'-')) & (third == b'e');
        let option = (second == b'u') | (second == b'p') | (second == b'a') | (second == b'w');
        found |= (first == b'-') & option;
    }
    found
}

fn names_secret(word: &[u8]) -> bool {
    let word = word.to_ascii_lowercase();
    let speaks = |part: &[u8]| memmem::find(&word, part).is_some();
    let harmless = word.starts_with(b"password_encryption") || word.ends_with(b"_native_password");
    !harmless && (speaks(b"passw") || speaks(b"secret") || speaks(b"pwd"))
}

struct Masking<'s> {
    dialect: Dialect,
    secrets: &'s mut Vec<Range<usize>>,
}

impl Masking<'_> {
    /// Finds the secrets of `sql`, which begins at `offset` of the statement.
    fn find(&mut self, sql: &str, offset: usize, depth: usize) {
        let mut lexer = Lexer::new(sql.as_bytes(), self.dialect);
        let mut context = Context::default();
        let mut before = 0;
        loop {
            let token = lexer.next(Expect { operand: false, slice: true });
            self.comments(sql, before..token.start, offset);
            before = token.end;
            match token.kind {
                Kind::End => return,
                Kind::Text(_) | Kind::Quoted if context.expects_secret(token.kind) => {
                    let range = content(&token, sql);
                    self.secrets.push(range.start + offset..range.end + offset);
                    context.mask();
                    continue;
                }
                Kind::Text(escapes) => {
                    let range = content(&token, sql);
                    let is_code = escapes == Escapes::None && is_code(token.text, self.dialect);
                    if !is_code || context.is_format() {
                        let quote = sql.as_bytes().get(range.start.wrapping_sub(1));
                        let quote = quote.copied().unwrap_or_default();
                        let arguments = self.text(token.text, offset + range.start, quote);
                        context.text(token.text, arguments);
                    }
                    if escapes == Escapes::None && depth < DEPTH_MAX {
                        let body = sql.get(range.clone()).unwrap_or_default();
                        self.find(body, offset + range.start, depth + 1);
                    }
                }
                // Code of another language quotes its texts like this.
                Kind::Quoted if depth > 0 => {
                    let range = content(&token, sql);
                    self.text(token.text, offset + range.start, b'"');
                }
                _ => {}
            }
            context.advance(&token);
        }
    }

    /// Secrets in a literal at `start`; gives which arguments of `format()` are secrets.
    fn text(&mut self, text: &[u8], start: usize, delimiter: u8) -> u64 {
        let found = connection_secrets(text, delimiter);
        let moved = found.ranges.iter().map(|range| start + range.start..start + range.end);
        self.secrets.extend(moved);
        found.secret_arguments(text)
    }

    /// Secrets in what stands between two tokens.
    fn comments(&mut self, sql: &str, gap: Range<usize>, offset: usize) {
        let start = offset + gap.start;
        let gap = sql.as_bytes().get(gap).unwrap_or_default();
        if gap.iter().any(|byte| *byte > b' ') {
            let found = connection_secrets(gap, 0);
            let moved = found.ranges.iter().map(|range| start + range.start..start + range.end);
            self.secrets.extend(moved);
        }
    }
}

/// Whether a text in dollar quotes is SQL, whose literals are looked at one by one, and no
/// connection string or program.
fn is_code(text: &[u8], dialect: Dialect) -> bool {
    const BEGINNINGS: [&[u8]; 21] = [
        b"alter",
        b"begin",
        b"call",
        b"comment",
        b"copy",
        b"create",
        b"declare",
        b"delete",
        b"do",
        b"drop",
        b"execute",
        b"grant",
        b"insert",
        b"merge",
        b"perform",
        b"return",
        b"select",
        b"set",
        b"truncate",
        b"update",
        b"with",
    ];
    let token = Lexer::new(text, dialect).next(Expect::default());
    match token.kind {
        Kind::Word => BEGINNINGS.iter().any(|word| token.text.eq_ignore_ascii_case(word)),
        Kind::Operator => token.text == b"<<",
        _ => false,
    }
}

/// Where the text of a token lies in the text that it borrows from.
fn content(token: &Token<'_>, sql: &str) -> Range<usize> {
    let start = token.text.as_ptr().addr().saturating_sub(sql.as_ptr().addr());
    start..start + token.text.len()
}

#[cfg(test)]
mod tests;
