//! Which rules one event matches, remembered by the values of the columns that they look at.
//!
//! The matches are a pure function of those columns, so remembering changes nothing but the time.
//! Of rules that also look at columns too diverse for that, it is remembered whether the rest of
//! their condition holds: only then are they looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use bounded::BoundedMap;
use rsigma_eval::{CompiledRule, Engine, EvaluationResult};
use rsigma_parser::ConditionExpr;

use crate::rule::{RuleSet, fields_of, fields_of_selection};
use crate::rule_event::{RuleEvent, column};
use crate::statistics::Statistics;

/// The rules that one event matches, in load order; none for most.
pub(crate) type Matches = Option<Arc<Vec<EvaluationResult>>>;

/// The rules that look at one event at a time.
pub(crate) struct RuleEngine {
    /// Rules whose matches are remembered.
    steady: Engine,
    /// Rules that look at columns too diverse for that.
    diverse: Engine,
    /// The same without those columns: none of `diverse` matches where none of these does.
    gates: Engine,
    /// Whether one of `diverse` has no such part.
    is_open: bool,
    /// Event columns that decide what `steady` matches.
    columns: Vec<&'static str>,
    /// Whether the statement helps to decide it.
    of_statement: bool,
    remembered: BoundedMap<Box<[u8]>, Remembered>,
    key: Vec<u8>,
}

/// What follows from the columns of the key.
#[derive(Clone)]
struct Remembered {
    matches: Matches,
    /// Whether a rule of `diverse` may match.
    looks_further: bool,
}

impl RuleEngine {
    /// Sorts the rules of `set` by whether their matches can be remembered.
    pub(crate) fn new(set: &RuleSet, matches_max: usize) -> Result<Self, rsigma_eval::EvalError> {
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
            remembered: BoundedMap::new(matches_max),
            key: Vec::new(),
        })
    }

    /// The rules that `event` matches.
    pub(crate) fn matches(
        &mut self,
        event: &RuleEvent<'_>,
        set: &RuleSet,
        statistics: &mut Statistics,
    ) -> Matches {
        let Remembered { matches: steady, looks_further } = self.remembered(event, statistics);
        if !looks_further {
            return steady;
        }
        let diverse = self.diverse.evaluate(event);
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

    fn remembered(&mut self, event: &RuleEvent<'_>, statistics: &mut Statistics) -> Remembered {
        let mut key = std::mem::take(&mut self.key);
        self.write_key(event, &mut key);
        let remembered = match self.remembered.get(key.as_slice()) {
            Some(remembered) => {
                statistics.match_hits += 1;
                remembered.clone()
            }
            None => {
                statistics.match_misses += 1;
                let results = self.steady.evaluate(event);
                let remembered = Remembered {
                    matches: (!results.is_empty()).then(|| Arc::new(results)),
                    looks_further: self.is_open || !self.gates.evaluate(event).is_empty(),
                };
                let evicted = self.remembered.insert(key.as_slice().into(), remembered.clone());
                statistics.match_evictions += u64::from(evicted.is_some());
                remembered
            }
        };
        self.key = key;
        remembered
    }

    /// Each value after its length, so that no two rows of values share a key.
    fn write_key(&self, event: &RuleEvent<'_>, key: &mut Vec<u8>) {
        key.clear();
        for name in &self.columns {
            append(key, event.text(name));
        }
        if !self.of_statement {
            return;
        }
        let analysis = event.analysis;
        key.extend_from_slice(&analysis.flag_bits.to_le_bytes());
        key.push(event.context.sensitivity.map_or(u8::MAX, |level| level.clamp(0, 3) as u8));
        if let Some(fingerprint) = analysis.fingerprint {
            key.push(if event.event.engine == "postgresql" { 1 } else { 2 });
            key.extend_from_slice(&fingerprint.to_le_bytes());
        } else {
            key.push(0);
        }
        if analysis.fingerprint.is_none() || analysis.has_own_tables() {
            for tables in [analysis.tables_read(), analysis.tables_written()] {
                key.extend_from_slice(&(tables.len() as u32).to_le_bytes());
                tables.iter().for_each(|table| append(key, Some(table)));
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
        let engine = RuleEngine::new(&set, 16).expect("the built-in rules compile");
        assert!(engine.diverse.rule_count() > 0, "nothing is tested");
        assert_eq!(engine.gates.rule_count(), engine.diverse.rule_count());
        assert!(!engine.is_open);
    }
}
