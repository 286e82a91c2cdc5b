//! The same run through csvlog, jsonlog, stderr and syslog gives the same events, but for what a
//! carrier cannot tell.

use serde_json::Value;

use crate::support::{captures, captures_of, read, settings_of};

/// Columns that say where an event was read.
const PLACE: &[&str] = &["id", "position", "evidence", "format"];

/// Text logs have no SQLSTATE under the prefix of the captures.
const UNTOLD_BY_TEXT: &[&str] = &["error_code"];

/// Topics in which text logs differ for a reason: forged lines are what text cannot keep apart.
const NOT_IN_TEXT: &[&str] = &["attack_forged"];

fn events(format: &str, topic: &str, without: &[&[&str]]) -> Vec<Value> {
    let path = captures().join(format).join(topic).with_extension("log");
    let bytes = std::fs::read(&path).expect("readable");
    let mut events = read(settings_of(Some(format), topic), &bytes).events();
    for event in &mut events {
        let object = event.as_object_mut().expect("an object");
        for column in without.iter().copied().flatten() {
            object.remove(*column);
        }
        // Behind %q stands what processes without a client do not write: their session id.
        if ["user", "client_host", "client_address"].iter().all(|key| !object.contains_key(*key)) {
            object.remove("session");
        }
    }
    // What may be forged is shown with more where it cannot be.
    events.retain(|event| event["command"] != "log forgery");
    // Processes write side by side, and not in the same order to each log.
    events.sort_by_key(ToString::to_string);
    events
}

fn assert_same(topic: &str, one: &str, other: &str, without: &[&[&str]]) {
    let (ones, others) = (events(one, topic, without), events(other, topic, without));
    for event in &ones {
        assert!(others.contains(event), "{topic}: only {one} has {event:#}");
    }
    for event in &others {
        assert!(ones.contains(event), "{topic}: only {other} has {event:#}");
    }
    assert_eq!(ones.len(), others.len(), "{topic}");
}

#[test]
fn csvlog_and_jsonlog_agree() {
    for (topic, _) in captures_of("postgresql_jsonlog") {
        assert_same(&topic, "postgresql_csvlog", "postgresql_jsonlog", &[PLACE]);
    }
}

#[test]
fn csvlog_and_stderr_agree() {
    for (topic, _) in captures_of("postgresql_csvlog") {
        if !NOT_IN_TEXT.contains(&topic.as_str()) {
            // Terse text has no DETAIL, which is why a login was refused.
            let untold: &[&str] = if topic == "terse" { &["error"] } else { &[] };
            let without = &[PLACE, UNTOLD_BY_TEXT, untold];
            assert_same(&topic, "postgresql_csvlog", "postgresql_stderr", without);
        }
    }
}

#[test]
fn stderr_and_syslog_agree() {
    for (topic, _) in captures_of("postgresql_csvlog") {
        // `statements` has a literal #011 and blank lines, which syslog does not keep.
        if !NOT_IN_TEXT.contains(&topic.as_str()) && topic != "statements" {
            assert_same(&topic, "postgresql_stderr", "postgresql_syslog", &[PLACE]);
        }
    }
}
