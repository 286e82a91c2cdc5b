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
        assert_eq!(earlier["outcome"], "unknown");
        assert_eq!(row("select pg_sleep(5);")["error_code"], "57014");
        assert_eq!(row("begin;")["outcome"], "unknown");
    }
}

#[test]
fn rows_are_counted_only_after_success() {
    for format in ["postgresql_csvlog", "postgresql_stderr"] {
        for row in audited("errors", format) {
            let wrapper = row["command"] == "DO";
            let stacked = row["statement"].as_str().is_some_and(|text| text.contains("; select"));
            let expected = if wrapper { row["outcome"].clone() } else { "succeeded".into() };
            let expected = if stacked { "failed".into() } else { expected };
            assert_eq!(row["outcome"], expected, "{row:#}");
        }
        let raised = &audited("errors", format)[0];
        assert_eq!((&raised["command"], &raised["outcome"]), (&"DO".into(), &"failed".into()));
    }
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
