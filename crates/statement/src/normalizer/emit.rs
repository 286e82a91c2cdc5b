//! How each kind of token is written, and the one space between tokens.

use super::state::{Last, State};
use crate::Dialect;
use crate::lexer::{Kind, is_bare};
use crate::word::Role;

impl State {
    /// Writes what is due before a token: the `;` of the statement before, or a space.
    #[inline]
    fn gap(&mut self) {
        self.signs = None;
        if self.separator {
            self.separator = false;
            self.out.extend_from_slice(b"; ");
            return;
        }
        if !matches!(self.last, Last::Start | Last::Open | Last::Glue) {
            self.out.push(b' ');
        }
    }

    /// Likewise, but an account name stays in one piece: `?@?`.
    #[inline]
    fn operand_gap(&mut self) {
        if self.last != Last::At {
            self.gap();
        }
        self.signs = None;
    }

    #[inline]
    pub(super) fn word(&mut self, text: &[u8]) {
        let starts_element = self.lists.at_element(&self.out);
        let starts_statement = self.last == Last::Start;
        let after_dot = self.last == Last::Glue;
        if self.role == Role::Values && text.eq_ignore_ascii_case(b"row") {
            self.lists.open_rows(&self.out);
        }
        self.gap();
        let start = self.out.len();
        // Words are short: one pass by table beats a copy and a vector pass over it.
        self.out.extend(text.iter().map(|&byte| LOWER[byte as usize]));
        let written = self.out.get(start..).unwrap_or_default();
        // After a dot even a keyword is a name: `t.values`.
        self.role = if after_dot { Role::Name } else { Role::of(written) };
        self.last = match self.role {
            Role::Name | Role::Function => Last::Name,
            Role::Clause | Role::In | Role::Values | Role::Query => Last::Clause,
            _ => Last::Keyword,
        };
        if starts_statement {
            self.in_do = self.role == Role::Do;
        }
        if starts_element && matches!(self.role, Role::Query | Role::Values) {
            self.lists.not_a_list();
        }
    }

    /// A quoted identifier is bare in the normal form where that says the same.
    pub(super) fn identifier(&mut self, text: &[u8], dialect: Dialect) {
        let after_at = self.last == Last::At;
        self.operand_gap();
        if is_bare(text) && !Role::of(text).needs_quotes() && !after_at {
            self.out.extend_from_slice(text);
        } else {
            let quote = if dialect == Dialect::MySql { b'`' } else { b'"' };
            self.out.push(quote);
            // Only a decoded name can hold a single quote mark; the others come doubled.
            push_doubled(&mut self.out, text, quote);
            self.out.push(quote);
        }
        self.role = Role::Name;
        self.last = Last::Name;
    }

    /// A number, a bind or a character literal. Its signs go with it: `-1` is a literal.
    #[inline]
    pub(super) fn literal(&mut self) {
        if let Some((start, before)) = self.signs {
            self.out.truncate(start);
            self.last = before;
        }
        self.operand_gap();
        self.out.push(b'?');
        self.role = Role::Name;
        self.last = Last::Literal;
    }

    pub(super) fn kept_text(&mut self, text: &[u8]) {
        self.gap();
        self.out.push(b'\'');
        self.out.extend(text.iter().map(u8::to_ascii_lowercase));
        self.out.push(b'\'');
        self.role = Role::Name;
        self.last = Last::Literal;
    }

    #[inline]
    pub(super) fn operator(&mut self, text: &[u8]) {
        let is_sign = matches!(text, b"-" | b"+");
        let signs = match self.signs {
            Some(signs) if is_sign => Some(signs),
            _ if is_sign && self.expect().operand && !self.separator => {
                Some((self.out.len(), self.last))
            }
            _ => None,
        };
        self.gap();
        self.signs = signs;
        self.out.extend_from_slice(text);
        self.role = Role::Name;
        self.last = Last::Operator;
    }

    #[inline]
    pub(super) fn punctuation(&mut self, kind: Kind, dialect: Dialect) {
        match kind {
            Kind::Open | Kind::BracketOpen => self.open(kind),
            Kind::Close | Kind::BracketClose => self.close(kind),
            Kind::Comma => {
                self.lists.end_element(&mut self.out);
                self.stick(b",");
                self.last = Last::Comma;
                self.lists.begin_element(&self.out);
            }
            Kind::Semicolon => self.semicolon(),
            Kind::BraceOpen => self.open_brace(),
            Kind::BraceClose => self.close_brace(),
            Kind::Cast => {
                // `: ::` must not read `:::`.
                if self.last == Last::Operator {
                    self.gap();
                }
                self.glue(b"::");
            }
            Kind::At if dialect == Dialect::MySql => {
                self.glue(b"@");
                self.last = Last::At;
            }
            _ => self.glue(b"."),
        }
    }

    fn glue(&mut self, text: &[u8]) {
        self.stick(text);
        self.last = Last::Glue;
    }

    /// Writes without a space before.
    fn stick(&mut self, text: &[u8]) {
        if self.separator {
            self.gap();
        }
        self.signs = None;
        self.out.extend_from_slice(text);
        self.role = Role::Name;
    }

    fn open(&mut self, kind: Kind) {
        let round = kind == Kind::Open;
        let after_row = self.role == Role::Row;
        let row = round && (after_row || self.lists.at_element(&self.out));
        let list = if round { self.role == Role::In } else { self.role == Role::Array };
        if round && self.role == Role::Values {
            self.lists.open_rows(&self.out);
        }
        let row = row || self.lists.at_element(&self.out);
        let tight = match self.last {
            Last::Name | Last::Glue | Last::At => true,
            Last::Keyword => !round && self.role == Role::Array,
            Last::Close | Last::Literal | Last::Text => !round,
            _ => false,
        };
        if tight {
            self.signs = None;
        } else {
            self.gap();
        }
        self.out.push(if round { b'(' } else { b'[' });
        self.brackets += usize::from(!round);
        self.lists.open(list, row, &self.out);
        self.role = Role::Name;
        self.last = Last::Open;
    }

    fn close(&mut self, kind: Kind) {
        self.lists.close(&mut self.out);
        let round = kind == Kind::Close;
        self.stick(if round { b")" } else { b"]" });
        self.brackets -= usize::from(!round && self.brackets > 0);
        self.last = Last::Close;
    }

    fn semicolon(&mut self) {
        self.lists.close_statement(&mut self.out);
        // Empty statements leave no trace, nor does a semicolon at the end.
        self.separator |= self.last != Last::Start;
        self.begin_statement();
    }

    pub(super) fn open_brace(&mut self) {
        self.gap();
        self.out.push(b'{');
        self.lists.open_brace(&self.out);
        self.begin_statement();
        self.out.push(b' ');
    }

    pub(super) fn close_brace(&mut self) {
        self.separator = false;
        self.lists.close_brace(&mut self.out);
        if !self.out.ends_with(b" ") {
            self.out.push(b' ');
        }
        self.out.push(b'}');
        self.begin_statement();
        self.last = Last::Close;
    }

    fn begin_statement(&mut self) {
        self.signs = None;
        self.role = Role::Name;
        self.last = Last::Start;
        self.in_do = false;
        self.brackets = 0;
    }
}

static LOWER: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).to_ascii_lowercase();
        byte += 1;
    }
    table
};

/// Copies `text`; a quote mark that stands alone is doubled.
fn push_doubled(out: &mut Vec<u8>, text: &[u8], quote: u8) {
    let mut rest = text.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        out.push(byte);
        if byte == quote {
            out.push(quote);
            rest.next_if_eq(&quote);
        }
    }
}
