//! What follows damage in a csvlog is read as if there had been none, or it is a reject.

use std::collections::BTreeSet;

use ingest::{Stream, StreamSettings};
use serde_json::Value;

use crate::support::{Output, captures_of, file, read, received, settings_of};

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

/// A quote that nothing closes is damage, however late that shows: from there on lines are read as
/// after any other damage, and none of what follows is lost with it.
#[test]
fn a_long_record_that_never_ends_takes_nothing_along() {
    const RECORD_BYTES_MAX: usize = 64 << 10;
    let (topic, path) = captures_of(FORMAT).swap_remove(0);
    let settings = || StreamSettings {
        record_bytes_max: RECORD_BYTES_MAX,
        ..settings_of(Some(FORMAT), &topic)
    };
    let log = std::fs::read(path).expect("readable");
    let torn = b"2026-11-21 10:11:12.345 UTC,\"torn by a crash".to_vec();
    let after = |head: &[u8], text: &str| {
        let filling = text.repeat(4 * RECORD_BYTES_MAX / text.len());
        read(settings(), &[head, filling.as_bytes(), b"\n", &log].concat())
    };
    let short = read(settings(), &[&torn, &b"\"x\n"[..], &log].concat());
    for text in ["x", "line by line\n", "\"\"quoted\"\" line by line\n"] {
        let output = after(&torn, text);
        assert_eq!(output.counts.events, short.counts.events, "{text}");
        assert!(output.counts.events > 0 && output.rejects.len() <= short.rejects.len() + 1);
    }
}

/// A file that was truncated from outside begins with a hole.
#[test]
fn records_behind_nuls_are_read() {
    for format in ingest::format_names() {
        let (topic, path) = captures_of(format).swap_remove(0);
        let log = std::fs::read(path).expect("readable");
        let whole = read(settings_of(None, &topic), &log);
        for (told, nuls) in [(None, 4_096), (None, 200_000), (Some(format), 1)] {
            let holed = [&vec![0; nuls][..], &log].concat();
            let output = read(settings_of(told, &topic), &holed);
            assert_eq!(output.counts.events, whole.counts.events, "{format}");
            assert_eq!(output.rejects.len(), whole.rejects.len() + 1, "{format}");
            assert!(output.rejects.iter().any(|reject| reject.reason.contains("NUL")));
            let mut stream = Stream::new(settings_of(told, &topic));
            let mut pieces = Output::default();
            for (at, piece) in (0..).step_by(1_000).zip(holed.chunks(1_000)) {
                let is_last = at + piece.len() as u64 == holed.len() as u64;
                stream.feed(file(), at, piece, is_last, received());
                pieces.drain(&mut stream, false);
                let snapshot = stream.snapshot();
                stream = Stream::restore(settings_of(told, &topic), &snapshot).expect("its own");
            }
            pieces.drain(&mut stream, true);
            assert_eq!((pieces.events(), pieces.rejects), (output.events(), output.rejects));
        }
    }
}

/// Of a line that does not end each format keeps no more than a record may have.
#[test]
fn a_line_without_end_is_not_held() {
    const RECORD_BYTES_MAX: usize = 64 << 10;
    for format in ingest::format_names() {
        for (topic, path) in captures_of(format).into_iter().take(1) {
            let mut settings = settings_of(Some(format), &topic);
            settings.record_bytes_max = RECORD_BYTES_MAX;
            let log = std::fs::read(path).expect("readable");
            let mut stream = Stream::new(settings);
            let mut output = Output::default();
            stream.feed(file(), 0, &log, false, received());
            output.drain(&mut stream, true);
            let before = stream.snapshot().len();
            let mut at = log.len() as u64;
            for _ in 0..64 {
                let piece = [b'x'; 50_000];
                stream.feed(file(), at, &piece, false, received());
                output.drain(&mut stream, true);
                at += piece.len() as u64;
                let held = stream.snapshot().len().saturating_sub(before);
                assert!(held < 3 * RECORD_BYTES_MAX, "{format} holds {held} bytes");
            }
            assert!(!output.rejects.is_empty(), "{format}");
        }
    }
}

/// Lines that break off, of every length around the limit: nothing panics, all of it is told.
#[test]
fn lines_about_as_long_as_the_limit_are_told() {
    const RECORD_BYTES_MAX: usize = 700;
    for format in ingest::format_names() {
        let (topic, path) = captures_of(format).swap_remove(0);
        let log = std::fs::read(path).expect("readable");
        for line in log.split(|byte| *byte == b'\n').filter(|line| line.len() > 20).take(60) {
            for length in RECORD_BYTES_MAX - 2..=RECORD_BYTES_MAX + 2 {
                let mut settings = settings_of(Some(format), &topic);
                settings.record_bytes_max = RECORD_BYTES_MAX;
                let mut torn = line[..(line.len() * 9 / 10).min(RECORD_BYTES_MAX - 2)].to_vec();
                torn.resize(length, b'x');
                let bytes = [&torn[..], b"\n", line, b"\n", &torn, b"\n", line, b"\n"].concat();
                let output = read(settings, &bytes);
                let told = output.counts.events + output.counts.rejects;
                assert_eq!(output.counts.records, told, "{format}");
                assert_eq!(output.end, bytes.len() as u64, "{format}");
            }
        }
    }
}
