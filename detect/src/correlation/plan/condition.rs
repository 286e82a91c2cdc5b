//! When a correlation fires.

use rsigma_parser::{
    ConditionExpr, ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType,
};

use crate::correlation::hits::Hits;

/// The condition of a correlation.
pub(in crate::correlation) struct Condition {
    predicates: Vec<(ConditionOperator, u64)>,
    /// Over the rules that have a hit, by their number; of temporal correlations only.
    expression: Option<Expression>,
    /// How many rules the correlation counts.
    rules: usize,
}

enum Expression {
    Rule(usize),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

/// The fields that a condition names.
pub(super) fn fields(condition: &CorrelationCondition) -> &[String] {
    match condition {
        CorrelationCondition::Threshold { field, .. } => field.as_deref().unwrap_or_default(),
        CorrelationCondition::Extended(_) => &[],
    }
}

impl Condition {
    /// The condition of a rule, or what is wrong with it.
    pub(super) fn of(rule: &CorrelationRule) -> Result<Self, String> {
        let is_temporal = matches!(
            rule.correlation_type,
            CorrelationType::Temporal | CorrelationType::TemporalOrdered
        );
        let rules = rule.rules.len();
        match &rule.condition {
            CorrelationCondition::Threshold { predicates, .. } => {
                let mut predicates = predicates.clone();
                // What the parser writes where a temporal rule says nothing; Sigma means all.
                if is_temporal && predicates == [(ConditionOperator::Gte, 1)] {
                    predicates = vec![(ConditionOperator::Gte, rules as u64)];
                }
                Ok(Self { predicates, expression: None, rules })
            }
            CorrelationCondition::Extended(_) if !is_temporal => {
                Err("has a condition over rules; only temporal and temporal_ordered have one, \
                     write a threshold such as `gte: 5`"
                    .into())
            }
            CorrelationCondition::Extended(expression) => Ok(Self {
                predicates: Vec::new(),
                expression: Some(Expression::of(expression, &rule.rules)?),
                rules,
            }),
        }
    }

    /// Whether a count that is known up to `hits_max` can decide it.
    pub(super) fn is_reachable(&self, hits_max: usize) -> bool {
        let hits_max = hits_max as u64;
        self.predicates.iter().all(|(operator, threshold)| match operator {
            ConditionOperator::Gt => *threshold < hits_max,
            _ => *threshold <= hits_max,
        })
    }

    /// What was counted, if the condition holds.
    pub(in crate::correlation) fn value_if_held(&self, hits: &Hits) -> Option<i64> {
        let value = match &self.expression {
            // Without a value the steps of temporal_ordered have not happened in their order.
            Some(expression) => {
                let holds = hits.value() > 0 && expression.holds(hits);
                holds.then(|| hits.rules(self.rules) as i128)?
            }
            None => hits.value(),
        };
        let holds = self.predicates.iter().all(|(operator, threshold)| {
            let threshold = i128::from(*threshold);
            match operator {
                ConditionOperator::Lt => value < threshold,
                ConditionOperator::Lte => value <= threshold,
                ConditionOperator::Gt => value > threshold,
                ConditionOperator::Gte => value >= threshold,
                ConditionOperator::Eq => value == threshold,
                ConditionOperator::Neq => value != threshold,
            }
        });
        holds.then(|| value.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }
}

impl Expression {
    fn of(expression: &ConditionExpr, rules: &[String]) -> Result<Self, String> {
        let all = |parts: &[ConditionExpr]| -> Result<Vec<Self>, String> {
            parts.iter().map(|part| Self::of(part, rules)).collect()
        };
        match expression {
            ConditionExpr::Identifier(name) => {
                let rule = rules.iter().position(|rule| rule == name);
                rule.map(Self::Rule).ok_or_else(|| {
                    format!("has `{name}` in its condition but not in `rules`; add it there")
                })
            }
            ConditionExpr::Not(part) => Ok(Self::Not(Box::new(Self::of(part, rules)?))),
            ConditionExpr::And(parts) => Ok(Self::All(all(parts)?)),
            ConditionExpr::Or(parts) => Ok(Self::Any(all(parts)?)),
            ConditionExpr::Selector { .. } => {
                Err(format!("has `{expression}` in its condition; name the rules with `and`, `or`"))
            }
        }
    }

    fn holds(&self, hits: &Hits) -> bool {
        match self {
            Self::Rule(rule) => hits.has(*rule),
            Self::Not(part) => !part.holds(hits),
            Self::All(parts) => parts.iter().all(|part| part.holds(hits)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(hits)),
        }
    }
}
