//! Up to [`crate::BATCH_ROWS`] events as Arrow columns, and how they travel: Arrow IPC.

use std::io::Cursor;
use std::rc::Rc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, Int64Array, ListArray, PrimitiveArray, RecordBatch,
    StringArray, UInt32Array,
};
use arrow_buffer::NullBuffer;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::ArrowError;

use crate::schema::{self, FIRST_ENRICHED};
use crate::vocabulary::{
    AccessPath, Action, ActorBasis, ActorKind, Evidence, Outcome, StatementState, TimeBasis,
};
use crate::{AuditEvent, Enrichment, EventId, Timestamp};

/// Events as columns, in the order in which their sources hold them.
#[derive(Clone, Debug, PartialEq)]
pub struct EventBatch {
    columns: RecordBatch,
}

/// Bytes of the checksum before the stream.
const CHECKSUM_BYTES: usize = 4;

/// Bytes that are not a batch of events.
#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    /// The bytes are not those that were written.
    #[error("the checksum of the batch does not match its bytes")]
    Checksum,
    /// Not a stream that we write.
    #[error("not a stream of one plain batch: {0}")]
    Foreign(&'static str),
    /// Not Arrow IPC, or damaged.
    #[error("not an Arrow IPC stream of events: {0}")]
    Arrow(#[from] ArrowError),
    /// Arrow, but other columns than ours.
    #[error("the columns are not those of version {} of the event schema", schema::VERSION)]
    Schema,
    /// No batch, or more than one.
    #[error("a record holds exactly one batch, this one holds {0}")]
    Batches(usize),
}

impl EventBatch {
    pub(crate) fn from_columns(columns: Vec<ArrayRef>) -> Self {
        let columns = RecordBatch::try_new(schema::events(), columns)
            .expect("the builder makes the schema's columns");
        Self { columns }
    }

    /// The columns, in schema order.
    pub fn record_batch(&self) -> &RecordBatch {
        &self.columns
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.columns.num_rows()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Typed access to the rows; made once per batch.
    pub fn rows(&self) -> Rows<'_> {
        Rows::new(&self.columns)
    }

    /// Rows `from..from + length`, sharing the memory.
    pub fn slice(&self, from: usize, length: usize) -> Self {
        Self { columns: self.columns.slice(from, length) }
    }

    /// The rows at `indices`, copied, in that order; for routing rows to partitions.
    ///
    /// # Panics
    /// If an index is not a row.
    pub fn take(&self, indices: Vec<u32>) -> Self {
        let indices = UInt32Array::from(indices);
        let columns = arrow_select::take::take_record_batch(&self.columns, &indices)
            .expect("the caller asked for rows that exist");
        Self { columns }
    }

    /// Replaces the columns that detection fills.
    ///
    /// # Panics
    /// If the enrichment has another number of rows.
    pub fn enrich(self, enrichment: Enrichment) -> Self {
        let mut columns = self.columns.columns()[..FIRST_ENRICHED].to_vec();
        columns.extend(enrichment.finish());
        Self::from_columns(columns)
    }

    /// A CRC-32 (four bytes, little endian) and one Arrow IPC stream with this batch alone,
    /// without compression.
    pub fn to_ipc(&self) -> Vec<u8> {
        let write = || -> Result<Vec<u8>, ArrowError> {
            // Columns that detection has not filled share their memory with other batches.
            let own = self.columns.columns()[..FIRST_ENRICHED].iter();
            let bytes: usize = own.map(|column| column.get_array_memory_size()).sum();
            let mut stream = Vec::with_capacity(bytes + 64 * self.len() + 16_384);
            stream.extend_from_slice(&[0; CHECKSUM_BYTES]);
            let mut writer = StreamWriter::try_new_with_options(
                stream,
                &schema::events(),
                IpcWriteOptions::default(),
            )?;
            writer.write(&self.columns)?;
            writer.into_inner()
        };
        let mut bytes = write().expect("writing our own columns to memory cannot fail");
        let checksum = crc32fast::hash(&bytes[CHECKSUM_BYTES..]);
        bytes[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads what [`to_ipc`](Self::to_ipc) wrote; anything else is an error.
    ///
    /// The checksum comes first because the Arrow reader panics on some damaged schemas.
    pub fn from_ipc(bytes: &[u8]) -> Result<Self, IpcError> {
        let (checksum, stream) = bytes.split_first_chunk().ok_or(IpcError::Checksum)?;
        if crc32fast::hash(stream) != u32::from_le_bytes(*checksum) {
            return Err(IpcError::Checksum);
        }
        crate::wire::check(stream)?;
        let reader = StreamReader::try_new(Cursor::new(stream), None)?;
        let mut batches = reader.collect::<Result<Vec<_>, _>>()?;
        let count = batches.len();
        match (batches.pop(), count) {
            (Some(columns), 1) => Self::try_from(columns),
            _ => Err(IpcError::Batches(count)),
        }
    }
}

impl TryFrom<RecordBatch> for EventBatch {
    type Error = IpcError;

    fn try_from(columns: RecordBatch) -> Result<Self, IpcError> {
        let same = columns.schema().fields() == schema::events().fields();
        if same { Ok(Self { columns }) } else { Err(IpcError::Schema) }
    }
}

/// The columns of one batch with their types resolved. Cheap to clone.
#[derive(Clone)]
pub struct Rows<'a>(Rc<Columns<'a>>);

/// One row of a batch, with the columns of ingest and of detection.
#[derive(Clone)]
pub struct EventRow<'a> {
    columns: Rc<Columns<'a>>,
    row: usize,
}

/// Resolved once a batch: for each row it would cost more than all the rest of a row.
struct Columns<'a> {
    all: &'a RecordBatch,
    id: &'a FixedSizeBinaryArray,
    time: &'a PrimitiveArray<TimestampMicrosecondType>,
    received: &'a PrimitiveArray<TimestampMicrosecondType>,
    position: &'a Int64Array,
    statement: &'a StringArray,
    parameters: &'a StringArray,
    /// By place in the schema; none for those that are no dictionary.
    texts: [Option<Text<'a>>; FIRST_ENRICHED],
    time_basis: Word<'a, TimeBasis>,
    evidence: Word<'a, Evidence>,
    action: Word<'a, Action>,
    actor_kind: Word<'a, ActorKind>,
    actor_basis: Word<'a, ActorBasis>,
    path: Word<'a, AccessPath>,
    statement_state: Word<'a, StatementState>,
    outcome: Word<'a, Outcome>,
}

/// A column of texts of which each is held once.
#[derive(Clone, Copy)]
struct Text<'a> {
    keys: &'a [i32],
    nulls: Option<&'a NullBuffer>,
    values: &'a StringArray,
}

/// A column of words of a vocabulary, each read once.
struct Word<'a, W> {
    text: Text<'a>,
    words: Vec<Option<W>>,
}

impl<'a> Text<'a> {
    fn of(columns: &'a RecordBatch, column: usize) -> Option<Self> {
        let array = columns.column(column).as_dictionary_opt::<Int32Type>()?;
        let keys = array.keys();
        Some(Self { keys: keys.values(), nulls: keys.nulls(), values: array.values().as_string() })
    }

    fn key(&self, row: usize) -> Option<usize> {
        let is_valid = self.nulls.is_none_or(|nulls| nulls.is_valid(row));
        is_valid.then(|| self.keys[row] as usize)
    }
}

impl<'a, W: std::str::FromStr + Copy> Word<'a, W> {
    fn of(columns: &'a RecordBatch, column: usize) -> Self {
        let text = Text::of(columns, column).expect("the schema has a dictionary there");
        let words = text.values.iter().map(|word| word.and_then(|word| word.parse().ok()));
        Self { text, words: words.collect() }
    }

    fn at(&self, row: usize) -> Option<W> {
        self.text.key(row).and_then(|key| self.words[key])
    }
}

// Columns by position: the schema is pinned by a test, and a lookup by name for each of some
// forty columns and each row would cost more than the rest.
impl<'a> Columns<'a> {
    fn new(all: &'a RecordBatch) -> Self {
        Self {
            all,
            id: all.column(0).as_fixed_size_binary(),
            time: all.column(1).as_primitive(),
            received: all.column(4).as_primitive(),
            position: all.column(7).as_primitive(),
            statement: all.column(29).as_string(),
            parameters: all.column(31).as_string(),
            texts: std::array::from_fn(|column| Text::of(all, column)),
            time_basis: Word::of(all, 2),
            evidence: Word::of(all, 8),
            action: Word::of(all, 12),
            actor_kind: Word::of(all, 16),
            actor_basis: Word::of(all, 17),
            path: Word::of(all, 18),
            statement_state: Word::of(all, 30),
            outcome: Word::of(all, 34),
        }
    }

    fn text(&self, column: usize, row: usize) -> Option<&'a str> {
        let text = self.texts[column].as_ref()?;
        text.key(row).map(|key| text.values.value(key))
    }

    fn number(&self, column: usize, row: usize) -> Option<i64> {
        let array = self.all.column(column).as_primitive::<Int64Type>();
        array.is_valid(row).then(|| array.value(row))
    }
}

impl<'a> Rows<'a> {
    fn new(columns: &'a RecordBatch) -> Self {
        Self(Rc::new(Columns::new(columns)))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.all.num_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at `row`, which must exist.
    pub fn row(&self, row: usize) -> EventRow<'a> {
        EventRow { columns: Rc::clone(&self.0), row }
    }

    /// Every row in order.
    pub fn iter(self) -> impl Iterator<Item = EventRow<'a>> {
        (0..self.len()).map(move |row| self.row(row))
    }
}

impl<'a> EventRow<'a> {
    /// Index within the batch.
    pub fn index(&self) -> usize {
        self.row
    }

    /// The columns that ingest fills.
    pub fn event(&self) -> AuditEvent<'a> {
        let (columns, row) = (&*self.columns, self.row);
        let text = |column| columns.text(column, row);
        let mut id = EventId::default();
        id.0.copy_from_slice(columns.id.value(row));
        let ports = columns.all.column(20).as_primitive::<Int32Type>();
        AuditEvent {
            id,
            time: Timestamp(columns.time.value(row)),
            time_basis: columns.time_basis.at(row).unwrap_or(TimeBasis::Assumed),
            received: Timestamp(columns.received.value(row)),
            source: text(5).unwrap_or_default(),
            format: text(6).unwrap_or_default(),
            position: columns.position.value(row),
            evidence: columns.evidence.at(row).unwrap_or(Evidence::C),
            engine: text(9).unwrap_or_default(),
            instance: text(10).unwrap_or_default(),
            database: text(11),
            action: columns.action.at(row).unwrap_or(Action::Other),
            command: text(13),
            user: text(14),
            actor: text(15),
            actor_kind: columns.actor_kind.at(row),
            actor_basis: columns.actor_basis.at(row),
            path: columns.path.at(row),
            client_address: text(19),
            client_port: ports.is_valid(row).then(|| ports.value(row)),
            client_host: text(21),
            application: text(22),
            authentication: text(23),
            tls: text(24),
            session: text(25),
            statement_number: columns.number(26, row),
            object_kind: text(27),
            object: text(28),
            statement: optional(columns.statement, row),
            statement_state: columns.statement_state.at(row).unwrap_or(StatementState::Absent),
            parameters: optional(columns.parameters, row),
            rows: columns.number(32, row),
            duration_us: columns.number(33, row),
            outcome: columns.outcome.at(row).unwrap_or(Outcome::Unknown),
            error_code: text(35),
            error: text(36),
            grant_id: text(37),
            message: text(38),
        }
    }

    /// Time alone, for those who need nothing else.
    pub fn time(&self) -> Timestamp {
        Timestamp(self.columns.time.value(self.row))
    }

    /// When ingest read it, alone.
    pub fn received(&self) -> Timestamp {
        Timestamp(self.columns.received.value(self.row))
    }

    /// Position alone, for those who need nothing else.
    pub fn position(&self) -> i64 {
        self.columns.position.value(self.row)
    }

    /// The server alone.
    pub fn instance(&self) -> &'a str {
        self.columns.text(10, self.row).unwrap_or_default()
    }

    /// The server and who did it, as [`AuditEvent::identity`] says, for those who need no more.
    pub fn instance_and_identity(&self) -> (&'a str, Option<&'a str>) {
        let text = |column| self.columns.text(column, self.row);
        (text(10).unwrap_or_default(), text(15).or_else(|| text(14)))
    }

    /// What was done, alone.
    pub fn action(&self) -> Action {
        self.columns.action.at(self.row).unwrap_or(Action::Other)
    }

    /// SQL text alone, for those who need nothing else.
    pub fn statement(&self) -> Option<&'a str> {
        optional(self.columns.statement, self.row)
    }

    /// Hash of the statement's normal form.
    pub fn fingerprint(&self) -> Option<u64> {
        let array = self.columns.all.column(39).as_primitive::<UInt64Type>();
        array.is_valid(self.row).then(|| array.value(self.row))
    }

    /// Highest sensitivity among the objects touched.
    pub fn sensitivity(&self) -> Option<i32> {
        let array = self.columns.all.column(45).as_primitive::<Int32Type>();
        array.is_valid(self.row).then(|| array.value(self.row))
    }

    /// Risk points.
    pub fn risk(&self) -> Option<f64> {
        let array = self.columns.all.column(46).as_primitive::<Float64Type>();
        array.is_valid(self.row).then(|| array.value(self.row))
    }

    /// A list column by name (`tables_read` … `flags`, `reasons`, `rules`); empty if null.
    pub fn list(&self, name: &str) -> Vec<&'a str> {
        let Some(array) = self.columns.all.column_by_name(name) else { return Vec::new() };
        let Some(list): Option<&ListArray> = array.as_list_opt() else { return Vec::new() };
        if list.is_null(self.row) {
            return Vec::new();
        }
        let texts: &StringArray = list.values().as_string();
        let offsets = list.value_offsets();
        let range = offsets[self.row] as usize..offsets[self.row + 1] as usize;
        range.map(|index| texts.value(index)).collect()
    }
}

fn optional(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}
