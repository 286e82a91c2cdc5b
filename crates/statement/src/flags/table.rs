//! Flags of tables, by name; and whether all that a statement writes is temporary.

use crate::command::object_at;
use crate::flag::{Flag, FlagSet};
use crate::names::Names;
use crate::token_tree::Phrase;

/// Who owns a row here owns the database.
const GUARDED: &[&str] = &[
    "pg_auth_members",
    "pg_authid",
    "pg_class",
    "pg_database",
    "pg_db_role_setting",
    "pg_event_trigger",
    "pg_language",
    "pg_proc",
];
const TEMPORARY: &[&str] = &["pg_temp", "temp", "tmp", "staging", "stg", "scratch"];

pub(super) fn flags(names: &Names, touches_rows: bool, flags: &mut FlagSet) {
    for name in names.read.iter().chain(names.written.iter()) {
        touched(name, names, touches_rows, flags);
    }
    for name in names.written.iter().filter(|_| touches_rows) {
        let (schema, last) = name.rsplit_once('.').unwrap_or(("", name));
        if GUARDED.contains(&last) && matches!(schema, "" | "pg_catalog") || schema == "mysql" {
            flags.insert(Flag::CatalogWrite);
        }
        if last == "pg_settings" {
            flags.insert(Flag::ComputedSetting);
        }
    }
}

fn touched(name: &str, names: &Names, touches_rows: bool, flags: &mut FlagSet) {
    let last = name.rsplit('.').next().unwrap_or(name);
    let schemas = ["information_schema.", "pg_catalog.", "mysql.", "performance_schema.", "sys."];
    if last.starts_with("pg_") || schemas.iter().any(|schema| name.starts_with(schema)) {
        flags.insert(Flag::Catalog);
    }
    let shows_secrets = match last {
        "pg_authid" | "pg_shadow" | "pg_user_mapping" => true,
        // The view masks the options of others by itself.
        "pg_user_mappings" => names.columns.contains("umoptions"),
        "pg_subscription" => names.columns.contains("subconninfo") || names.columns.contains("*"),
        "user_mapping_options" => name.starts_with("information_schema."),
        _ => matches!(name, "mysql.user" | "mysql.global_priv"),
    };
    if shows_secrets && touches_rows {
        flags.insert(Flag::PasswordHash);
    }
}

/// Whether something is written, and nothing but tables whose names say that they are temporary.
pub(crate) fn writes_only_temporary(phrases: &[Phrase<'_>], names: &Names) -> bool {
    !names.written.is_empty()
        && names.written.iter().all(is_temporary)
        && !phrases.iter().any(writes_beyond_names)
}

/// Drops what is no table, or changes tables that `UPDATE a JOIN b SET b.x = …` only joins.
fn writes_beyond_names(phrase: &Phrase<'_>) -> bool {
    match phrase.word(0) {
        "grant" | "revoke" => true,
        "drop" => {
            let object = phrase.word(object_at(phrase));
            !matches!(object, "table" | "view" | "materialized" | "foreign")
        }
        "update" => phrase
            .on_level(1, &["join", "straight_join", "set"])
            .is_some_and(|at| phrase.word(at) != "set"),
        _ => false,
    }
}

/// A part of the name between dots and underscores says so: `pg_temp_3.t`, `stg_orders`.
fn is_temporary(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let says_so = |word: &str| {
        name.match_indices(word).any(|(at, _)| {
            let before = name.get(..at).unwrap_or_default();
            let after = name.get(at + word.len()..).unwrap_or_default();
            (before.is_empty() || before.ends_with(['.', '_']))
                && (after.is_empty()
                    || after.starts_with(|next: char| ".0123456789_".contains(next)))
        })
    };
    TEMPORARY.iter().any(|word| says_so(word))
        || name.contains("__dbt_backup")
        || name.contains("__dbt_tmp")
}
