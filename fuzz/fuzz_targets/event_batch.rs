//! Any bytes as a batch that was read from the bus, where whoever may write can forge one: it is
//! refused, or every row can be read and travels again as it is; and memory stays in proportion.
//!
//! The input is a stream, or edits of one that we wrote, since no luck finds its way behind the
//! flatbuffers' offsets. The checksum is made to match: a forger can do that too.
//!
//! The reader of the bus catches panics of decoding, because the Arrow library has some, so those
//! are no findings here. libFuzzer's hook aborts before anything is caught; it is kept for panics
//! of the event crate's own code and for all that comes after decoding, which nobody catches.
//! `ARROW_PANICS=1` keeps it for all, to see what else a check before decoding could refuse.
#![no_main]

mod edit;
mod memory;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::LazyLock;

use edit::Edit;
use event::enrichment::{StatementColumns, DetectionColumns};
use event::{AuditEvent, Enrichment, EventBatch, EventBatchBuilder, EventId, Timestamp};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Stream(&'a [u8]),
    Edited { batch: u8, edits: Vec<Edit> },
}

/// Bytes that the checksum takes before the stream.
const CHECKSUM_BYTES: usize = 4;

const LISTS: [&str; 7] =
    ["tables_read", "tables_written", "columns", "functions", "flags", "reasons", "rules"];

static BATCHES: LazyLock<[Vec<u8>; 4]> =
    LazyLock::new(|| [0, 1, 3, 40].map(|rows| batch(rows).to_ipc().split_off(CHECKSUM_BYTES)));

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

fuzz_target!(
    init: spare_caught_panics(),
    |input: Input| {
        let stream = match input {
            Input::Stream(stream) => stream.to_vec(),
            Input::Edited { batch, edits } => {
                edit::apply(&BATCHES[usize::from(batch) % BATCHES.len()], &edits)
            }
        };
        check(&stream);
    }
);

fn check(stream: &[u8]) {
    let mut record = crc32fast::hash(stream).to_le_bytes().to_vec();
    record.extend_from_slice(stream);
    let (decoded, peak) = memory::peak(|| {
        DECODING.set(true);
        let decoded = catch_unwind(AssertUnwindSafe(|| EventBatch::from_ipc(&record)));
        DECODING.set(false);
        decoded
    });
    let most = (1 << 20) + 8 * record.len();
    assert!(peak <= most, "{peak} bytes of memory for {} bytes of a record", record.len());
    let Ok(Ok(batch)) = decoded else { return };
    let rows = texts(&batch);
    let again = EventBatch::from_ipc(&batch.to_ipc()).expect("what was read can travel");
    assert_eq!(texts(&again), rows);
    let backwards = batch.take((0..batch.len() as u32).rev().collect());
    assert!(texts(&backwards).iter().rev().eq(&rows), "rows change by being taken");
}

/// All that a row says.
fn texts(batch: &EventBatch) -> Vec<String> {
    let rows = batch.rows().iter().map(|row| {
        let event = row.event();
        assert_eq!((event.time, event.position), (row.time(), row.position()));
        assert_eq!((event.action, event.statement), (row.action(), row.statement()));
        assert_eq!((event.instance, event.identity()), row.instance_and_identity());
        let (time, day, hour) = (event.time, event.time.day(), event.time.hour_of_week());
        let verdict = (row.fingerprint(), row.sensitivity(), row.risk().map(f64::to_bits));
        let lists = LISTS.map(|name| row.list(name));
        format!("{time} {day} {hour} {event:?} {verdict:?} {lists:?}")
    });
    rows.collect()
}

/// A batch as detection leaves it: nulls and values in every kind of column.
fn batch(rows: usize) -> EventBatch {
    let (mut builder, mut enrichment) = (EventBatchBuilder::default(), Enrichment::default());
    let words: Vec<String> = ["pay", "staff.salary", "é☃"].map(str::to_owned).into();
    for row in 0..rows {
        let (number, text) = (row as i64, words[row % words.len()].as_str());
        let some = |bit: usize| (row >> bit) & 1 == 0;
        builder.push(&AuditEvent {
            id: EventId::of(&[b"fuzz"]).at(row as u64),
            time: Timestamp(1_700_000_000_000_000 + number),
            position: 100 * number,
            database: some(0).then_some(text),
            user: some(1).then_some("app"),
            actor: some(2).then_some(text),
            client_port: some(0).then_some(5432),
            statement: some(1).then_some("select * from pay"),
            parameters: some(2).then_some(text),
            rows: some(0).then_some(number),
            ..AuditEvent::new("files", "postgresql_csvlog", "postgresql", "orders")
        });
        let statement = StatementColumns {
            fingerprint: some(0).then_some(row as u64),
            tables_read: &words[..row % 4],
            flags: if some(1) { &["union", "no_where"] } else { &[] },
            ..StatementColumns::default()
        };
        let risk = some(2).then_some(number as f64);
        enrichment.push(&statement, &DetectionColumns { risk, ..DetectionColumns::default() });
    }
    builder.finish().enrich(enrichment)
}

fn spare_caught_panics() {
    if std::env::var_os("ARROW_PANICS").is_some() {
        return;
    }
    let abort = take_hook();
    set_hook(Box::new(move |panic: &PanicHookInfo| {
        let ours = panic.location().is_none_or(|place| place.file().contains("crates/event/"));
        if ours || !DECODING.get() {
            abort(panic);
        }
    }));
}
