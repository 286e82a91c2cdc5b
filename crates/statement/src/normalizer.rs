//! SQL text to its normal form: what stays when literals, spelling and layout are taken away.
//!
//! The normal form of a normal form is itself, and the facts are read from it alone: texts with
//! one fingerprint have one set of facts.

mod emit;
mod escape;
mod state;

use std::borrow::Cow;

use crate::flag::FlagSet;
use crate::lexer::{Escapes, Kind, Lexer, Token};
use crate::word::Role;
use crate::{Dialect, Fingerprint, Flag};
use escape::{decode_unicode, unescape};
use state::{Last, State};

/// Code in `DO` and in `EXECUTE` inside it; what is quoted deeper is a literal.
const CODE_DEPTH_MAX: usize = 2;
/// PostgreSQL cuts names off here.
const NAME_BYTES_MAX: usize = 64;
/// `\U00000061`.
const ESCAPE_BYTES_MAX: usize = 10;
/// Parentheses around the name of a setting.
const OPENERS_MAX: usize = 16;
/// A buffer that one huge statement has blown up is given back.
const BUFFER_KEPT_BYTES: usize = 1 << 20;

/// Normalises statements one after another in buffers that it keeps: no allocation per statement.
#[derive(Default)]
pub struct Normalizer {
    state: State,
}

/// The normal form of one text; borrows from the `Normalizer` that made it.
#[derive(Clone, Copy, Debug)]
pub struct Normalized<'a> {
    /// Lower case, single spaces, `?` for literals and binds, one element for a list of like ones.
    pub normal_form: &'a str,
    /// Of the normal form.
    pub fingerprint: Fingerprint,
    pub(crate) text_flags: FlagSet,
}

impl Normalized<'_> {
    /// Flags of this text that its fingerprint does not tell: comments and open quotes.
    pub fn text_flags(&self) -> impl Iterator<Item = Flag> + use<> {
        self.text_flags.iter()
    }
}

impl Normalizer {
    /// Reads `sql` by the rules of `dialect`. Never fails; cost is linear in the text.
    pub fn normalize(&mut self, sql: &str, dialect: Dialect) -> Normalized<'_> {
        self.state.reset(BUFFER_KEPT_BYTES);
        self.state.out.reserve(sql.len());
        let mut lexer = Lexer::new(sql.as_bytes(), dialect);
        self.state.run(&mut lexer, dialect, 0);
        self.state.finish();
        let out = self.state.out.as_slice();
        Normalized {
            // Tokens end where characters end, so this is always text.
            normal_form: std::str::from_utf8(out).unwrap_or_default(),
            fingerprint: Fingerprint::of(out),
            text_flags: lexer.flags,
        }
    }

    /// Bytes lexed and compared for the last text.
    #[cfg(test)]
    pub(crate) fn work(&self) -> usize {
        self.state.work + self.state.lists.work
    }
}

impl State {
    fn run(&mut self, lexer: &mut Lexer<'_>, dialect: Dialect, depth: usize) {
        loop {
            let token = lexer.next(self.expect());
            self.work += token.end - token.start;
            if self.lists.in_rows() && self.leaves_rows(&token) {
                self.lists.end_rows(&mut self.out);
            }
            match token.kind {
                Kind::End => return,
                Kind::Word => self.word(token.text),
                Kind::Quoted => self.identifier(token.text, dialect),
                Kind::UnicodeQuoted(escape) => {
                    self.identifier(&decode_unicode(token.text, escape), dialect);
                }
                Kind::Number | Kind::Parameter => self.literal(),
                Kind::Text(escapes) => self.text(&token, escapes, dialect, depth),
                Kind::Operator => self.operator(token.text),
                _ => self.punctuation(token.kind, dialect),
            }
        }
    }

    /// After `VALUES (…)` only a comma goes on, after that only `(` or `ROW`.
    fn leaves_rows(&self, token: &Token<'_>) -> bool {
        match token.kind {
            Kind::Comma => !self.lists.after_row(&self.out),
            Kind::Open => self.lists.after_row(&self.out) && self.role != Role::Row,
            Kind::Word => {
                self.lists.after_row(&self.out) || !token.text.eq_ignore_ascii_case(b"row")
            }
            _ => true,
        }
    }

    fn text(&mut self, token: &Token<'_>, escapes: Escapes, dialect: Dialect, depth: usize) {
        if self.holds_name()
            && let Some(name) = self.name_in(token.text, escapes, dialect)
        {
            return self.kept_text(&name);
        }
        if dialect == Dialect::PostgreSql && depth < CODE_DEPTH_MAX && self.takes_code(depth) {
            self.open_brace();
            let code = unescape(token.text, escapes, dialect);
            self.run(&mut Lexer::new(&code, dialect), dialect, depth + 1);
            return self.close_brace();
        }
        // Literals in a row are one: `'a' 'b'` is a long way to write `'ab'`.
        if self.last != Last::Text {
            self.literal();
            self.last = Last::Text;
        }
    }

    /// Names that are written as literals decide what a statement does: which setting
    /// `set_config` changes, in which `LANGUAGE` a function is, what `LOAD` loads. They stay in
    /// the normal form.
    fn holds_name(&self) -> bool {
        match self.last {
            Last::Open => self.names_setting(),
            Last::Keyword => self.role == Role::Names || self.loads(),
            _ => false,
        }
    }

    fn loads(&self) -> bool {
        self.role == Role::Unreserved && self.out.ends_with(b"load")
    }

    /// After `set_config(`, be it with more parentheses or `cast(`.
    fn names_setting(&self) -> bool {
        let mut before = self.out.as_slice();
        for _ in 0..OPENERS_MAX {
            let Some(outer) = before.strip_suffix(b"(") else { return false };
            if outer.ends_with(b"set_config") {
                return true;
            }
            before = outer.strip_suffix(b"cast").unwrap_or(outer);
        }
        false
    }

    /// What the literal says, if that reads like a name: the same name however it is escaped.
    fn name_in<'t>(
        &self,
        text: &'t [u8],
        escapes: Escapes,
        dialect: Dialect,
    ) -> Option<Cow<'t, [u8]>> {
        if text.len() > NAME_BYTES_MAX * ESCAPE_BYTES_MAX {
            return None;
        }
        let name = unescape(text, escapes, dialect);
        let path = self.loads();
        let plain = |&b: &u8| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'_' | b'.' | b'-')
                || (path && matches!(b, b'/' | b'$'))
        };
        let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
        (fits && name.iter().all(plain)).then_some(name)
    }

    /// The body of `DO` is code; so is a literal that `EXECUTE` runs inside such code.
    fn takes_code(&self, depth: usize) -> bool {
        match self.role {
            Role::Do => true,
            Role::Execute => depth > 0,
            Role::Names => false,
            _ => self.in_do,
        }
    }
}

#[cfg(test)]
mod tests;
