//! `log_line_prefix`, compiled to a matcher.
//!
//! Escapes: `log_status_format` in elog.c.

use super::severity::Tag;
use crate::session::Client;

/// Names are cut to 63 bytes; what is no UTF-8 has become up to three times as long.
const NAME_BYTES_MAX: usize = 192;

/// Steps after which a line is no match: a hostile one must not take forever.
const STEPS_MAX: u32 = 4_096;

/// One `log_line_prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Escape {
        letter: char,
        width: i32,
    },
    /// `%q`: processes without a session write no more than this.
    Stop,
}

/// What a prefix says of its line; texts are empty where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values<'a> {
    /// `%t` or `%m`.
    pub(crate) time: &'a str,
    /// `%n`.
    pub(crate) epoch: &'a str,
    pub(crate) user: &'a str,
    pub(crate) database: &'a str,
    pub(crate) process: &'a str,
    pub(crate) session: &'a str,
    pub(crate) line: Option<u64>,
    pub(crate) client: Client<'a>,
    pub(crate) application: &'a str,
    pub(crate) backend: &'a str,
    pub(crate) activity: &'a str,
    pub(crate) code: &'a str,
    pub(crate) transaction: &'a str,
}

/// A line that begins with the prefix and a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) values: Values<'a>,
    pub(crate) tag: Tag,
    /// What follows the tag.
    pub(crate) text: &'a str,
}

impl Prefix {
    pub(crate) fn compile(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            if character != '%' {
                literal.push(character);
                continue;
            }
            let mut width = String::new();
            while let Some(digit) = characters.next_if(|c| c.is_ascii_digit() || *c == '-') {
                width.push(digit);
            }
            match characters.next() {
                None => {}
                Some('%') => literal.push('%'),
                Some(letter) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    let width = width.parse().unwrap_or(0);
                    let stop = letter == 'q';
                    parts.push(if stop { Part::Stop } else { Part::Escape { letter, width } });
                }
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Self { text: text.to_owned(), parts }
    }

    /// As it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Number of escapes: how much the prefix tells.
    pub(crate) fn escapes(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Escape { .. })).count()
    }

    /// Reads the head of a line; none if it is not one of this prefix.
    pub(crate) fn read<'a>(&self, line: &'a str) -> Option<Line<'a>> {
        let mut matching = Matching { line, values: Values::default(), steps: 0, reached: 0 };
        let (tag, end) = matching.from(&self.parts, 0)?;
        Some(Line { values: matching.values, tag, text: &line[end..] })
    }

    /// Whether a line that is no match begins as one: its time and the like are there, or the
    /// prefix begins with a name, which may be anything.
    pub(crate) fn breaks_off(&self, line: &str) -> bool {
        let mut matching = Matching { line, values: Values::default(), steps: 0, reached: 0 };
        let found = matching.from(&self.parts, 0).is_some();
        let names = |part: &Part| matches!(part, Part::Escape { letter: 'u' | 'd' | 'a', .. });
        let first_name = self.parts.iter().position(names);
        let literal_only = self.parts[..first_name.unwrap_or(0)]
            .iter()
            .all(|part| !matches!(part, Part::Escape { .. }));
        !found && first_name.is_some() && (literal_only || matching.reached > 0)
    }
}

struct Matching<'a> {
    line: &'a str,
    values: Values<'a>,
    steps: u32,
    /// Escapes matched on the way.
    reached: usize,
}

impl<'a> Matching<'a> {
    /// Matches the parts and a tag from byte `at`; returns the tag and where its text begins.
    fn from(&mut self, parts: &[Part], at: usize) -> Option<(Tag, usize)> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return None;
        }
        let Some((part, rest)) = parts.split_first() else { return self.tag(at) };
        match part {
            Part::Literal(literal) => {
                let after = self.line.get(at..)?.strip_prefix(literal.as_str())?;
                self.from(rest, self.line.len() - after.len())
            }
            Part::Stop => self.tag(at).or_else(|| self.from(rest, at)),
            Part::Escape { letter, width } => self.escape(*letter, *width, rest, at),
        }
    }

    /// `WORD:  `
    fn tag(&self, at: usize) -> Option<(Tag, usize)> {
        let rest = self.line.get(at..)?;
        let head = rest.get(..rest.floor_char_boundary(48))?;
        let (word, _) = head.split_once(':')?;
        // The last line of a record may have lost the spaces of an empty text.
        let spaces = if head[word.len() + 1..].starts_with("  ") { 3 } else { return None };
        Some((Tag::read(word)?, at + word.len() + spaces))
    }

    fn escape(
        &mut self,
        letter: char,
        width: i32,
        rest: &[Part],
        at: usize,
    ) -> Option<(Tag, usize)> {
        let line = self.line;
        let text = line.get(at..)?;
        // `%8p` pads on the left.
        let padding = if width > 0 { text.len() - text.trim_start_matches(' ').len() } else { 0 };
        let (at, text) = (at + padding, &text[padding..]);
        let length = match letter {
            't' | 'm' | 's' => time_length(text)?,
            'n' => span(text, |byte| byte.is_ascii_digit() || byte == b'.'),
            'p' | 'l' | 'x' => {
                Some(span(text, |byte| byte.is_ascii_digit())).filter(|length| *length > 0)?
            }
            'P' | 'Q' => span(text, |byte| byte.is_ascii_digit() || byte == b'-'),
            'c' => session_length(text)?,
            'v' => span(text, |byte| byte.is_ascii_digit() || byte == b'/'),
            'e' => Some(5).filter(|length| is_code(text.as_bytes().get(..*length)))?,
            'a' | 'u' | 'd' | 'b' | 'i' | 'r' | 'h' | 'L' => {
                return self.name(letter, width, rest, at);
            }
            // The server writes nothing for a letter that it does not know.
            _ => 0,
        };
        self.set(letter, &text[..length]);
        self.reached += 1;
        self.from(rest, at + length + right_padding(width, &text[length..], length))
    }

    /// A text that may be anything: the shortest one with which the rest of the line matches.
    fn name(&mut self, letter: char, width: i32, rest: &[Part], at: usize) -> Option<(Tag, usize)> {
        let text = self.line.get(at..)?;
        let window = &text[..text.floor_char_boundary(NAME_BYTES_MAX)];
        let literal = match rest.first() {
            Some(Part::Literal(literal)) => Some(literal.as_str()),
            _ => None,
        };
        let mut length = 0;
        loop {
            if let Some(literal) = literal {
                length += text.get(length..)?.find(literal).filter(|_| length <= window.len())?;
            }
            if length > window.len() || self.steps > STEPS_MAX {
                return None;
            }
            let value = &text[..length];
            if is_valid(letter, value) {
                let reached = self.reached;
                self.set(letter, if width < 0 { value.trim_end_matches(' ') } else { value });
                if let Some(found) = self.from(rest, at + length) {
                    return Some(found);
                }
                self.reached = reached.max(self.reached);
            }
            length += text[length..].chars().next()?.len_utf8();
        }
    }

    fn set(&mut self, letter: char, value: &'a str) {
        let values = &mut self.values;
        // `[unknown]` stands for a name that is not known yet.
        let name = if value == "[unknown]" { "" } else { value };
        match letter {
            't' | 'm' => values.time = value,
            'n' => values.epoch = value,
            'p' => values.process = value,
            'l' => values.line = value.parse().ok(),
            'c' => values.session = value,
            'v' => values.transaction = value,
            'e' => values.code = value,
            'a' => values.application = name,
            'u' => values.user = name,
            'd' => values.database = name,
            'b' => values.backend = value,
            'i' => values.activity = value,
            'r' | 'h' => {
                let parts = value.strip_suffix(')').and_then(|value| value.rsplit_once('('));
                values.client = match parts {
                    Some((host, port)) => Client::new(host, port.parse().ok()),
                    None => Client::new(name, None),
                };
            }
            _ => {}
        }
    }
}

fn is_valid(letter: char, value: &str) -> bool {
    !matches!(letter, 'r' | 'h' | 'L') || !value.bytes().any(|byte| byte <= b' ')
}

/// `AUDIT` and `ERROR` are no codes: the classes that begin with a letter are few.
const LETTERED_CLASSES: [&[u8]; 4] = [b"F0", b"HV", b"P0", b"XX"];

/// Whether the bytes are a SQLSTATE.
pub(crate) fn is_code(code: Option<&[u8]>) -> bool {
    let Some(code) = code else { return false };
    let [first, _, _, _, _] = code else { return false };
    let is_part = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let is_class = || LETTERED_CLASSES.iter().any(|class| code.starts_with(class));
    code.iter().all(is_part) && (first.is_ascii_digit() || is_class())
}

fn span(text: &str, is_part: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| is_part(*byte)).count()
}

/// Length of `YYYY-MM-DD HH:MM:SS[.mmm] ZONE`.
pub(crate) fn time_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = bytes.get(..19)?;
    let is_time = digits.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        10 => *byte == b' ',
        13 | 16 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let mut length = if is_time { 19 } else { return None };
    if bytes.get(length) == Some(&b'.') {
        length += 1 + span(&text[length + 1..], |byte| byte.is_ascii_digit());
    }
    if bytes.get(length) != Some(&b' ') {
        return Some(length);
    }
    let zone = &text[length + 1..];
    let zone_length = match zone.as_bytes().first() {
        Some(b'+' | b'-') => 1 + span(&zone[1..], |byte| byte.is_ascii_digit()),
        _ => span(zone, |byte| byte.is_ascii_alphabetic()),
    };
    Some(if zone_length > 0 { length + 1 + zone_length } else { length })
}

/// Length of `hex.hex`.
pub(crate) fn session_length(text: &str) -> Option<usize> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let start = span(text, is_hex);
    let process = text.get(start..)?.strip_prefix('.').map(|process| span(process, is_hex))?;
    (start > 0 && process > 0).then_some(start + 1 + process)
}

/// Spaces that fill a value of `length` bytes up to the width.
fn right_padding(width: i32, rest: &str, length: usize) -> usize {
    let wanted = usize::try_from(-i64::from(width)).unwrap_or(0).saturating_sub(length);
    span(rest, |byte| byte == b' ').min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::postgresql::severity::Severity;

    fn read<'a>(prefix: &str, line: &'a str) -> Option<(Values<'a>, &'a str)> {
        let line = Prefix::compile(prefix).read(line)?;
        assert_eq!(line.tag, Tag::Severity(Severity::Message));
        Some((line.values, line.text))
    }

    #[test]
    fn values_are_found_between_the_literals() {
        let line = "2025-03-02 10:11:13 UTC:10.1.2.3(51022):app@shop:[4242]:LOG:  hello";
        let (values, text) = read("%t:%r:%u@%d:[%p]:", line).expect("match");
        assert_eq!((values.user, values.database, values.process), ("app", "shop", "4242"));
        assert_eq!(values.client, Client::new("10.1.2.3", Some(51022)));
        assert_eq!((values.time, text), ("2025-03-02 10:11:13 UTC", "hello"));
    }

    #[test]
    fn everything_after_q_may_be_missing() {
        let prefix = "%m [%p] %q%u@%d ";
        let line = "2025-03-02 10:11:12.345 UTC [1] LOG:  x";
        assert_eq!(read(prefix, line).expect("match").0.user, "");
        let line = "2025-03-02 10:11:12.345 +03 [1] a b@c LOG:  x";
        assert_eq!(read(prefix, line).expect("match").0.user, "a b");
    }

    #[test]
    fn padding_is_taken_off() {
        let line = "2025-03-02 10:11:12.345 UTC       42 app         |        shop|00000  LOG:  x";
        let (values, _) = read("%m %8p %-12u|%12d|%-6e ", line).expect("match");
        assert_eq!((values.process, values.user, values.database), ("42", "app", "shop"));
    }

    #[test]
    fn a_hostile_line_ends_soon() {
        let line = "@ ".repeat(5_000);
        assert_eq!(Prefix::compile("%u@%d %a@%u %d@").read(&line), None);
    }
}
