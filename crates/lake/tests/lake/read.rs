//! What plain readers find in the files, and what the log says about them.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use event::{Enrichment, EventBatchBuilder};

use crate::sample::{NOON, events, id, open, position, read, rejects};

#[tokio::test(flavor = "multi_thread")]
async fn files_hold_plain_types_and_the_right_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = open(folder.path()).await;
    writer.write(&events(0, 1_000, NOON)).expect("written");
    writer.reject(&rejects(7, 8)).expect("written");
    let hot = lake.view().events.hot_columns(&[0, 1, 14, 38]).expect("plain");
    writer.commit(&position(1_000)).expect("committed");
    let view = lake.view();
    let file = view.events.files.first().expect("a file");
    assert!(file.path.starts_with("date=2026-11-21/"));
    assert_eq!((file.time_min, file.time_max), (NOON.0, NOON.plus_seconds(999).0));
    let batches = read(&view.events.path(file));
    let stored = arrow_select::concat::concat_batches(&batches[0].schema(), &batches).expect("one");
    check(&stored);
    for column in hot[0].schema().fields() {
        let (name, hot) = (column.name(), &hot[0]);
        assert_eq!(hot.column_by_name(name), stored.column_by_name(name), "{name}");
    }
    let reject = read(&view.rejects.path(&view.rejects.files[0])).remove(0);
    let bytes = reject.column_by_name("bytes").expect("the record").as_binary::<i32>();
    assert_eq!(bytes.value(0), [0, 159, 146, 150]);
}

fn check(stored: &RecordBatch) {
    let column = |name: &str| stored.column_by_name(name).expect("a column").clone();
    assert!(stored.column_by_name("date").is_none(), "the folder's name says it");
    assert_eq!(column("id").as_binary::<i32>().value(3), id(3).0);
    let time = column("time");
    assert_eq!(time.as_primitive::<TimestampMicrosecondType>().value(3), NOON.0 + 3_000_000);
    assert_eq!(column("user").data_type(), &DataType::Utf8);
    assert_eq!(column("user").as_string::<i32>().value(3), "etl");
    assert!(column("error").is_null(3));
    let fingerprint = column("fingerprint").as_primitive::<Int64Type>().value(3);
    assert_eq!(fingerprint as u64, u64::MAX - 3);
    let tables = column("tables_read").as_list::<i32>().value(3);
    assert_eq!(tables.as_string::<i32>().value(0), "public.pgbench_accounts");
    assert!(column("flags").is_null(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_those_of_the_event_schema() {
    let schema = lake::events_schema();
    let batch = EventBatchBuilder::default().finish().enrich(Enrichment::default());
    let names = |schema: &arrow_schema::Schema| {
        schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&schema), names(&batch.record_batch().schema()));
    assert_eq!(names(&lake::rejects_schema()), names(&event::schema::rejects()));
}
