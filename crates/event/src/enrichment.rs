//! The columns that detection adds to a batch.

use std::sync::Arc;

use arrow_array::builder::{
    Float64Builder, Int32Builder, ListBuilder, StringBuilder, UInt64Builder,
};
use arrow_array::{ArrayRef, new_null_array};

use crate::schema;

/// Collects what detection says of each row, in row order.
#[derive(Default)]
pub struct Enrichment {
    rows: usize,
    fingerprint: UInt64Builder,
    tables_read: ListBuilder<StringBuilder>,
    tables_written: ListBuilder<StringBuilder>,
    columns: ListBuilder<StringBuilder>,
    functions: ListBuilder<StringBuilder>,
    flags: ListBuilder<StringBuilder>,
    sensitivity: Int32Builder,
    risk: Float64Builder,
    reasons: ListBuilder<StringBuilder>,
    rules: ListBuilder<StringBuilder>,
}

/// What SQL means, for one row; empty for a record that carries none.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatementColumns<'a> {
    /// Hash of the normal form.
    pub fingerprint: Option<u64>,
    /// Tables read.
    pub tables_read: &'a [String],
    /// Tables written.
    pub tables_written: &'a [String],
    /// Columns named.
    pub columns: &'a [String],
    /// Functions called.
    pub functions: &'a [String],
    /// Statement flags.
    pub flags: &'a [&'a str],
}

/// What detection thinks of one row.
#[derive(Clone, Copy, Debug, Default)]
pub struct DetectionColumns<'a> {
    /// Highest sensitivity tag among the objects, 0–3.
    pub sensitivity: Option<i32>,
    /// Risk points, 0 and up.
    pub risk: Option<f64>,
    /// Short reasons.
    pub reasons: &'a [String],
    /// Ids of the rules that matched.
    pub rules: &'a [String],
}

impl Enrichment {
    /// Appends one row.
    pub fn push(&mut self, statement: &StatementColumns<'_>, detection: &DetectionColumns<'_>) {
        self.fingerprint.append_option(statement.fingerprint);
        append(&mut self.tables_read, statement.tables_read);
        append(&mut self.tables_written, statement.tables_written);
        append(&mut self.columns, statement.columns);
        append(&mut self.functions, statement.functions);
        append(&mut self.flags, statement.flags);
        self.sensitivity.append_option(detection.sensitivity);
        self.risk.append_option(detection.risk);
        append(&mut self.reasons, detection.reasons);
        append(&mut self.rules, detection.rules);
        self.rows += 1;
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn finish(mut self) -> Vec<ArrayRef> {
        let batch = new_null_array(&arrow_schema::DataType::Int64, self.rows);
        vec![
            Arc::new(self.fingerprint.finish()),
            Arc::new(self.tables_read.finish()),
            Arc::new(self.tables_written.finish()),
            Arc::new(self.columns.finish()),
            Arc::new(self.functions.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.sensitivity.finish()),
            Arc::new(self.risk.finish()),
            Arc::new(self.reasons.finish()),
            Arc::new(self.rules.finish()),
            batch,
        ]
    }
}

/// An empty list is null: most rows have nothing to say.
fn append<T: AsRef<str>>(list: &mut ListBuilder<StringBuilder>, texts: &[T]) {
    for text in texts {
        list.values().append_value(text);
    }
    list.append(!texts.is_empty());
}

const _: () = assert!(schema::FIRST_ENRICHED == 39, "Enrichment::finish follows the schema");
