//! Conditions of a query that a database of alerts and cases can apply: a column is one of some
//! values, or a moment lies in a range.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// How well a condition is applied where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exactness {
    /// Only rows that it wants come.
    Exact,
    /// Every row that it wants comes, and perhaps others.
    Inexact,
    /// It changes nothing.
    Ignored,
}

/// A condition on one column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition<'a> {
    /// The column is one of these texts.
    OneOf(&'a str, Vec<&'a str>),
    /// The column is this moment or later, in microseconds.
    From(&'a str, i64),
    /// The column is before this moment, in microseconds.
    Before(&'a str, i64),
}

/// Deepest chain of `OR` that is looked into.
const DEPTH_MAX: usize = 64;

impl<'a> Condition<'a> {
    /// What an expression asks of one column, if it is that simple.
    pub(crate) fn of(expr: &'a Expr) -> Option<Self> {
        if let Expr::BinaryExpr(binary) = expr
            && let Some(range) = range(binary)
        {
            return Some(range);
        }
        let mut values = Vec::new();
        let column = choice(expr, &mut values, DEPTH_MAX)?;
        Some(Self::OneOf(column, values))
    }

    /// The column whose values are listed.
    pub(crate) fn choice(&self) -> Option<&'a str> {
        match self {
            Self::OneOf(column, _) => Some(column),
            Self::From(..) | Self::Before(..) => None,
        }
    }
}

/// Collects the texts of `c = 'a' OR c IN ('b', 'c')`; the column, if it is the same in all.
fn choice<'a>(expr: &'a Expr, values: &mut Vec<&'a str>, depth: usize) -> Option<&'a str> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let left = choice(left, values, depth.checked_sub(1)?)?;
            let right = choice(right, values, depth.checked_sub(1)?)?;
            (left == right).then_some(left)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (column, value) = match (column(left), column(right)) {
                (Some(column), None) => (column, text(right)?),
                (None, Some(column)) => (column, text(left)?),
                _ => return None,
            };
            values.push(value);
            Some(column)
        }
        Expr::InList(list) if !list.negated => {
            for value in &list.list {
                values.push(text(value)?);
            }
            column(&list.expr)
        }
        _ => None,
    }
}

fn range<'a>(binary: &'a BinaryExpr) -> Option<Condition<'a>> {
    let (column, operator, moment) = match (column(&binary.left), column(&binary.right)) {
        (Some(column), None) => (column, binary.op, moment(&binary.right)?),
        (None, Some(column)) => (column, binary.op.swap()?, moment(&binary.left)?),
        _ => return None,
    };
    match operator {
        Operator::GtEq => Some(Condition::From(column, moment)),
        Operator::Gt => Some(Condition::From(column, moment.checked_add(1)?)),
        Operator::Lt => Some(Condition::Before(column, moment)),
        Operator::LtEq => Some(Condition::Before(column, moment.checked_add(1)?)),
        _ => None,
    }
}

fn column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text),
            _,
        ) => text.as_deref(),
        _ => None,
    }
}

fn moment(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(moment, _), _) => *moment,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{Expr, col, lit};

    use super::*;

    fn micros(moment: i64) -> Expr {
        lit(ScalarValue::TimestampMicrosecond(Some(moment), Some("UTC".into())))
    }

    #[test]
    fn simple_conditions_are_understood() {
        let rule = || col("rule");
        let severe = rule().eq(lit("a")).or(lit("b").eq(rule()));
        let severe = severe.or(rule().in_list(vec![lit("c")], false));
        assert_eq!(Condition::of(&severe), Some(Condition::OneOf("rule", vec!["a", "b", "c"])));
        for (expr, expected) in [
            (col("time").gt_eq(micros(5)), Condition::From("time", 5)),
            (col("time").gt(micros(5)), Condition::From("time", 6)),
            (micros(5).gt(col("time")), Condition::Before("time", 5)),
            (micros(5).gt_eq(col("time")), Condition::Before("time", 6)),
        ] {
            assert_eq!(Condition::of(&expr), Some(expected), "{expr}");
        }
    }

    #[test]
    fn all_else_is_left_to_who_asked() {
        let rule = || col("rule");
        let deep = (0..999).fold(rule().eq(lit("a")), |deep, _| deep.or(rule().eq(lit("b"))));
        for expr in [
            rule().eq(lit("a")).or(col("title").eq(lit("a"))),
            rule().eq(lit("a")).or(rule().gt(lit("b"))),
            rule().not_eq(lit("a")),
            rule().in_list(vec![lit("c")], true),
            rule().in_list(vec![rule()], false),
            rule().eq(rule()),
            rule().eq(lit(ScalarValue::Utf8(None))),
            rule().like(lit("a%")),
            col("time").gt(micros(i64::MAX)),
            col("time").gt(lit(ScalarValue::TimestampMicrosecond(None, None))),
            lit(true),
            deep,
        ] {
            assert_eq!(Condition::of(&expr), None, "{expr}");
        }
    }
}
