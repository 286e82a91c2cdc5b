//! Passwords inside a literal: connection strings, and SQL that is quoted once more.

use std::ops::Range;

use memchr::memmem;

/// Words behind which a secret stands.
const WORDS: [&[u8]; 4] = [b"passw", b"pwd", b"secret", b"identified"];

/// Ranges of the secrets in the text of a literal.
pub(super) fn connection_secrets(text: &[u8]) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let mut search = Search { text: &lower, quote: 0, work: 0 };
    let mut found = search.values();
    found.extend(address_password(&lower));
    found
}

/// Looks at every byte a few times at most, whatever the text: a client chooses it.
struct Search<'a> {
    /// In lower case.
    text: &'a [u8],
    /// No quote stands between the place that was asked for last and this one.
    quote: usize,
    /// Bytes looked at.
    work: usize,
}

impl Search<'_> {
    fn values(&mut self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for word in WORDS {
            let finder = memmem::Finder::new(word);
            (self.quote, self.work) = (0, self.work + self.text.len());
            let mut at = 0;
            while let Some(hit) = self.text.get(at..).and_then(|rest| finder.find(rest)) {
                let word_end = self.skip(at + hit, |b| b.is_ascii_alphanumeric() || b == b'_');
                let range = self.value_after(word_end, word == b"identified");
                // A second such word in one word has the same value behind it.
                at = range.as_ref().map_or(word_end, |range| range.end);
                found.extend(range);
            }
        }
        found
    }

    /// The value after a tell-tale word: `password=x`, `password = 'x y'`, `PASSWORD ''x''`.
    fn value_after(&mut self, word_end: usize, identified: bool) -> Option<Range<usize>> {
        let start = self.skip(word_end, |b| b.is_ascii_whitespace());
        let assigned = self.text.get(start) == Some(&b'=');
        let start = self.skip(start, |b| b.is_ascii_whitespace() || b == b'=');
        let end = self.text.len();
        // Quotes in quotes: which one closes is not sure, so all the rest goes.
        if self.text.get(start).is_some_and(|&byte| is_quote(byte)) {
            return Some(start..end);
        }
        if assigned {
            let stops = |b: u8| b.is_ascii_whitespace() || matches!(b, b'&' | b';' | b'\'' | b'"');
            let stop = self.skip(start, |b| !stops(b));
            return (stop > start).then_some(start..stop);
        }
        if !identified {
            return None;
        }
        if self.quote < start {
            self.quote = self.skip(start, |b| !is_quote(b));
        }
        (self.quote < end).then_some(self.quote..end)
    }

    /// Behind the bytes at `at` that are to be skipped.
    fn skip(&mut self, at: usize, skipped: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| !skipped(byte)).unwrap_or(rest.len());
        self.work += length;
        at + length
    }
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"' | b'\\' | b'$')
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Shapes that hold the tell-tale words again and again.
    const SHAPES: [&str; 16] = [
        "password=a ",
        "pwd=a;",
        "passw",
        "passwpwdsecretidentified",
        "password ",
        "password \t \n",
        "password=",
        "password = = &",
        "secret x ",
        "identified by ",
        "identified",
        "identified by x identified ",
        "--password x ",
        "-p x ",
        "://u:p@",
        "postgresql://u:p@h/d?password=x&sslpassword=y ",
    ];

    #[test]
    fn the_work_is_linear_in_the_text() {
        for (shape, tail) in SHAPES.iter().flat_map(|shape| [(shape, ""), (shape, "'")]) {
            let text = shape.repeat(64_000 / shape.len()) + tail;
            let mut search = Search { text: text.as_bytes(), quote: 0, work: 0 };
            search.values();
            let passes = search.work / text.len();
            assert!(passes <= 12, "{shape}: each byte is looked at {passes} times");
        }
    }
}
