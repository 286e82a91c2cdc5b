//! What the writer of the normal form remembers of the tokens before.

use crate::lexer::Expect;
use crate::list::Lists;
use crate::word::Role;

/// The token before, as far as spacing and signs care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Last {
    /// Nothing yet in this statement.
    #[default]
    Start,
    /// A keyword before an operand.
    Clause,
    /// Another keyword.
    Keyword,
    /// A name, or a keyword that is written like a function.
    Name,
    /// A number or a bind.
    Literal,
    /// A character literal.
    Text,
    Operator,
    Open,
    Close,
    Comma,
    /// `.` and `::`, which stick to both sides.
    Glue,
    /// `@` of an account name.
    At,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) out: Vec<u8>,
    pub(super) lists: Lists,
    pub(super) last: Last,
    /// Role of the word before; `Name` after any other token.
    pub(super) role: Role,
    /// The statement began with `DO`.
    pub(super) in_do: bool,
    /// Where the signs before the operand to come began.
    pub(super) signs: Option<(usize, Last)>,
    /// A `;` is due before the next token.
    pub(super) separator: bool,
    pub(super) brackets: usize,
    pub(super) work: usize,
}

impl State {
    pub(super) fn reset(&mut self, buffer_kept_bytes: usize) {
        let mut out = std::mem::take(&mut self.out);
        let mut lists = std::mem::take(&mut self.lists);
        if out.capacity() > buffer_kept_bytes {
            out = Vec::new();
        }
        out.clear();
        lists.clear();
        *self = Self { out, lists, ..Self::default() };
    }

    pub(super) fn finish(&mut self) {
        self.lists.close_statement(&mut self.out);
    }

    #[inline]
    pub(super) fn expect(&self) -> Expect {
        let operand = matches!(
            self.last,
            Last::Start | Last::Clause | Last::Operator | Last::Open | Last::Comma
        );
        Expect { operand, slice: self.brackets > 0 }
    }
}
