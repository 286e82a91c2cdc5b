//! Real logs against the events that they gave when somebody last looked at them.
//!
//! `UPDATE_EXPECT=1` writes the goldens anew; read the difference before it is committed.

use std::path::Path;

use crate::support::{Output, captures_of, read, settings_of};

fn check(path: &Path, output: &Output) {
    let mut lines: Vec<String> = output.events().iter().map(ToString::to_string).collect();
    for reject in &output.rejects {
        lines.push(serde_json::to_string(reject).expect("a reject is JSON"));
    }
    let actual = format!("[\n{}\n]\n", lines.join(",\n"));
    let golden = path.with_extension("events.json");
    expect_test::expect_file![golden].assert_eq(&actual);
}

fn check_format(format: &str) {
    for (topic, path) in captures_of(format) {
        let bytes = std::fs::read(&path).expect("readable");
        // The format is not told: it must be recognised.
        let output = read(settings_of(None, &topic), &bytes);
        let handed_out = output.counts.events + output.counts.rejects;
        assert_eq!(output.counts.records, handed_out, "{format}/{topic}");
        assert_eq!(output.end, bytes.len() as u64, "{format}/{topic}");
        let events = output.events();
        assert!(events.iter().all(|event| event["format"] == format), "{format}/{topic}");
        assert!(!events.is_empty(), "{format}/{topic}");
        check(&path, &output);
    }
}

#[test]
fn every_format_gives_its_goldens() {
    for format in ingest::format_names() {
        check_format(format);
    }
}

#[test]
fn no_password_is_in_any_event() {
    let secrets =
        ["hunter5", "hunter6", "'stolen'", "password=secret", "sto''len", "s3cret", "hunter2"];
    for format in ingest::format_names() {
        for (topic, path) in captures_of(format) {
            let bytes = std::fs::read(&path).expect("readable");
            for event in read(settings_of(Some(format), &topic), &bytes).events() {
                let text = event.to_string();
                for secret in secrets {
                    assert!(!text.contains(secret), "{format}/{topic}: {text}");
                }
            }
        }
    }
}

#[test]
fn only_forged_lines_are_rejected() {
    for format in ingest::format_names() {
        for (topic, path) in captures_of(format) {
            let bytes = std::fs::read(&path).expect("readable");
            let output = read(settings_of(Some(format), &topic), &bytes);
            for reject in output.rejects {
                assert_eq!(topic, "attack_forged", "{format}: {}", reject.reason);
            }
        }
    }
}
