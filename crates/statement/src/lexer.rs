//! SQL text to tokens that borrow from it: no allocation, no failure, every byte seen once.
//!
//! What is not SQL still gives tokens; an open quote or comment runs to the end of the text.

mod literal;
mod operator;
mod trivia;

use crate::Dialect;
use crate::flag::FlagSet;

/// How quotes inside a literal are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// Dollar quotes: the content stands for itself.
    None,
    /// `''` is a quote.
    Doubled,
    /// `''` and `\'` are quotes.
    Backslash,
    /// `''` is a quote; this letter begins the number of a character.
    Unicode(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Keyword or bare identifier, as written.
    Word,
    /// Quoted identifier; the text is what stands between the quotes.
    Quoted,
    /// `U&"…"` with its escape character.
    UnicodeQuoted(u8),
    Number,
    /// Character literal; the text is what stands between the quotes.
    Text(Escapes),
    Parameter,
    Operator,
    /// `@` between the halves of a MySQL account name.
    At,
    Open,
    Close,
    BracketOpen,
    BracketClose,
    BraceOpen,
    BraceClose,
    Comma,
    Dot,
    Cast,
    Semicolon,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a [u8],
    /// Offsets of the whole token in the input, quotes included.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What the reader of the tokens knows and the lexer needs to tell look-alikes apart.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expect {
    /// An operand comes next, so `%s` is a bind and not a modulo.
    pub(crate) operand: bool,
    /// Between brackets, `a[i:j]` is a slice and `:j` no parameter.
    pub(crate) slice: bool,
}

#[derive(Clone)]
pub(crate) struct Lexer<'a> {
    input: &'a [u8],
    at: usize,
    dialect: Dialect,
    /// Inside `/*! … */`, whose content is code.
    executable: bool,
    pub(crate) flags: FlagSet,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a [u8], dialect: Dialect) -> Self {
        Self { input, at: 0, dialect, executable: false, flags: FlagSet::default() }
    }

    #[inline]
    fn peek(&self, ahead: usize) -> u8 {
        // NUL is white space here, so it serves as the byte after the end.
        self.input.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.input.get(start..end).unwrap_or_default()
    }

    #[inline]
    fn token(&mut self, kind: Kind, length: usize) -> Token<'a> {
        let start = self.at;
        self.at = (start + length).min(self.input.len());
        Token { kind, text: self.slice(start, self.at), start, end: self.at }
    }

    /// A token that began at `start`, ends here, and holds `text`.
    fn quoted(&self, kind: Kind, text: &'a [u8], start: usize) -> Token<'a> {
        Token { kind, text, start, end: self.at }
    }

    /// The next token; `Kind::End` for ever after the last.
    #[inline]
    pub(crate) fn next(&mut self, expect: Expect) -> Token<'a> {
        self.skip_trivia();
        let Some(&byte) = self.input.get(self.at) else {
            return self.token(Kind::End, 0);
        };
        match CLASS[byte as usize] {
            Class::Letter => self.word(),
            Class::Digit => self.number(),
            Class::Quote => self.text(self.at, self.plain_escapes()),
            Class::DoubleQuote if self.dialect == Dialect::MySql => {
                self.text(self.at, Escapes::Backslash)
            }
            Class::DoubleQuote => self.identifier(Kind::Quoted, self.at),
            Class::Backtick if self.dialect == Dialect::MySql => {
                self.identifier(Kind::Quoted, self.at)
            }
            Class::Punctuation(kind) => self.token(kind, 1),
            Class::Dot => self.dot(expect),
            Class::Dollar => self.dollar(),
            Class::Colon => self.colon(expect),
            Class::At if self.dialect == Dialect::MySql => self.at_sign(),
            _ => self.operator(byte, expect),
        }
    }

    fn plain_escapes(&self) -> Escapes {
        match self.dialect {
            Dialect::PostgreSql => Escapes::Doubled,
            Dialect::MySql => Escapes::Backslash,
        }
    }

    #[inline]
    fn word(&mut self) -> Token<'a> {
        let second = self.peek(1);
        if (second == b'\'' || second == b'&')
            && let Some(token) = self.prefixed()
        {
            return token;
        }
        self.token(Kind::Word, self.word_length(0))
    }

    #[inline]
    fn word_length(&self, from: usize) -> usize {
        let rest = self.input.get(self.at + from..).unwrap_or_default();
        let length = rest.iter().position(|&byte| !is_word(byte)).unwrap_or(rest.len());
        from + length
    }

    /// `E'…'`, `B'…'`, `X'…'`, `N'…'`, `U&'…'`, `U&"…"`.
    fn prefixed(&mut self) -> Option<Token<'a>> {
        let start = self.at;
        let postgresql = self.dialect == Dialect::PostgreSql;
        match (self.peek(0) | 0x20, self.peek(1), self.peek(2)) {
            (b'e', b'\'', _) if postgresql => {
                self.at += 1;
                Some(self.text(start, Escapes::Backslash))
            }
            (b'b' | b'x' | b'n', b'\'', _) => {
                self.at += 1;
                Some(self.text(start, self.plain_escapes()))
            }
            (b'u', b'&', b'\'') if postgresql => {
                self.at += 2;
                let token = self.text(start, Escapes::Doubled);
                let escape = self.escape_clause().unwrap_or(b'\\');
                let kind = Kind::Text(Escapes::Unicode(escape));
                Some(Token { kind, end: self.at, ..token })
            }
            (b'u', b'&', b'"') if postgresql => {
                self.at += 2;
                let token = self.identifier(Kind::Quoted, start);
                let escape = self.escape_clause().unwrap_or(b'\\');
                Some(Token { kind: Kind::UnicodeQuoted(escape), end: self.at, ..token })
            }
            _ => None,
        }
    }

    fn dot(&mut self, expect: Expect) -> Token<'a> {
        // MySQL names may begin with a digit: `logs.2024_sales` is no number.
        let before_name = self.dialect == Dialect::MySql
            && !(expect.operand
                && literal::is_number(self.slice(self.at + 1, self.at + self.word_length(1))));
        if self.peek(1).is_ascii_digit() && !before_name {
            return self.number();
        }
        self.token(Kind::Dot, 1)
    }

    fn dollar(&mut self) -> Token<'a> {
        if self.dialect == Dialect::MySql {
            return self.token(Kind::Word, self.word_length(1));
        }
        let next = self.peek(1);
        if next.is_ascii_digit() {
            let digits = self.slice(self.at + 1, self.input.len());
            let length = digits.iter().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
            return self.token(Kind::Parameter, 1 + length);
        }
        self.dollar_quoted().unwrap_or_else(|| self.token(Kind::Operator, 1))
    }

    fn colon(&mut self, expect: Expect) -> Token<'a> {
        match self.peek(1) {
            b':' => self.token(Kind::Cast, 2),
            b'=' => self.token(Kind::Operator, 2),
            next if is_word(next) && !expect.slice => {
                self.token(Kind::Parameter, self.word_length(1))
            }
            _ => self.token(Kind::Operator, 1),
        }
    }

    /// `@variable`, `@@setting`, or the `@` of an account name.
    fn at_sign(&mut self) -> Token<'a> {
        let signs = if self.peek(1) == b'@' { 2 } else { 1 };
        if is_word(self.peek(signs)) {
            return self.token(Kind::Word, self.word_length(signs));
        }
        self.token(Kind::At, 1)
    }
}

#[derive(Clone, Copy)]
enum Class {
    Space,
    Letter,
    Digit,
    Quote,
    DoubleQuote,
    Backtick,
    Dollar,
    Dot,
    Colon,
    At,
    Punctuation(Kind),
    Operator,
}

/// Bytes above 127 are letters in both dialects, so a token never splits a character.
#[inline]
pub(crate) fn is_word(byte: u8) -> bool {
    WORD[byte as usize]
}

/// Whether an identifier reads the same without quotes.
pub(crate) fn is_bare(text: &[u8]) -> bool {
    let starts = text.first().is_some_and(|&b| b.is_ascii_lowercase() || b == b'_' || b >= 128);
    starts && text.iter().all(|&b| is_word(b) && !b.is_ascii_uppercase())
}

static WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$')
            || byte >= 128;
        byte += 1;
    }
    table
};

static CLASS: [Class; 256] = {
    let mut table = [Class::Operator; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            0..=b' ' => Class::Space,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 128..=255 => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'\'' => Class::Quote,
            b'"' => Class::DoubleQuote,
            b'`' => Class::Backtick,
            b'$' => Class::Dollar,
            b'.' => Class::Dot,
            b':' => Class::Colon,
            b'@' => Class::At,
            b'(' => Class::Punctuation(Kind::Open),
            b')' => Class::Punctuation(Kind::Close),
            b'[' => Class::Punctuation(Kind::BracketOpen),
            b']' => Class::Punctuation(Kind::BracketClose),
            b'{' => Class::Punctuation(Kind::BraceOpen),
            b'}' => Class::Punctuation(Kind::BraceClose),
            b',' => Class::Punctuation(Kind::Comma),
            b';' => Class::Punctuation(Kind::Semicolon),
            _ => Class::Operator,
        };
        byte += 1;
    }
    table
};
