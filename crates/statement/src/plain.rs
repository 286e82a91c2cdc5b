//! Which statements are so plain that tokens tell all their names, so that no parser is needed:
//! one `SELECT`, `INSERT … VALUES`, `UPDATE` or `DELETE` without nested queries. Most statements of
//! applications are, and asking the parser costs three times all the rest.
//!
//! In doubt a statement is not plain: the parser then reads it as well.

use crate::lexer::Kind;
use crate::tables::Tables;
use crate::token_tree::Phrase;
use crate::word::Role;

/// Longer statements are machine-made, and rare.
const TOKENS_MAX: usize = 512;

/// The keywords of plain statements.
const KEYWORDS: &[&str] = &[
    "all",
    "and",
    "as",
    "asc",
    "between",
    "by",
    "cross",
    "default",
    "delete",
    "desc",
    "distinct",
    "false",
    "from",
    "full",
    "group",
    "having",
    "ilike",
    "in",
    "inner",
    "insert",
    "into",
    "is",
    "join",
    "like",
    "limit",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "returning",
    "select",
    "set",
    "true",
    "update",
    "using",
    "values",
    "where",
];

/// Keywords before a table.
const TABLE_FOLLOWS: &[&str] = &["from", "into", "join", "update"];

/// Keywords of conditions, which follow no table.
const CONDITIONS: &[&str] = &["and", "between", "ilike", "in", "is", "like", "not", "or"];

/// Functions that are called like any other, though they are keywords.
const CALLED: &[&str] = &["coalesce", "greatest", "least", "left", "nullif", "replace", "right"];

/// Whether names found by tokens are those that a parser would find in this statement.
pub(crate) fn is_plain(phrase: &Phrase<'_>, tables: &Tables<'_>) -> bool {
    let verb = phrase.word(0);
    let begins = match verb {
        "select" | "update" => true,
        "insert" => phrase.word(1) == "into",
        "delete" => phrase.word(1) == "from",
        _ => false,
    };
    begins
        && phrase.len() <= TOKENS_MAX
        && (1..phrase.len()).all(|at| fits(phrase, tables, at) && alternates(phrase, tables, at))
        && lists_tables(phrase, tables)
        && ends_operand(phrase, phrase.len() - 1)
}

/// Whether a table follows wherever one is expected.
fn lists_tables(phrase: &Phrase<'_>, tables: &Tables<'_>) -> bool {
    let mut in_tables = false;
    (0..phrase.len()).all(|at| {
        let misplaced = in_tables && CONDITIONS.contains(&phrase.word(at));
        let keyword = phrase.kind(at) == Kind::Word && phrase.name(at).is_none();
        if keyword && phrase.word(at) != "as" {
            in_tables = TABLE_FOLLOWS.contains(&phrase.word(at));
        }
        // `INSERT INTO t (a, b)`
        in_tables &= phrase.kind(at) != Kind::Open;
        let expects = TABLE_FOLLOWS.contains(&phrase.word(at)) || phrase.kind(at) == Kind::Comma;
        !misplaced && (!in_tables || !expects || taken(tables, at + 1))
    })
}

/// Whether operands and what joins them take turns: parsers read `select where` each their way.
fn alternates(phrase: &Phrase<'_>, tables: &Tables<'_>, at: usize) -> bool {
    let before = phrase.word_before(at);
    let after_operand = ends_operand(phrase, at - 1);
    let after_dot = phrase.kind_before(at) == Kind::Dot;
    match (phrase.kind(at), phrase.word(at)) {
        (Kind::Word | Kind::Quoted, _) if after_dot => true,
        (Kind::Close, _) => after_operand || opens_call(phrase, at - 1),
        (Kind::Dot, _) => {
            let star = phrase.get(at + 1).is_some_and(|item| item.text == "*");
            phrase.name(at - 1).is_some() && (star || phrase.name(at + 1).is_some())
        }
        (Kind::Comma, _) => after_operand,
        (Kind::Open, _) => {
            let word = phrase.word_before(at);
            !after_operand || word.is_empty() || phrase.name(at - 1).is_some()
        }
        (Kind::Operator, "") if phrase.get(at).is_some_and(|item| item.text == "*") => {
            let start = if after_dot { at.saturating_sub(2) } else { at };
            let all = matches!(phrase.word_before(start), "select" | "distinct" | "returning");
            after_operand
                || opens_call(phrase, at - 1)
                || all
                || phrase.kind_before(start) == Kind::Comma
        }
        (Kind::Operator, _) => after_operand,
        (Kind::Parameter, _) => !after_operand,
        (Kind::Quoted, _) => !after_operand || taken(tables, at),
        (_, "not") => after_operand || before != "not",
        (_, "null" | "true" | "false" | "default" | "distinct" | "all") => !after_operand,
        (_, "by") => matches!(before, "group" | "order"),
        (_, "in" | "like" | "ilike" | "between") => {
            after_operand || (before == "not" && at > 1 && ends_operand(phrase, at - 2))
        }
        (_, "join") => {
            after_operand
                || matches!(before, "inner" | "cross" | "outer" | "full" | "left" | "right")
        }
        (_, "outer") => matches!(before, "left" | "right" | "full"),
        (_, "into") => before == "insert",
        (_, "from") => after_operand || before == "delete",
        (_, word) if phrase.name(at).is_none() || is_join(phrase, at) => {
            after_operand && !word.is_empty()
        }
        _ => !after_operand || taken(tables, at),
    }
}

/// Whether the token ends something that an operator or a clause may follow.
fn ends_operand(phrase: &Phrase<'_>, at: usize) -> bool {
    match phrase.kind(at) {
        Kind::Parameter | Kind::Close | Kind::Quoted => true,
        Kind::Operator => {
            phrase.get(at).is_some_and(|item| item.text == "*")
                && matches!(phrase.kind(at + 1), Kind::Word | Kind::Comma | Kind::Close | Kind::End)
                && !(at > 0 && ends_operand(phrase, at - 1))
        }
        Kind::Word if phrase.kind_before(at) == Kind::Dot => true,
        Kind::Word => {
            let constant =
                matches!(phrase.word(at), "null" | "true" | "false" | "default" | "asc" | "desc");
            constant || (phrase.name(at).is_some() && !is_join(phrase, at))
        }
        _ => false,
    }
}

/// `f(`
fn opens_call(phrase: &Phrase<'_>, at: usize) -> bool {
    phrase.kind(at) == Kind::Open && at > 0 && phrase.name(at - 1).is_some()
}

/// `LEFT JOIN`, not the function.
fn is_join(phrase: &Phrase<'_>, at: usize) -> bool {
    matches!(phrase.word(at), "left" | "right") && phrase.kind(at + 1) == Kind::Word
}

fn fits(phrase: &Phrase<'_>, tables: &Tables<'_>, at: usize) -> bool {
    let Some(item) = phrase.get(at) else { return false };
    match item.kind {
        Kind::Word if phrase.kind_before(at) == Kind::Dot => item.role == Role::Name,
        Kind::Word => word_fits(phrase, tables, at),
        Kind::Quoted => name_fits(phrase, tables, at),
        Kind::Open => opens(phrase, tables, at),
        Kind::Parameter | Kind::Close | Kind::Comma | Kind::Dot => true,
        Kind::Operator => matches!(
            item.text,
            "=" | "<" | ">" | "<=" | ">=" | "<>" | "!=" | "+" | "-" | "*" | "/" | "%" | "||"
        ),
        _ => false,
    }
}

/// Parentheses that are closed, and hold neither a query nor tables.
fn opens(phrase: &Phrase<'_>, tables: &Tables<'_>, at: usize) -> bool {
    // `f(a)(b)` and `? (b)` are not read alike by everyone.
    let follows = !matches!(phrase.kind_before(at), Kind::Close | Kind::Parameter);
    let expects_table = TABLE_FOLLOWS.contains(&phrase.word_before(at));
    let verbs = ["select", "insert", "update", "delete", "values"];
    let alias = taken(tables, at - 1) && phrase.word(0) != "insert";
    follows
        && !alias
        && !expects_table
        && phrase.closing(at) < phrase.len()
        && !verbs.contains(&phrase.word(at + 1))
}

fn word_fits(phrase: &Phrase<'_>, tables: &Tables<'_>, at: usize) -> bool {
    let Some(item) = phrase.get(at) else { return false };
    match item.role {
        Role::Name => {
            !crate::references::is_clause_word(item.text) && name_fits(phrase, tables, at)
        }
        Role::Function => {
            let joins = matches!(item.text, "left" | "right")
                && matches!(phrase.word(at + 1), "join" | "outer");
            joins || (CALLED.contains(&item.text) && phrase.kind(at + 1) == Kind::Open)
        }
        Role::Unreserved => false,
        _ => KEYWORDS.contains(&item.text) && keyword_fits(phrase, at),
    }
}

/// A keyword where it means what it means in plain statements.
fn keyword_fits(phrase: &Phrase<'_>, at: usize) -> bool {
    match phrase.word(at) {
        "select" | "insert" | "delete" | "update" => false,
        "into" => at == 1 && phrase.word(0) == "insert",
        "all" => phrase.word_before(at) == "select",
        "distinct" => phrase.word_before(at) == "select" && phrase.word(at + 1) != "on",
        "from" => phrase.word(0) != "update",
        "set" => phrase.word(0) == "update",
        "using" => phrase.word(0) != "delete" && phrase.kind(at + 1) == Kind::Open,
        "values" => phrase.word(0) == "insert" && phrase.kind(at + 1) == Kind::Open,
        // Written by `DEFAULT`, or `INSERT … DEFAULT VALUES`.
        "default" => matches!(phrase.kind(at + 1), Kind::Comma | Kind::Close),
        // An alias that is named again is a column to the parser.
        "as" => phrase.word(0) != "insert" && phrase.name(at + 1).is_some(),
        _ => true,
    }
}

/// A name that is a table, its alias, a column or a function, and not two of them.
fn name_fits(phrase: &Phrase<'_>, tables: &Tables<'_>, at: usize) -> bool {
    let Some(name) = phrase.name(at) else { return false };
    if name.is_empty() || name.starts_with('@') {
        return false;
    }
    if taken(tables, at) {
        return true;
    }
    match phrase.kind(at + 1) {
        Kind::Parameter => false,
        Kind::Dot | Kind::Open => true,
        _ => phrase.name(at + 1).is_none() && !tables.aliases.contains(&name),
    }
}

/// Whether the token names a table or its alias.
fn taken(tables: &Tables<'_>, at: usize) -> bool {
    tables.taken.get(at) == Some(&true)
}
