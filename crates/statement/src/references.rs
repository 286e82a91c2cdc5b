//! Functions and columns of a statement as its tokens show them.

use crate::lexer::Kind;
use crate::names::Names;
use crate::tables::Tables;
use crate::token_tree::Phrase;
use crate::word::Role;

/// What looks like a call and is none: types with a length, clauses with a list.
const NO_FUNCTIONS: &[&str] = &[
    "bigint",
    "bit",
    "cast",
    "character",
    "columns",
    "decimal",
    "enum",
    "float",
    "hash",
    "inout",
    "int",
    "integer",
    "key",
    "national",
    "none",
    "numeric",
    "options",
    "out",
    "parameters",
    "range",
    "smallint",
    "time",
    "timestamp",
    "timestamptz",
    "tinyint",
    "treat",
    "varbinary",
    "varchar",
    "varying",
    "list",
    "nothing",
    "conflict",
    "of",
];

/// Words before a name whose parentheses hold columns.
const COLUMN_LISTS: &[&str] =
    &["as", "copy", "index", "into", "recursive", "references", "table", "view", "with", "update"];

/// Names without quotes that are clauses and no columns.
const NO_COLUMNS: &[&str] = &[
    "first",
    "next",
    "last",
    "nulls",
    "rows",
    "row",
    "share",
    "duplicate",
    "key",
    "conflict",
    "nothing",
    "of",
    "at",
    "zone",
    "unbounded",
    "preceding",
    "following",
    "current",
    "ties",
    "matched",
    "cursor",
    "hold",
    "ordinality",
    "recursive",
    "separator",
    "high_priority",
    "low_priority",
    "sql_no_cache",
    "sql_calc_found_rows",
    "skip",
    "locked",
    "overriding",
    "owned",
    "identity",
    "mode",
    "against",
    "dual",
    "session_user",
    "current_user",
    "index",
];

/// Whether the bare `word` is part of a clause where it is no column.
pub(crate) fn is_clause_word(word: &str) -> bool {
    NO_COLUMNS.contains(&word) || NO_FUNCTIONS.contains(&word)
}

/// Adds the functions of the phrase; all of them, whatever the statement.
pub(crate) fn functions(phrase: &Phrase<'_>, tables: &Tables<'_>, names: &mut Names) {
    if is_maintenance(phrase) {
        return;
    }
    let mut start = 0;
    for at in 0..phrase.len() {
        let part = matches!(phrase.kind(at), Kind::Word | Kind::Quoted);
        if part && phrase.kind_before(at) != Kind::Dot {
            start = at;
        }
        if !part || phrase.kind(at + 1) != Kind::Open || tables.taken.get(at) == Some(&true) {
            continue;
        }
        let before = phrase.word_before(start);
        let typed = phrase.kind_before(start) == Kind::Cast;
        let listed = COLUMN_LISTS.contains(&before);
        if let Some((name, _)) = phrase.qualified(start)
            && !typed
            && !listed
            && !NO_FUNCTIONS.contains(&name.as_str())
        {
            names.functions.insert(name);
        }
    }
}

/// `VACUUM t (a)`, `ANALYZE t (a)` hold names of columns; MariaDB's `ANALYZE SELECT …` runs.
fn is_maintenance(phrase: &Phrase<'_>) -> bool {
    let runs = ["select", "with", "insert", "update", "delete", "replace", "values"];
    match phrase.word(0) {
        "vacuum" => true,
        "analyze" | "analyse" => !phrase.has_any(&runs),
        _ => false,
    }
}

/// Adds the columns of a statement that reads or writes rows.
pub(crate) fn columns(phrase: &Phrase<'_>, tables: &Tables<'_>, names: &mut Names) {
    let verbs = ["select", "with", "insert", "update", "delete", "merge", "replace", "copy"];
    let reads = verbs.contains(&phrase.word(0)) || phrase.kind(0) == Kind::Open;
    if !reads && !phrase.has_any(&["select"]) {
        return;
    }
    let mut aliases = tables.aliases.clone();
    aliases.sort_unstable();
    for at in 0..phrase.len() {
        if phrase.get(at).is_some_and(|item| item.text == "*") && is_wildcard(phrase, at) {
            names.columns.insert("*");
        }
        let Some(name) = phrase.name(at) else { continue };
        let qualifies = matches!(phrase.kind(at + 1), Kind::Open | Kind::Dot);
        let bare = phrase.kind(at) == Kind::Word;
        let keyword = bare
            && (NO_COLUMNS.contains(&name)
                || name.starts_with('@')
                || phrase.get(at).is_some_and(|item| item.role != Role::Name)
                // `interval ? day`
                || phrase.kind_before(at) == Kind::Parameter);
        let after_dot = phrase.kind_before(at) == Kind::Dot;
        let not_column = tables.taken.get(at) == Some(&true)
            || (!after_dot && (keyword || aliases.binary_search(&name).is_ok()))
            || phrase.kind_before(at) == Kind::Cast
            || phrase.word_before(at) == "as"
            // A type before its literal: `date ?`.
            || (bare && phrase.kind(at + 1) == Kind::Parameter);
        if !qualifies && !not_column {
            names.columns.insert(name);
        }
    }
}

fn is_wildcard(phrase: &Phrase<'_>, at: usize) -> bool {
    let opens = matches!(phrase.kind_before(at), Kind::Dot | Kind::Comma)
        || matches!(phrase.word_before(at), "select" | "distinct" | "all" | "returning");
    let operand = matches!(phrase.kind(at + 1), Kind::Parameter | Kind::Open)
        || phrase.name(at + 1).is_some();
    opens && !operand
}
