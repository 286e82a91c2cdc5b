//! Flags of accounts and rights.

use crate::command::object_at;
use crate::flag::{Flag, FlagSet};
use crate::outline::Phrase;

const PREDEFINED: &[&str] = &[
    "pg_execute_server_program",
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_read_all_data",
    "pg_write_all_data",
];

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
    predefined(phrase, object + 2, flags);
    for at in object + 2..phrase.len() {
        match phrase.word(at) {
            "rename" | "set" | "reset" | "default" => break,
            "superuser" => flags.insert(Flag::Superuser),
            "createrole" | "bypassrls" | "replication" => flags.insert(Flag::RoleAttribute),
            "password" | "identified" => flags.insert(Flag::PasswordChange),
            _ => {}
        }
    }
}

fn grant(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    grant_tail(phrase, 0, flags);
    let on = phrase.on_level(1, &["on"]);
    if on.is_none() {
        predefined(phrase, 1, flags);
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

fn predefined(phrase: &Phrase<'_>, from: usize, flags: &mut FlagSet) {
    let ends = |at: &usize| !matches!(phrase.word(*at), "to" | "granted");
    let mut listed = (from..phrase.len()).take_while(ends);
    if listed.any(|at| phrase.name(at).is_some_and(|name| PREDEFINED.contains(&name))) {
        flags.insert(Flag::PredefinedRole);
    }
}
