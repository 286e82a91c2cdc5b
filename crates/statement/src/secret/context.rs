//! What the tokens before a literal say of it.

use super::names_secret;
use crate::lexer::{Kind, Token};

/// Bytes at the end of a literal that may name what the next one is.
const TAIL_BYTES_MAX: usize = 128;
/// Functions that take a name and its value by turns.
const PAIRS: [&[u8]; 5] =
    [b"set_config", b"hstore", b"json_build_object", b"jsonb_build_object", b"json_object"];

/// What the tokens before say of a literal.
#[derive(Default)]
pub(super) struct Context {
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
    /// Words since one that names a secret: `v_password text := 'x'`.
    since_secret: usize,
    /// A word stands between a name and a parenthesis: `password = crypt('x', …)`.
    called: bool,
    /// `=` stands behind the name.
    assigned: bool,
    /// The token before is a literal: what follows it at once goes on with it.
    adjacent: bool,
    /// The literal before leaves open what it names: `'password=' || 'x'`.
    tail: Tail,
    /// The function whose arguments these are, as far as it matters.
    function: Function,
    /// Parentheses that are open.
    depth: usize,
    format: Option<Format>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Tail {
    #[default]
    None,
    /// It ends in a name: only `||` leads to the value.
    Named,
    /// It ends in `name=`: a comma does as well, as in `concat()`.
    Assigned,
    /// `||` or a comma stands before.
    Joined,
    /// The whole literal is a name, and its value the next argument.
    Key,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Function {
    #[default]
    Other,
    Format,
    /// Takes a name and its value by turns.
    Pairs,
}

/// The arguments of `format()`.
struct Format {
    depth: usize,
    /// Commas behind the first.
    argument: u32,
    /// A bit for each that is a secret.
    secret: u64,
}

impl Context {
    pub(super) fn expects_secret(&self, kind: Kind) -> bool {
        let literal = matches!(kind, Kind::Text(_));
        let argument = self.format.as_ref().is_some_and(|format| {
            let last = format.argument.saturating_sub(1).min(63);
            format.argument > 0 && format.secret & (1 << last) != 0
        });
        let goes_on = self.adjacent && matches!(self.tail, Tail::Named | Tail::Assigned);
        let joined = self.tail == Tail::Joined || goes_on;
        let named = self.named || self.masked || joined || argument;
        (literal && named) || (self.identified && self.by)
    }

    /// The literal here was masked.
    pub(super) fn mask(&mut self) {
        (self.masked, self.named, self.by, self.tail) = (true, false, false, Tail::None);
    }

    /// A literal that is no secret, and the arguments that it wants if it is a format.
    pub(super) fn text(&mut self, text: &[u8], arguments: u64) {
        (self.tail, self.adjacent) = (tail(text), true);
        if self.tail == Tail::Key && self.function != Function::Pairs {
            self.tail = Tail::Named;
        }
        if self.function == Function::Format && arguments != 0 {
            self.format = Some(Format { depth: self.depth, argument: 0, secret: arguments });
        }
    }

    pub(super) fn is_format(&self) -> bool {
        self.function == Function::Format
    }

    pub(super) fn advance(&mut self, token: &Token<'_>) {
        self.masked = false;
        self.adjacent &= matches!(token.kind, Kind::Text(_));
        self.follow(token);
        match token.kind {
            Kind::Semicolon => *self = Self::default(),
            Kind::Word | Kind::Quoted => self.word(token),
            Kind::Operator if matches!(token.text, b"=" | b"=>" | b":=") => {
                self.named |= self.set_password;
                self.named |= token.text == b":=" && (1..=2).contains(&self.since_secret);
                self.assigned = self.named;
                self.since_secret = 0;
                self.by = false;
            }
            Kind::Open => {
                self.named |= self.called;
                self.called = false;
            }
            Kind::Cast => {}
            _ => {
                (self.named, self.by, self.called) = (false, false, false);
                self.since_secret = 0;
            }
        }
    }

    /// Through calls and what joins literals.
    fn follow(&mut self, token: &Token<'_>) {
        match token.kind {
            Kind::Open => self.depth += 1,
            Kind::Close => {
                self.depth = self.depth.saturating_sub(1);
                let depth = self.depth;
                self.format.take_if(|format| depth < format.depth);
                self.function = Function::Other;
                self.tail = Tail::None;
            }
            Kind::Comma => {
                let depth = self.depth;
                if let Some(format) = self.format.as_mut().filter(|f| f.depth == depth) {
                    format.argument += 1;
                }
                self.tail = match self.tail {
                    Tail::Assigned | Tail::Key => Tail::Joined,
                    _ => Tail::None,
                };
            }
            Kind::Operator => {
                let joins = matches!(token.text, b"||" | b"+" | b".");
                self.tail = match self.tail {
                    Tail::Named | Tail::Assigned | Tail::Key if joins => Tail::Joined,
                    _ => Tail::None,
                };
            }
            Kind::Word => {
                let is = |word: &[u8]| token.text.eq_ignore_ascii_case(word);
                if is(b"format") {
                    self.function = Function::Format;
                } else if PAIRS.iter().any(|name| is(name)) {
                    self.function = Function::Pairs;
                }
            }
            _ => {}
        }
    }

    fn word(&mut self, token: &Token<'_>) {
        let is = |word: &[u8]| token.text.eq_ignore_ascii_case(word);
        let secret = names_secret(token.text);
        self.since_secret = match self.since_secret {
            _ if secret => 1,
            0 => 0,
            words => words + 1,
        };
        self.starts_with_set |= self.words == 0 && is(b"set");
        self.set_password |= self.starts_with_set && self.words == 1 && is(b"password");
        self.identified |= is(b"identified");
        self.by = is(b"by") || is(b"as") || is(b"using") || is(b"replace");
        self.called = self.named && self.assigned;
        self.assigned = false;
        let passes = is(b"to") || is(b"hash") || is(b"for");
        self.named = secret || (self.named && passes && !self.set_password);
        if self.set_password {
            self.named = is(b"to") || (secret && self.words > 1);
        }
        self.words += 1;
    }
}

/// What the end of a literal says of what is joined to it.
fn tail(text: &[u8]) -> Tail {
    let end = text.get(text.len().saturating_sub(TAIL_BYTES_MAX)..).unwrap_or_default();
    let quotes = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'\'' | b'"' | b'\\');
    let trimmed = trim_end(end, quotes);
    let assigned = trim_end(trimmed, |b| matches!(b, b'=' | b':') || quotes(b));
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let opens = trim_end(end, u8::is_ascii_whitespace).len() > trimmed.len();
    if let Some(before) = [&b"by"[..], b"as", b"using", b"replace"]
        .iter()
        .find_map(|word| strip_suffix_ignoring_case(assigned, word))
        && memchr::memmem::find(&before.to_ascii_lowercase(), b"identified").is_some()
    {
        return if opens { Tail::Assigned } else { Tail::Named };
    }
    let name = assigned.len() - assigned.iter().rev().take_while(|b| is_name(b)).count();
    let name = assigned.get(name..).unwrap_or_default();
    if names_secret(name) {
        return match (
            opens || assigned.len() < trimmed.len(),
            text.iter().all(|b| is_name(b) || *b == b'.'),
        ) {
            (true, _) => Tail::Assigned,
            (_, true) => Tail::Key,
            _ => Tail::Named,
        };
    }
    // `'postgresql://ann:' || 'x' || '@h'`
    let address = memchr::memmem::rfind(end, b"://").and_then(|at| end.get(at + 3..));
    match address {
        Some([user @ .., b':']) if !user.is_empty() && user.iter().all(|b| *b != b'/') => {
            Tail::Assigned
        }
        _ => Tail::None,
    }
}

fn strip_suffix_ignoring_case<'t>(text: &'t [u8], suffix: &[u8]) -> Option<&'t [u8]> {
    let (before, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(before)
}

fn trim_end(text: &[u8], trimmed: impl Fn(&u8) -> bool) -> &[u8] {
    let length = text.len() - text.iter().rev().take_while(|b| trimmed(b)).count();
    text.get(..length).unwrap_or_default()
}
