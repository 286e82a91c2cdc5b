//! Records that could not be read: kept with their bytes and the reason, never dropped.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, FixedSizeBinaryBuilder, StringBuilder};
use arrow_array::{Date32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use serde::Serialize;

use crate::{EventId, Timestamp, schema};

/// One record that no format could read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Same scheme as an event's id.
    pub id: EventId,
    /// When the bytes were read.
    pub received: Timestamp,
    /// Configured name of the source.
    pub source: String,
    /// Name of the format that was asked to read it.
    pub format: String,
    /// Byte offset in the file.
    pub position: i64,
    /// What is wrong with it.
    pub reason: String,
    /// The record as it was read.
    pub bytes: Vec<u8>,
}

/// As NDJSON shows it: the bytes as text, with what is not UTF-8 replaced.
impl Serialize for Reject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut object = serializer.serialize_struct("Reject", 7)?;
        object.serialize_field("id", &self.id)?;
        object.serialize_field("received", &self.received)?;
        object.serialize_field("source", &self.source)?;
        object.serialize_field("format", &self.format)?;
        object.serialize_field("position", &self.position)?;
        object.serialize_field("reason", &self.reason)?;
        object.serialize_field("bytes", &String::from_utf8_lossy(&self.bytes))?;
        object.end()
    }
}

/// Rejects as columns, for the `rejects` table.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectBatch {
    columns: RecordBatch,
}

impl RejectBatch {
    /// Builds the columns.
    pub fn new(rejects: &[Reject]) -> Self {
        let mut ids = FixedSizeBinaryBuilder::with_capacity(rejects.len(), 16);
        let mut texts: [StringBuilder; 3] = Default::default();
        let mut bytes = BinaryBuilder::new();
        for reject in rejects {
            ids.append_value(reject.id.0).expect("16 bytes, as declared");
            for (column, text) in
                texts.iter_mut().zip([&reject.source, &reject.format, &reject.reason])
            {
                column.append_value(text);
            }
            bytes.append_value(&reject.bytes);
        }
        let received = rejects.iter().map(|reject| reject.received.0);
        let days = rejects.iter().map(|reject| reject.received.day());
        let positions = rejects.iter().map(|reject| reject.position);
        let [mut source, mut format, mut reason] = texts;
        let columns = RecordBatch::try_new(
            schema::rejects(),
            vec![
                Arc::new(ids.finish()),
                Arc::new(
                    TimestampMicrosecondArray::from_iter_values(received).with_timezone("UTC"),
                ),
                Arc::new(Date32Array::from_iter_values(days)),
                Arc::new(source.finish()),
                Arc::new(format.finish()),
                Arc::new(Int64Array::from_iter_values(positions)),
                Arc::new(reason.finish()),
                Arc::new(bytes.finish()),
            ],
        );
        Self { columns: columns.expect("the columns are the schema's") }
    }

    /// The columns, in schema order.
    pub fn record_batch(&self) -> &RecordBatch {
        &self.columns
    }

    /// Number of rejects.
    pub fn len(&self) -> usize {
        self.columns.num_rows()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
