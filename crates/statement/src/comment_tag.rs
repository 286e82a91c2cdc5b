//! sqlcommenter tags: what a program says about itself in a comment,
//! `/*controller='orders',traceparent='00-…'*/` (<https://google.github.io/sqlcommenter/spec/>).

use memchr::memmem;

/// More tags than any library writes.
const TAGS_MAX: usize = 64;

/// The tags of the comment at the end of the statement, or at its start: key and value, decoded.
///
/// Empty if there is no such comment or it is not well-formed. Programs write what they like
/// here, and so does whoever injects SQL into one: a tag is a hint, not evidence.
pub fn comment_tags(sql: &str) -> Vec<(String, String)> {
    let sql = sql.trim_matches(|c: char| c.is_ascii_whitespace() || c == ';');
    let bytes = sql.as_bytes();
    let last = memmem::rfind(bytes, b"/*").and_then(|at| bytes.get(at + 2..)?.strip_suffix(b"*/"));
    let first = bytes.strip_prefix(b"/*").and_then(|rest| {
        let end = memmem::find(rest, b"*/")?;
        rest.get(..end)
    });
    let list = [last, first].into_iter().flatten().find(|list| is_tag_list(list));
    let tags = Tags { rest: list.unwrap_or_default() };
    tags.flatten().take(TAGS_MAX).map(|(key, value)| (decode(key), decode(value))).collect()
}

/// Whether the inside of a comment is a list of tags and nothing else.
pub(crate) fn is_tag_list(comment: &[u8]) -> bool {
    let mut tags = Tags { rest: comment };
    !comment.trim_ascii().is_empty() && tags.all(|tag| tag.is_some())
}

/// Walks `key='value',…`; gives `None` once where the text is something else.
struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_ascii();
        self.rest = b"";
        if rest.is_empty() {
            return None;
        }
        let Some((tag, rest)) = split_tag(rest) else { return Some(None) };
        self.rest = rest;
        Some(Some(tag))
    }
}

type Tag<'a> = (&'a [u8], &'a [u8]);

fn split_tag(text: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let equals = text.iter().position(|&b| !is_key(b)).filter(|&at| at > 0)?;
    let value = text.get(equals..)?.strip_prefix(b"='")?;
    let end = value_end(value)?;
    let rest = value.get(end + 1..)?.trim_ascii();
    let rest = match rest {
        [] => rest,
        [b',', more @ ..] if !more.trim_ascii().is_empty() => more,
        _ => return None,
    };
    Some(((text.get(..equals)?, value.get(..end)?), rest))
}

/// Where the closing quote is; `\'` is part of the value.
fn value_end(value: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'\'', b'\\', value.get(at..)?)?;
        if value.get(at) == Some(&b'\'') {
            return Some(at);
        }
        at += 2;
    }
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'%')
}

fn decode(text: &[u8]) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let (decoded, used) = match (byte, tail) {
            (b'%', [high, low, ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, 2),
                _ => (byte, 0),
            },
            (b'\\', [next, ..]) => (*next, 1),
            _ => (byte, 0),
        };
        plain.push(decoded);
        rest = tail.get(used..).unwrap_or_default();
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(sql: &str) -> Vec<(String, String)> {
        comment_tags(sql)
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn tags_at_the_end_and_at_the_start_are_decoded() {
        let expected = pairs(&[("action", "run this & that"), ("db_driver", "pg it's")]);
        let list = r"/*action='run%20this%20%26%20that',db_driver='pg it\'s'*/";
        assert_eq!(tags(&format!("SELECT 1 {list}")), expected);
        assert_eq!(tags(&format!("SELECT 1 {list};\n")), expected);
        assert_eq!(tags(&format!(" {list} SELECT 1")), expected);
    }

    #[test]
    fn other_comments_hold_no_tags() {
        for sql in [
            "SELECT 1",
            "SELECT 1 /* why='not' or */",
            "SELECT 1 /*a='b',*/",
            "SELECT 1 /*='b'*/",
            "SELECT 1 /*a='b*/",
            "/*",
            "/*/",
            "",
        ] {
            assert_eq!(tags(sql), [], "{sql}");
        }
    }

    #[test]
    fn escapes_that_are_none_stay_as_written() {
        assert_eq!(tags("x /*a='100%',b='%zz'*/"), pairs(&[("a", "100%"), ("b", "%zz")]));
    }
}
