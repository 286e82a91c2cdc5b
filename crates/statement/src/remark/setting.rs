//! Flags of changed settings: audit, log, authentication; and of acting as another role.

use crate::flag::{Flag, FlagSet};
use crate::lexer::Kind;
use crate::outline::Phrase;

pub(super) fn flags(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    set_config(phrase, flags);
    match phrase.word(0) {
        "set" | "reset" => assignments(phrase, 0, flags),
        "alter" => alter(phrase, flags),
        // A function or a role may carry settings of its own.
        "create" => assignments_after_set(phrase, flags),
        "drop" if phrase.word(1) == "extension" => drop_extension(phrase, flags),
        "uninstall" => uninstall(phrase, flags),
        "purge" => flags.insert(Flag::LogRemoval),
        "flush" if phrase.has_any(&["logs"]) => flags.insert(Flag::LogRemoval),
        "truncate" if phrase.has_any(&["general_log", "slow_log"]) => {
            flags.insert(Flag::LogRemoval);
        }
        _ => {}
    }
    if phrase.starts(&["reset", "master"]) {
        flags.insert(Flag::LogRemoval);
    }
}

fn alter(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    if phrase.starts(&["alter", "extension"]) {
        return;
    }
    assignments_after_set(phrase, flags);
}

fn assignments_after_set(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    for at in 1..phrase.len() {
        if matches!(phrase.word(at), "set" | "reset") {
            setting_at(phrase, at + 1, flags);
        }
    }
}

/// `SET a = 1, GLOBAL b = 2` of MySQL, `SET a TO 1` of PostgreSQL.
fn assignments(phrase: &Phrase<'_>, set: usize, flags: &mut FlagSet) {
    let verb = phrase.word(set);
    let next = phrase.word(set + 1);
    let scoped = usize::from(matches!(next, "session" | "local"));
    let (next, after) = (phrase.word(set + 1 + scoped), phrase.word(set + 2 + scoped));
    if verb == "set" && (next == "role" || next == "authorization") {
        // Back to oneself is no change of role.
        if !matches!(after, "none" | "default") {
            flags.insert(Flag::SetRole);
        }
        return;
    }
    if verb == "reset" && matches!(next, "role" | "authorization") {
        return;
    }
    if next == "password" {
        flags.insert(Flag::PasswordChange);
        return;
    }
    setting_at(phrase, set + 1, flags);
    for at in phrase.level(set + 1) {
        if phrase.kind(at) == Kind::Comma {
            setting_at(phrase, at + 1, flags);
        }
    }
}

/// The name of a setting at `at`, after scopes such as `GLOBAL` and `@@global.`.
fn setting_at(phrase: &Phrase<'_>, mut at: usize, flags: &mut FlagSet) {
    let scopes = ["global", "session", "local", "persist", "persist_only", "@@global", "@@session"];
    while scopes.contains(&phrase.word(at)) || phrase.kind(at) == Kind::Dot {
        at += 1;
    }
    if let Some((name, _)) = phrase.qualified(at) {
        setting(&name, flags);
    }
}

fn set_config(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    for at in 0..phrase.len() {
        let named = phrase.name(at) == Some("set_config") && phrase.kind(at + 1) == Kind::Open;
        if named && matches!(phrase.kind(at + 2), Kind::Text(_)) {
            setting(phrase.get(at + 2).map_or("", |item| item.text), flags);
        }
    }
}

fn setting(name: &str, flags: &mut FlagSet) {
    let name = name.trim_start_matches('@').to_ascii_lowercase();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if begins(&["pgaudit", "server_audit", "audit_log", "shared_preload_libraries"])
        || begins(&["session_preload_libraries", "local_preload_libraries"])
    {
        flags.insert(Flag::AuditSetting);
    }
    if begins(&["log_", "logging_collector", "general_log", "slow_query_log"]) {
        flags.insert(Flag::LogSetting);
    }
    if name == "sql_log_bin" {
        flags.insert(Flag::LogRemoval);
    }
    if name == "general_log_file" {
        flags.insert(Flag::ServerFile);
        flags.insert(Flag::ServerFileWrite);
    }
    if begins(&["hba_file", "ident_file", "password_encryption", "local_infile"])
        || begins(&["default_authentication_plugin", "authentication_policy", "ssl"])
    {
        flags.insert(Flag::AuthenticationSetting);
    }
    if name == "row_security" {
        flags.insert(Flag::DisableRowSecurity);
    }
    if matches!(name.as_str(), "role" | "session_authorization") {
        flags.insert(Flag::SetRole);
    }
}

fn drop_extension(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    if (2..phrase.len()).any(|at| phrase.name(at).is_some_and(|name| name.starts_with("pgaudit"))) {
        flags.insert(Flag::DropAuditExtension);
    }
}

fn uninstall(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    let named = phrase.get(2).map_or("", |item| item.text).to_ascii_lowercase();
    if named.contains("audit") {
        flags.insert(Flag::DropAuditExtension);
    }
}
