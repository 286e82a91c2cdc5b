//! How the columns of a batch are stored: Delta has no fixed-size, unsigned or dictionary types,
//! so ids are binary, fingerprints are longs with the same bits, and texts are plain strings.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, Date32Array, Int64Array, ListArray, RecordBatch};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};

/// Partition column: the UTC day of an event, or the day on which a reject was read.
pub(crate) const DATE: &str = "date";

/// Bytes of an id.
const ID_BYTES: i32 = 16;

/// Days whose year has four digits, 0001-01-01 to 9999-12-31: what readers of a partition folder
/// understand. A clock that is further off ends up in the outermost day.
const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;

/// The columns of one table in the three shapes that they take here.
pub(crate) struct Columns {
    /// Name of the table and of its folder.
    pub(crate) name: &'static str,
    /// As a reader of the table sees them, the partition column among them.
    pub(crate) table: SchemaRef,
    /// As they wait for a commit: repeated text is still a dictionary.
    pub(crate) waiting: SchemaRef,
    /// As they enter a Parquet file: as they wait, without the partition column.
    pub(crate) file: SchemaRef,
    /// The column that orders rows.
    pub(crate) time: &'static str,
    /// Columns with the smallest and largest value of each file in the log, for skipping.
    pub(crate) bounded: &'static [&'static str],
    /// Index of the partition column.
    date: usize,
}

static EVENTS: LazyLock<Columns> = LazyLock::new(|| {
    let bounded = &["time", "received", "position"];
    Columns::new("events", &event::schema::events(), "time", bounded)
});
static REJECTS: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new("rejects", &event::schema::rejects(), "received", &["received", "position"])
});

/// Columns of the table `events` as readers see them.
pub fn events_schema() -> SchemaRef {
    EVENTS.table.clone()
}

/// Columns of the table `rejects` as readers see them.
pub fn rejects_schema() -> SchemaRef {
    REJECTS.table.clone()
}

impl Columns {
    pub(crate) fn events() -> &'static Self {
        &EVENTS
    }

    pub(crate) fn rejects() -> &'static Self {
        &REJECTS
    }

    fn new(
        name: &'static str,
        batch: &Schema,
        time: &'static str,
        bounded: &'static [&'static str],
    ) -> Self {
        let schema = |stored: fn(&Field) -> Field| {
            Schema::new(batch.fields().iter().map(|field| stored(field)).collect::<Vec<_>>())
        };
        let waiting = schema(waiting_field);
        let date = waiting.index_of(DATE).expect("both tables are partitioned by date");
        let mut in_file = waiting.fields().to_vec();
        in_file.remove(date);
        Self {
            name,
            table: Arc::new(schema(table_field)),
            waiting: Arc::new(waiting),
            file: Arc::new(Schema::new(in_file)),
            time,
            bounded,
            date,
        }
    }

    /// A batch as it waits for its commit; shares nearly all memory with `batch`.
    pub(crate) fn waiting(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = batch.columns().iter().zip(self.waiting.fields());
        let stored = columns.map(|(column, field)| stored_column(column, field));
        RecordBatch::try_new(self.waiting.clone(), stored.collect::<Result<_, _>>()?)
    }

    /// Days of a waiting batch, row by row.
    pub(crate) fn days<'a>(&self, waiting: &'a RecordBatch) -> &'a ScalarBuffer<i32> {
        waiting.column(self.date).as_primitive::<Date32Type>().values()
    }

    /// A waiting batch without its partition column.
    pub(crate) fn without_date(&self, waiting: &RecordBatch) -> RecordBatch {
        let mut columns = waiting.clone();
        columns.remove_column(self.date);
        columns
    }
}

fn waiting_field(field: &Field) -> Field {
    match field.data_type() {
        DataType::FixedSizeBinary(_) => field.clone().with_data_type(DataType::Binary),
        DataType::UInt64 => field.clone().with_data_type(DataType::Int64),
        DataType::List(item) => {
            // Delta and Parquet call the items of a list `element`.
            let item = item.as_ref().clone().with_name("element");
            field.clone().with_data_type(DataType::List(Arc::new(item)))
        }
        _ => field.clone(),
    }
}

fn table_field(field: &Field) -> Field {
    let field = waiting_field(field);
    match field.data_type() {
        DataType::Dictionary(_, text) => field.clone().with_data_type(text.as_ref().clone()),
        _ => field,
    }
}

fn stored_column(column: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    match (column.data_type(), field.data_type()) {
        (DataType::FixedSizeBinary(ID_BYTES), DataType::Binary) => {
            let ids = column.as_fixed_size_binary();
            let ends = (0..=ids.len() as i32).map(|row| row * ID_BYTES);
            let offsets = OffsetBuffer::new(ends.collect::<ScalarBuffer<i32>>());
            let bytes = Buffer::from(ids.value_data());
            Ok(Arc::new(BinaryArray::try_new(offsets, bytes, ids.nulls().cloned())?))
        }
        (DataType::UInt64, DataType::Int64) => {
            let bits = column.as_primitive::<UInt64Type>();
            let values = ScalarBuffer::<i64>::new(bits.values().inner().clone(), 0, bits.len());
            Ok(Arc::new(Int64Array::try_new(values, bits.nulls().cloned())?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let (_, offsets, texts, nulls) = column.as_list::<i32>().clone().into_parts();
            Ok(Arc::new(ListArray::try_new(item.clone(), offsets, texts, nulls)?))
        }
        (DataType::Date32, DataType::Date32) => {
            let days = column.as_primitive::<Date32Type>();
            if days.values().iter().all(|day| DAYS.contains(day)) {
                return Ok(column.clone());
            }
            let clamped: Date32Array = days.unary(|day| day.clamp(*DAYS.start(), *DAYS.end()));
            Ok(Arc::new(clamped))
        }
        _ => Ok(column.clone()),
    }
}

/// Values of a column of integers or moments; none for other types.
pub(crate) fn long_values<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a [i64]> {
    let column = batch.column_by_name(name)?;
    let numbers = column.as_primitive_opt::<Int64Type>().map(|array| &array.values()[..]);
    numbers.or_else(|| {
        let moments = column.as_primitive_opt::<TimestampMicrosecondType>();
        moments.map(|array| &array.values()[..])
    })
}

#[cfg(test)]
mod tests {
    use event::vocabulary::Outcome;
    use event::{AuditEvent, EventBatchBuilder, EventId, Timestamp};

    use super::*;

    #[test]
    fn ids_and_days_are_stored_as_delta_knows_them() {
        let mut builder = EventBatchBuilder::default();
        for time in [0, i64::MAX, i64::MIN] {
            let id = EventId::of(&[b"source"]).at(time as u64);
            let event = AuditEvent::new("files", "json", "postgresql", "orders");
            let time = Timestamp(time);
            builder.push(&AuditEvent { id, time, outcome: Outcome::Failed, ..event });
        }
        // A slice, so that offsets into shared memory are exercised.
        let batch = builder.finish().slice(1, 2);
        let waiting = EVENTS.waiting(batch.record_batch()).expect("stored");
        let ids = waiting.column(0).as_binary::<i32>();
        let expected = EventId::of(&[b"source"]).at(i64::MAX as u64);
        assert_eq!((ids.len(), ids.value(0)), (2, &expected.0[..]));
        assert_eq!(&EVENTS.days(&waiting)[..], &[*DAYS.end(), *DAYS.start()]);
        assert!(EVENTS.without_date(&waiting).column_by_name(DATE).is_none());
    }

    #[test]
    fn no_column_is_of_a_type_that_delta_lacks() {
        for field in EVENTS.table.fields().iter().chain(REJECTS.table.fields()) {
            let lacking = matches!(
                field.data_type(),
                DataType::Dictionary(..) | DataType::UInt64 | DataType::FixedSizeBinary(_)
            );
            assert!(!lacking, "{field}");
        }
    }
}
