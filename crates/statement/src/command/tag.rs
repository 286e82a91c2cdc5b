//! The command tags that PostgreSQL, MySQL and MariaDB give, each with its class: one table for
//! SQL text and for tags that a server logged.

use super::CommandClass::{self, Admin, Call, Define, Grant, Other, Read, Set, Write};

/// A command by its leading words.
pub(super) struct Verb {
    /// Upper case, one space between; the longer of two with one beginning stands first.
    pub(super) words: &'static str,
    pub(super) tag: &'static str,
    pub(super) class: CommandClass,
}

/// A kind of object, with its tags after `CREATE`, `ALTER` and `DROP`.
pub(super) struct Object {
    pub(super) words: &'static str,
    pub(super) tags: [&'static str; 3],
    pub(super) class: CommandClass,
}

/// The order of `Object::tags`.
pub(super) const DEFINITIONS: [&str; 3] = ["CREATE", "ALTER", "DROP"];

/// What a statement that begins like no command is called.
pub(super) const UNKNOWN: &str = "UNKNOWN";

/// Tags that no leading words tell: more of the statement decides.
const DECIDED_LATER: &[(&str, CommandClass)] = &[
    ("CREATE TABLE AS", Define),
    ("SELECT INTO", Define),
    ("GRANT ROLE", Grant),
    ("REVOKE ROLE", Grant),
    ("CREATE", Define),
    ("ALTER", Define),
    ("DROP", Define),
];

/// The class of a tag in upper case; none if no server that we know gives it.
pub(super) fn class_of(tag: &str) -> Option<CommandClass> {
    if let Some(verb) = VERBS.iter().find(|verb| verb.tag == tag) {
        return Some(verb.class);
    }
    if let Some((_, class)) = DECIDED_LATER.iter().find(|(later, _)| *later == tag) {
        return Some(*class);
    }
    let (verb, object) = tag.split_once(' ')?;
    if !DEFINITIONS.contains(&verb) {
        return None;
    }
    OBJECTS.iter().find(|known| known.words == object).map(|known| known.class)
}

const fn same(words: &'static str, class: CommandClass) -> Verb {
    Verb { words, tag: words, class }
}

const fn named(words: &'static str, tag: &'static str, class: CommandClass) -> Verb {
    Verb { words, tag, class }
}

/// The commonest first. `COPY` reads or writes, as its direction tells.
pub(super) const VERBS: &[Verb] = &[
    same("SELECT", Read),
    same("UPDATE", Write),
    same("INSERT", Write),
    same("DELETE", Write),
    same("BEGIN", Other),
    same("COMMIT PREPARED", Other),
    same("COMMIT", Other),
    named("END", "COMMIT", Other),
    same("SET PASSWORD", Grant),
    same("SET CONSTRAINTS", Set),
    same("SET", Set),
    same("SHOW", Other),
    same("START TRANSACTION", Other),
    same("START REPLICA", Admin),
    same("START SLAVE", Admin),
    named("START_REPLICATION", "START_REPLICATION", Admin),
    same("START", Other),
    same("ROLLBACK PREPARED", Other),
    same("ROLLBACK", Other),
    named("ABORT", "ROLLBACK", Other),
    same("SAVEPOINT", Other),
    same("RELEASE", Other),
    named("VALUES", "SELECT", Read),
    named("TABLE", "SELECT", Read),
    same("MERGE", Write),
    same("REPLACE", Write),
    same("COPY", Read),
    same("CALL", Call),
    same("DO", Call),
    same("EXECUTE", Other),
    same("EXPLAIN", Other),
    same("PREPARE TRANSACTION", Other),
    same("PREPARE", Other),
    same("DEALLOCATE ALL", Other),
    same("DEALLOCATE", Other),
    named("DECLARE", "DECLARE CURSOR", Read),
    same("FETCH", Read),
    same("MOVE", Other),
    named("CLOSE", "CLOSE CURSOR", Other),
    same("RESET MASTER", Admin),
    same("RESET REPLICA", Admin),
    same("RESET SLAVE", Admin),
    same("RESET", Set),
    same("DISCARD ALL", Set),
    same("DISCARD PLANS", Set),
    same("DISCARD SEQUENCES", Set),
    same("DISCARD TEMP", Set),
    same("DISCARD", Set),
    named("TRUNCATE", "TRUNCATE TABLE", Write),
    same("VACUUM", Admin),
    same("ANALYZE", Admin),
    named("ANALYSE", "ANALYZE", Admin),
    same("LOCK TABLES", Other),
    same("LOCK INSTANCE", Admin),
    named("LOCK", "LOCK TABLE", Other),
    same("LISTEN", Other),
    same("UNLISTEN", Other),
    same("NOTIFY", Other),
    same("GRANT", Grant),
    same("REVOKE", Grant),
    same("REASSIGN OWNED", Grant),
    same("REASSIGN", Grant),
    same("COMMENT", Define),
    same("SECURITY LABEL", Define),
    same("IMPORT FOREIGN SCHEMA", Define),
    same("IMPORT", Define),
    same("REFRESH MATERIALIZED VIEW", Admin),
    same("REFRESH", Admin),
    same("REINDEX", Admin),
    same("CLUSTER", Admin),
    same("REPACK", Admin),
    same("CHECKPOINT", Admin),
    same("LOAD DATA", Write),
    same("LOAD XML", Write),
    same("LOAD", Admin),
    same("BASE_BACKUP", Admin),
    same("IDENTIFY_SYSTEM", Admin),
    same("CREATE_REPLICATION_SLOT", Admin),
    same("ALTER_REPLICATION_SLOT", Admin),
    same("DROP_REPLICATION_SLOT", Admin),
    same("READ_REPLICATION_SLOT", Admin),
    same("TIMELINE_HISTORY", Admin),
    same("UPLOAD_MANIFEST", Admin),
    same("USE", Other),
    same("DESCRIBE", Other),
    named("DESC", "DESCRIBE", Other),
    same("UNLOCK", Other),
    same("HANDLER", Read),
    same("RENAME TABLE", Define),
    named("RENAME USER", "RENAME USER", Grant),
    same("RENAME", Define),
    same("CHECK TABLE", Admin),
    same("CHECKSUM TABLE", Admin),
    same("OPTIMIZE TABLE", Admin),
    same("REPAIR TABLE", Admin),
    same("CHECK", Admin),
    same("CHECKSUM", Admin),
    same("OPTIMIZE", Admin),
    same("REPAIR", Admin),
    same("FLUSH", Admin),
    same("KILL", Admin),
    same("PURGE", Admin),
    same("SHUTDOWN", Admin),
    same("STOP REPLICA", Admin),
    same("STOP SLAVE", Admin),
    same("STOP", Admin),
    same("CHANGE MASTER", Admin),
    same("CHANGE REPLICATION", Admin),
    same("CHANGE", Admin),
    same("INSTALL PLUGIN", Admin),
    same("INSTALL SONAME", Admin),
    same("INSTALL COMPONENT", Admin),
    same("INSTALL", Admin),
    same("UNINSTALL PLUGIN", Admin),
    same("UNINSTALL SONAME", Admin),
    same("UNINSTALL COMPONENT", Admin),
    same("UNINSTALL", Admin),
    same("XA", Other),
];

macro_rules! objects {
    ($($words:literal: $class:ident,)+) => {
        /// The longer of two with one beginning stands first.
        pub(super) const OBJECTS: &[Object] = &[$(Object {
            words: $words,
            tags: [
                concat!("CREATE ", $words),
                concat!("ALTER ", $words),
                concat!("DROP ", $words),
            ],
            class: $class,
        },)+];
    };
}

objects! {
    "TABLE": Define,
    "INDEX": Define,
    "VIEW": Define,
    "MATERIALIZED VIEW": Define,
    "SEQUENCE": Define,
    "FUNCTION": Define,
    "PROCEDURE": Define,
    "ROUTINE": Define,
    "AGGREGATE": Define,
    "TRIGGER": Define,
    "EVENT TRIGGER": Define,
    "EVENT": Define,
    "SCHEMA": Define,
    "DATABASE": Define,
    "EXTENSION": Define,
    "TYPE": Define,
    "DOMAIN": Define,
    "SERVER": Define,
    "POLICY": Grant,
    "PUBLICATION": Define,
    "SUBSCRIPTION": Define,
    "TABLESPACE": Define,
    "RULE": Define,
    "OWNED": Define,
    "SYSTEM": Set,
    "DEFAULT PRIVILEGES": Grant,
    "FOREIGN DATA WRAPPER": Define,
    "FOREIGN TABLE": Define,
    "USER MAPPING": Define,
    "ROLE": Grant,
    "USER": Grant,
    "GROUP": Grant,
    "LANGUAGE": Define,
    "CAST": Define,
    "COLLATION": Define,
    "CONVERSION": Define,
    "OPERATOR CLASS": Define,
    "OPERATOR FAMILY": Define,
    "OPERATOR": Define,
    "STATISTICS": Define,
    "TEXT SEARCH CONFIGURATION": Define,
    "TEXT SEARCH DICTIONARY": Define,
    "TEXT SEARCH PARSER": Define,
    "TEXT SEARCH TEMPLATE": Define,
    "TRANSFORM": Define,
    "ACCESS METHOD": Define,
    "LARGE OBJECT": Define,
    "LOGFILE GROUP": Define,
    "RESOURCE GROUP": Define,
    "UNDO TABLESPACE": Define,
    "PACKAGE BODY": Define,
    "PACKAGE": Define,
    "PREPARE": Other,
    "INSTANCE": Admin,
}
