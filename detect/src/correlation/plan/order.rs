//! What correlations count, and in which order: parts before the correlations that count them.

use std::collections::BTreeSet;

use rsigma_parser::{CorrelationRule, SigmaCollection};

use super::{CorrelationError, sigma_id};

/// Most correlations on a way from an event to the last one that counts it.
const DEPTH_MAX: usize = 10;

/// The rules of a collection, as correlations refer to them.
pub(super) struct Sources<'a> {
    singles: Vec<Source<'a>>,
    /// Parts first.
    correlations: Vec<&'a CorrelationRule>,
}

struct Source<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
}

impl Source<'_> {
    fn is(&self, reference: &str) -> bool {
        self.id == Some(reference) || self.name == Some(reference)
    }
}

fn source(rule: &CorrelationRule) -> Source<'_> {
    Source { id: rule.id.as_deref(), name: rule.name.as_deref() }
}

impl<'a> Sources<'a> {
    /// # Errors
    /// If a correlation refers to a rule that does not exist, to none, or to itself through
    /// others, or if correlations are chained too far.
    pub(super) fn new(collection: &'a SigmaCollection) -> Result<Self, CorrelationError> {
        let singles = collection.rules.iter();
        let singles =
            singles.map(|rule| Source { id: rule.id.as_deref(), name: rule.name.as_deref() });
        let mut sources = Self {
            singles: singles.collect(),
            correlations: collection.correlations.iter().collect(),
        };
        for rule in &sources.correlations {
            sources.check_references(rule)?;
        }
        sources.sort()?;
        Ok(sources)
    }

    /// The correlations, parts first.
    pub(super) fn parts_first(&self) -> impl Iterator<Item = &'a CorrelationRule> {
        self.correlations.iter().copied()
    }

    /// The single rules that `rule` counts: (number of the reference, Sigma id).
    pub(super) fn singles_of(&self, rule: &CorrelationRule) -> Vec<(usize, &'a str)> {
        let numbered =
            self.singles.iter().filter_map(|single| Some((number(rule, single)?, single.id?)));
        numbered.collect()
    }

    /// The correlations that `rule` counts: (number of the reference, position).
    pub(super) fn parts_of(&self, rule: &CorrelationRule) -> Vec<(usize, usize)> {
        let numbered = self.correlations.iter().enumerate();
        numbered.filter_map(|(at, part)| Some((number(rule, &source(part))?, at))).collect()
    }

    /// The field behind a column of `group-by`, for each rule that `rule` counts.
    pub(super) fn fields(&self, rule: &CorrelationRule, column: &str) -> Vec<String> {
        let alias = rule.aliases.iter().find(|alias| alias.alias == column);
        let field = |reference: &String| {
            let mapping = &alias?.mapping;
            // An alias may call a rule by its id where the reference calls it by its name.
            let correlations = self.correlations.iter().map(|part| source(part));
            let singles = self.singles.iter().map(|s| Source { id: s.id, name: s.name });
            let same = singles.chain(correlations).filter(|source| source.is(reference));
            let names = same.flat_map(|source| [source.id, source.name]).flatten();
            names.chain([reference.as_str()]).find_map(|name| mapping.get(name)).cloned()
        };
        let fields = rule.rules.iter().map(field);
        fields.map(|field| field.unwrap_or_else(|| column.to_owned())).collect()
    }

    fn check_references(&self, rule: &CorrelationRule) -> Result<(), CorrelationError> {
        let fail = |problem| Err(CorrelationError { rule: sigma_id(rule), problem });
        if rule.rules.is_empty() {
            return fail("counts no rule; name one in `rules`".into());
        }
        for (at, reference) in rule.rules.iter().enumerate() {
            if rule.rules[..at].contains(reference) {
                return fail(format!("has `{reference}` twice in `rules`; remove one"));
            }
            let is_known = self.singles.iter().any(|single| single.is(reference))
                || self.correlations.iter().any(|part| source(part).is(reference));
            if !is_known {
                return fail(format!(
                    "counts `{reference}`, which is no rule; write the id or name of one"
                ));
            }
        }
        Ok(())
    }

    /// Sorts the correlations so that parts come first, else in load order.
    fn sort(&mut self) -> Result<(), CorrelationError> {
        let fail = |rule: &CorrelationRule, problem: String| {
            Err(CorrelationError { rule: sigma_id(rule), problem })
        };
        let parts: Vec<Vec<usize>> = self
            .correlations
            .iter()
            .map(|rule| self.parts_of(rule).into_iter().map(|(_, part)| part).collect())
            .collect();
        let mut depths: Vec<Option<usize>> = vec![None; parts.len()];
        let mut left: BTreeSet<usize> = (0..parts.len()).collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let is_ready = |at: &&usize| parts[**at].iter().all(|part| depths[*part].is_some());
            let Some(at) = left.iter().find(is_ready).copied() else {
                let rule = self.correlations[on_cycle(&parts, &left)];
                return fail(rule, "counts itself through others; break the circle".into());
            };
            let deepest = parts[at].iter().filter_map(|part| depths[*part]).max();
            let depth = deepest.unwrap_or(0) + 1;
            if depth > DEPTH_MAX {
                let problem = format!("is the end of a chain of more than {DEPTH_MAX}; shorten it");
                return fail(self.correlations[at], problem);
            }
            depths[at] = Some(depth);
            left.remove(&at);
            order.push(self.correlations[at]);
        }
        self.correlations = order;
        Ok(())
    }
}

/// The first reference of `rule` to a source; a source is counted once.
fn number(rule: &CorrelationRule, source: &Source<'_>) -> Option<usize> {
    rule.rules.iter().position(|reference| source.is(reference))
}

/// A correlation that counts itself. Each of those `left` waits for another of them, so a walk of
/// as many steps ends in a circle.
fn on_cycle(parts: &[Vec<usize>], left: &BTreeSet<usize>) -> usize {
    let mut at = left.first().copied().unwrap_or_default();
    for _ in 0..left.len() {
        at = parts[at].iter().copied().find(|part| left.contains(part)).unwrap_or(at);
    }
    at
}
