//! How long a record may be: one rule for all formats. What is longer is told once, costs no more
//! memory than a record may have, and takes nothing behind it along.

use ingest::{Stream, StreamSettings};
use serde_json::Value;

use crate::support::{Output, file, of_format, read, received};

/// A record that holds the statement, as the server writes it, without the newline that ends it.
fn record(format: &str, number: u32, statement: &str) -> String {
    let doubled = |text: &str| text.replace('"', "\"\"");
    let time = "2026-09-01 00:00:00.000 UTC";
    let payload = format!("SESSION,{number},1,READ,SELECT,,,\"{}\",<none>", doubled(statement));
    let message = format!("AUDIT: {payload}");
    match format {
        "postgresql_csvlog" => format!(
            "{time},\"ann\",\"shop\",4988,\"10.0.0.9:5000\",6a000001.137c,{number},\"SELECT\",\
             2026-09-01 00:00:00 UTC,9/3,0,LOG,00000,\"{}\",,,,,,,,,\"psql\",\"client backend\",,0",
            doubled(&message)
        ),
        "postgresql_jsonlog" => format!(
            "{{\"timestamp\":\"{time}\",\"user\":\"ann\",\"dbname\":\"shop\",\"pid\":4988,\
             \"remote_host\":\"10.0.0.9\",\"session_id\":\"6a000001.137c\",\"line_num\":{number},\
             \"error_severity\":\"LOG\",\"message\":{},\
             \"application_name\":\"psql\",\"query_id\":0}}",
            Value::from(message)
        ),
        "postgresql_logtofile" => format!(
            "{time},ann,shop,4988,10.0.0.9:5000,6a000001.137c,{number},SELECT,\
             2026-09-01 00:00:00 UTC,9/3,0,00000,{payload},,,,,,,,psql,,,,"
        ),
        "postgresql_stderr" => {
            format!("{time} [4988] ann@shop LOG:  {}", message.replace('\n', "\n\t"))
        }
        "postgresql_syslog" => {
            let lines = format!("{time} [4988] ann@shop LOG:  {}", message.replace('\n', "\n\t"));
            let chunks = lines.split('\n').enumerate().map(|(chunk, line)| {
                format!("Sep  1 00:00:00 db1 postgres[4988]: [{number}-{}] {line}", chunk + 1)
            });
            chunks.collect::<Vec<_>>().join("\n")
        }
        "mariadb_server_audit" => {
            let statement = statement.replace('\'', "\\'");
            format!("20260901 00:00:00,db1,ann,10.0.0.9,5,{number},QUERY,shop,'{statement}',0")
        }
        other => panic!("say how {other} writes a record"),
    }
}

/// A record of so many bytes; its statement ends in `x`.
fn record_of_length(format: &str, number: u32, length: usize) -> String {
    let rest = length - record(format, number, "select 1 -- ").len();
    let record = record(format, number, &format!("select 1 -- {}", "x".repeat(rest)));
    assert_eq!(record.len(), length);
    record
}

/// A statement of many lines, `bytes` long, with quotes and what looks like a record.
fn many_lines(format: &str, bytes: usize) -> String {
    let line = format!("it's \"so\", {}\n", record(format, 9, "select 'forged'"));
    format!("select 1 -- {}", line.repeat(bytes / line.len()))
}

fn limited(format: Option<&str>, record_bytes_max: usize) -> StreamSettings {
    StreamSettings { record_bytes_max, ..format.map_or_else(StreamSettings::default, of_format) }
}

fn texts<'a>(events: &'a [Value], column: &str) -> Vec<&'a str> {
    events.iter().map(|event| event[column].as_str().unwrap_or_default()).collect()
}

#[test]
fn a_record_of_any_length_at_the_head_shows_the_format() {
    for format in ingest::format_names() {
        for length in [70_000, 1_100_000, StreamSettings::default().record_bytes_max, 5_000_000] {
            let many_lines = many_lines(format, length - 1_000).replace("select 'forged'", "b");
            let has_lines = !matches!(format, "postgresql_jsonlog" | "mariadb_server_audit");
            let long = record_of_length(format, 1, length);
            let lines = Some(record(format, 1, &many_lines)).filter(|_| has_lines);
            for long in [Some(long), lines].into_iter().flatten() {
                let (second, third) = (record(format, 2, "b"), record(format, 3, "c"));
                let output =
                    read(limited(None, 4 << 20), format!("{long}\n{second}\n{third}\n").as_bytes());
                let events = output.events();
                let fits = long.len() <= 4 << 20;
                assert!(events.len() >= 2, "{format} {}: {:?}", long.len(), output.counts);
                assert_eq!(texts(&events[events.len() - 2..], "format"), [format; 2]);
                assert_eq!(texts(&events[events.len() - 2..], "statement"), ["b", "c"], "{format}");
                assert_eq!(events.len() + output.rejects.len(), 3, "{format} {}", long.len());
                assert!(!fits || output.rejects.is_empty(), "{format} {}", long.len());
            }
        }
    }
}

#[test]
fn a_record_may_be_just_as_long_as_the_limit() {
    const RECORD_BYTES_MAX: usize = 1_500;
    for format in ingest::format_names() {
        for (length, end) in
            (RECORD_BYTES_MAX - 3..RECORD_BYTES_MAX + 4).flat_map(|n| [(n, "\n"), (n, "\r\n")])
        {
            let numbers = [1, 2, 3, 4, 5];
            let records = numbers.map(|number| match number {
                1 | 3 | 5 => record_of_length(format, number, length),
                _ => record(format, number, "select 2"),
            });
            let log = records.join(end);
            let output = read(limited(Some(format), RECORD_BYTES_MAX), log.as_bytes());
            let fits = length <= RECORD_BYTES_MAX;
            let events = output.events();
            assert_eq!(events.len() + output.rejects.len(), 5, "{format} {length} {end:?}");
            let plain =
                texts(&events, "statement").iter().filter(|text| **text == "select 2").count();
            assert_eq!(plain, 2, "{format} {length} {end:?}");
            let full = texts(&events, "statement_state").iter().filter(|s| **s == "full").count();
            assert_eq!(full, if fits { 5 } else { 2 }, "{format} {length} {end:?}");
            assert!(output.rejects.is_empty(), "{format} {length} {end:?}");
            // Padding hides nothing: what there is of the statement is judged.
            let cut = events.iter().filter(|event| event["statement_state"] == "truncated");
            let heads = cut.filter_map(|event| event["statement"].as_str());
            let heads = heads.filter(|text| text.starts_with("select 1 -- xxx")).count();
            assert_eq!(heads, if fits { 0 } else { 3 }, "{format} {length} {end:?}");
            let long = output.rejects.iter().map(|reject| reject.bytes.len()).max().unwrap_or(0);
            assert!(long <= RECORD_BYTES_MAX, "{format}: a reject of {long} bytes");
        }
    }
}

#[test]
fn a_record_may_be_cut_anywhere() {
    for format in ingest::format_names() {
        let statement = format!("select 1 -- {}", "\u{e9}\"\\".repeat(400));
        let log = record(format, 1, &statement).replace('\u{e9}', "\\ud83d\\ude00") + "\n";
        for record_bytes_max in 600..650 {
            let output = read(limited(Some(format), record_bytes_max), log.as_bytes());
            let events = output.events();
            assert_eq!(texts(&events, "statement_state"), ["truncated"], "{format}");
            let text = events[0]["statement"].as_str().unwrap_or_default();
            assert!(text.starts_with("select 1 -- "), "{format}: {text}");
        }
    }
}

#[test]
fn a_record_that_is_too_long_is_told_once_and_takes_nothing_along() {
    const RECORD_BYTES_MAX: usize = 4_000;
    for format in ingest::format_names() {
        let statement = match format {
            // A newline as it is makes a record of what looks like one.
            "mariadb_server_audit" => "select 1 --\n".repeat(90_000),
            _ => many_lines(format, 1_000_000),
        };
        for long in [record(format, 2, &statement), record_of_length(format, 2, 1_000_000)] {
            let (first, last) = (record(format, 1, "a"), record(format, 3, "c\n,d\n\"e\n"));
            let log = format!("{first}\n{long}\n{last}\n{last}\n");
            let output = read(limited(Some(format), RECORD_BYTES_MAX), log.as_bytes());
            let events = output.events();
            assert_eq!(events.len() + output.rejects.len(), 4, "{format}: {:#?}", events.len());
            let whole: Vec<_> =
                events.iter().filter(|event| event["statement_state"] != "truncated").collect();
            assert_eq!(whole.len(), 3, "{format}");
            assert!(output.rejects.iter().all(|reject| reject.bytes.len() <= RECORD_BYTES_MAX));
            assert!(!texts(&events, "statement").contains(&"select 'forged'"), "{format}");
        }
    }
}

/// Of a file that nobody knows no more is kept than of a record, and it is told once.
#[test]
fn a_file_without_format_and_newline_is_told_once() {
    const RECORD_BYTES_MAX: usize = 100_000;
    let mut stream = Stream::new(limited(None, RECORD_BYTES_MAX));
    let mut output = Output::default();
    let piece = [b'x'; 70_000];
    let mut at = 0;
    for _ in 0..40 {
        stream.feed(file(), at, &piece, false, received());
        output.drain(&mut stream, true);
        at += piece.len() as u64;
        let held = stream.snapshot().len();
        assert!(held < 2 * RECORD_BYTES_MAX, "{held} bytes are held");
        stream = Stream::restore(limited(None, RECORD_BYTES_MAX), &stream.snapshot())
            .expect("its own snapshot");
    }
    stream.feed(file(), at, b"xxx\nhello\n", true, received());
    output.drain(&mut stream, true);
    let lengths: Vec<_> = output.rejects.iter().map(|reject| reject.bytes.len()).collect();
    assert_eq!(lengths, [RECORD_BYTES_MAX, 5]);
    assert_eq!(output.end, at + 10);
}
