//! Conditions that hold for every row, as injected SQL adds them.
//!
//! The normal form has `?` for each literal, so `? = ?` counts although it may be false: `1 = 0`.

use crate::lexer::Kind;
use crate::token_tree::Phrase;

/// Parentheses and `NOT` before one condition.
const OPENERS_MAX: usize = 16;
/// Conditions that `AND` joins; keeps the cost of hostile chains linear.
const CONDITIONS_MAX: usize = 64;

/// Keywords after which a condition goes on.
const GOES_ON: &[&str] = &[
    "between", "collate", "div", "ilike", "in", "is", "isnull", "like", "not", "notnull",
    "overlaps", "regexp", "rlike", "similar",
];

/// How sure it is that a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Truth {
    /// It depends on literals, which the normal form does not tell.
    Likely,
    /// `TRUE`, `id = id`.
    Certain,
}

/// In MySQL `||` is `OR`.
pub(super) fn is_or_operator(phrase: &Phrase<'_>, at: usize) -> bool {
    phrase.kind(at) == Kind::Operator && phrase.get(at).is_some_and(|item| item.text == "||")
}

/// Whether the condition after an `OR` makes it pointless.
pub(super) fn is_tautology(phrase: &Phrase<'_>, at: usize) -> bool {
    let start = skip_openers(phrase, at);
    let word = phrase.word(start);
    if matches!(word, "true") || (word == "false" && start > at) {
        return !matches!(phrase.kind(start + 1), Kind::Operator | Kind::Dot);
    }
    let bare_literal = phrase.kind(start) == Kind::Parameter && ends_condition(phrase, start + 1);
    bare_literal || is_comparison(phrase, at) || compares_with_itself(phrase, start).is_some()
}

/// Whether the conditions after the `WHERE` at `at` choose nothing: each that `AND` joins is
/// always true, or the first that `OR` joins.
pub(super) fn always_true(phrase: &Phrase<'_>, at: usize) -> Option<Truth> {
    let mut truth = Truth::Certain;
    let mut next = at + 1;
    for _ in 0..CONDITIONS_MAX {
        let (one, end) = condition(phrase, next)?;
        truth = truth.min(one);
        let and = phrase.get(end).is_some_and(|item| matches!(item.text, "and" | "&&"));
        if !and {
            return ends_condition(phrase, end).then_some(truth);
        }
        next = end + 1;
    }
    None
}

/// The condition at `at` if it is always true, and where it ends.
fn condition(phrase: &Phrase<'_>, at: usize) -> Option<(Truth, usize)> {
    let start = skip_openers(phrase, at);
    let negated = (at..start).filter(|&at| phrase.word(at) == "not").count() % 2 == 1;
    let openers = (at..start).filter(|&at| phrase.kind(at) == Kind::Open).count();
    let (truth, mut end) = match phrase.word(start) {
        "true" if !negated => (Truth::Certain, start + 1),
        "false" if negated => (Truth::Certain, start + 1),
        "true" | "false" => return None,
        _ if phrase.kind(start) == Kind::Parameter => {
            let length = if compares(phrase, start + 1) { 3 } else { 1 };
            (Truth::Likely, start + length)
        }
        _ if negated => return None,
        _ => (Truth::Certain, compares_with_itself(phrase, start)?),
    };
    if end == start + 3 && truth == Truth::Likely && phrase.kind(end - 1) != Kind::Parameter {
        return None;
    }
    let closes = (0..openers).take_while(|&ahead| phrase.kind(end + ahead) == Kind::Close);
    end += closes.count();
    Some((truth, end))
}

fn skip_openers(phrase: &Phrase<'_>, mut at: usize) -> usize {
    let limit = at + OPENERS_MAX;
    while at < limit && (phrase.kind(at) == Kind::Open || phrase.word(at) == "not") {
        at += 1;
    }
    at
}

fn compares(phrase: &Phrase<'_>, at: usize) -> bool {
    match phrase.get(at) {
        Some(item) if item.kind == Kind::Operator => {
            matches!(item.text, "=" | "<" | ">" | "<=" | ">=" | "<>" | "!=" | "<=>" | "~" | "~~")
        }
        _ => matches!(phrase.word(at), "like" | "ilike" | "rlike" | "regexp"),
    }
}

/// A literal compared with a literal.
pub(super) fn is_comparison(phrase: &Phrase<'_>, at: usize) -> bool {
    let at = skip_openers(phrase, at);
    let literal = |at: usize| phrase.kind(at) == Kind::Parameter;
    literal(at) && compares(phrase, at + 1) && literal(at + 2) && ends_condition(phrase, at + 3)
}

/// `x = x`; gives where it ends.
fn compares_with_itself(phrase: &Phrase<'_>, at: usize) -> Option<usize> {
    let (left, middle) = phrase.qualified(at)?;
    let equals = phrase.get(middle).is_some_and(|item| matches!(item.text, "=" | "<=>"));
    let (right, end) = phrase.qualified(middle + 1).filter(|_| equals)?;
    (left == right && ends_condition(phrase, end)).then_some(end)
}

fn ends_condition(phrase: &Phrase<'_>, at: usize) -> bool {
    match phrase.kind(at) {
        Kind::End | Kind::Close => true,
        Kind::Operator => {
            is_or_operator(phrase, at) || phrase.get(at).is_some_and(|i| i.text == "&&")
        }
        Kind::Word => phrase.name(at).is_none() && !GOES_ON.contains(&phrase.word(at)),
        _ => false,
    }
}
