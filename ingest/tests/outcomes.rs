//! An error says how its statement ended, and only its own.

use serde_json::Value;

use crate::support::{captures, of_format, read};

fn audited(topic: &str, format: &str) -> Vec<Value> {
    let path = captures().join(format).join(topic).with_extension("log");
    let events = read(of_format(format), &std::fs::read(path).expect("readable")).events();
    events.into_iter().filter(|event| event["statement_number"].is_number()).collect()
}

#[test]
fn a_failed_statement_has_the_code_of_its_error() {
    for format in ["postgresql_csvlog", "postgresql_jsonlog"] {
        let rows = audited("errors_rows_off", format);
        let row = |text: &str| {
            let found = rows.iter().find(|row| row["statement"].as_str() == Some(text));
            found.unwrap_or_else(|| panic!("no row with {text}"))
        };
        let failed = row("select id / (id - 3) from app.orders;");
        assert_eq!(
            (&failed["outcome"], &failed["error_code"]),
            (&"failed".into(), &"22012".into())
        );
        let denied = row("select pg_read_file('/etc/passwd');");
        assert_eq!(
            (&denied["outcome"], &denied["error_code"]),
            (&"denied".into(), &"42501".into())
        );
        // Not logged by pgaudit, so that its error belongs to none of the rows.
        let earlier = row("set statement_timeout = '50ms';");
        assert_eq!(earlier["outcome"], "succeeded", "a utility is logged once it has worked");
        assert_eq!(row("select pg_sleep(5);")["error_code"], "57014");
        assert_eq!(row("begin;")["outcome"], "succeeded");
    }
}

#[test]
fn rows_are_counted_only_after_success() {
    for format in ["postgresql_csvlog", "postgresql_stderr"] {
        for row in audited("errors", format) {
            // Logged before they run. What ran before the error of a stacked statement did run.
            if row["command"] != "DO" && row["action"] != "call" {
                assert_eq!(row["outcome"], "succeeded", "{row:#}");
            }
        }
        let raised = &audited("errors", format)[0];
        assert_eq!((&raised["command"], &raised["outcome"]), (&"DO".into(), &"failed".into()));
    }
}

/// Reads lines of one session in stderr's form.
fn session(lines: &[&str]) -> Vec<Value> {
    let prefix = "2025-03-02 10:11:13.000 UTC [42] app@shop ";
    let log: String = lines.iter().map(|line| format!("{prefix}{line}\n")).collect();
    read(of_format("postgresql_stderr"), log.as_bytes()).events()
}

#[test]
fn what_is_logged_before_its_end_may_still_fail() {
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
        assert_eq!(
            (&events[0]["outcome"], &events[0]["error_code"]),
            (&"failed".into(), &code.into())
        );
        assert!(events[0]["rows"].is_null(), "what does not count has no rows: {:#}", events[0]);
    }
}

#[test]
fn a_login_that_is_taken_back_did_not_succeed() {
    let events = session(&[
        "LOG:  connection authorized: user=app database=shop",
        "FATAL:  3D000: database \"shop\" does not exist",
    ]);
    assert_eq!(events[0]["outcome"], "denied");
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
    assert_eq!(
        (&events[0]["outcome"], &events[0]["error_code"]),
        (&"failed".into(), &"22012".into())
    );
    assert_eq!((&events[2]["command"], &events[2]["action"]), (&"EXECUTE".into(), &"write".into()));
    assert_eq!((&events[3]["command"], &events[3]["action"]), (&"MERGE".into(), &"write".into()));
    assert_eq!(events[3]["rows"], 3);
}

#[test]
fn an_error_reaches_back_over_the_lookahead_only() {
    let row = "2025-03-02 10:11:13.000 UTC [42] LOG:  AUDIT: SESSION,1,1,READ,SELECT,,,\
               select 1,<none>\n";
    let error = "2025-03-02 10:11:13.000 UTC [42] ERROR:  no\n\
                 2025-03-02 10:11:13.000 UTC [42] STATEMENT:  select 1\n";
    for (between, outcome) in [(0, "failed"), (255, "failed"), (256, "unknown")] {
        let noise = "2025-03-02 10:11:13.000 UTC [7] LOG:  noise\n".repeat(between);
        let log = [row, &noise, error].concat();
        let events = read(of_format("postgresql_stderr"), log.as_bytes()).events();
        assert_eq!(events[0]["outcome"], outcome, "{between} records between");
    }
}
