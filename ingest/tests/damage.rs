//! What follows damage in a csvlog is read as if there had been none, or it is a reject.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{captures_of, read, settings_of};

const FORMAT: &str = "postgresql_csvlog";

/// What only the record itself says of an event.
fn said(event: &Value) -> String {
    let columns = ["session", "statement_number", "object", "statement", "parameters", "rows"];
    columns.map(|column| event[column].to_string()).join(" ")
}

#[test]
fn records_after_damage_keep_their_texts() {
    let mut recovered = 0;
    let mut quoted = 0;
    for (topic, path) in captures_of(FORMAT) {
        let log = std::fs::read(path).expect("readable");
        let whole = read(settings_of(Some(FORMAT), &topic), &log).events();
        let whole: BTreeSet<String> = whole.iter().map(said).collect();
        let mut damaged = b"2026-11-21 10:11:12.345 UTC,\"torn\"by a crash\n".to_vec();
        damaged.extend_from_slice(&log);
        let output = read(settings_of(Some(FORMAT), &topic), &damaged);
        assert!(!output.rejects.is_empty(), "{topic}: damage was not seen");
        for event in output.events() {
            assert!(whole.contains(&said(&event)), "{topic}: not in the log: {event:#}");
            recovered += 1;
            quoted += usize::from(said(&event).contains('"'));
        }
    }
    assert!(recovered > 100 && quoted > 10, "{recovered} events came after damage");
}
