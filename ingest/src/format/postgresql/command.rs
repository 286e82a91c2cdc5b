//! What kind of thing a command does.

use event::vocabulary::Action;

/// The action of a command tag, such as `CREATE TABLE`; for those that carry no class.
pub(crate) fn action_of(command: &str) -> Action {
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    match verb {
        "SELECT" if rest.starts_with("INTO") => Action::Define,
        "SELECT" | "FETCH" | "TABLE" | "VALUES" => Action::Read,
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" | "COPY" => Action::Write,
        "CALL" | "DO" => Action::Call,
        "GRANT" | "REVOKE" | "REASSIGN" => Action::Grant,
        "CREATE" | "ALTER" | "DROP" if is_about_roles(rest) => Action::Grant,
        "ALTER" if rest == "SYSTEM" => Action::Set,
        "CREATE" | "ALTER" | "DROP" | "COMMENT" | "SECURITY" | "IMPORT" => Action::Define,
        "SET" | "RESET" | "DISCARD" => Action::Set,
        "VACUUM" | "ANALYZE" | "CHECKPOINT" | "LOAD" | "CLUSTER" | "REINDEX" | "REFRESH"
        | "BASE_BACKUP" | "START_REPLICATION" => Action::Admin,
        _ => Action::Other,
    }
}

fn is_about_roles(object: &str) -> bool {
    matches!(object, "ROLE" | "USER" | "GROUP" | "DEFAULT PRIVILEGES" | "POLICY")
}

/// The command tag that the server would give a statement, and its action; none for no SQL.
pub(crate) fn of_statement(statement: &str) -> Option<(&'static str, Action)> {
    let mut words = Words { rest: statement };
    let verb = words.next()?;
    let verb = VERBS.iter().find(|known| known.eq_ignore_ascii_case(verb))?;
    let tag = match *verb {
        "CREATE" | "ALTER" | "DROP" => object_tag(verb, &mut words)?,
        "WITH" => common_table_tag(&mut words),
        "TABLE" | "VALUES" => "SELECT",
        "START" => "START TRANSACTION",
        "END" => "COMMIT",
        "ABORT" => "ROLLBACK",
        "LOCK" => "LOCK TABLE",
        "TRUNCATE" => "TRUNCATE TABLE",
        "DECLARE" => "DECLARE CURSOR",
        "CLOSE" => "CLOSE CURSOR",
        "COPY" => return Some(("COPY", copy_action(&mut words))),
        verb => verb,
    };
    Some((tag, action_of(tag)))
}

/// What an `EXECUTE` does: DETAIL says `prepare: PREPARE name (types) AS statement`.
pub(crate) fn prepared(detail: &str) -> Option<(&'static str, Action)> {
    let prepare = detail.strip_prefix("prepare: ")?;
    let mut words = prepare.match_indices(|c: char| c.is_ascii_whitespace());
    words.find_map(|(at, _)| {
        let rest = prepare[at..].trim_start();
        let (word, statement) = rest.split_at_checked(2)?;
        let is_as = word.eq_ignore_ascii_case("as") && statement.starts_with(char::is_whitespace);
        if is_as { of_statement(statement) } else { None }
    })
}

/// Verbs whose tag is the verb, or that are looked at more closely.
const VERBS: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "COPY",
    "WITH",
    "TABLE",
    "VALUES",
    "BEGIN",
    "START",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT",
    "SAVEPOINT",
    "RELEASE",
    "SET",
    "RESET",
    "SHOW",
    "DISCARD",
    "CREATE",
    "ALTER",
    "DROP",
    "GRANT",
    "REVOKE",
    "TRUNCATE",
    "COMMENT",
    "SECURITY",
    "CALL",
    "DO",
    "EXECUTE",
    "PREPARE",
    "DEALLOCATE",
    "DECLARE",
    "FETCH",
    "MOVE",
    "CLOSE",
    "EXPLAIN",
    "VACUUM",
    "ANALYZE",
    "CHECKPOINT",
    "CLUSTER",
    "REINDEX",
    "REFRESH",
    "LOAD",
    "LOCK",
    "LISTEN",
    "UNLISTEN",
    "NOTIFY",
    "REASSIGN",
    "IMPORT",
    "BASE_BACKUP",
    "START_REPLICATION",
];

/// Object words, longest first, and the tags that they give.
const OBJECTS: &[(&str, [&str; 3])] = &[
    (
        "MATERIALIZED VIEW",
        ["CREATE MATERIALIZED VIEW", "ALTER MATERIALIZED VIEW", "DROP MATERIALIZED VIEW"],
    ),
    ("DEFAULT PRIVILEGES", ["", "ALTER DEFAULT PRIVILEGES", ""]),
    (
        "FOREIGN DATA WRAPPER",
        ["CREATE FOREIGN DATA WRAPPER", "ALTER FOREIGN DATA WRAPPER", "DROP FOREIGN DATA WRAPPER"],
    ),
    ("FOREIGN TABLE", ["CREATE FOREIGN TABLE", "ALTER FOREIGN TABLE", "DROP FOREIGN TABLE"]),
    ("EVENT TRIGGER", ["CREATE EVENT TRIGGER", "ALTER EVENT TRIGGER", "DROP EVENT TRIGGER"]),
    ("USER MAPPING", ["CREATE USER MAPPING", "ALTER USER MAPPING", "DROP USER MAPPING"]),
    ("TABLE", ["CREATE TABLE", "ALTER TABLE", "DROP TABLE"]),
    ("INDEX", ["CREATE INDEX", "ALTER INDEX", "DROP INDEX"]),
    ("VIEW", ["CREATE VIEW", "ALTER VIEW", "DROP VIEW"]),
    ("SEQUENCE", ["CREATE SEQUENCE", "ALTER SEQUENCE", "DROP SEQUENCE"]),
    ("FUNCTION", ["CREATE FUNCTION", "ALTER FUNCTION", "DROP FUNCTION"]),
    ("PROCEDURE", ["CREATE PROCEDURE", "ALTER PROCEDURE", "DROP PROCEDURE"]),
    ("TRIGGER", ["CREATE TRIGGER", "ALTER TRIGGER", "DROP TRIGGER"]),
    ("SCHEMA", ["CREATE SCHEMA", "ALTER SCHEMA", "DROP SCHEMA"]),
    ("DATABASE", ["CREATE DATABASE", "ALTER DATABASE", "DROP DATABASE"]),
    ("EXTENSION", ["CREATE EXTENSION", "ALTER EXTENSION", "DROP EXTENSION"]),
    ("TYPE", ["CREATE TYPE", "ALTER TYPE", "DROP TYPE"]),
    ("DOMAIN", ["CREATE DOMAIN", "ALTER DOMAIN", "DROP DOMAIN"]),
    ("SERVER", ["CREATE SERVER", "ALTER SERVER", "DROP SERVER"]),
    ("POLICY", ["CREATE POLICY", "ALTER POLICY", "DROP POLICY"]),
    ("PUBLICATION", ["CREATE PUBLICATION", "ALTER PUBLICATION", "DROP PUBLICATION"]),
    ("SUBSCRIPTION", ["CREATE SUBSCRIPTION", "ALTER SUBSCRIPTION", "DROP SUBSCRIPTION"]),
    ("TABLESPACE", ["CREATE TABLESPACE", "ALTER TABLESPACE", "DROP TABLESPACE"]),
    ("RULE", ["CREATE RULE", "ALTER RULE", "DROP RULE"]),
    ("OWNED", ["", "", "DROP OWNED"]),
    ("SYSTEM", ["", "ALTER SYSTEM", ""]),
    ("ROLE", ["CREATE ROLE", "ALTER ROLE", "DROP ROLE"]),
    ("USER", ["CREATE ROLE", "ALTER ROLE", "DROP ROLE"]),
    ("GROUP", ["CREATE ROLE", "ALTER ROLE", "DROP ROLE"]),
];

/// Words between the verb and the object that do not change the tag.
const ADORNMENTS: &[&str] = &[
    "OR",
    "REPLACE",
    "GLOBAL",
    "LOCAL",
    "TEMP",
    "TEMPORARY",
    "UNLOGGED",
    "UNIQUE",
    "RECURSIVE",
    "TRUSTED",
    "PROCEDURAL",
    "CONSTRAINT",
];

/// The tag of CREATE, ALTER or DROP.
fn object_tag(verb: &'static str, words: &mut Words<'_>) -> Option<&'static str> {
    let column = ["CREATE", "ALTER", "DROP"].iter().position(|known| *known == verb)?;
    let mut word = words.next().unwrap_or_default();
    while ADORNMENTS.iter().any(|adornment| adornment.eq_ignore_ascii_case(word)) {
        word = words.next().unwrap_or_default();
    }
    let found = OBJECTS.iter().find(|(object, _)| {
        let mut following = Words { rest: words.rest };
        let mut parts = object.split(' ');
        parts.next().is_some_and(|first| first.eq_ignore_ascii_case(word))
            && parts
                .all(|part| following.next().is_some_and(|next| next.eq_ignore_ascii_case(part)))
    });
    match found.map(|(_, tags)| tags[column]) {
        Some("") | None => Some(verb),
        found => found,
    }
}

/// What follows the common table expressions decides.
fn common_table_tag(words: &mut Words<'_>) -> &'static str {
    let mut depth = 0_i32;
    let bytes = words.rest.as_bytes();
    let mut start = None;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        let in_word = byte.is_ascii_alphabetic();
        let word = match (start, in_word) {
            (None, true) => {
                start = Some(at);
                continue;
            }
            (Some(from), false) => {
                start = None;
                &bytes[from..at]
            }
            _ => continue,
        };
        let main = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"];
        let found = main.iter().find(|verb| verb.as_bytes().eq_ignore_ascii_case(word));
        // The bracket that ended the word was counted already.
        let outside = depth == i32::from(*byte == b'(') - i32::from(*byte == b')');
        if let Some(verb) = found.filter(|_| outside) {
            return verb;
        }
    }
    "SELECT"
}

/// `COPY … FROM` writes, `COPY … TO` reads.
fn copy_action(words: &mut Words<'_>) -> Action {
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    if words.rest.trim_start().starts_with('(') {
        return Action::Read;
    }
    let direction = words.find(|word| is(word, "FROM") || is(word, "TO"));
    if direction.is_some_and(|word| is(word, "FROM")) { Action::Write } else { Action::Read }
}

/// The words of a statement, comments left out. No lexer: for the leading words it is enough.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
            if let Some(comment) = self.rest.strip_prefix("--") {
                self.rest = comment.split_once('\n')?.1;
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                self.rest = comment.split_once("*/")?.1;
            } else {
                break;
            }
        }
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let bytes = self.rest.as_bytes();
        let length = bytes.iter().take_while(|byte| is_word(**byte)).count();
        // Anything that is no word is one of its own, so that the search gets past it.
        let length = if length == 0 { self.rest.chars().next()?.len_utf8() } else { length };
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_get_the_servers_tag() {
        let cases = [
            ("select 1", "SELECT", Action::Read),
            ("  -- hint\n /* a */ (select 1)", "SELECT", Action::Read),
            ("create or replace temp view v as select 1", "CREATE VIEW", Action::Define),
            ("alter user bo password 'x'", "ALTER ROLE", Action::Grant),
            ("drop user mapping for bo server s", "DROP USER MAPPING", Action::Define),
            ("with a as (select 1) insert into t select * from a", "INSERT", Action::Write),
            ("with a as (delete from t returning 1) select * from a", "SELECT", Action::Read),
            ("copy t from stdin", "COPY", Action::Write),
            ("copy (select a from t) to stdout", "COPY", Action::Read),
            ("alter system set a = 1", "ALTER SYSTEM", Action::Set),
            ("vacuum full", "VACUUM", Action::Admin),
            ("begin", "BEGIN", Action::Other),
        ];
        for (statement, tag, action) in cases {
            assert_eq!(of_statement(statement), Some((tag, action)), "{statement}");
        }
        assert_eq!(of_statement("selec 1"), None);
        assert_eq!(of_statement(""), None);
    }
}
