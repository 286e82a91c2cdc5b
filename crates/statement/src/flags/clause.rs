//! Flags of queries and changes of rows: what is missing, what was joined on.

use crate::command::main_verb_at;
use crate::flag::{Flag, FlagSet};
use crate::lexer::Kind;
use crate::tables::is_update;
use crate::token_tree::Phrase;

use super::condition::{Truth, always_true, is_comparison, is_or_operator, is_tautology};

/// A condition further away is not looked for: keeps hostile text linear.
const CLAUSE_TOKENS_MAX: usize = 4096;
const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "bool_and",
    "bool_or",
    "every",
    "stddev",
    "variance",
    "bit_and",
    "bit_or",
    "approx_count_distinct",
];

pub(super) fn flags(phrase: &Phrase<'_>, flags: &mut FlagSet) {
    let mut budget = Budget(8 * phrase.len() + CLAUSE_TOKENS_MAX);
    for at in 0..phrase.len() {
        match phrase.word(at) {
            "union" => flags.insert(Flag::Union),
            "or" if is_tautology(phrase, at + 1) => flags.insert(Flag::Tautology),
            "where" if always_true(phrase, at).is_some() => flags.insert(Flag::Tautology),
            "delete" | "update" if changes_all(phrase, at, &mut budget) => {
                flags.insert(Flag::NoWhere);
            }
            _ if is_or_operator(phrase, at) && is_comparison(phrase, at + 1) => {
                flags.insert(Flag::Tautology);
            }
            _ => {}
        }
    }
    if reads_unbounded(phrase) {
        flags.insert(Flag::UnboundedRead);
    }
}

/// Tokens that may still be looked at twice.
struct Budget(usize);

fn changes_all(phrase: &Phrase<'_>, at: usize, budget: &mut Budget) -> bool {
    let deletes = phrase.word(at) == "delete"
        && (phrase.word(at + 1) == "from" || at == 0 && phrase.on_level(at, &["from"]).is_some());
    if !deletes && !is_update(phrase, at) {
        return false;
    }
    let rest = phrase.level(at + 1).take(CLAUSE_TOKENS_MAX.min(budget.0));
    let mut seen = 0;
    let found = rest.inspect(|_| seen += 1).any(|at| phrase.word(at) == "where");
    budget.0 = budget.0.saturating_sub(seen);
    !found
}

/// A query that returns rows of a table with nothing to narrow them down.
fn reads_unbounded(phrase: &Phrase<'_>) -> bool {
    let mut at = match phrase.word(0) {
        "declare" => match phrase.find(&["for"]) {
            Some(at) => at + 1,
            None => return false,
        },
        "copy" if phrase.kind(1) == Kind::Open => 2,
        "copy" => {
            let way = phrase.on_level(1, &["from", "to"]);
            return way.is_some_and(|at| phrase.word(at) == "to");
        }
        "explain" if phrase.has(&["analyze"]) => match phrase.find(&["select"]) {
            Some(at) => at,
            None => return false,
        },
        _ => 0,
    };
    while phrase.kind(at) == Kind::Open {
        at += 1;
    }
    if phrase.word(at) == "with" {
        match main_verb_at(phrase, at) {
            // The `WITH` queries narrow down in ways that tokens do not tell.
            Some(main) if !is_narrowed_down(phrase) => at = main,
            _ => return false,
        }
    }
    if phrase.word(at) == "table" {
        return phrase.on_level(at, &["where"]).is_none() && !is_limited(phrase, at);
    }
    phrase.word(at) == "select" && query_is_open(phrase, at)
}

fn is_limited(phrase: &Phrase<'_>, at: usize) -> bool {
    phrase.on_level(at, &["limit", "fetch"]).is_some_and(|at| limits(phrase, at))
}

/// `LIMIT ALL` and `LIMIT NULL` limit nothing.
fn limits(phrase: &Phrase<'_>, at: usize) -> bool {
    phrase.word(at) == "fetch" || !matches!(phrase.word(at + 1), "all" | "null")
}

fn is_narrowed_down(phrase: &Phrase<'_>) -> bool {
    (0..phrase.len()).any(|at| match phrase.word(at) {
        "where" => always_true(phrase, at) != Some(Truth::Certain),
        "limit" | "fetch" => limits(phrase, at),
        _ => false,
    })
}

/// Whether one of the queries that `UNION` joins, from the `select` at `at` on, is open.
fn query_is_open(phrase: &Phrase<'_>, mut at: usize) -> bool {
    if is_limited(phrase, at) {
        return false;
    }
    loop {
        let end = phrase.on_level(at + 1, &["union", "intersect", "except"]);
        if block_is_open(phrase, at, end.unwrap_or(phrase.len())) {
            return true;
        }
        let Some(end) = end else { return false };
        at = end + 1;
        while matches!(phrase.word(at), "all" | "distinct") || phrase.kind(at) == Kind::Open {
            at += 1;
        }
        if phrase.word(at) != "select" {
            return false;
        }
    }
}

fn block_is_open(phrase: &Phrase<'_>, select: usize, end: usize) -> bool {
    let on_level = |word: &str| {
        phrase.level(select + 1).take_while(|&at| at < end).find(|&at| phrase.word(at) == word)
    };
    let Some(from) = on_level("from") else { return false };
    let chooses = |at| always_true(phrase, at) != Some(Truth::Certain);
    if on_level("where").is_some_and(chooses) {
        return false;
    }
    let table = from + 1 + usize::from(matches!(phrase.word(from + 1), "only"));
    if phrase.kind(table) == Kind::Open {
        // What a query in `FROM` reads is narrowed down there or not at all.
        let query = phrase.word(table + 1) == "select" && nested_is_open(phrase, table + 1);
        return query || phrase.name(table + 1).is_some();
    }
    let Some((name, after)) = phrase.qualified(table) else { return false };
    let is_function = phrase.kind(after) == Kind::Open;
    !is_function && name != "dual" && !only_aggregates(phrase, select, from, on_level("group"))
}

/// As deep as people write; deeper is left to the other detectors.
fn nested_is_open(phrase: &Phrase<'_>, mut select: usize) -> bool {
    for _ in 0..8 {
        if phrase.on_level(select, &["where"]).is_some() || is_limited(phrase, select) {
            return false;
        }
        let Some(from) = phrase.on_level(select, &["from"]) else { return false };
        if phrase.kind(from + 1) != Kind::Open {
            return phrase
                .qualified(from + 1)
                .is_some_and(|(_, end)| phrase.kind(end) != Kind::Open);
        }
        select = from + 2;
    }
    false
}

fn only_aggregates(phrase: &Phrase<'_>, select: usize, from: usize, group: Option<usize>) -> bool {
    let mut starts = true;
    let mut all = group.is_none();
    for at in phrase.level(select + 1).take_while(|&at| at < from) {
        if starts {
            let call = phrase.kind(at + 1) == Kind::Open;
            all &= call && AGGREGATES.contains(&phrase.word(at));
        }
        starts = phrase.kind(at) == Kind::Comma;
    }
    all
}
