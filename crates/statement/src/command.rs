//! The one classifier of commands: from SQL text to the tag that the server gives and to a class,
//! and from a tag that a server logged to the class.

mod cursor;
mod tag;

use std::fmt;

use crate::Dialect;
use crate::lexer::Kind;
use crate::token_tree::Phrase;
use cursor::Cursor;
use tag::{DEFINITIONS, OBJECTS, UNKNOWN, VERBS};

/// What kind of thing a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandClass {
    /// Reads data.
    Read,
    /// Writes data.
    Write,
    /// Creates, alters or drops objects.
    Define,
    /// Changes roles and privileges.
    Grant,
    /// Calls a procedure or runs a code block.
    Call,
    /// Changes a setting.
    Set,
    /// Maintenance, replication, commands to the server.
    Admin,
    /// Anything else: transactions, locks, `EXPLAIN`.
    Other,
}

impl CommandClass {
    /// The class of a tag that a server logged, such as `ALTER ROLE`. `COPY` is taken to read:
    /// a tag does not tell its direction. `Other` for unknown tags.
    pub fn of_tag(tag: &str) -> Self {
        tag::class_of(tag).unwrap_or(Self::Other)
    }

    /// The name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Define => "define",
            Self::Grant => "grant",
            Self::Call => "call",
            Self::Set => "set",
            Self::Admin => "admin",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for CommandClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The command of a statement; of the first one in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// As the server reports it: `SELECT`, `ALTER ROLE`; `UNKNOWN` for what begins like no command.
    pub tag: &'static str,
    /// Mostly the class of the tag; the direction of `COPY` and what `EXPLAIN ANALYZE` runs count.
    pub class: CommandClass,
}

impl Command {
    /// Reads the leading tokens of `sql`, and as many more as decide; allocates nothing. All texts
    /// with one normal form have one command.
    pub fn of(sql: &str, dialect: Dialect) -> Self {
        let mut cursor = Cursor::new(sql.as_bytes(), dialect);
        cursor.skip_empty_statements();
        at(cursor, dialect, NESTED_MAX)
    }

    /// The command that `PREPARE name [(types)] AS statement` prepares; none if `sql` is another.
    pub fn prepared(sql: &str, dialect: Dialect) -> Option<Self> {
        let mut cursor = Cursor::new(sql.as_bytes(), dialect);
        cursor.skip_empty_statements();
        if !cursor.is_word("prepare") {
            return None;
        }
        cursor.step();
        if cursor.kind() == Kind::End {
            return None;
        }
        cursor.step();
        if cursor.kind() == Kind::Open {
            cursor.step_over();
        }
        if !cursor.is_word("as") {
            return None;
        }
        cursor.step();
        Some(at(cursor, dialect, NESTED_MAX))
    }

    /// Whether the text began like a command.
    pub fn is_known(self) -> bool {
        self.tag != UNKNOWN
    }
}

/// `EXPLAIN ANALYZE EXPLAIN ANALYZE …` is no SQL.
const NESTED_MAX: usize = 2;

const fn command(tag: &'static str, class: CommandClass) -> Command {
    Command { tag, class }
}

fn at(mut cursor: Cursor<'_>, dialect: Dialect, nested_max: usize) -> Command {
    while cursor.kind() == Kind::Open {
        cursor.step();
    }
    if cursor.kind() != Kind::Word {
        return command(UNKNOWN, CommandClass::Other);
    }
    match cursor.word() {
        b"with" => return main_command(cursor),
        b"create" => return definition(cursor, 0, dialect),
        b"alter" => return definition(cursor, 1, dialect),
        b"drop" => return definition(cursor, 2, dialect),
        _ => {}
    }
    let Some(verb) = VERBS.iter().find(|verb| cursor.reads(verb.words)) else {
        return command(UNKNOWN, CommandClass::Other);
    };
    let class = match verb.tag {
        "GRANT" if !cursor.clone().finds_on_level(b"on") => {
            return command("GRANT ROLE", verb.class);
        }
        "REVOKE" if !cursor.clone().finds_on_level(b"on") => {
            return command("REVOKE ROLE", verb.class);
        }
        "COPY" => copy_class(cursor, dialect, nested_max),
        "EXPLAIN" | "ANALYZE" | "DESCRIBE" if nested_max > 0 => {
            explained_class(cursor, dialect, nested_max).unwrap_or(verb.class)
        }
        _ => verb.class,
    };
    command(verb.tag, class)
}

/// The command after the `WITH` queries.
fn main_command(mut cursor: Cursor<'_>) -> Command {
    let (mut before, mut after_name_place) = (Kind::Word, true);
    cursor.step();
    loop {
        match cursor.kind() {
            Kind::End | Kind::Semicolon | Kind::Close => break,
            Kind::Open if before == Kind::Close => break,
            Kind::Word if !after_name_place => match cursor.word() {
                b"insert" => return command("INSERT", CommandClass::Write),
                b"update" => return command("UPDATE", CommandClass::Write),
                b"delete" => return command("DELETE", CommandClass::Write),
                b"merge" => return command("MERGE", CommandClass::Write),
                b"replace" => return command("REPLACE", CommandClass::Write),
                b"select" | b"values" | b"table" => break,
                _ => {}
            },
            _ => {}
        }
        before = match cursor.kind() {
            Kind::Open => Kind::Close,
            kind => kind,
        };
        // A name stands here, be it one that reads like a command: `WITH values AS (…) DELETE …`.
        after_name_place = before == Kind::Comma
            || (before == Kind::Word && NAMES_FOLLOW.contains(&cursor.word()));
        cursor.step_over();
    }
    command("SELECT", CommandClass::Read)
}

/// Words of a `WITH` clause that a name follows.
const NAMES_FOLLOW: [&[u8]; 6] = [b"recursive", b"by", b"set", b"to", b"default", b"using"];

/// `COPY … FROM` writes, `COPY … TO` reads, `COPY (DELETE … RETURNING …) TO` writes.
fn copy_class(mut cursor: Cursor<'_>, dialect: Dialect, nested_max: usize) -> CommandClass {
    cursor.step();
    if cursor.kind() == Kind::Open && nested_max > 0 {
        return match at(cursor, dialect, nested_max - 1).class {
            CommandClass::Write => CommandClass::Write,
            _ => CommandClass::Read,
        };
    }
    loop {
        match cursor.kind() {
            Kind::End | Kind::Semicolon => return CommandClass::Read,
            Kind::Word if cursor.word() == b"from" => return CommandClass::Write,
            Kind::Word if cursor.word() == b"to" => return CommandClass::Read,
            _ => cursor.step_over(),
        }
    }
}

/// What `EXPLAIN ANALYZE` and MariaDB's `ANALYZE` run; none if they run nothing.
fn explained_class(
    mut cursor: Cursor<'_>,
    dialect: Dialect,
    nested_max: usize,
) -> Option<CommandClass> {
    const STATEMENTS: [&[u8]; 7] =
        [b"select", b"with", b"insert", b"update", b"delete", b"merge", b"replace"];
    let mut runs = false;
    for _ in 0..EXPLAIN_TOKENS_MAX {
        match cursor.kind() {
            Kind::End | Kind::Semicolon => return None,
            Kind::Word => match cursor.word() {
                b"analyze" | b"analyse" => runs = true,
                word if STATEMENTS.contains(&word) => {
                    return runs.then(|| at(cursor, dialect, nested_max - 1).class);
                }
                // `EXPLAIN ANALYZE CREATE TABLE t AS …`, `… EXECUTE name`.
                b"create" | b"execute" | b"refresh" | b"declare" => {
                    return runs.then(|| at(cursor, dialect, nested_max - 1).class);
                }
                _ => {}
            },
            _ => {}
        }
        cursor.step();
    }
    None
}

/// From `EXPLAIN` to its statement, options included.
const EXPLAIN_TOKENS_MAX: usize = 64;

/// `CREATE`, `ALTER` or `DROP` something; `verb` counts them.
fn definition(mut cursor: Cursor<'_>, verb: usize, dialect: Dialect) -> Command {
    let aggregate = cursor.step_to_object();
    let role = dialect == Dialect::PostgreSql
        && (cursor.is_word("user") || cursor.is_word("group"))
        && !cursor.reads("USER MAPPING");
    let words = |words: &str| if role { words == "ROLE" } else { cursor.reads(words) };
    let found = OBJECTS.iter().find(|object| words(object.words));
    let Some(object) =
        found.or_else(|| OBJECTS.iter().find(|object| aggregate && object.words == "AGGREGATE"))
    else {
        let tag = DEFINITIONS.get(verb).copied().unwrap_or(UNKNOWN);
        return command(tag, CommandClass::Define);
    };
    if verb == 0 && object.words == "TABLE" && cursor.creates_from_query() {
        return command("CREATE TABLE AS", CommandClass::Define);
    }
    command(object.tags.get(verb).copied().unwrap_or(UNKNOWN), object.class)
}

/// Words between `CREATE`, `ALTER` or `DROP` and what it is about.
const MODIFIERS: &[&str] = &[
    "or",
    "replace",
    "temp",
    "temporary",
    "unlogged",
    "global",
    "local",
    "recursive",
    "unique",
    "fulltext",
    "spatial",
    "trusted",
    "procedural",
    "constraint",
    "concurrently",
    "online",
    "offline",
    "ignore",
    "aggregate",
    "definer",
    "algorithm",
    "sql",
    "security",
    "invoker",
    "current_user",
    "undefined",
    "temptable",
    "if",
    "not",
    "exists",
];

/// The verb after the `WITH` queries.
pub(crate) fn main_verb_at(phrase: &Phrase<'_>, start: usize) -> Option<usize> {
    phrase
        .on_level(start, &["select", "insert", "update", "delete", "merge", "values", "table"])
        .or_else(|| {
            let tail = |at: &usize| {
                phrase.kind(*at) == Kind::Open && phrase.kind_before(*at) == Kind::Close
            };
            phrase.level(start).find(tail)
        })
}

/// Where the kind of object stands in `CREATE`, `ALTER` or `DROP`.
pub(crate) fn object_at(phrase: &Phrase<'_>) -> usize {
    let mut at = 1;
    while let Some(item) = phrase.get(at) {
        let modifier = match item.kind {
            Kind::Word => MODIFIERS.contains(&item.text),
            // `DEFINER = user@host`.
            _ => true,
        };
        let value = matches!(phrase.kind_before(at), Kind::Operator | Kind::At)
            || item.text.starts_with('@');
        if !modifier && !value {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
