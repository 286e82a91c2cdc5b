//! Passwords inside a literal: connection strings, and SQL that is quoted once more.

use std::ops::Range;

use memchr::memmem;

/// Ranges of the secrets in the text of a literal.
pub(super) fn connection_secrets(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let mut found = Vec::new();
    for word in [b"passw".as_slice(), b"pwd", b"secret", b"identified"] {
        let mut at = 0;
        while let Some(hit) = lower.get(at..).and_then(|rest| memmem::find(rest, word)) {
            let range = value_after(&lower, at + hit);
            at = range.as_ref().map_or(at + hit + word.len(), |range| range.end);
            found.extend(range);
        }
    }
    found.extend(address_password(&lower));
    found.into_iter()
}

/// The value after a tell-tale word at `at`: `password=x`, `password = 'x y'`, `PASSWORD ''x''`.
fn value_after(text: &[u8], at: usize) -> Option<Range<usize>> {
    let skip = |mut at: usize, skipped: fn(u8) -> bool| {
        while text.get(at).is_some_and(|&byte| skipped(byte)) {
            at += 1;
        }
        at
    };
    let word_end = skip(at, |b| b.is_ascii_alphanumeric() || b == b'_');
    let start = skip(word_end, |b| b.is_ascii_whitespace());
    let assigned = text.get(start) == Some(&b'=');
    let start = skip(start, |b| b.is_ascii_whitespace() || b == b'=');
    let rest = text.get(start..)?;
    let identified = text.get(at..).is_some_and(|rest| rest.starts_with(b"identified"));
    let quote = rest.iter().position(|b| matches!(b, b'\'' | b'"' | b'\\' | b'$'));
    match (assigned, quote) {
        // Quotes in quotes: which one closes is not sure, so all the rest goes.
        (_, Some(0)) => Some(start..text.len()),
        (false, Some(quote)) if identified => Some(start + quote..text.len()),
        (true, _) => {
            let stops = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'&' | b';' | b'\'' | b'"');
            let length = rest.iter().position(stops).unwrap_or(rest.len());
            (length > 0).then_some(start..start + length)
        }
        (false, _) => None,
    }
}

/// `scheme://user:password@host`.
fn address_password(text: &[u8]) -> Option<Range<usize>> {
    let start = memmem::find(text, b"://")? + 3;
    let rest = text.get(start..)?;
    let ends = |b: &u8| matches!(b, b'/' | b'?' | b'#') || b.is_ascii_whitespace();
    let authority = rest.get(..rest.iter().position(ends).unwrap_or(rest.len()))?;
    let at = authority.iter().rposition(|&b| b == b'@')?;
    let colon = authority.get(..at)?.iter().position(|&b| b == b':')?;
    Some(start + colon + 1..start + at)
}
