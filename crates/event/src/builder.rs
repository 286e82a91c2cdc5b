//! Collects events into the columns of one batch.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{Array, ArrayRef, Date32Array, FixedSizeBinaryArray, new_null_array};
use arrow_buffer::Buffer;

use crate::batch::EventBatch;
use crate::schema::{self, FIRST_ENRICHED};
use crate::text_column::TextColumn;
use crate::vocabulary::Outcome;
use crate::{AuditEvent, BATCH_ROWS};

/// Free text after which a batch counts as full even with fewer rows, in bytes: a batch must fit
/// into one record of the bus.
const BATCH_TEXT_BYTES: usize = 4 << 20;

/// Appends [`AuditEvent`]s; [`EventBatchBuilder::finish`] hands them out as an [`EventBatch`].
#[derive(Default)]
pub struct EventBatchBuilder {
    rows: usize,
    ids: Vec<[u8; 16]>,
    days: Vec<i32>,
    time: TimestampMicrosecondBuilder,
    received: TimestampMicrosecondBuilder,
    position: Int64Builder,
    client_port: Int32Builder,
    statement_number: Int64Builder,
    statement: StringBuilder,
    parameters: StringBuilder,
    affected_rows: Int64Builder,
    duration_us: Int64Builder,
    text: TextColumns,
}

/// The dictionary-encoded columns.
#[derive(Default)]
struct TextColumns {
    time_basis: TextColumn,
    source: TextColumn,
    format: TextColumn,
    evidence: TextColumn,
    engine: TextColumn,
    instance: TextColumn,
    database: TextColumn,
    action: TextColumn,
    command: TextColumn,
    user: TextColumn,
    actor: TextColumn,
    actor_kind: TextColumn,
    actor_basis: TextColumn,
    path: TextColumn,
    client_address: TextColumn,
    client_host: TextColumn,
    application: TextColumn,
    authentication: TextColumn,
    tls: TextColumn,
    session: TextColumn,
    object_kind: TextColumn,
    object: TextColumn,
    statement_state: TextColumn,
    outcome: TextColumn,
    error_code: TextColumn,
    error: TextColumn,
    grant_id: TextColumn,
    message: TextColumn,
}

impl EventBatchBuilder {
    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether it is time to [`finish`](Self::finish): enough rows, or very long texts.
    pub fn is_full(&self) -> bool {
        let text = self.statement.values_slice().len()
            + self.parameters.values_slice().len()
            + self.text.error.text_bytes()
            + self.text.message.text_bytes();
        self.rows >= BATCH_ROWS || text >= BATCH_TEXT_BYTES
    }

    /// Appends one event; returns its row.
    pub fn push(&mut self, event: &AuditEvent<'_>) -> usize {
        self.ids.push(event.id.0);
        self.days.push(event.time.day());
        self.time.append_value(event.time.0);
        self.received.append_value(event.received.0);
        self.position.append_value(event.position);
        self.client_port.append_option(event.client_port);
        self.statement_number.append_option(event.statement_number);
        self.statement.append_option(event.statement);
        self.parameters.append_option(event.parameters);
        self.affected_rows.append_option(event.rows);
        self.duration_us.append_option(event.duration_us);
        self.text.push(event);
        self.rows += 1;
        self.rows - 1
    }

    /// Appends the rows of a batch.
    pub fn extend(&mut self, batch: &EventBatch) {
        for row in batch.rows().iter() {
            self.push(&row.event());
        }
    }

    /// Position of the first row, if there is one.
    pub fn first_position(&self) -> Option<i64> {
        self.position.values_slice().first().copied()
    }

    /// Says how the statement of an earlier row ended.
    pub fn set_outcome(&mut self, row: usize, outcome: Outcome, code: Option<&str>, error: &str) {
        self.text.outcome.set(row, Some(outcome.as_str()));
        self.text.error_code.set(row, code);
        self.text.error.set(row, Some(error));
    }

    /// Hands out the rows so far and starts an empty batch.
    pub fn finish(&mut self) -> EventBatch {
        let rows = std::mem::take(&mut self.rows);
        let ids = std::mem::replace(&mut self.ids, Vec::with_capacity(rows)).into_flattened();
        let ids = FixedSizeBinaryArray::new(16, Buffer::from_vec(ids), None);
        let (statement_bytes, parameters_bytes) =
            (self.statement.values_slice().len(), self.parameters.values_slice().len());
        let zone = "UTC";
        let text = &mut self.text;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(ids),
            Arc::new(self.time.finish().with_timezone(zone)),
            text.time_basis.finish(),
            Arc::new(Date32Array::from(std::mem::replace(
                &mut self.days,
                Vec::with_capacity(rows),
            ))),
            Arc::new(self.received.finish().with_timezone(zone)),
            text.source.finish(),
            text.format.finish(),
            Arc::new(self.position.finish()),
            text.evidence.finish(),
            text.engine.finish(),
            text.instance.finish(),
            text.database.finish(),
            text.action.finish(),
            text.command.finish(),
            text.user.finish(),
            text.actor.finish(),
            text.actor_kind.finish(),
            text.actor_basis.finish(),
            text.path.finish(),
            text.client_address.finish(),
            Arc::new(self.client_port.finish()),
            text.client_host.finish(),
            text.application.finish(),
            text.authentication.finish(),
            text.tls.finish(),
            text.session.finish(),
            Arc::new(self.statement_number.finish()),
            text.object_kind.finish(),
            text.object.finish(),
            Arc::new(self.statement.finish()),
            text.statement_state.finish(),
            Arc::new(self.parameters.finish()),
            Arc::new(self.affected_rows.finish()),
            Arc::new(self.duration_us.finish()),
            text.outcome.finish(),
            text.error_code.finish(),
            text.error.finish(),
            text.grant_id.finish(),
            text.message.finish(),
        ];
        columns.extend(not_enriched(rows));
        self.reserve(rows, statement_bytes, parameters_bytes);
        EventBatch::from_columns(columns)
    }

    /// Makes room for a batch as large as the last one: growing to it would touch twice the memory.
    fn reserve(&mut self, rows: usize, statement_bytes: usize, parameters_bytes: usize) {
        self.time = TimestampMicrosecondBuilder::with_capacity(rows);
        self.received = TimestampMicrosecondBuilder::with_capacity(rows);
        self.position = Int64Builder::with_capacity(rows);
        self.client_port = Int32Builder::with_capacity(rows);
        self.statement_number = Int64Builder::with_capacity(rows);
        self.statement = StringBuilder::with_capacity(rows, statement_bytes);
        self.parameters = StringBuilder::with_capacity(rows, parameters_bytes);
        self.affected_rows = Int64Builder::with_capacity(rows);
        self.duration_us = Int64Builder::with_capacity(rows);
    }
}

/// The columns of detection without values. All batches share their memory.
fn not_enriched(rows: usize) -> impl Iterator<Item = ArrayRef> {
    static NULLS: LazyLock<Vec<ArrayRef>> = LazyLock::new(|| {
        let schema = schema::events();
        let fields = schema.fields()[FIRST_ENRICHED..].iter();
        fields.map(|field| new_null_array(field.data_type(), BATCH_ROWS)).collect()
    });
    // A batch that was read from elsewhere and extended may be larger.
    let columns = NULLS.iter();
    columns.map(move |nulls| match rows {
        0..=BATCH_ROWS => nulls.slice(0, rows),
        _ => new_null_array(nulls.data_type(), rows),
    })
}

impl TextColumns {
    fn push(&mut self, event: &AuditEvent<'_>) {
        self.time_basis.push_word(Some(event.time_basis.as_str()));
        self.source.push(Some(event.source));
        self.format.push(Some(event.format));
        self.evidence.push_word(Some(event.evidence.as_str()));
        self.engine.push(Some(event.engine));
        self.instance.push(Some(event.instance));
        self.database.push(event.database);
        self.action.push_word(Some(event.action.as_str()));
        self.command.push(event.command);
        self.user.push(event.user);
        self.actor.push(event.actor);
        self.actor_kind.push_word(event.actor_kind.map(|kind| kind.as_str()));
        self.actor_basis.push_word(event.actor_basis.map(|basis| basis.as_str()));
        self.path.push_word(event.path.map(|path| path.as_str()));
        self.client_address.push(event.client_address);
        self.client_host.push(event.client_host);
        self.application.push(event.application);
        self.authentication.push(event.authentication);
        self.tls.push(event.tls);
        self.session.push(event.session);
        self.object_kind.push(event.object_kind);
        self.object.push(event.object);
        self.statement_state.push_word(Some(event.statement_state.as_str()));
        self.outcome.push_word(Some(event.outcome.as_str()));
        self.error_code.push(event.error_code);
        self.error.push(event.error);
        self.grant_id.push(event.grant_id);
        self.message.push(event.message);
    }
}
