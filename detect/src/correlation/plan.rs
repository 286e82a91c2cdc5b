//! Correlation rules made ready to count: references resolved, parts before the correlations that
//! count them.

mod condition;
mod order;

use std::borrow::Cow;
use std::collections::HashMap;

use rsigma_parser::{CorrelationRule, CorrelationType, SigmaCollection, WindowMode};

use super::digest::Digest;
use super::hits::{Hits, Mark};

use condition::Condition;
use order::Sources;

/// A correlation that cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("correlation `{rule}` {problem}")]
pub(crate) struct CorrelationError {
    /// Sigma id of the correlation, else its name or title.
    pub(crate) rule: String,
    /// What is wrong and what to do.
    pub(crate) problem: String,
}

/// All correlations of a set of rules, parts before the correlations that count them.
pub(super) struct Plans {
    pub(super) plans: Vec<Plan>,
    /// By Sigma id of a single rule.
    pub(super) feeds: HashMap<String, Vec<Feed>>,
}

/// A place where what matched is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feed {
    /// Index in [`Plans::plans`].
    pub(super) plan: usize,
    /// Index among the rules that the plan counts.
    pub(super) reference: usize,
}

/// One correlation.
pub(super) struct Plan {
    pub(super) sigma_id: String,
    pub(super) group_by: Vec<Column>,
    pub(super) span_us: i64,
    pub(super) condition: Condition,
    /// Most hits of a timeline, of each step if there are steps.
    pub(super) hits_max: usize,
    /// Correlations that count this one.
    pub(super) parents: Vec<Feed>,
    kind: Kind,
    /// How many rules it counts.
    references: usize,
    /// What its groups share: another rule, or the same one changed, has other groups.
    seed: Digest,
}

/// A column of `group-by`.
pub(super) struct Column {
    pub(super) name: String,
    /// The field, for each of the rules that the plan counts: an alias has several.
    pub(super) fields: Vec<String>,
}

/// What is counted, with the fields that it looks at.
enum Kind {
    Events,
    Values(Vec<String>),
    Sum(String),
    Rules,
    Steps,
}

impl Plans {
    /// # Errors
    /// The first correlation that cannot be counted.
    pub(super) fn new(
        collection: &SigmaCollection,
        hits_max: usize,
    ) -> Result<Self, CorrelationError> {
        let sources = Sources::new(collection)?;
        let mut plans: Vec<Plan> = Vec::new();
        let mut feeds: HashMap<String, Vec<Feed>> = HashMap::new();
        for rule in sources.parts_first() {
            let plan = plans.len();
            plans.push(Plan::new(rule, &sources, hits_max)?);
            for (reference, id) in sources.singles_of(rule) {
                feeds.entry(id.to_owned()).or_default().push(Feed { plan, reference });
            }
            for (reference, part) in sources.parts_of(rule) {
                plans[part].parents.push(Feed { plan, reference });
            }
        }
        Ok(Self { plans, feeds })
    }
}

impl Plan {
    fn new(
        rule: &CorrelationRule,
        sources: &Sources<'_>,
        hits_max: usize,
    ) -> Result<Self, CorrelationError> {
        let fail = |problem: String| CorrelationError { rule: sigma_id(rule), problem };
        if rule.window != WindowMode::Sliding {
            let window = rule.window.as_str();
            return Err(fail(format!("has the window `{window}`; `sliding` is supported")));
        }
        let span_us = i64::try_from(rule.timespan.seconds)
            .ok()
            .filter(|seconds| *seconds > 0)
            .and_then(|seconds| seconds.checked_mul(1_000_000))
            .ok_or_else(|| fail("has a `timespan` that is zero or too long; write `1h`".into()))?;
        let kind = Kind::of(rule).map_err(fail)?;
        let references = rule.rules.len();
        let hits_max = match kind {
            Kind::Rules => references,
            Kind::Steps => (hits_max / references).max(1),
            Kind::Events | Kind::Values(_) | Kind::Sum(_) => hits_max.max(1),
        };
        let condition = Condition::of(rule).map_err(fail)?;
        if matches!(kind, Kind::Events | Kind::Values(_)) && !condition.is_reachable(hits_max) {
            return Err(fail(format!(
                "counts further than the {hits_max} hits that a group keeps; lower its \
                 threshold, or raise `detect.rules.group_hits_max`"
            )));
        }
        let sigma_id = sigma_id(rule);
        let own = [Some(sigma_id.as_str()), Some(rule.correlation_type.as_str())];
        let counted = rule.rules.iter().map(|reference| Some(reference.as_str()));
        let seed = Digest::of(own.into_iter().chain(counted));
        let group_by = rule
            .group_by
            .iter()
            .map(|name| Column { name: name.clone(), fields: sources.fields(rule, name) });
        let group_by = group_by.collect();
        let parents = Vec::new();
        Ok(Self {
            sigma_id,
            group_by,
            span_us,
            condition,
            hits_max,
            parents,
            kind,
            references,
            seed,
        })
    }

    /// What the plan counts of an event that matched one of its rules; none if the event lacks it.
    pub(super) fn mark<'e>(
        &self,
        reference: usize,
        field: &dyn Fn(&str) -> Option<Cow<'e, str>>,
    ) -> Option<Mark> {
        Some(match &self.kind {
            Kind::Events => Mark::Amount(1),
            Kind::Sum(name) => Mark::Amount(whole(&field(name)?)?),
            Kind::Values(names) => {
                let values: Option<Vec<_>> = names.iter().map(|name| field(name)).collect();
                Mark::Value(Digest::of(values?.iter().map(|value| Some(value.as_ref()))))
            }
            Kind::Rules => Mark::Value(Digest::of_index(reference)),
            Kind::Steps => Mark::Step(reference),
        })
    }

    /// The group with these values of the columns.
    pub(super) fn group<'v>(&self, values: impl Iterator<Item = Option<&'v str>>) -> Digest {
        self.seed.with(values)
    }

    /// What a timeline starts with.
    pub(super) fn no_hits(&self) -> Hits {
        match self.kind {
            Kind::Events | Kind::Sum(_) => Hits::amounts(),
            Kind::Values(_) | Kind::Rules => Hits::values(),
            Kind::Steps => Hits::steps(self.references),
        }
    }
}

impl Kind {
    /// The kind of a rule, or what is wrong with it.
    fn of(rule: &CorrelationRule) -> Result<Self, String> {
        let fields = condition::fields(&rule.condition);
        let name = rule.correlation_type.as_str();
        match rule.correlation_type {
            CorrelationType::EventCount => Ok(Self::Events),
            CorrelationType::ValueCount if fields.is_empty() => {
                Err("counts values of no field; add `field` to its condition".into())
            }
            CorrelationType::ValueCount => Ok(Self::Values(fields.to_vec())),
            CorrelationType::ValueSum => match fields {
                [field] => Ok(Self::Sum(field.clone())),
                _ => Err("needs one field to sum; name it in `field` of its condition".into()),
            },
            CorrelationType::Temporal => Ok(Self::Rules),
            CorrelationType::TemporalOrdered => Ok(Self::Steps),
            CorrelationType::ValueAvg
            | CorrelationType::ValuePercentile
            | CorrelationType::ValueMedian => Err(format!(
                "has the type `{name}`; event_count, value_count, value_sum, temporal and \
                 temporal_ordered are supported"
            )),
        }
    }
}

/// What a rule is called where it fires.
fn sigma_id(rule: &CorrelationRule) -> String {
    rule.id.as_ref().or(rule.name.as_ref()).unwrap_or(&rule.title).clone()
}

/// A number as a whole one, rounded and within the range of 64 bits; none for other text.
fn whole(text: &str) -> Option<i64> {
    let text = text.trim();
    let rounded = || text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| n.round() as i64);
    text.parse().ok().or_else(rounded)
}
