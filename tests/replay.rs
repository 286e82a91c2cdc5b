//! The same input gives the same alerts, byte for byte.

use std::path::PathBuf;

use crate::binary::{Querywatch, path_text};

/// The logs captured from real servers.
pub fn captures() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/formats/postgresql_csvlog");
    let entries = std::fs::read_dir(folder).expect("the captures");
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    files
}

/// Every column of every alert; the order of rows is the query's.
fn alerts(querywatch: &Querywatch) -> String {
    let data = querywatch.data();
    querywatch.succeed(&[
        "sql",
        "--data",
        path_text(&data),
        "--output",
        "ndjson",
        "SELECT * FROM alerts ORDER BY time, id",
    ])
}

#[test]
fn the_same_files_give_the_same_alerts() {
    let captures = captures();
    let files: Vec<_> = captures.iter().map(PathBuf::as_path).collect();
    let (first, second, piecewise) = (Querywatch::new(), Querywatch::new(), Querywatch::new());
    first.ingest(&files);
    second.ingest(&files);
    let told = alerts(&first);
    assert!(told.lines().count() >= 10, "the captures hold attacks:\n{told}");
    assert_eq!(told, alerts(&second));
    assert!(first.sql("SELECT * FROM events WHERE false").is_empty(), "no rows are JSON too");
    // Again into the same folder: nothing is new.
    let again = first.ingest(&files);
    assert_eq!(again["alerts"], 0, "{again}");
    assert_eq!(told, alerts(&first));
    // One file at a time, in the order in which one ingest reads them all.
    for file in &files {
        piecewise.ingest(&[file]);
    }
    let count = "SELECT count(*) FROM events";
    assert_eq!(piecewise.number(count), first.number(count));
}

#[test]
fn reading_again_stores_nothing_twice() {
    let querywatch = Querywatch::new();
    let captures = captures();
    let files: Vec<_> = captures.iter().map(PathBuf::as_path).collect();
    let summary = querywatch.ingest(&files);
    let records = summary["events"].as_u64().zip(summary["rejects"].as_u64());
    let (events, rejects) = records.expect("a summary");
    assert_eq!(summary["records"], events + rejects);
    // Under another name, and compressed: still the same bytes.
    let copy = querywatch.folder().join("renamed.csv");
    std::fs::copy(&captures[0], &copy).expect("copied");
    let again = querywatch.ingest(&[&copy]);
    assert_eq!(again["events"], 0, "{again}");
    assert_eq!(querywatch.number("SELECT count(*) FROM events"), events as i64);
    assert_eq!(querywatch.number("SELECT count(DISTINCT id) FROM events"), events as i64);
}
