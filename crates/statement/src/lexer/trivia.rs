//! White space and comments, which a fingerprint does not see but the text flags do.

use memchr::{memchr2, memmem};

use super::{CLASS, Class, Lexer};
use crate::Dialect;
use crate::comment_tag::is_tag_list;
use crate::flag::Flag;

/// Versions of five digits from here on are of no server: MySQL counts `90400` for 9.4.0.
const UNRELEASED_SHORT: u32 = 95_000;
/// Likewise of six: MariaDB counts `120100` for 12.1.0. Dumps write `999999`.
const UNRELEASED_LONG: u32 = 200_000;

impl Lexer<'_> {
    #[inline]
    pub(super) fn skip_trivia(&mut self) {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let blank = rest.iter().take_while(|&&b| matches!(CLASS[b as usize], Class::Space));
        self.at += blank.count();
        if matches!(self.peek(0), b'-' | b'/' | b'#' | b'*') {
            self.skip_comments();
        }
    }

    #[cold]
    fn skip_comments(&mut self) {
        let mut line_comment_last = false;
        loop {
            while self.at < self.input.len() && matches!(CLASS[self.peek(0) as usize], Class::Space)
            {
                self.at += 1;
            }
            match (self.peek(0), self.peek(1)) {
                (b'-', b'-') if self.opens_line_comment() => {
                    self.skip_line();
                    line_comment_last = true;
                }
                (b'#', _) if self.dialect == Dialect::MySql => {
                    self.skip_line();
                    line_comment_last = true;
                }
                (b'/', b'*') => {
                    self.skip_block();
                    line_comment_last = false;
                }
                (b'*', b'/') if self.executable => {
                    self.executable = false;
                    self.at += 2;
                }
                _ => break,
            }
        }
        if line_comment_last && self.at >= self.input.len() {
            self.flags.insert(Flag::CommentTruncation);
        }
    }

    /// MySQL wants white space after `--`: `5--1` is six there.
    fn opens_line_comment(&self) -> bool {
        self.dialect == Dialect::PostgreSql || self.peek(2) <= b' '
    }

    fn skip_line(&mut self) {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let end = match self.dialect {
            Dialect::PostgreSql => memchr2(b'\n', b'\r', rest),
            Dialect::MySql => memchr::memchr(b'\n', rest),
        };
        self.at += end.unwrap_or(rest.len());
        self.flags.insert(Flag::Comment);
    }

    fn skip_block(&mut self) {
        if self.dialect == Dialect::MySql && self.skip_executable_opening() {
            return;
        }
        let body_start = self.at + 2;
        let closed_at = match self.dialect {
            Dialect::PostgreSql => self.nested_end(body_start),
            Dialect::MySql => self.plain_end(body_start),
        };
        let body = self.slice(body_start, closed_at.unwrap_or(self.input.len()));
        self.at = closed_at.map_or(self.input.len(), |at| at + 2);
        if closed_at.is_none() {
            self.flags.insert(Flag::Unterminated);
        }
        if !body.starts_with(b"+") && !is_tag_list(body) {
            self.flags.insert(Flag::Comment);
        }
    }

    fn plain_end(&self, from: usize) -> Option<usize> {
        let rest = self.input.get(from..)?;
        memmem::find(rest, b"*/").map(|at| from + at)
    }

    fn nested_end(&self, from: usize) -> Option<usize> {
        let mut depth = 1_usize;
        let mut at = from;
        loop {
            at += memchr2(b'*', b'/', self.input.get(at..)?)?;
            match self.input.get(at..at + 2)? {
                b"*/" if depth == 1 => return Some(at),
                b"*/" => depth -= 1,
                b"/*" => depth += 1,
                _ => {
                    at += 1;
                    continue;
                }
            }
            at += 2;
        }
    }

    /// `/*!`, `/*!50001`, `/*M!100100`: the rest is code up to `*/`, or a comment to all servers.
    fn skip_executable_opening(&mut self) -> bool {
        let mark = match (self.peek(2), self.peek(3)) {
            (b'!', _) => 3,
            (b'M', b'!') => 4,
            _ => return false,
        };
        // Five digits or six; more belong to the code.
        let digits = (0..6).take_while(|&at| self.peek(mark + at).is_ascii_digit()).count();
        if digits < 5 {
            self.at += mark;
        } else {
            let version = (0..digits)
                .fold(0_u32, |sum, at| sum * 10 + u32::from(self.peek(mark + at) - b'0'));
            let unreleased = if digits == 5 { UNRELEASED_SHORT } else { UNRELEASED_LONG };
            if version >= unreleased {
                self.skip_unreleased(self.at + mark + digits);
                return true;
            }
            self.at += mark + digits;
        }
        self.executable = true;
        self.flags.insert(Flag::ExecutableComment);
        true
    }

    /// Code for a version that no server has. Servers allow one comment within it.
    fn skip_unreleased(&mut self, from: usize) {
        self.flags.insert(Flag::Comment);
        let mut at = from;
        let mut nested = false;
        while let Some(found) = self.input.get(at..).and_then(|rest| memchr2(b'*', b'/', rest)) {
            at += found;
            match self.slice(at, at + 2) {
                b"*/" if nested => (nested, at) = (false, at + 2),
                b"*/" => {
                    self.at = at + 2;
                    return;
                }
                b"/*" => (nested, at) = (true, at + 2),
                _ => at += 1,
            }
        }
        self.at = self.input.len();
        self.flags.insert(Flag::Unterminated);
    }
}
