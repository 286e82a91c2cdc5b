//! Logs whose blanks a forwarder or a collector has changed on the way.

use ingest::StreamSettings;
use serde_json::Value;

use crate::support::{of_format, read};

fn events(log: &str) -> Vec<Value> {
    let output = read(StreamSettings::default(), log.as_bytes());
    assert!(output.rejects.is_empty(), "{:?}", output.rejects);
    output.events()
}

#[test]
fn a_blank_taken_off_a_chunk_of_syslog_parts_two_words() {
    let head = "Aug 22 03:42:08 db1 postgres[411]: ";
    let tag = "< 2026-08-22 03:42:08.132 MSK >LOG:  ";
    let payload = "AUDIT: SESSION,1,1,WRITE,DELETE,TABLE,public.basket,\"DELETE FROM";
    let log = format!("{head}[266-1] {tag}{payload}\n{head}[266-2] basket\",<none>\n");
    assert_eq!(events(&log)[0]["statement"], "DELETE FROM\nbasket");
    // A word that is longer than a chunk is parted anywhere.
    let long = format!("AUDIT: SESSION,1,1,READ,SELECT,,,\"select '{}", "x".repeat(900));
    let first = &format!("{tag}{long}")[..900];
    let log = format!("{head}[267-1] {first}\n{head}[267-2] yy',<none>\n");
    let statement = events(&log)[0]["statement"].as_str().expect("a text").to_owned();
    assert!(statement.contains("xxxyy"), "{statement}");
}

#[test]
fn a_statement_may_begin_on_the_next_line() {
    let log = "2026-10-20 03:00:34 UTC:10.1.7.53(49654):ann@shop:[1371]:LOG:  duration: 1.5 ms  \
               statement:\n\t  DELETE FROM linkage.pairs\n";
    let event = &events(log)[0];
    assert_eq!(event["statement"], "\n  DELETE FROM linkage.pairs");
    assert_eq!((&event["command"], &event["statement_state"]), (&"DELETE".into(), &"full".into()));
}

#[test]
fn lines_that_go_on_behind_blanks_are_missing_in_the_statement() {
    let head = "2026-10-20 03:00:32 UTC:10.1.7.53(49654):ann@shop:[1371]:LOG:  ";
    let log = format!(
        "{head}statement: UPDATE pairs SET a = 1\n        WHERE b = 2;\n\
         {head}statement:\n        DELETE FROM t\n{head}statement: select 1\n"
    );
    let output = read(of_format("postgresql_stderr"), log.as_bytes());
    let events = output.events();
    let states: Vec<_> = events.iter().map(|event| &event["statement_state"]).collect();
    assert_eq!(states, ["truncated", "truncated", "full"]);
    assert_eq!(events[0]["statement"], "UPDATE pairs SET a = 1");
    assert_eq!(output.rejects.len(), 2);
}

#[test]
fn brackets_around_a_name_are_the_prefix() {
    let line = |number| {
        format!(
            "2026-08-23 11:34:26.170 UTC [25298] [ann]@[shop] LOG:  AUDIT: \
             SESSION,{number},1,READ,SELECT,,,select 1,<none>\n"
        )
    };
    for event in events(&(line(1) + &line(2))) {
        assert_eq!((&event["user"], &event["database"]), (&"ann".into(), &"shop".into()));
    }
}
