//! Operators: PostgreSQL lets users make them of any run of operator bytes, MySQL has a fixed set.

use super::{Expect, Kind, Lexer, Token, is_word};
use crate::Dialect;

/// Longest first.
const MYSQL: [&[u8]; 11] =
    [b"<=>", b"->>", b"->", b"<=", b">=", b"<>", b"!=", b"<<", b">>", b"&&", b"||"];

impl<'a> Lexer<'a> {
    pub(super) fn operator(&mut self, first: u8, expect: Expect) -> Token<'a> {
        if first == b'?' {
            return self.question_mark();
        }
        if first == b'%'
            && expect.operand
            && let Some(length) = self.percent_bind(0)
        {
            return self.token(Kind::Parameter, length);
        }
        let length = match self.dialect {
            Dialect::PostgreSql => self.postgresql_operator(),
            Dialect::MySql => {
                let rest = self.input.get(self.at..).unwrap_or_default();
                MYSQL.iter().find(|text| rest.starts_with(text)).map_or(1, |text| text.len())
            }
        };
        self.token(Kind::Operator, length)
    }

    /// A bind, or one of the jsonb operators `?|` and `?&`. A lone `?` may be the jsonb operator
    /// too; both read `?` in the normal form, so they need not be told apart.
    fn question_mark(&mut self) -> Token<'a> {
        let next = self.peek(1);
        let jsonb = self.dialect == Dialect::PostgreSql && matches!(next, b'|' | b'&');
        if jsonb && self.peek(2) != next {
            return self.token(Kind::Operator, 2);
        }
        self.token(Kind::Parameter, 1)
    }

    /// Length of `%s` or `%(name)s` at `ahead`.
    fn percent_bind(&self, ahead: usize) -> Option<usize> {
        let rest = self.input.get(self.at + ahead..)?;
        let length = match rest {
            [b'%', b's', ..] => 2,
            [b'%', b'(', name @ ..] => {
                let length = name.iter().take(64).position(|&b| !is_word(b))?;
                name.get(length..)?.starts_with(b")s").then_some(length + 4)?
            }
            _ => return None,
        };
        let ends = !rest.get(length).is_some_and(|&b| is_word(b));
        ends.then_some(length)
    }

    fn postgresql_operator(&self) -> usize {
        // The limit of PostgreSQL's names; without it a run of signs would cost its square.
        let rest = self.slice(self.at, self.input.len().min(self.at + 63));
        let mut length = 0;
        while let Some(&byte) = rest.get(length) {
            let run = rest.get(..length).unwrap_or_default();
            let next = rest.get(length + 1).copied().unwrap_or(0);
            let ends = match byte {
                b'-' => next == b'-',
                b'/' => next == b'*',
                // `=?` and `=%s` are binds; `@?` and `<%` are operators.
                b'?' => run != b"@",
                b'%' => !matches!(run, [] | [.., b'<']) && self.percent_bind(length).is_some(),
                b'+' | b'*' | b'<' | b'>' | b'=' | b'~' | b'!' | b'@' | b'#' | b'^' | b'&'
                | b'|' | b'`' => false,
                _ => true,
            };
            if ends {
                break;
            }
            length += 1;
        }
        let run = rest.get(..length).unwrap_or_default();
        // PostgreSQL: an operator ends in a sign only if it holds one of these, so `=-1` is two.
        if !run.iter().any(|byte| b"~!@#%^&|`?".contains(byte)) {
            while length > 1 && matches!(rest.get(length - 1), Some(b'+' | b'-')) {
                length -= 1;
            }
        }
        length.max(1)
    }
}
