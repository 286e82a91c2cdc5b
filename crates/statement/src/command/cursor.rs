//! A view of the tokens at the head of a statement, for text as it was written: no normal form,
//! no allocation. It sees what the normal form would show, so that both have one command.

use super::MODIFIERS;
use crate::Dialect;
use crate::lexer::{Expect, Kind, Lexer, Token, is_bare};
use crate::word::Role;

/// The longest word that matters: `create_replication_slot`.
const WORD_BYTES_MAX: usize = 24;

#[derive(Clone)]
pub(super) struct Cursor<'a> {
    lexer: Lexer<'a>,
    token: Token<'a>,
    /// The word at hand in lower case, padded with zeros; of no length if it is none.
    word: [u8; WORD_BYTES_MAX],
    word_length: usize,
    brackets: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(sql: &'a [u8], dialect: Dialect) -> Self {
        let mut lexer = Lexer::new(sql, dialect);
        let token = lexer.next(Expect::default());
        let word = [0; WORD_BYTES_MAX];
        let mut cursor = Self { lexer, token, word, word_length: 0, brackets: 0 };
        cursor.read_word();
        cursor
    }

    pub(super) fn kind(&self) -> Kind {
        self.token.kind
    }

    /// The bare word at hand in lower case; empty if it is none, or longer than any keyword.
    pub(super) fn word(&self) -> &[u8] {
        self.word.get(..self.word_length).unwrap_or_default()
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.word() == word.as_bytes()
    }

    pub(super) fn step(&mut self) {
        match self.token.kind {
            Kind::BracketOpen => self.brackets += 1,
            Kind::BracketClose => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        self.token = self.lexer.next(Expect { operand: false, slice: self.brackets > 0 });
        self.read_word();
    }

    /// Past the token at hand, or past the parentheses that open here.
    pub(super) fn step_over(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.token.kind {
                Kind::Open | Kind::BracketOpen => depth += 1,
                Kind::Close | Kind::BracketClose => depth = depth.saturating_sub(1),
                Kind::End | Kind::Semicolon => return,
                _ => {}
            }
            self.step();
            if depth == 0 {
                return;
            }
        }
    }

    pub(super) fn skip_empty_statements(&mut self) {
        while self.token.kind == Kind::Semicolon {
            self.step();
        }
    }

    fn read_word(&mut self) {
        self.word_length = 0;
        // The normal form shows a quoted name bare where that says the same.
        let quoted = self.token.kind == Kind::Quoted
            && is_bare(self.token.text)
            && !Role::of(self.token.text).needs_quotes();
        if quoted {
            self.token.kind = Kind::Word;
        }
        if self.token.kind != Kind::Word {
            return;
        }
        if let Some(word) = self.word.get_mut(..self.token.text.len()) {
            word.copy_from_slice(self.token.text);
            word.make_ascii_lowercase();
            self.word_length = word.len();
        }
    }

    /// Whether `words` (upper case) come next.
    pub(super) fn reads(&self, words: &str) -> bool {
        // Most of a table of words differs in the first letter.
        if self.word[0].to_ascii_uppercase() != words.as_bytes().first().copied().unwrap_or(0) {
            return false;
        }
        let (first, mut rest) = match words.split_once(' ') {
            Some((first, rest)) => (first, rest),
            None => (words, ""),
        };
        if !self.word().eq_ignore_ascii_case(first.as_bytes()) {
            return false;
        }
        if rest.is_empty() {
            return true;
        }
        let mut ahead = self.clone();
        loop {
            ahead.step();
            let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            if !ahead.word().eq_ignore_ascii_case(word.as_bytes()) {
                return false;
            }
            if tail.is_empty() {
                return true;
            }
            rest = tail;
        }
    }

    /// Whether a word stands in the rest of the statement outside of parentheses.
    pub(super) fn finds_on_level(mut self, word: &[u8]) -> bool {
        loop {
            self.step_over();
            match self.token.kind {
                Kind::End | Kind::Semicolon => return false,
                Kind::Word if self.word() == word => return true,
                _ => {}
            }
        }
    }

    /// From `CREATE`, `ALTER` or `DROP` to the kind of object; whether `AGGREGATE` came before it.
    pub(super) fn step_to_object(&mut self) -> bool {
        let mut aggregate = false;
        loop {
            let before = self.token.kind;
            self.step();
            let modifier = match self.token.kind {
                Kind::End | Kind::Semicolon => return aggregate,
                Kind::Word => MODIFIERS.iter().any(|modifier| self.is_word(modifier)),
                // `DEFINER = user@host`.
                _ => true,
            };
            let value =
                matches!(before, Kind::Operator | Kind::At) || self.token.text.starts_with(b"@");
            if !modifier && !value {
                return aggregate;
            }
            aggregate |= self.is_word("aggregate");
        }
    }

    /// `CREATE TABLE … AS SELECT …`, from `TABLE` on.
    pub(super) fn creates_from_query(mut self) -> bool {
        const QUERIES: [&[u8]; 5] = [b"select", b"with", b"values", b"table", b"execute"];
        loop {
            let is_as = self.is_word("as");
            self.step_over();
            match self.token.kind {
                Kind::End | Kind::Semicolon | Kind::Close => return false,
                Kind::Open if is_as => return true,
                Kind::Word if is_as && QUERIES.contains(&self.word()) => return true,
                _ => {}
            }
        }
    }
}
