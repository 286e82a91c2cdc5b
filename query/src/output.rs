//! Answers as bytes: JSON, NDJSON, CSV, Arrow.

use std::io::Write;
use std::str::FromStr;

use arrow_array::RecordBatch;
use arrow_json::writer::{JsonArray, JsonFormat, LineDelimited, Writer, WriterBuilder};
use arrow_schema::SchemaRef;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::QueryError;

/// Times with microseconds, UTC, as everywhere else.
const MOMENT: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

/// How an answer is written.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// One JSON array of objects; over HTTP, an object with columns and rows.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header; cells that a spreadsheet would run are defused.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "ndjson" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            "arrow" => Ok(Self::Arrow),
            _ => Err(format!("`{text}` is no output format: json, ndjson, csv, arrow")),
        }
    }
}

impl Output {
    /// The media type of the bytes.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// Writes the rows.
    pub fn write(
        self,
        schema: &SchemaRef,
        batches: &[RecordBatch],
        out: impl Write,
    ) -> Result<(), QueryError> {
        match self {
            Self::Json => write_json::<JsonArray>(batches, out),
            Self::Ndjson => write_json::<LineDelimited>(batches, out),
            Self::Csv => write_csv(schema, batches, out),
            Self::Arrow => {
                let mut writer = arrow_ipc::writer::StreamWriter::try_new(out, schema)?;
                for batch in batches {
                    writer.write(batch)?;
                }
                Ok(writer.finish()?)
            }
        }
    }
}

/// Every cell as text, row by row; null is empty.
pub fn cells(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, QueryError> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter();
        let columns = columns.map(|column| ArrayFormatter::try_new(column, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect());
        }
    }
    Ok(rows)
}

fn write_json<F: JsonFormat>(
    batches: &[RecordBatch],
    mut out: impl Write,
) -> Result<(), QueryError> {
    let builder = WriterBuilder::new()
        .with_timestamp_format(MOMENT.to_owned())
        .with_timestamp_tz_format(MOMENT.to_owned());
    let mut writer: Writer<_, F> = builder.build(&mut out);
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.finish()?)
}

/// CSV is opened in spreadsheets, which run cells that begin like formulas.
fn write_csv(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    out: impl Write,
) -> Result<(), QueryError> {
    let defused = defused::schema(schema);
    let mut writer = arrow_csv::WriterBuilder::new()
        .with_timestamp_format(MOMENT.to_owned())
        .with_timestamp_tz_format(MOMENT.to_owned())
        .build(out);
    if batches.is_empty() {
        writer.write(&RecordBatch::new_empty(defused.clone()))?;
    }
    for batch in batches {
        writer.write(&defused::batch(&defused, batch)?)?;
    }
    Ok(())
}

/// Columns as CSV can hold them: lists as text, formulas with a quote in front.
mod defused {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

    use super::{ArrayFormatter, FormatOptions};

    fn becomes_text(data_type: &DataType) -> bool {
        data_type.is_nested()
            || data_type.is_string()
            || matches!(data_type, DataType::Dictionary(..) | DataType::Binary)
    }

    pub(super) fn schema(schema: &SchemaRef) -> SchemaRef {
        let fields = schema.fields().iter().map(|field| {
            if becomes_text(field.data_type()) {
                Arc::new(Field::new(field.name(), DataType::Utf8, true))
            } else {
                field.clone()
            }
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    pub(super) fn batch(
        schema: &SchemaRef,
        batch: &RecordBatch,
    ) -> Result<RecordBatch, ArrowError> {
        let columns = batch.columns().iter().map(|column| {
            if becomes_text(column.data_type()) { text(column) } else { Ok(column.clone()) }
        });
        RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
    }

    fn text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(column, &options)?;
        let cells = (0..column.len()).map(|row| {
            column.is_valid(row).then(|| {
                let cell = formatter.value(row).to_string();
                let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\0', '\r']);
                if formula { format!("'{cell}") } else { cell }
            })
        });
        Ok(Arc::new(cells.collect::<StringArray>()))
    }
}
