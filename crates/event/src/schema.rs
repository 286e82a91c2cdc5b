//! The columns of `events` and `rejects`: names, order and Arrow types. The names are the API,
//! the fields of rules and the SQL columns, so they only ever grow.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Version of the column set, carried beside every batch that leaves the process.
pub const VERSION: u32 = 2;

static EVENTS: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(event_fields())));
static REJECTS: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(reject_fields())));

/// The schema of every [`crate::EventBatch`].
pub fn events() -> SchemaRef {
    EVENTS.clone()
}

/// The schema of every [`crate::RejectBatch`].
pub fn rejects() -> SchemaRef {
    REJECTS.clone()
}

/// Text that repeats within a batch is stored once.
pub(crate) fn repeated_text() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// List of texts; its items are never null.
pub(crate) fn text_list() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

fn moment() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn event_fields() -> Vec<Field> {
    let required = |name, data_type| Field::new(name, data_type, false);
    let text = |name| Field::new(name, repeated_text(), true);
    let long_text = |name| Field::new(name, DataType::Utf8, true);
    let list = |name| Field::new(name, text_list(), true);
    let number = |name| Field::new(name, DataType::Int64, true);
    vec![
        required("id", DataType::FixedSizeBinary(16)),
        required("time", moment()),
        required("time_basis", repeated_text()),
        required("date", DataType::Date32),
        required("received", moment()),
        required("source", repeated_text()),
        required("format", repeated_text()),
        required("position", DataType::Int64),
        required("evidence", repeated_text()),
        required("engine", repeated_text()),
        required("instance", repeated_text()),
        text("database"),
        required("action", repeated_text()),
        text("command"),
        text("user"),
        text("actor"),
        text("actor_kind"),
        text("actor_basis"),
        text("path"),
        text("client_address"),
        Field::new("client_port", DataType::Int32, true),
        text("client_host"),
        text("application"),
        text("authentication"),
        text("tls"),
        text("session"),
        number("statement_number"),
        text("object_kind"),
        text("object"),
        long_text("statement"),
        required("statement_state", repeated_text()),
        long_text("parameters"),
        number("rows"),
        number("duration_us"),
        required("outcome", repeated_text()),
        text("error_code"),
        text("error"),
        text("grant_id"),
        text("message"),
        Field::new("fingerprint", DataType::UInt64, true),
        list("tables_read"),
        list("tables_written"),
        list("columns"),
        list("functions"),
        list("flags"),
        Field::new("sensitivity", DataType::Int32, true),
        Field::new("risk", DataType::Float64, true),
        list("reasons"),
        list("rules"),
        number("batch"),
    ]
}

/// Index of the first column that detection fills; the ones before it are ingest's.
pub(crate) const FIRST_ENRICHED: usize = 39;

fn reject_fields() -> Vec<Field> {
    let required = |name, data_type| Field::new(name, data_type, false);
    vec![
        required("id", DataType::FixedSizeBinary(16)),
        required("received", moment()),
        required("date", DataType::Date32),
        required("source", DataType::Utf8),
        required("format", DataType::Utf8),
        required("position", DataType::Int64),
        required("reason", DataType::Utf8),
        required("bytes", DataType::Binary),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detection_begins_at_the_fingerprint() {
        assert_eq!(events().field(FIRST_ENRICHED).name(), "fingerprint");
    }
}
