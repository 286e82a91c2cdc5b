//! Events to write, and what a plain Parquet reader finds of them afterwards.

use std::fs::{self, File};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use event::enrichment::{DetectionColumns, StatementColumns};
use event::vocabulary::{Action, Evidence, Outcome, StatementState};
use event::{AuditEvent, Enrichment, EventBatch, EventBatchBuilder, EventId, Reject, Timestamp};
use lake::{Lake, LakeSettings, LakeView, Sharing, TableView, Writer};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// 2026-11-21, noon.
pub(crate) const NOON: Timestamp = Timestamp(1_795_262_400_000_000);

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// Name of the position of [`position`].
pub(crate) const SOURCE: &str = "file/orders";

/// Opens the lake for this process alone.
pub(crate) async fn open(folder: &Path) -> (Lake, Writer) {
    open_with(folder, &LakeSettings::default()).await
}

pub(crate) async fn open_with(folder: &Path, settings: &LakeSettings) -> (Lake, Writer) {
    Lake::open(folder, settings, Sharing::Alone).await.expect("the lake opens")
}

/// Opens the lake as one of several processes would.
pub(crate) async fn share(folder: &Path, settings: &LakeSettings) -> (Lake, Writer) {
    Lake::open(folder, settings, Sharing::Shared).await.expect("the lake opens")
}

/// Where a source reads on, and up to where its rejects are stored already.
pub(crate) fn stored(lake: &Lake) -> (i64, i64) {
    let at = lake.positions().get(SOURCE).copied().unwrap_or(0);
    (at, lake.reject_positions().get(SOURCE).copied().unwrap_or(0).max(at))
}

/// Events `from..to`, one a second from `start`, their number as position and as fingerprint.
pub(crate) fn events(from: i64, to: i64, start: Timestamp) -> EventBatch {
    let mut builder = EventBatchBuilder::default();
    let mut enrichment = Enrichment::default();
    for number in from..to {
        let statement = format!("select abalance from pgbench_accounts where aid = {number}");
        builder.push(&AuditEvent {
            id: id(number),
            time: start.plus_seconds(number),
            received: start.plus_seconds(number + 1),
            position: number,
            evidence: Evidence::B,
            database: Some("bench"),
            action: Action::Read,
            command: Some("SELECT"),
            user: Some(if number % 3 == 0 { "etl" } else { "app" }),
            statement: Some(&statement),
            statement_state: StatementState::Full,
            outcome: Outcome::Succeeded,
            ..AuditEvent::new("files", "postgresql_csvlog", "postgresql", "orders")
        });
        let tables = ["public.pgbench_accounts".to_owned()];
        let statement = StatementColumns {
            fingerprint: Some(u64::MAX - number as u64),
            tables_read: &tables,
            ..StatementColumns::default()
        };
        enrichment.push(&statement, &DetectionColumns::default());
    }
    builder.finish().enrich(enrichment)
}

pub(crate) fn id(number: i64) -> EventId {
    EventId::of(&[b"source"]).at(number as u64)
}

pub(crate) fn rejects(from: i64, to: i64) -> Vec<Reject> {
    let reject = |number| Reject {
        id: id(number),
        received: NOON,
        source: "files".to_owned(),
        format: "postgresql_csvlog".to_owned(),
        position: number,
        reason: "a quote is not closed".to_owned(),
        bytes: vec![0, 159, 146, 150],
    };
    (from..to).map(reject).collect()
}

pub(crate) fn position(at: i64) -> Vec<(String, i64)> {
    vec![(SOURCE.to_owned(), at)]
}

/// Every row of a file, through nothing but the Parquet library.
pub(crate) fn read(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).expect("the file is there");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("it is Parquet");
    reader.build().expect("it has columns").map(|batch| batch.expect("it has rows")).collect()
}

/// The column `position` of everything that the view shows, sorted.
pub(crate) fn numbers(view: &TableView) -> Vec<i64> {
    let files = view.files.iter().flat_map(|file| {
        let batches = read(&view.path(file));
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows as u64, file.rows, "the log knows the rows of {}", file.path);
        batches
    });
    let numbers = |batch: RecordBatch| {
        let column = batch.column_by_name("position").expect("both tables have it");
        column.as_primitive::<Int64Type>().values().to_vec()
    };
    let mut numbers: Vec<i64> = files.chain(view.hot.clone()).flat_map(numbers).collect();
    numbers.sort_unstable();
    numbers
}

/// A time at which the files that were just written have been quiet long enough.
pub(crate) fn later(days: i64) -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = Timestamp(i64::try_from(now.expect("after 1970").as_micros()).expect("this era"));
    now.max(NOON).plus_seconds(days * DAY)
}

/// What another process would see.
pub(crate) async fn committed(folder: &Path) -> LakeView {
    LakeView::read(folder).await.expect("the lake can be read")
}

/// `0..to`.
pub(crate) fn all(to: i64) -> Vec<i64> {
    (0..to).collect()
}

/// Copies a folder with everything in it, as a disk snapshot would.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

/// Parquet files on the disk, in the table or not.
pub(crate) fn parquet_files(folder: &Path) -> usize {
    let days = fs::read_dir(folder).expect("a table").map(|day| day.expect("an entry").path());
    let days = days.filter(|day| day.to_string_lossy().contains("date="));
    days.map(|day| fs::read_dir(day).expect("a day").count()).sum()
}
