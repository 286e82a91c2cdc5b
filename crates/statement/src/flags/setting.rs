//! Flags of changed settings: audit, log, authentication; and of acting as another role.

use crate::flag::{Flag, FlagSet};
use crate::lexer::Kind;
use crate::token_tree::Phrase;

/// Around the name in `set_config(…)`.
const NAME_TOKENS_MAX: usize = 32;
/// `GLOBAL a.b =`, `@@global.a.b :=`.
const SCOPED_NAME_TOKENS_MAX: usize = 8;
/// Of a list of libraries; keeps hostile text linear.
const VALUE_TOKENS_MAX: usize = 64;
/// What the server runs as a program or loads as a library.
const PROGRAMS: &[&str] = &[
    "archive_cleanup_command",
    "archive_command",
    "archive_library",
    "dynamic_library_path",
    "jit_provider",
    "local_preload_libraries",
    "recovery_end_command",
    "restore_command",
    "session_preload_libraries",
    "shared_preload_libraries",
    "ssl_passphrase_command",
];

pub(super) fn flags(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    set_config(phrase, flags);
    match phrase.word(0) {
        "set" | "reset" => assignments(phrase, 0, flags),
        "alter" => alter(phrase, flags),
        // A function or a role may carry settings of its own.
        "create" => assignments_after_set(phrase, flags),
        "drop" => drop(phrase, flags),
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
    if phrase.word(1) == "extension" {
        let audits = phrase.name(2).is_some_and(|name| name.starts_with("pgaudit"));
        if audits && phrase.word(3) == "drop" {
            flags.insert(Flag::AuditSetting);
        }
        return;
    }
    if phrase.words_at(1, &["event", "trigger"]) && phrase.word(4) == "disable" {
        audit_trigger(phrase, 3, flags);
    }
    assignments_after_set(phrase, flags);
}

/// The audit extension sees definitions and drops by its event triggers.
fn audit_trigger(phrase: &Phrase<'_>, at: usize, flags: &mut FlagSet) {
    if phrase.name(at).is_some_and(|name| name.starts_with("pgaudit_")) {
        flags.insert(Flag::AuditSetting);
    }
}

fn assignments_after_set(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    for at in 1..phrase.len() {
        if matches!(phrase.word(at), "set" | "reset") {
            setting_at(phrase, at + 1, phrase.word(at) == "reset", flags);
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
    // `RESET ALL` goes back to what the role has, as every pool of connections does.
    if verb == "reset" && matches!(next, "role" | "authorization" | "all") {
        return;
    }
    if next == "password" {
        flags.insert(Flag::PasswordChange);
        return;
    }
    setting_at(phrase, set + 1, verb == "reset", flags);
    for at in phrase.level(set + 1) {
        if phrase.kind(at) == Kind::Comma && is_assignment(phrase, at + 1) {
            setting_at(phrase, at + 1, false, flags);
        }
    }
}

/// In PostgreSQL what follows a comma is one more value.
fn is_assignment(phrase: &Phrase<'_>, at: usize) -> bool {
    let mut name = phrase.level(at).take(SCOPED_NAME_TOKENS_MAX);
    let ends = |kind| matches!(kind, Kind::Operator | Kind::Comma);
    name.find(|&at| ends(phrase.kind(at))).is_some_and(|at| phrase.kind(at) == Kind::Operator)
}

/// The name of a setting at `at`, after scopes such as `GLOBAL` and `@@global.`.
fn setting_at(phrase: &Phrase<'_>, mut at: usize, reset: bool, flags: &mut FlagSet) {
    let scopes = ["global", "session", "local", "persist", "persist_only", "@@global", "@@session"];
    while scopes.contains(&phrase.word(at)) || phrase.kind(at) == Kind::Dot {
        at += 1;
    }
    if reset && phrase.word(at) == "all" {
        flags.insert(Flag::AuditSetting);
    }
    if let Some((name, end)) = phrase.qualified(at) {
        let value = if reset { Value::Default } else { Value::at(phrase, end) };
        setting(&name, value, flags);
    }
}

/// What a setting becomes, as far as the normal form tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value<'o> {
    Unknown,
    Default,
    /// Bare words: the first, and whether one names the audit extension.
    Words(&'o str, bool),
}

impl<'o> Value<'o> {
    /// The value after a name that ends at `at`.
    fn at(phrase: &Phrase<'o>, at: usize) -> Self {
        if phrase.kind(at) != Kind::Operator && phrase.word(at) != "to" {
            return Self::Unknown;
        }
        let words = |at: &usize| {
            matches!(phrase.kind(*at), Kind::Word | Kind::Quoted | Kind::Comma | Kind::Text(_))
        };
        let text = |at: usize| phrase.get(at).map_or("", |item| item.text);
        match phrase.word(at + 1) {
            "default" => Self::Default,
            _ if !words(&(at + 1))
                || !phrase.level(at + 1).take(VALUE_TOKENS_MAX).all(|at| words(&at)) =>
            {
                Self::Unknown
            }
            _ => {
                let mut value = phrase.level(at + 1).take(VALUE_TOKENS_MAX);
                let audits = value.any(|at| text(at).contains("pgaudit"));
                Self::Words(text(at + 1), audits)
            }
        }
    }
}

/// `set_config('name', …)`, also as `set_config(cast('name' as text), …)`.
fn set_config(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    if matches!(phrase.word(0), "grant" | "revoke" | "comment" | "drop") {
        return;
    }
    for at in 0..phrase.len() {
        let named = phrase.name(at) == Some("set_config") && phrase.kind(at + 1) == Kind::Open;
        if named && phrase.word_before(at) != "function" {
            named_setting(phrase, at + 2, flags);
        }
    }
}

fn named_setting(phrase: &Phrase<'_>, mut at: usize, flags: &mut FlagSet) {
    let limit = at + NAME_TOKENS_MAX;
    while at < limit && (phrase.kind(at) == Kind::Open || phrase.word(at) == "cast") {
        at += 1;
    }
    let mut known = matches!(phrase.kind(at), Kind::Text(_));
    if known {
        setting(phrase.get(at).map_or("", |item| item.text), Value::Unknown, flags);
        // Types and parentheses change nothing.
        let typed =
            |at| matches!(phrase.kind(at), Kind::Close | Kind::Cast | Kind::Dot | Kind::Word);
        at += 1;
        while at < limit && typed(at) {
            at += 1;
        }
        known = matches!(phrase.kind(at), Kind::Comma | Kind::End);
    }
    if !known {
        flags.insert(Flag::ComputedSetting);
    }
}

fn setting(name: &str, value: Value<'_>, flags: &mut FlagSet) {
    let name = name.trim_start_matches('@').to_ascii_lowercase();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if begins(&["pgaudit", "server_audit", "audit_log"]) {
        flags.insert(Flag::AuditSetting);
    }
    if PROGRAMS.contains(&name.as_str()) && value != Value::Default {
        flags.insert(Flag::ProgramSetting);
    }
    let unloads_audit = matches!(value, Value::Default | Value::Words(_, false));
    if begins(&["shared_preload_libraries", "session_preload_libraries"]) && unloads_audit {
        flags.insert(Flag::AuditSetting);
    }
    let keeps_triggers = matches!(value, Value::Default | Value::Words("origin" | "local", _));
    if name == "session_replication_role" && !keeps_triggers {
        flags.insert(Flag::TriggerDisabled);
    }
    if begins(&["log_", "logging_collector", "general_log", "slow_query_log"])
        || name == "sql_log_bin"
    {
        flags.insert(Flag::LogSetting);
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

fn drop(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    let audits = |at: usize| phrase.name(at).is_some_and(|name| name.starts_with("pgaudit"));
    if phrase.word(1) == "extension" && (2..phrase.len()).any(audits) {
        flags.insert(Flag::DropAuditExtension);
    }
    if phrase.words_at(1, &["event", "trigger"]) {
        let exists = phrase.words_at(3, &["if", "exists"]);
        audit_trigger(phrase, if exists { 5 } else { 3 }, flags);
    }
}

fn uninstall(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    let named = phrase.get(2).map_or("", |item| item.text).to_ascii_lowercase();
    if named.contains("audit") {
        flags.insert(Flag::DropAuditExtension);
    }
}
