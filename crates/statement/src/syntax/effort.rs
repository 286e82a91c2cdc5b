//! What a parser would have to do for a text, estimated from its tokens before it is asked.

use crate::lexer::Kind;
use crate::token_tree::{Item, TokenTree};
use crate::word::Role;

/// Larger normal forms are not parsed: their literals are gone already, so they are machine-made.
const BYTES_MAX: usize = 64 * 1024;
/// Nesting that people and mappers write stays far below.
const DEPTH_MAX: usize = 64;
/// Chains of operators become trees as deep as they are long, which even dropping walks down.
const OPERATORS_MAX: usize = 2_000;
/// Reading a token once, or once more because a level around it is tried in two ways.
const STEPS_MAX: u64 = 1 << 14;

/// Whether a parser reads this in good time. Within calls, subscripts, `CASE`, `INTERVAL` and
/// runs of prefixes it tries two ways at each level, so `f(g(h(…)))` costs eight times `…`;
/// the text of an attacker would keep it busy for ever.
pub(super) fn is_parsed_quickly(normal_form: &str, tree: &TokenTree<'_>) -> bool {
    let mut effort = Effort::default();
    let items = tree.items();
    normal_form.len() <= BYTES_MAX && (0..items.len()).all(|at| effort.add(items, at))
}

#[derive(Default)]
struct Effort {
    open: Vec<Kind>,
    operators: usize,
    steps: u64,
    /// Levels that are tried twice: calls and subscripts, `CASE`, `INTERVAL`, `NOT - NOT …`.
    calls: u32,
    cases: u32,
    intervals: u32,
    prefixes: u32,
}

impl Effort {
    /// Adds a token; false when it is too much.
    fn add(&mut self, items: &[Item<'_>], at: usize) -> bool {
        let Some(item) = items.get(at) else { return true };
        match item.kind {
            Kind::Open | Kind::BracketOpen | Kind::BraceOpen => {
                let before = at.checked_sub(1).and_then(|before| items.get(before));
                let named = before.is_some_and(|i| matches!(i.kind, Kind::Word | Kind::Quoted));
                let call = item.kind == Kind::BracketOpen || (item.kind == Kind::Open && named);
                self.calls += u32::from(call);
                self.open.push(if call { Kind::BracketOpen } else { Kind::Open });
            }
            Kind::Close | Kind::BracketClose | Kind::BraceClose => {
                self.calls -= u32::from(self.open.pop() == Some(Kind::BracketOpen));
            }
            _ => {}
        }
        let operator = matches!(item.kind, Kind::Operator | Kind::Cast);
        match item.text {
            "case" => self.cases += 1,
            "end" => self.cases = self.cases.saturating_sub(1),
            "interval" => self.intervals += 1,
            "," | ";" | "from" | "where" | "select" => self.intervals = 0,
            _ => {}
        }
        self.prefixes = match item.text {
            "not" => self.prefixes + 1,
            _ if operator => self.prefixes,
            _ => 0,
        };
        let joins = item.role == Role::Clause && !matches!(item.text, "from" | "by");
        self.operators += usize::from(operator || joins || item.text == "case");
        let levels = self.calls + self.cases + self.intervals + self.prefixes;
        self.steps += 1 << levels.min(32);
        self.open.len() <= DEPTH_MAX && self.operators <= OPERATORS_MAX && self.steps <= STEPS_MAX
    }
}
