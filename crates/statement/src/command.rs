//! The command tag of a statement, as PostgreSQL reports it.

use crate::Dialect;
use crate::lexer::Kind;
use crate::outline::Phrase;

/// Commands whose tag is their first word.
const PLAIN: &[&str] = &[
    "abort",
    "analyze",
    "begin",
    "call",
    "change",
    "check",
    "checkpoint",
    "checksum",
    "close",
    "cluster",
    "comment",
    "commit",
    "copy",
    "deallocate",
    "delete",
    "describe",
    "discard",
    "do",
    "end",
    "execute",
    "explain",
    "fetch",
    "flush",
    "handler",
    "import",
    "insert",
    "install",
    "kill",
    "listen",
    "load",
    "lock",
    "merge",
    "move",
    "notify",
    "optimize",
    "prepare",
    "purge",
    "reassign",
    "refresh",
    "reindex",
    "release",
    "rename",
    "repair",
    "replace",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "select",
    "set",
    "show",
    "shutdown",
    "start",
    "stop",
    "table",
    "truncate",
    "uninstall",
    "unlisten",
    "unlock",
    "update",
    "use",
    "vacuum",
    "values",
    "xa",
];

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

/// Two words that name one kind of object.
const PAIRS: &[(&str, &str)] = &[
    ("access", "method"),
    ("default", "privileges"),
    ("event", "trigger"),
    ("foreign", "data"),
    ("foreign", "table"),
    ("large", "object"),
    ("materialized", "view"),
    ("operator", "class"),
    ("operator", "family"),
    ("resource", "group"),
    ("text", "search"),
    ("user", "mapping"),
];

/// `SELECT`, `ALTER ROLE`, …; `UNKNOWN` for what begins like no command.
pub(crate) fn command(phrase: &Phrase<'_>, dialect: Dialect) -> String {
    let start = (0..phrase.len()).find(|&at| phrase.kind(at) != Kind::Open).unwrap_or(0);
    match phrase.word(start) {
        "with" => main_verb(phrase, start),
        "select" | "values" | "table" => "SELECT".to_owned(),
        verb @ ("create" | "alter" | "drop") => definition(phrase, verb, dialect),
        verb @ ("grant" | "revoke") => {
            let on_object = phrase.on_level(1, &["on"]).is_some();
            format!("{}{}", verb.to_uppercase(), if on_object { "" } else { " ROLE" })
        }
        verb => simple(phrase, verb, phrase.word(start + 1)),
    }
}

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

fn main_verb(phrase: &Phrase<'_>, start: usize) -> String {
    match main_verb_at(phrase, start).map(|at| phrase.word(at)) {
        Some(verb @ ("insert" | "update" | "delete" | "merge")) => verb.to_uppercase(),
        _ => "SELECT".to_owned(),
    }
}

fn simple(phrase: &Phrase<'_>, verb: &str, next: &str) -> String {
    let tag = match (verb, next) {
        ("truncate", _) => "TRUNCATE TABLE",
        ("lock", "tables") => "LOCK TABLES",
        ("lock", "instance") => "LOCK INSTANCE",
        ("lock", _) => "LOCK TABLE",
        ("declare", _) => "DECLARE CURSOR",
        ("end", _) => "COMMIT",
        ("abort", _) => "ROLLBACK",
        ("analyse", _) => "ANALYZE",
        ("desc", _) => "DESCRIBE",
        ("commit" | "rollback", "prepared")
        | ("prepare" | "start", "transaction")
        | ("start" | "stop" | "reset", "slave" | "replica")
        | ("reset", "master")
        | ("load", "data" | "xml")
        | ("set", "password" | "constraints")
        | ("install" | "uninstall", "plugin" | "soname" | "component")
        | ("change", "master" | "replication")
        | ("import", "foreign")
        | ("deallocate" | "discard", "all")
        | ("discard", "plans" | "sequences" | "temp")
        | ("refresh", "materialized")
        | ("reassign" | "drop", "owned")
        | ("rename" | "check" | "checksum" | "optimize" | "repair", "table") => {
            let tail = match next {
                "foreign" => " SCHEMA",
                "materialized" => " VIEW",
                _ => "",
            };
            return format!("{} {}{tail}", verb.to_uppercase(), next.to_uppercase());
        }
        ("security", "label") => "SECURITY LABEL",
        ("start_replication", _) => "START_REPLICATION",
        ("create_replication_slot", _) => "CREATE_REPLICATION_SLOT",
        ("identify_system", _) => "IDENTIFY_SYSTEM",
        ("base_backup", _) => "BASE_BACKUP",
        _ if phrase.kind(0) != Kind::End && PLAIN.contains(&verb) => return verb.to_uppercase(),
        _ => "UNKNOWN",
    };
    tag.to_owned()
}

fn definition(phrase: &Phrase<'_>, verb: &str, dialect: Dialect) -> String {
    let at = object_at(phrase);
    let (word, next) = (phrase.word(at), phrase.word(at + 1));
    let verb = verb.to_uppercase();
    let kind = match (word, next) {
        ("user" | "group", next) if dialect == Dialect::PostgreSql && next != "mapping" => "ROLE",
        ("foreign", "data") => "FOREIGN DATA WRAPPER",
        ("table", _) if verb == "CREATE" && creates_from_query(phrase) => "TABLE AS",
        ("owned", _) => "OWNED",
        _ if PAIRS.contains(&(word, next)) => {
            return format!("{verb} {word} {next}").to_uppercase();
        }
        _ => return format!("{verb} {word}").trim_end().to_uppercase(),
    };
    format!("{verb} {kind}")
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

fn creates_from_query(phrase: &Phrase<'_>) -> bool {
    phrase.on_level(2, &["as"]).is_some_and(|at| {
        phrase.kind(at + 1) == Kind::Open
            || matches!(phrase.word(at + 1), "select" | "with" | "values" | "table" | "execute")
    })
}
