//! A row says only what was certain when it was written; an error tells which statement it ended.

use serde_json::Value;

use crate::support::{captures, of_format, read};

fn events(topic: &str, format: &str) -> Vec<Value> {
    let path = captures().join(format).join(topic).with_extension("log");
    read(of_format(format), &std::fs::read(path).expect("readable")).events()
}

/// The events of the statement of that text: its rows first, then its error if it has one.
fn of_statement<'a>(events: &'a [Value], text: &str) -> Vec<&'a Value> {
    let found: Vec<_> = events.iter().filter(|event| event["statement"] == text).collect();
    assert!(!found.is_empty(), "no event with {text}");
    found
}

#[test]
fn an_error_has_the_number_of_its_statement() {
    for format in ["postgresql_csvlog", "postgresql_jsonlog"] {
        let events = events("errors_rows_off", format);
        for (text, outcome, code) in [
            ("select id / (id - 3) from app.orders;", "failed", "22012"),
            ("select pg_read_file('/etc/passwd');", "denied", "42501"),
            ("select pg_sleep(5);", "failed", "57014"),
        ] {
            let of_statement = of_statement(&events, text);
            let (error, rows) = of_statement.split_last().expect("events");
            assert_eq!((&error["outcome"], &error["error_code"]), (&outcome.into(), &code.into()));
            for row in rows {
                assert_eq!(row["outcome"], "unknown", "it had only begun: {row:#}");
                assert_eq!(row["statement_number"], error["statement_number"]);
                assert!(row["error"].is_null());
            }
        }
        let earlier = of_statement(&events, "set statement_timeout = '50ms';")[0];
        assert_eq!(earlier["outcome"], "succeeded", "a utility is logged once it has worked");
        assert_eq!(of_statement(&events, "begin;")[0]["outcome"], "succeeded");
    }
}

#[test]
fn rows_are_counted_only_after_success() {
    for format in ["postgresql_csvlog", "postgresql_stderr"] {
        let is_row =
            |event: &&Value| event["statement_number"].is_number() && event["error"].is_null();
        for row in events("errors", format).iter().filter(is_row) {
            // Logged before they run. What ran before the error of a stacked statement did run.
            let is_before = row["command"] == "DO" || row["action"] == "call";
            let is_commit = row["command"] == "COMMIT";
            let outcome = if is_before || is_commit { "unknown" } else { "succeeded" };
            assert_eq!(row["outcome"], outcome, "{row:#}");
        }
    }
}

/// Reads lines of one session in stderr's form.
fn session(lines: &[&str]) -> Vec<Value> {
    let prefix = "2025-03-02 10:11:13.000 UTC [42] app@shop ";
    let log: String = lines.iter().map(|line| format!("{prefix}{line}\n")).collect();
    read(of_format("postgresql_stderr"), log.as_bytes()).events()
}

#[test]
fn what_is_logged_before_its_end_claims_no_success() {
    for (row, text, code) in [
        ("WRITE,COPY,,,copy t from stdin,<none>", "copy t from stdin", "22P02"),
        ("DDL,CREATE EXTENSION,,,create extension x,<none>,0", "create extension x", "0A000"),
        ("FUNCTION,EXECUTE,FUNCTION,f,select f(),<none>,0", "select f()", "P0001"),
        ("MISC,COMMIT,,,commit,<none>,0", "commit", "23503"),
    ] {
        let audit = format!("LOG:  AUDIT: SESSION,1,1,{row}");
        let error = format!("ERROR:  {code}: no");
        let statement = format!("STATEMENT:  {text}");
        let events = session(&[&audit, &error, &statement]);
        assert_eq!(events[0]["outcome"], "unknown");
        let error = &events[1];
        assert_eq!((&error["outcome"], &error["error_code"]), (&"failed".into(), &code.into()));
        assert_eq!(error["statement_number"], 1);
        assert!(events[0]["rows"].is_null(), "what does not count has no rows: {:#}", events[0]);
    }
}

#[test]
fn who_was_let_in_may_be_turned_away() {
    let events = session(&[
        "LOG:  connection authorized: user=app database=shop",
        "FATAL:  3D000: database \"shop\" does not exist",
    ]);
    assert_eq!(events[0]["outcome"], "succeeded", "the server has said so");
    assert_eq!((&events[1]["action"], &events[1]["outcome"]), (&"login".into(), &"denied".into()));
    let dropped = session(&["ERROR:  3D000: no such database", "STATEMENT:  drop database nope"]);
    assert_eq!(dropped[0]["outcome"], "failed");
    assert_eq!(dropped[0]["command"], "DROP DATABASE", "the error names the command that failed");
}

#[test]
fn statements_without_pgaudit_end_too() {
    let events = session(&[
        "LOG:  statement: select 1/0",
        "ERROR:  22012: division by zero",
        "STATEMENT:  select 1/0",
        "LOG:  statement: execute purge(7)",
        "DETAIL:  prepare: prepare purge (int) as delete from t where id = $1",
        "LOG:  AUDIT: SESSION,1,1,MISC,???,,,merge into t using s on true when matched then \
         delete,<none>,3",
    ]);
    assert_eq!(events[0]["outcome"], "unknown");
    let error = &events[1];
    assert_eq!((&error["outcome"], &error["error_code"]), (&"failed".into(), &"22012".into()));
    assert_eq!((&events[2]["command"], &events[2]["action"]), (&"EXECUTE".into(), &"write".into()));
    assert_eq!((&events[3]["command"], &events[3]["action"]), (&"MERGE".into(), &"write".into()));
    assert_eq!(events[3]["rows"], 3);
}

#[test]
fn an_error_is_not_taken_for_that_of_another_statement() {
    let row = "LOG:  AUDIT: SESSION,7,1,READ,SELECT,,,select 1,<none>";
    let ended = "LOG:  AUDIT: SESSION,7,1,READ,SELECT,,,select 1,<none>,1";
    for (row, statement, number) in [
        (row, "select 1", Value::from(7)),
        (row, "select 2", Value::Null),
        (ended, "select 1", Value::Null),
    ] {
        let statement = format!("STATEMENT:  {statement}");
        let events = session(&[row, "ERROR:  22012: no", &statement]);
        assert_eq!(events[1]["statement_number"], number, "{row}: {statement}");
    }
}

#[test]
fn the_log_of_the_server_is_no_act() {
    let events = session(&[
        "LOG:  checkpoint starting: time",
        "WARNING:  there is no transaction in progress",
        "FATAL:  57P01: terminating connection due to administrator command",
    ]);
    for event in &events[..2] {
        assert_eq!(event["action"], "log");
        assert!(event["command"].is_null() && event["error"].is_null(), "{event:#}");
        assert!(event["message"].is_string(), "{event:#}");
    }
    assert_eq!((&events[2]["action"], &events[2]["error_code"]), (&"log".into(), &"57P01".into()));
    assert!(events[2]["message"].is_null() && events[2]["error"].is_string());
}
