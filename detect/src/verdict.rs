//! Which rules one event matches, remembered by the values of the columns that they look at.
//!
//! A verdict is a pure function of those columns, so remembering changes nothing but the time. Of
//! rules that also look at columns too diverse for that, it is remembered whether the rest of their
//! condition holds: only then are they looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use rsigma_eval::{CompiledRule, Engine, EvaluationResult};
use rsigma_parser::ConditionExpr;

use crate::rule::{RuleSet, fields_of, fields_of_selection};
use crate::statistics::Statistics;
use crate::subject::{Subject, column};

/// What the rules say of one event: the results, in load order; none for most.
pub(crate) type Verdict = Option<Arc<Vec<EvaluationResult>>>;

/// The rules that look at one event at a time.
pub(crate) struct Judge {
    /// Rules whose verdict is remembered.
    steady: Engine,
    /// Rules that look at columns too diverse for that.
    diverse: Engine,
    /// The same without those columns: none of `diverse` matches where none of these does.
    gates: Engine,
    /// Whether one of `diverse` has no such part.
    is_open: bool,
    /// Event columns that decide the verdict of `steady`.
    columns: Vec<&'static str>,
    /// Whether the statement helps to decide it.
    of_statement: bool,
    /// Two generations: when the young one is full it replaces the old one.
    young: HashMap<Box<[u8]>, Remembered>,
    old: HashMap<Box<[u8]>, Remembered>,
    generation_max: usize,
    key: Vec<u8>,
}

/// What follows from the columns of the key.
#[derive(Clone)]
struct Remembered {
    verdict: Verdict,
    /// Whether a rule of `diverse` may match.
    looks_further: bool,
}

impl Judge {
    /// Sorts the rules of `set` by whether their verdicts can be remembered.
    pub(crate) fn new(set: &RuleSet, verdicts_max: usize) -> Result<Self, rsigma_eval::EvalError> {
        let (mut steady, mut diverse, mut gates) = (Engine::new(), Engine::new(), Engine::new());
        let mut is_open = false;
        let mut columns = BTreeSet::new();
        let mut of_statement = false;
        let mut all = Engine::new();
        let collection = set.collection();
        all.add_collection(&collection)?;
        // Filters were applied by adding the collection, so the compiled rules are the truth.
        for rule in all.rules() {
            let looked_at: Vec<_> =
                fields_of(rule).iter().filter_map(|name| column(name)).collect();
            let memorable = looked_at.iter().filter(|column| column.memorable);
            of_statement |= memorable.clone().any(|column| column.of_statement);
            columns.extend(memorable.filter(|c| !c.of_statement).map(|c| c.name));
            if looked_at.iter().all(|column| column.memorable) {
                steady.add_compiled_rule(rule.clone());
                continue;
            }
            diverse.add_compiled_rule(rule.clone());
            match gate(rule) {
                Some(gate) => gates.add_compiled_rule(gate),
                None => is_open = true,
            }
        }
        Ok(Self {
            steady,
            diverse,
            gates,
            is_open,
            columns: columns.into_iter().collect(),
            of_statement,
            young: HashMap::new(),
            old: HashMap::new(),
            generation_max: (verdicts_max / 2).max(1),
            key: Vec::new(),
        })
    }

    /// The rules that `subject` matches.
    pub(crate) fn judge(
        &mut self,
        subject: &Subject<'_>,
        set: &RuleSet,
        statistics: &mut Statistics,
    ) -> Verdict {
        let Remembered { verdict: steady, looks_further } = self.remembered(subject, statistics);
        if !looks_further {
            return steady;
        }
        let diverse = self.diverse.evaluate(subject);
        if diverse.is_empty() {
            return steady;
        }
        let mut results = steady.map_or_else(Vec::new, |results| results.as_ref().clone());
        results.extend(diverse);
        let order = |result: &EvaluationResult| {
            let id = result.header.rule_id.as_deref();
            id.and_then(|id| set.document(id)).map(|document| document.order)
        };
        results.sort_by_key(order);
        Some(Arc::new(results))
    }

    fn remembered(&mut self, subject: &Subject<'_>, statistics: &mut Statistics) -> Remembered {
        let mut key = std::mem::take(&mut self.key);
        self.write_key(subject, &mut key);
        let verdict = match self.young.get(key.as_slice()) {
            Some(verdict) => {
                statistics.verdict_hits += 1;
                verdict.clone()
            }
            None => self.promote_or_evaluate(subject, &key, statistics),
        };
        self.key = key;
        verdict
    }

    fn promote_or_evaluate(
        &mut self,
        subject: &Subject<'_>,
        key: &[u8],
        statistics: &mut Statistics,
    ) -> Remembered {
        let verdict = match self.old.remove(key) {
            Some(verdict) => {
                statistics.verdict_hits += 1;
                verdict
            }
            None => {
                statistics.verdict_misses += 1;
                let results = self.steady.evaluate(subject);
                Remembered {
                    verdict: (!results.is_empty()).then(|| Arc::new(results)),
                    looks_further: self.is_open || !self.gates.evaluate(subject).is_empty(),
                }
            }
        };
        if self.young.len() >= self.generation_max {
            statistics.verdict_evictions += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key.into(), verdict.clone());
        verdict
    }

    /// Each value after its length, so that no two rows of values share a key.
    fn write_key(&self, subject: &Subject<'_>, key: &mut Vec<u8>) {
        key.clear();
        for name in &self.columns {
            append(key, subject.text(name));
        }
        if !self.of_statement {
            return;
        }
        let meaning = subject.meaning;
        key.extend_from_slice(&meaning.flag_bits.to_le_bytes());
        match meaning.fingerprint {
            Some(fingerprint) => {
                key.push(1);
                key.push(u8::from(subject.event.engine == "postgresql"));
                key.extend_from_slice(&fingerprint.to_le_bytes());
            }
            None => {
                key.push(0);
                for tables in [meaning.tables_read(), meaning.tables_written()] {
                    append(key, tables.first().map(String::as_str));
                }
            }
        }
    }
}

/// `rule` without the selections that look at diverse columns, so that it matches wherever `rule`
/// does, and more; none if nothing is left.
fn gate(rule: &CompiledRule) -> Option<CompiledRule> {
    let is_memorable = |field: &String| column(field).is_some_and(|column| column.memorable);
    let is_known = |name: &str| {
        let selection = rule.detections.get(name);
        selection.is_some_and(|selection| fields_of_selection(selection).iter().all(is_memorable))
    };
    let conditions = rule.conditions.iter().map(|condition| wider(condition, true, &is_known));
    let conditions = conditions.collect::<Option<Vec<_>>>()?;
    Some(CompiledRule { conditions, ..rule.clone() })
}

/// The condition with what is not known taken as true, or below a `not` as false; none if that
/// decides all of it.
fn wider(
    condition: &ConditionExpr,
    unknown: bool,
    is_known: &dyn Fn(&str) -> bool,
) -> Option<ConditionExpr> {
    let parts = |parts: &[ConditionExpr]| -> Vec<_> {
        parts.iter().map(|part| wider(part, unknown, is_known)).collect()
    };
    // True decides an `or`, false an `and`; otherwise the unknown part has no say.
    let join = |parts: Vec<Option<ConditionExpr>>, decides: bool| -> Option<Vec<ConditionExpr>> {
        if decides && parts.iter().any(Option::is_none) {
            return None;
        }
        let known: Vec<_> = parts.into_iter().flatten().collect();
        (!known.is_empty()).then_some(known)
    };
    match condition {
        ConditionExpr::Identifier(name) => is_known(name).then(|| condition.clone()),
        ConditionExpr::Not(inner) => {
            Some(ConditionExpr::Not(Box::new(wider(inner, !unknown, is_known)?)))
        }
        ConditionExpr::And(all) => join(parts(all), !unknown).map(ConditionExpr::And),
        ConditionExpr::Or(any) => join(parts(any), unknown).map(ConditionExpr::Or),
        ConditionExpr::Selector { .. } => None,
    }
}

fn append(key: &mut Vec<u8>, text: Option<&str>) {
    // Text of 4 GiB does not fit a batch, so `u32::MAX` is free to mean none.
    let length = text.map_or(u32::MAX, |text| text.len() as u32);
    key.extend_from_slice(&length.to_le_bytes());
    key.extend_from_slice(text.unwrap_or_default().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `wider` where all but `d` is known.
    fn widened(condition: &ConditionExpr) -> Option<ConditionExpr> {
        wider(condition, true, &|name| name != "d")
    }

    #[test]
    fn what_is_not_known_never_narrows() {
        let name = |name: &str| ConditionExpr::Identifier(name.into());
        let not = |inner| ConditionExpr::Not(Box::new(inner));
        let and = |a, b| ConditionExpr::And(vec![a, b]);
        let or = |a, b| ConditionExpr::Or(vec![a, b]);
        let only = |a| ConditionExpr::And(vec![a]);
        assert_eq!(widened(&and(name("a"), name("d"))), Some(only(name("a"))));
        assert_eq!(widened(&and(name("a"), not(name("d")))), Some(only(name("a"))));
        assert_eq!(widened(&or(name("a"), name("d"))), None);
        assert_eq!(widened(&and(name("a"), not(and(name("b"), name("d"))))), Some(only(name("a"))));
        let rest = not(ConditionExpr::Or(vec![name("b")]));
        assert_eq!(widened(&not(or(name("b"), name("d")))), Some(rest));
    }

    #[test]
    fn every_rule_is_passed_over_by_what_is_remembered() {
        let set = RuleSet::builtin().expect("the built-in rules load");
        let judge = Judge::new(&set, 16).expect("the built-in rules compile");
        assert!(judge.diverse.rule_count() > 0, "nothing is tested");
        assert_eq!(judge.gates.rule_count(), judge.diverse.rule_count());
        assert!(!judge.is_open);
    }
}
