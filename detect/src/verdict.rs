//! Which rules one event matches, remembered by the values of the columns that they look at.
//!
//! A verdict is a pure function of those columns, so remembering changes nothing but the time.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use rsigma_eval::{Engine, EvaluationResult};

use crate::rule::{RuleSet, fields_of};
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
    /// Event columns that decide the verdict of `steady`.
    columns: Vec<&'static str>,
    /// Whether the statement helps to decide it.
    of_statement: bool,
    /// Two generations: when the young one is full it replaces the old one.
    young: HashMap<Box<[u8]>, Verdict>,
    old: HashMap<Box<[u8]>, Verdict>,
    generation_max: usize,
    key: Vec<u8>,
}

impl Judge {
    /// Sorts the rules of `set` by whether their verdicts can be remembered.
    pub(crate) fn new(set: &RuleSet, verdicts_max: usize) -> Result<Self, rsigma_eval::EvalError> {
        let (mut steady, mut diverse) = (Engine::new(), Engine::new());
        let mut columns = BTreeSet::new();
        let mut of_statement = false;
        let mut all = Engine::new();
        let collection = set.collection();
        all.add_collection(&collection)?;
        // Filters were applied by adding the collection, so the compiled rules are the truth.
        for rule in all.rules() {
            let looked_at: Vec<_> =
                fields_of(rule).iter().filter_map(|name| column(name)).collect();
            if !looked_at.iter().all(|column| column.memorable) {
                diverse.add_compiled_rule(rule.clone());
                continue;
            }
            of_statement |= looked_at.iter().any(|column| column.of_statement);
            columns.extend(looked_at.iter().filter(|c| !c.of_statement).map(|c| c.name));
            steady.add_compiled_rule(rule.clone());
        }
        Ok(Self {
            steady,
            diverse,
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
        let steady = self.remembered(subject, statistics);
        if self.diverse.rule_count() == 0 {
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

    fn remembered(&mut self, subject: &Subject<'_>, statistics: &mut Statistics) -> Verdict {
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
    ) -> Verdict {
        let verdict = match self.old.remove(key) {
            Some(verdict) => {
                statistics.verdict_hits += 1;
                verdict
            }
            None => {
                statistics.verdict_misses += 1;
                let results = self.steady.evaluate(subject);
                (!results.is_empty()).then(|| Arc::new(results))
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

fn append(key: &mut Vec<u8>, text: Option<&str>) {
    // Text of 4 GiB does not fit a batch, so `u32::MAX` is free to mean none.
    let length = text.map_or(u32::MAX, |text| text.len() as u32);
    key.extend_from_slice(&length.to_le_bytes());
    key.extend_from_slice(text.unwrap_or_default().as_bytes());
}
