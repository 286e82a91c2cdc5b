//! White space and comments, which a fingerprint does not see but the text flags do.

use memchr::{memchr2, memmem};

use super::{CLASS, Class, Lexer};
use crate::Dialect;
use crate::comment_tag::is_tag_list;
use crate::flag::Flag;

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

    /// `/*!`, `/*!50001`, `/*M!100100`: the rest is code up to `*/`.
    fn skip_executable_opening(&mut self) -> bool {
        let mark = match (self.peek(2), self.peek(3)) {
            (b'!', _) => 3,
            (b'M', b'!') => 4,
            _ => return false,
        };
        self.at += mark;
        // Five digits or six; more belong to the code.
        let digits = (0..6).take_while(|&ahead| self.peek(ahead).is_ascii_digit()).count();
        if digits >= 5 {
            self.at += digits;
        }
        self.executable = true;
        self.flags.insert(Flag::ExecutableComment);
        true
    }
}
