//! Passwords inside a literal: connection strings, addresses, and SQL that is quoted once more.

use std::ops::Range;

use memchr::memmem;

use super::program::program_secrets;
use super::value::{Text, is_quote};

/// Words behind which a secret stands.
const WORDS: [&[u8]; 6] = [b"passw", b"pwd", b"secret", b"identified", b"token", b"api"];
/// Words that lead to the next secret of an `IDENTIFIED` clause.
const GOES_ON: [&[u8]; 6] = [b"by", b"as", b"or", b"using", b"replace", b"password"];
/// The longest name around such a word.
const NAME_BYTES_MAX: usize = 64;
/// Arguments of `format()` that are told apart; a bit for each.
const ARGUMENTS_MAX: u32 = 63;

/// The secrets in the text of a literal.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) ranges: Vec<Range<usize>>,
    /// Where `%s` stands for a secret, if the literal is the first argument of `format()`.
    placeholders: Vec<usize>,
    work: usize,
}

/// Looks for secrets in the text of a literal that `delimiter` encloses.
pub(super) fn connection_secrets(text: &[u8], delimiter: u8) -> Found {
    let lower = text.to_ascii_lowercase();
    let mut found = Found::default();
    let mut search =
        Search { text: Text { bytes: &lower, delimiter, work: 0 }, quote: 0, found: &mut found };
    search.values();
    search.addresses();
    let work = search.text.work;
    found.work += work;
    let mut text = Text { bytes: &lower, delimiter, work: 0 };
    for range in program_secrets(&mut text) {
        found.add(&lower, range);
    }
    found.work += text.work;
    found
}

impl Found {
    fn add(&mut self, text: &[u8], range: Range<usize>) {
        let value = text.get(range.clone()).unwrap_or_default();
        if is_placeholder(value) {
            self.placeholders.push(range.start);
        } else if !range.is_empty() {
            self.ranges.push(range);
        }
    }

    /// A bit for each argument of `format(text, …)` that is a secret, counted from 0.
    pub(super) fn secret_arguments(mut self, text: &[u8]) -> u64 {
        self.placeholders.sort_unstable();
        let (mut next, mut at, mut arguments) = (0_u32, 0, 0_u64);
        while let Some(hit) = text.get(at..).and_then(|rest| memchr::memchr(b'%', rest)) {
            let start = at + hit;
            let rest = text.get(start + 1..).unwrap_or_default();
            if rest.first() == Some(&b'%') {
                at = start + 2;
                continue;
            }
            let digits = rest.iter().take(4).take_while(|b| b.is_ascii_digit()).count();
            let number = rest.get(..digits).unwrap_or_default();
            let number = number.iter().fold(0, |sum, b| sum * 10 + u32::from(b - b'0'));
            let argument =
                if rest.get(digits) == Some(&b'$') && number > 0 { number - 1 } else { next };
            next = argument.saturating_add(1);
            if self.placeholders.binary_search(&start).is_ok() {
                arguments |= 1 << argument.min(ARGUMENTS_MAX);
            }
            at = start + 1;
        }
        arguments
    }
}

/// `%s`, `%2$L`, `%-8I`, `$1`: what stands there is in another place.
fn is_placeholder(value: &[u8]) -> bool {
    match value {
        [b'$', digits @ ..] if !digits.is_empty() => digits.iter().all(u8::is_ascii_digit),
        [b'%', width @ .., b's' | b'l' | b'i'] => {
            width.iter().all(|b| b.is_ascii_digit() || matches!(b, b'$' | b'-' | b'*'))
        }
        b"?" => true,
        _ => false,
    }
}

/// Looks at every byte a few times at most, whatever the text: a client chooses it.
struct Search<'a, 'f> {
    /// In lower case.
    text: Text<'a>,
    /// No quote stands between the place that was asked for last and this one.
    quote: usize,
    found: &'f mut Found,
}

impl Search<'_, '_> {
    fn values(&mut self) {
        for word in WORDS {
            let finder = memmem::Finder::new(word);
            (self.quote, self.text.work) = (0, self.text.work + self.text.len());
            let mut at = 0;
            while let Some(hit) = self.text.bytes.get(at..).and_then(|rest| finder.find(rest)) {
                let word_end = self.text.skip(at + hit, is_name);
                // A second such word in one word has the same value behind it.
                at = match self.name(at + hit, word_end) {
                    Some(name) if word == b"identified" => self.identified(name, word_end),
                    Some(name) => self.named(name, word_end),
                    None => word_end,
                };
            }
        }
    }

    /// Where the name around a tell-tale word begins, if it names a secret.
    fn name(&mut self, hit: usize, word_end: usize) -> Option<usize> {
        let before = self.text.bytes.get(hit.saturating_sub(NAME_BYTES_MAX)..hit)?;
        let length = before.iter().rev().take_while(|&&byte| is_name(byte)).count();
        self.text.work += 1;
        let name = self.text.bytes.get(hit - length..word_end)?;
        let is_key = || {
            let squeezed: Vec<u8> =
                name.iter().copied().filter(|b| !matches!(b, b'_' | b'-')).collect();
            squeezed.ends_with(b"apikey") || name.ends_with(b"token")
        };
        (super::names_secret(name) || name == b"identified" || is_key()).then_some(hit - length)
    }

    /// The values of `IDENTIFIED WITH x BY 'a' REPLACE 'b'`; gives where to go on.
    fn identified(&mut self, name: usize, word_end: usize) -> usize {
        if name + b"identified".len() != word_end {
            return word_end;
        }
        let mut at = word_end;
        if self.quote < at {
            self.quote = self.text.skip(at, |b| !opens(b) && b != b'%');
        }
        let mut start = self.quote;
        while start < self.text.len() {
            let Some(value) = self.value(start) else { return at.max(word_end) };
            at = value.end;
            self.found.add(self.text.bytes, value);
            let mut next = self.text.skip(at, |b| is_quote(b) || b == b'\\');
            next = self.text.skip_blanks(next);
            let Some(follows) = self.leads_on(next) else { return at };
            start = follows;
        }
        at
    }

    /// Behind the words at `at` that lead to one more secret of the clause.
    fn leads_on(&mut self, mut at: usize) -> Option<usize> {
        let mut leads = false;
        loop {
            let end = self.text.skip(at, |b| b.is_ascii_alphabetic());
            let word = self.text.bytes.get(at..end)?;
            if !GOES_ON.contains(&word) {
                return leads.then_some(at);
            }
            leads = true;
            at = self.text.skip(end, |b| b.is_ascii_whitespace() || b == b'(');
        }
    }

    /// The value after a name: `password=x`, `password = 'x y'`, `"password": "x"`,
    /// `PASSWORD ''x''`, `--password x`. Gives where to go on.
    fn named(&mut self, name: usize, word_end: usize) -> usize {
        let closed = self.text.skip(word_end, |b| is_quote(b) || b == b'\\');
        let spaced = self.text.skip_blanks(closed);
        let before = self.text.byte(name.wrapping_sub(1));
        let is_path = matches!(before, b'/' | b'.' | b'\\');
        let assigned = self.assigned(spaced, closed > word_end, is_path);
        let value = match assigned {
            Some(start) => {
                let in_query = matches!(before, b'?' | b'&');
                self.assigned_value(start, in_query)
            }
            // `''/etc/passwd''`: the quote closes what the word ends.
            None if is_path || closed > word_end => None,
            None => self.unassigned_value(name, word_end, spaced),
        };
        let Some(value) = value else { return word_end };
        let end = value.end.max(word_end);
        self.found.add(self.text.bytes, value);
        end
    }

    /// Behind `=`, `:=`, `=>`, `:`, `to`.
    fn assigned(&mut self, at: usize, in_quotes: bool, is_path: bool) -> Option<usize> {
        let (one, two) = (self.text.byte(at), self.text.byte(at + 1));
        let length = match (one, two) {
            (b':', b'=') | (b'=', b'>' | b'=') => 2,
            (b'=', _) => 1,
            (b':', b':' | b'/') => return None,
            (b':', _) if in_quotes || !is_path => 1,
            (b't', b'o') if self.text.byte(at + 2) == b' ' => 2,
            _ => return None,
        };
        Some(self.text.skip_blanks(at + length))
    }

    fn assigned_value(&mut self, start: usize, in_query: bool) -> Option<Range<usize>> {
        if let Some(value) = self.text.quoted(start) {
            return Some(value);
        }
        let end = self.text.bare_end(start, in_query);
        // `password = crypt(''x'', …)`: the value is in the call.
        if end > start && self.text.byte(end - 1) == b'(' {
            return self.text.quoted(end).or(Some(start..end));
        }
        Some(start..end)
    }

    fn unassigned_value(
        &mut self,
        name: usize,
        word_end: usize,
        spaced: usize,
    ) -> Option<Range<usize>> {
        if self.text.byte(spaced) == b'(' {
            let start = self.text.skip(spaced, |b| b.is_ascii_whitespace() || b == b'(');
            return self.text.quoted(start);
        }
        if spaced == word_end {
            return None;
        }
        let options = self.text.bytes.get(name.saturating_sub(NAME_BYTES_MAX)..name)?;
        let option = options.iter().rposition(|b| !matches!(b, b'-') && !is_name(*b));
        let option = options.get(option.map_or(0, |at| at + 1)..)?;
        if option.starts_with(b"--") {
            return self.assigned_value(spaced, false);
        }
        self.value(spaced)
    }

    /// A value in quotes, or `%L`.
    fn value(&mut self, start: usize) -> Option<Range<usize>> {
        if self.text.byte(start) == b'%' {
            let end = self.text.skip(start, |b| is_name(b) || matches!(b, b'%' | b'$' | b'-'));
            return self
                .text
                .bytes
                .get(start..end)
                .filter(|v| is_placeholder(v))
                .map(|_| start..end);
        }
        self.text.quoted(start)
    }

    /// `scheme://user:password@host`, each of them.
    fn addresses(&mut self) {
        let finder = memmem::Finder::new(b"://");
        self.text.work += 2 * self.text.len();
        let bytes = self.text.bytes;
        let mut next = finder.find(bytes);
        while let Some(hit) = next {
            let start = hit + 3;
            let rest = bytes.get(start..).unwrap_or_default();
            next = finder.find(rest).map(|found| start + found);
            // The next address in the same word is looked at by itself.
            let word = rest.get(..next.map_or(rest.len(), |at| at - start)).unwrap_or_default();
            let word = word.get(..address_end(word)).unwrap_or_default();
            let ends = |b: &u8| matches!(b, b'/' | b'?' | b'#');
            let length = word.iter().position(ends).unwrap_or(word.len());
            let mut authority = word.get(..length).unwrap_or_default();
            let port = authority.rsplit(|&b| b == b':').next().unwrap_or_default();
            let has_port = port.iter().all(u8::is_ascii_digit);
            if !has_port && authority.contains(&b':') && !authority.contains(&b'@') {
                // A password that should have been encoded: `ann:x/y@host`.
                authority = word;
            }
            let Some(host) = authority.iter().rposition(|&b| b == b'@') else { continue };
            let user = authority.get(..host).unwrap_or_default();
            if let Some(colon) = user.iter().position(|&b| b == b':') {
                self.found.add(self.text.bytes, start + colon + 1..start + host);
            }
        }
    }
}

/// Where a blank, or a quote that closes, ends the address.
fn address_end(text: &[u8]) -> usize {
    let follows = text.iter().skip(1).chain(b" ");
    let closes = |next: u8| matches!(next, b',' | b')' | b';' | 0..=b' ');
    let mut pairs = text.iter().zip(follows);
    pairs
        .position(|(&byte, &next)| byte.is_ascii_whitespace() || (is_quote(byte) && closes(next)))
        .unwrap_or(text.len())
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn opens(byte: u8) -> bool {
    is_quote(byte) || matches!(byte, b'\\' | b'$')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shapes that hold the tell-tale words again and again.
    const SHAPES: [&str; 40] = [
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
        "identified by 'x' by ",
        "identified by %s replace ",
        "--password x ",
        "--password ",
        "-p x ",
        "://u:p@",
        "://u:p",
        "postgresql://u:p@h/d?password=x&sslpassword=y ",
        "password=''",
        "password=''x",
        "password=''''x'' ",
        "password=\\'x\\\\",
        "password='\\''",
        "password \\",
        "password=$a$ ",
        "password=$a",
        "password=a;b&c",
        "password=a'b'c",
        "\"password\":\"x\",",
        "\"password\":\"\\\\",
        "password=crypt(",
        "password(((",
        "token=%s api_key=$1 ",
        "curl -u a:b ",
        "-u -u ",
        "-u 'a:",
        "mysql -px ",
        "authorization: bearer x ",
    ];

    #[test]
    fn the_work_is_linear_in_the_text() {
        for (shape, tail) in SHAPES.iter().flat_map(|shape| [(shape, ""), (shape, "'")]) {
            for delimiter in [b'\'', b'"', b'$'] {
                let text = shape.repeat(64_000 / shape.len()) + tail;
                let found = connection_secrets(text.as_bytes(), delimiter);
                let passes = found.work / text.len();
                assert!(passes <= 40, "{shape}: each byte is looked at {passes} times");
            }
        }
    }
}
