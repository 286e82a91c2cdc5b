//! What goes into a batch comes out of it: through rows, slices, IPC and JSON.

use event::vocabulary::{Action, Evidence, Outcome, StatementState, TimeBasis};
use event::{AuditEvent, Enrichment, EventBatch, EventBatchBuilder, EventId, Timestamp};
use proptest::prelude::*;

fn arbitrary_text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(proptest::string::string_regex("[a-zé☃\0\"]{0,8}").expect("a pattern"))
}

#[derive(Debug, Clone)]
struct Owned {
    time: i64,
    texts: [Option<String>; 6],
    number: Option<i64>,
    port: Option<i32>,
    outcome: Outcome,
}

impl Owned {
    fn event(&self) -> AuditEvent<'_> {
        let [user, database, statement, parameters, error, session] =
            std::array::from_fn(|index| self.texts[index].as_deref());
        AuditEvent {
            id: EventId::of(&[b"source"]).at(self.time as u64),
            time: Timestamp(self.time),
            time_basis: TimeBasis::Offset,
            evidence: Evidence::B,
            action: Action::Read,
            outcome: self.outcome,
            statement_state: StatementState::Full,
            rows: self.number,
            client_port: self.port,
            user,
            database,
            statement,
            parameters,
            error,
            session,
            ..AuditEvent::new("files", "postgresql_csvlog", "postgresql", "orders")
        }
    }
}

fn arbitrary_event() -> impl Strategy<Value = Owned> {
    let texts = std::array::from_fn(|_| arbitrary_text());
    let time = -1_000_000_000_000_000_i64..4_000_000_000_000_000;
    let outcome = proptest::sample::select(Outcome::ALL);
    (time, texts, any::<Option<i64>>(), any::<Option<i32>>(), outcome).prop_map(
        |(time, texts, number, port, outcome)| Owned { time, texts, number, port, outcome },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_come_back(events in proptest::collection::vec(arbitrary_event(), 0..40)) {
        let mut builder = EventBatchBuilder::default();
        for event in &events {
            builder.push(&event.event());
        }
        let batch = builder.finish();
        prop_assert!(builder.is_empty());
        prop_assert_eq!(batch.len(), events.len());
        let travelled = EventBatch::from_ipc(&batch.to_ipc()).expect("our own bytes");
        prop_assert_eq!(&travelled, &batch);
        for (row, event) in travelled.rows().iter().zip(&events) {
            prop_assert_eq!(row.event(), event.event());
        }
        let middle = events.len() / 2;
        let tail = batch.slice(middle, events.len() - middle);
        for (row, event) in tail.rows().iter().zip(&events[middle..]) {
            prop_assert_eq!(row.event(), event.event());
        }
    }

    #[test]
    fn any_bytes_are_an_error_or_a_batch(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        // Random bytes are no batch; what counts is that they are refused with a word.
        prop_assert!(EventBatch::from_ipc(&bytes).is_err());
    }
}

#[test]
fn damaged_batches_are_refused() {
    let mut builder = EventBatchBuilder::default();
    builder.push(&AuditEvent::new("files", "postgresql_csvlog", "postgresql", "orders"));
    let bytes = builder.finish().to_ipc();
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x41;
        assert!(EventBatch::from_ipc(&damaged).is_err(), "byte {index} flipped");
        assert!(EventBatch::from_ipc(&bytes[..index]).is_err(), "cut at {index}");
    }
}

#[test]
fn an_error_that_follows_sets_the_outcome() {
    let mut builder = EventBatchBuilder::default();
    let row = builder.push(&AuditEvent::new("files", "postgresql_csvlog", "postgresql", "orders"));
    builder.push(&AuditEvent::new("files", "postgresql_csvlog", "postgresql", "orders"));
    builder.set_outcome(row, Outcome::Denied, Some("42501"), "permission denied for table pay");
    let batch = builder.finish();
    let event = batch.rows().row(0).event();
    assert_eq!((event.outcome, event.error_code), (Outcome::Denied, Some("42501")));
    assert_eq!(batch.rows().row(1).event().outcome, Outcome::Unknown);
}

#[test]
fn json_leaves_out_nulls_and_shows_hex() {
    let mut builder = EventBatchBuilder::default();
    builder.push(&AuditEvent {
        user: Some("app"),
        ..AuditEvent::new("files", "postgresql_csvlog", "postgresql", "orders")
    });
    let mut enrichment = Enrichment::default();
    let tables = ["pay".to_owned()];
    enrichment.push(
        &event::enrichment::StatementColumns {
            fingerprint: Some(0xab),
            tables_read: &tables,
            flags: &["union"],
            ..Default::default()
        },
        &Default::default(),
    );
    let batch = builder.finish().enrich(enrichment);
    let json = serde_json::to_value(batch.rows().row(0)).expect("serialises");
    assert_eq!(json["fingerprint"], "00000000000000ab");
    assert_eq!(json["tables_read"], serde_json::json!(["pay"]));
    assert_eq!(json["flags"], serde_json::json!(["union"]));
    assert_eq!(json["time"], "1970-01-01T00:00:00.000000Z");
    assert!(json.get("database").is_none());
}
