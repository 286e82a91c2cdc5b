//! The tokens of a normal form with their parentheses paired: what lexical facts are read from.

use crate::Dialect;
use crate::lexer::{Expect, Kind, Lexer};
use crate::word::Role;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) kind: Kind,
    /// Words in lower case; names and literals without their quotes.
    pub(crate) text: &'a str,
    pub(crate) role: Role,
    /// Index of the parenthesis that pairs with this one, else `usize::MAX`.
    partner: usize,
}

/// All tokens of a normal form.
pub(crate) struct TokenTree<'a> {
    items: Vec<Item<'a>>,
}

impl<'a> TokenTree<'a> {
    pub(crate) fn of(normal_form: &'a str, dialect: Dialect) -> Self {
        let mut lexer = Lexer::new(normal_form.as_bytes(), dialect);
        let mut items: Vec<Item<'a>> = Vec::new();
        let mut open = Vec::new();
        loop {
            let token = lexer.next(Expect::default());
            let text = std::str::from_utf8(token.text).unwrap_or_default();
            let (index, mut partner) = (items.len(), usize::MAX);
            match token.kind {
                Kind::End => break,
                Kind::Open | Kind::BracketOpen | Kind::BraceOpen => open.push(index),
                Kind::Close | Kind::BracketClose | Kind::BraceClose => {
                    partner = open.pop().unwrap_or(usize::MAX);
                    if let Some(opener) = items.get_mut(partner) {
                        opener.partner = index;
                    }
                }
                _ => {}
            }
            let is_word = token.kind == Kind::Word;
            let role = if is_word { Role::of(token.text) } else { Role::Name };
            items.push(Item { kind: token.kind, text, role, partner });
        }
        Self { items }
    }

    /// The statements: the text is cut at `;`, at braces, and inside of code at the words that
    /// statements follow.
    pub(crate) fn phrases(&self) -> Vec<Phrase<'_>> {
        let mut phrases = Vec::new();
        let (mut start, mut in_code) = (0, false);
        for (index, item) in self.items.iter().enumerate() {
            let brace = matches!(item.kind, Kind::BraceOpen | Kind::BraceClose);
            in_code |= brace || (item.text == "begin" && self.phrase(start, index).is_routine());
            let block = in_code
                && item.kind == Kind::Word
                && matches!(item.text, "begin" | "then" | "else" | "loop" | "declare");
            if brace || block || item.kind == Kind::Semicolon {
                phrases.push(self.phrase(start, index));
                start = index + 1;
            }
        }
        phrases.push(self.phrase(start, self.items.len()));
        phrases.retain(|phrase| !phrase.items.is_empty());
        phrases
    }

    fn phrase(&self, start: usize, end: usize) -> Phrase<'_> {
        Phrase { items: self.items.get(start..end).unwrap_or_default(), start }
    }

    /// More than one statement outside of code blocks.
    pub(crate) fn is_stacked(&self) -> bool {
        let mut at = 0;
        let mut start = 0;
        while let Some(item) = self.items.get(at) {
            if item.kind == Kind::Semicolon {
                let head = self.phrase(start, at);
                return !(head.is_routine() && head.has(&["begin"]));
            }
            if item.kind == Kind::BraceOpen && item.partner > at && item.partner != usize::MAX {
                at = item.partner;
                start = at;
            }
            at += 1;
        }
        false
    }

    pub(crate) fn items(&self) -> &[Item<'a>] {
        &self.items
    }

    /// Holds lexed code, as of `DO`.
    pub(crate) fn has_code(&self) -> bool {
        self.items.iter().any(|item| item.kind == Kind::BraceOpen)
    }
}

/// The tokens of one statement. Look-ups past its end find nothing.
#[derive(Clone, Copy)]
pub(crate) struct Phrase<'o> {
    items: &'o [Item<'o>],
    start: usize,
}

impl<'o> Phrase<'o> {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&'o Item<'o>> {
        self.items.get(at)
    }

    pub(crate) fn kind(&self, at: usize) -> Kind {
        self.get(at).map_or(Kind::End, |item| item.kind)
    }

    /// The bare word at `at`, or nothing: `"superuser"` in quotes is no word.
    pub(crate) fn word(&self, at: usize) -> &'o str {
        self.get(at).filter(|item| item.kind == Kind::Word).map_or("", |item| item.text)
    }

    pub(crate) fn word_before(&self, at: usize) -> &'o str {
        at.checked_sub(1).map_or("", |at| self.word(at))
    }

    pub(crate) fn kind_before(&self, at: usize) -> Kind {
        at.checked_sub(1).map_or(Kind::End, |at| self.kind(at))
    }

    /// The identifier at `at`, quoted or not a keyword.
    pub(crate) fn name(&self, at: usize) -> Option<&'o str> {
        let item = self.get(at)?;
        let bare = item.kind == Kind::Word && item.role.may_name();
        (bare || item.kind == Kind::Quoted).then_some(item.text)
    }

    /// `a.b.c` at `at` and where it ends.
    pub(crate) fn qualified(&self, at: usize) -> Option<(String, usize)> {
        let mut name = self.name(at)?.to_owned();
        let mut end = at + 1;
        while self.kind(end) == Kind::Dot {
            let Some(part) = self.get(end + 1) else { break };
            if !matches!(part.kind, Kind::Word | Kind::Quoted) {
                break;
            }
            name.push('.');
            name.push_str(part.text);
            end += 2;
        }
        Some((name, end))
    }

    pub(crate) fn starts(&self, words: &[&str]) -> bool {
        self.words_at(0, words)
    }

    pub(crate) fn words_at(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.word(at + ahead) == *word)
    }

    /// Where the words stand in a row.
    pub(crate) fn find(&self, words: &[&str]) -> Option<usize> {
        (0..self.len()).find(|&at| self.words_at(at, words))
    }

    pub(crate) fn has(&self, words: &[&str]) -> bool {
        self.find(words).is_some()
    }

    pub(crate) fn has_any(&self, words: &[&str]) -> bool {
        (0..self.len()).any(|at| self.kind(at) == Kind::Word && words.contains(&self.word(at)))
    }

    /// The partner of the parenthesis at `at`, or the end of the phrase.
    pub(crate) fn closing(&self, at: usize) -> usize {
        let partner = self.get(at).map_or(usize::MAX, |item| item.partner);
        partner
            .checked_sub(self.start)
            .filter(|&close| close > at)
            .unwrap_or(usize::MAX)
            .min(self.len())
    }

    /// The positions from `from` on the same level, up to the parenthesis that ends it.
    pub(crate) fn level(&self, from: usize) -> impl Iterator<Item = usize> + '_ {
        let mut at = from;
        std::iter::from_fn(move || {
            let here = at;
            match self.kind(here) {
                Kind::End | Kind::Close | Kind::BracketClose => return None,
                Kind::Open | Kind::BracketOpen => at = self.closing(here),
                _ => {}
            }
            at += 1;
            Some(here)
        })
    }

    /// Where one of `words` stands on the level of `from`.
    pub(crate) fn on_level(&self, from: usize, words: &[&str]) -> Option<usize> {
        self.level(from).find(|&at| self.kind(at) == Kind::Word && words.contains(&self.word(at)))
    }

    /// Creates a function, procedure, trigger or event, whose body may hold `;`.
    fn is_routine(&self) -> bool {
        let kinds = ["function", "procedure", "trigger", "event"];
        self.starts(&["create"]) && (1..12).any(|at| kinds.contains(&self.word(at)))
    }
}
