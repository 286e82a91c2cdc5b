//! The state against a real file: what is written stays, once, and in order.

mod alerts;
mod deliveries;
mod opening;
mod tokens;

use event::alert::{Detector, Explanation, Severity};
use event::vocabulary::Evidence;
use event::{Alert, EventId, Timestamp};
use state::State;
use tempfile::TempDir;

/// A state in a folder that goes with it.
async fn new_state() -> (TempDir, State) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = State::open(&folder.path().join("state.sqlite")).await.expect("a state");
    (folder, state)
}

/// An alert whose id follows from its number.
fn alert(number: u64, seconds: i64, severity: Severity) -> Alert {
    let time = Timestamp(0).plus_seconds(seconds);
    Alert {
        id: EventId::of(&[b"alert", &number.to_le_bytes()]),
        time,
        first_time: time,
        rule: format!("D{:02}", number % 3),
        title: "bulk read".into(),
        severity,
        detector: Detector::Rule,
        identity: Some(format!("person{}", number % 2)),
        instance: "orders".into(),
        database: None,
        user: Some("app".into()),
        client: None,
        application: None,
        session: None,
        statement: Some(format!("SELECT {number}")),
        fingerprint: None,
        evidence: Evidence::A,
        events: vec![],
        event_count: 1,
        explanation: Explanation::default(),
        attack: vec![],
        controls: vec![],
        risk: 12.3,
    }
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp(0).plus_seconds(seconds)
}
