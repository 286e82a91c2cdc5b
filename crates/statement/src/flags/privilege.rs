//! Flags of accounts and rights.

use crate::command::object_at;
use crate::flag::{Flag, FlagSet};
use crate::lexer::Kind;
use crate::token_tree::Phrase;

const PREDEFINED: &[&str] = &[
    "pg_execute_server_program",
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_read_all_data",
    "pg_write_all_data",
];

/// Roles that have `SUPERUSER`, or what a cloud gives instead.
const SUPERUSERS: &[&str] =
    &["postgres", "rds_superuser", "cloudsqlsuperuser", "azure_pg_admin", "alloydbsuperuser"];

pub(super) fn flags(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    match phrase.word(0) {
        "create" | "alter" => {
            let at = object_at(phrase);
            let account = matches!(phrase.word(at), "role" | "user" | "group");
            if account && phrase.word(at + 1) != "mapping" {
                attributes(phrase, at, flags);
            }
        }
        "grant" => grant(phrase, flags),
        _ => {}
    }
    if phrase.word(0) == "alter"
        && phrase.starts(&["alter", "default", "privileges"])
        && let Some(at) = phrase.find(&["grant"])
    {
        grant_tail(phrase, at, flags);
    }
}

/// Options after the name of the account: `ALTER ROLE superuser LOGIN` only names one.
fn attributes(phrase: &Phrase<'_>, object: usize, flags: &mut FlagSet) {
    if phrase.words_at(object + 2, &["add", "user"]) {
        // `ALTER GROUP postgres ADD USER bo`: the role comes first.
        return phrase.name(object + 1).into_iter().for_each(|role| member_of(role, flags));
    }
    if phrase.word(0) == "alter" && changes_settings(phrase, object + 2) {
        return;
    }
    for at in object + 2..phrase.len() {
        match phrase.word(at) {
            "default" => break,
            "in" if matches!(phrase.word(at + 1), "role" | "group") => {
                memberships(phrase, at + 2, flags);
            }
            "superuser" => flags.insert(Flag::Superuser),
            "createrole" | "bypassrls" | "replication" => flags.insert(Flag::RoleAttribute),
            "password" | "identified" => flags.insert(Flag::PasswordChange),
            _ => {}
        }
    }
}

/// `ALTER ROLE bob [IN DATABASE shop] SET …`: settings, not options. Elsewhere these words may
/// name roles: `CREATE ROLE x IN ROLE reset SUPERUSER`.
fn changes_settings(phrase: &Phrase<'_>, at: usize) -> bool {
    let at = at + if phrase.words_at(at, &["in", "database"]) { 3 } else { 0 };
    matches!(phrase.word(at), "rename" | "set" | "reset")
}

fn grant(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    grant_tail(phrase, 0, flags);
    let on = phrase.on_level(1, &["on"]);
    if on.is_none() {
        memberships(phrase, 1, flags);
    }
    let rights_end = on.unwrap_or(0);
    let all = phrase.word(1) == "all";
    let everywhere = on.is_some_and(|on| {
        let text = |ahead: usize| phrase.get(on + ahead).map_or("", |item| item.text);
        (text(1), text(2), text(3)) == ("*", ".", "*")
    });
    let super_right = (1..rights_end).any(|at| phrase.word(at) == "super");
    if super_right {
        flags.insert(Flag::Superuser);
    }
    if everywhere && all {
        flags.insert(Flag::Superuser);
        flags.insert(Flag::RoleAttribute);
    }
    let wide = on.is_some_and(|on| {
        matches!(phrase.word(on + 1), "database" | "schema" | "all")
            || phrase.get(on + 3).is_some_and(|item| item.text == "*")
    });
    if all && wide {
        flags.insert(Flag::BroadGrant);
    }
    if phrase.has(&["identified"]) {
        flags.insert(Flag::PasswordChange);
    }
}

fn grant_tail(phrase: &Phrase<'_>, from: usize, flags: &mut FlagSet) {
    let option = |word: &str| {
        let at = phrase.find(&["with", word]);
        at.is_some_and(|at| matches!(phrase.word(at + 2), "option" | "true"))
    };
    if option("grant") || option("admin") {
        flags.insert(Flag::GrantOption);
    }
    let Some(to) = phrase.on_level(from, &["to"]) else { return };
    let to_public = phrase
        .level(to + 1)
        .take_while(|&at| !matches!(phrase.word(at), "with" | "granted"))
        .any(|at| phrase.name(at) == Some("public"));
    if to_public {
        flags.insert(Flag::GrantPublic);
    }
}

/// The roles from `at` on, separated by commas.
fn memberships(phrase: &Phrase<'_>, mut at: usize, flags: &mut FlagSet) {
    while let Some(role) = phrase.name(at) {
        member_of(role, flags);
        if phrase.kind(at + 1) != Kind::Comma {
            return;
        }
        at += 2;
    }
}

fn member_of(role: &str, flags: &mut FlagSet) {
    if PREDEFINED.contains(&role) {
        flags.insert(Flag::PredefinedRole);
    }
    if SUPERUSERS.contains(&role) {
        flags.insert(Flag::Superuser);
    }
}
