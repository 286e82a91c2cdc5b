//! What the columns of `alerts` and `cases` share: their types, how they are filled, and how
//! conditions on them become filters of the state.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, TimeUnit};
use event::Timestamp;
use event::alert::Severity;

use crate::condition::Exactness;

/// A text that may be null.
pub(crate) fn text_field(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

/// A moment, which is always there.
pub(crate) fn moment_field(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false)
}

/// A list of texts.
pub(crate) fn list_field(name: &str) -> Field {
    let item = Field::new("item", DataType::Utf8, true);
    Field::new(name, DataType::List(Arc::new(item)), true)
}

/// A column of texts.
pub(crate) fn texts<T>(rows: &[T], text: impl Fn(&T) -> Option<String>) -> ArrayRef {
    Arc::new(rows.iter().map(text).collect::<StringArray>())
}

/// A column of moments.
pub(crate) fn moments<T>(rows: &[T], moment: impl Fn(&T) -> Timestamp) -> ArrayRef {
    let micros = rows.iter().map(|row| moment(row).0);
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

/// A column of lists of texts.
pub(crate) fn lists<T>(rows: &[T], list: impl Fn(&T) -> Vec<String>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in rows {
        list(row).iter().for_each(|text| builder.values().append_value(text));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// Asks for one text, unless the filter asks for one already.
pub(crate) fn one_text(filter: &mut Option<String>, values: &[&str]) -> Exactness {
    let ([value], None) = (values, &filter) else { return Exactness::Ignored };
    *filter = Some((*value).to_owned());
    // The database keeps texts without NUL: those that it cannot tell apart are compared again.
    let is_plain = !value.contains(['\0', '\u{fffd}']);
    if is_plain { Exactness::Exact } else { Exactness::Inexact }
}

/// Asks for one word of a closed set, unless the filter asks for one already.
pub(crate) fn one_word<W: Copy>(
    filter: &mut Option<W>,
    values: &[&str],
    all: &[W],
    as_str: impl Fn(W) -> &'static str,
) -> Exactness {
    let ([value], None) = (values, &filter) else { return Exactness::Ignored };
    *filter = all.iter().copied().find(|word| as_str(*word) == *value);
    if filter.is_some() { Exactness::Exact } else { Exactness::Ignored }
}

/// Asks for some words of a closed set, unless the filter asks for some already.
pub(crate) fn any_word<W: Copy>(
    filter: &mut Vec<W>,
    values: &[&str],
    all: &[W],
    as_str: impl Fn(W) -> &'static str,
) -> Exactness {
    if !filter.is_empty() {
        return Exactness::Ignored;
    }
    filter.extend(all.iter().copied().filter(|word| values.contains(&as_str(*word))));
    // Texts that are no words select nothing; without a word at all that cannot be asked for.
    if filter.is_empty() { Exactness::Ignored } else { Exactness::Exact }
}

/// The later of two begins.
pub(crate) fn later(from: &mut Option<Timestamp>, moment: i64) -> Exactness {
    *from = (*from).max(Some(Timestamp(moment)));
    Exactness::Exact
}

/// The earlier of two ends.
pub(crate) fn earlier(to: &mut Option<Timestamp>, moment: i64) -> Exactness {
    let moment = Timestamp(moment);
    *to = Some(to.map_or(moment, |to| to.min(moment)));
    Exactness::Exact
}

/// Every severity.
pub(crate) const SEVERITIES: &[Severity] =
    &[Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
