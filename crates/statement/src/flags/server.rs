//! Flags of statements that reach the server's files, programs, code and network, or remove data.

use crate::command::object_at;
use crate::flag::{Flag, FlagSet};
use crate::lexer::Kind;
use crate::token_tree::Phrase;

/// Extensions that reach host or network; those of untrusted languages come on top.
const EXTENSIONS: &[&str] = &[
    "adminpack",
    "aws_lambda",
    "aws_s3",
    "dblink",
    "file_fdw",
    "http",
    "mysql_fdw",
    "oracle_fdw",
    "pageinspect",
    "pg_background",
    "pg_cron",
    "pg_net",
    "pgsql_http",
    "pldbgapi",
    "pljava",
    "postgres_fdw",
];
const OUTBOUND: &[&str] = &[
    "aws_lambda",
    "aws_s3",
    "dblink",
    "http",
    "mysql_fdw",
    "oracle_fdw",
    "pg_net",
    "pgsql_http",
    "postgres_fdw",
];
/// Untrusted ones whose name is not `pl…u`.
const LANGUAGES: &[&str] = &["java", "javau", "pljava", "plr", "plsh"];
/// Libraries that are loaded by hand in honest work.
const LIBRARIES: &[&str] = &["age", "auto_explain", "pg_hint_plan", "plpgsql"];
/// What takes other objects away with it.
const DROPS_BY_CASCADE: &[&str] = &["domain", "extension", "server", "type", "view"];

pub(super) fn flags(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    match phrase.word(0) {
        "copy" => copy(phrase, flags),
        "load" => load(phrase, flags),
        "create" | "alter" | "drop" => definition(phrase, flags),
        "truncate" => flags.insert(Flag::Truncate),
        "lock" if phrase.has(&["access", "share", "mode"]) => flags.insert(Flag::Dump),
        // After the code of `DO` the rest of the statement stands alone.
        "do" | "language" => language(phrase, flags),
        "install" if phrase.has(&["soname"]) => flags.insert(Flag::NativeFunction),
        "kill" => flags.insert(Flag::Terminate),
        "waitfor" => flags.insert(Flag::Sleep),
        "start_replication" | "create_replication_slot" | "base_backup" => {
            flags.insert(Flag::Replication);
        }
        "change" if matches!(phrase.word(1), "master" | "replication") => {
            flags.insert(Flag::Replication);
        }
        "prepare" if phrase.word(2) == "from" && phrase.kind(3) != Kind::Parameter => {
            flags.insert(Flag::DynamicSql);
        }
        "execute" if phrase.word(1) == "immediate" => flags.insert(Flag::DynamicSql),
        _ => {}
    }
    if phrase.has(&["into", "outfile"]) || phrase.has(&["into", "dumpfile"]) {
        flags.insert(Flag::ServerFile);
        flags.insert(Flag::ServerFileWrite);
    }
}

fn copy(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    let Some(at) = phrase.on_level(1, &["from", "to"]) else { return };
    let writes_file = phrase.word(at) == "to";
    match (phrase.kind(at + 1), phrase.word(at + 1)) {
        (_, "program") if phrase.kind(at + 2) == Kind::Parameter => flags.insert(Flag::Program),
        (_, "stdout") if writes_file => flags.insert(Flag::Dump),
        (Kind::Parameter, _) => {
            flags.insert(Flag::ServerFile);
            flags.insert(if writes_file { Flag::ServerFileWrite } else { Flag::ServerFileRead });
        }
        _ => {}
    }
}

/// `LOAD DATA LOCAL` reads the client's file; PostgreSQL's `LOAD 'library'` loads code.
fn load(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    let library = phrase.get(1).map_or("", |item| item.text);
    if matches!(phrase.kind(1), Kind::Parameter | Kind::Text(_)) {
        // A path, or not even a plain name.
        if !LIBRARIES.contains(&library) {
            flags.insert(Flag::NativeFunction);
        }
    } else if phrase.has(&["infile"]) && !phrase.has(&["local"]) {
        flags.insert(Flag::ServerFile);
        flags.insert(Flag::ServerFileRead);
    }
}

fn definition(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    let verb = phrase.word(0);
    let at = object_at(phrase);
    match (verb, phrase.word(at)) {
        ("drop", "table" | "schema" | "database" | "owned") => flags.insert(Flag::Drop),
        ("drop", "materialized") => flags.insert(Flag::Drop),
        ("drop", object) if DROPS_BY_CASCADE.contains(&object) && phrase.has(&["cascade"]) => {
            flags.insert(Flag::Drop);
        }
        ("drop", "foreign") if phrase.word(at + 1) == "table" => flags.insert(Flag::Drop),
        ("create", "extension") => extension(phrase, at, flags),
        ("create", "language") => {
            let name = phrase.get(at + 1).map_or("", |item| item.text);
            note_language(name, flags);
        }
        ("create", "trigger" | "rule") => flags.insert(Flag::Trigger),
        ("create", "event") if phrase.word(at + 1) == "trigger" => flags.insert(Flag::Trigger),
        ("create", "event") => flags.insert(Flag::Schedule),
        ("create" | "alter", "subscription" | "publication") => flags.insert(Flag::Replication),
        ("create" | "alter", "server") => flags.insert(Flag::Outbound),
        ("create", "table") if phrase.has(&["engine"]) => federated(phrase, flags),
        ("drop", "policy") => flags.insert(Flag::DisableRowSecurity),
        ("alter", "table")
            if phrase.has(&["disable", "row", "level"])
                || phrase.has(&["no", "force", "row", "level"]) =>
        {
            flags.insert(Flag::DisableRowSecurity);
        }
        ("alter", "table") if phrase.has(&["disable", "trigger"]) => {
            flags.insert(Flag::TriggerDisabled);
        }
        ("alter", "event") if phrase.word(at + 1) == "trigger" && phrase.has(&["disable"]) => {
            flags.insert(Flag::TriggerDisabled);
        }
        _ => {}
    }
    routine(phrase, at, flags);
}

/// Code: its language and its rights.
fn routine(phrase: &Phrase<'_>, at: usize, flags: &mut FlagSet) {
    if matches!(phrase.word(0), "create" | "alter") {
        let routine = matches!(phrase.word(at), "function" | "procedure");
        if routine {
            language(phrase, flags);
        }
        let has_rights = routine || matches!(phrase.word(at), "view" | "trigger" | "event");
        if has_rights && phrase.has(&["security", "definer"]) {
            flags.insert(Flag::SecurityDefiner);
        }
        if routine && phrase.has(&["soname"]) {
            flags.insert(Flag::NativeFunction);
        }
    }
}

fn extension(phrase: &Phrase<'_>, at: usize, flags: &mut FlagSet) {
    let exists = phrase.words_at(at + 1, &["if", "not", "exists"]);
    let name = phrase.get(at + 1 + if exists { 3 } else { 0 }).map_or("", |item| item.text);
    // `hstore_plperlu` brings the language that it is made for.
    let language = name.rsplit('_').next().unwrap_or(name);
    if EXTENSIONS.contains(&name) || is_untrusted(language) {
        flags.insert(Flag::DangerousExtension);
    }
    note_language(language, flags);
    if OUTBOUND.contains(&name) {
        flags.insert(Flag::Outbound);
    }
}

fn language(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    for at in 0..phrase.len() {
        if phrase.word(at) == "language" && phrase.kind_before(at) != Kind::Dot {
            note_language(phrase.get(at + 1).map_or("", |item| item.text), flags);
        }
    }
}

fn is_untrusted(language: &str) -> bool {
    LANGUAGES.contains(&language) || (language.starts_with("pl") && language.ends_with('u'))
}

fn note_language(name: &str, flags: &mut FlagSet) {
    if is_untrusted(name) {
        flags.insert(Flag::UntrustedLanguage);
    }
    if matches!(name, "c" | "internal") {
        flags.insert(Flag::UntrustedLanguage);
        flags.insert(Flag::NativeFunction);
    }
}

fn federated(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    if phrase.has(&["federated"]) || phrase.has(&["connection"]) {
        flags.insert(Flag::Outbound);
    }
}
