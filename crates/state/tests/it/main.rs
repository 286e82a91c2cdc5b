//! The state against a real file: what is written stays, once, and in order.

mod alerts;
mod cases;
mod decisions;
mod deliveries;
mod opening;
mod tokens;

use event::alert::{Detector, Explanation, Severity};
use event::vocabulary::{CaseChange, CauseFamily, Evidence};
use event::{Alert, Case, CaseCause, EventId, Timestamp};
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
        case_id: case_id(number % 2),
        change: CaseChange::Opened,
        family: CauseFamily::Exfiltration,
        cause: format!("table t{number}"),
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
        models: vec![],
    }
}

fn case_id(number: u64) -> EventId {
    EventId::of(&[b"case", &number.to_le_bytes()])
}

/// A case as it is told with so many signals, the newest at that second.
fn case(number: u64, signals: u64, seconds: i64, severity: Severity) -> Case {
    let updated = Timestamp(0).plus_seconds(seconds);
    let cause = |number: u64| CaseCause {
        rule: "D01".into(),
        cause: format!("program /opt/{number}.sh"),
        severity,
        signals: 1,
        first: updated,
        newest: updated,
    };
    Case {
        id: case_id(number),
        instance: "orders".into(),
        identity: Some(format!("person{}", number % 2)),
        lineage: "10.0.0.7 psql".into(),
        family: CauseFamily::Execution,
        rule: "D01".into(),
        title: "a program ran on the server".into(),
        severity,
        opened: Timestamp(0),
        updated,
        signals,
        causes: (0..signals.min(3)).map(cause).collect(),
        causes_total: signals,
        evidence: Evidence::A,
        events: vec![EventId([7; 16])],
        explanation: Explanation::default(),
        attack: vec!["T1059.004".into()],
        controls: vec![],
        risk: 40.5,
        models: vec!["prior 2026-11-26-1a2b3c4d".into()],
    }
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp(0).plus_seconds(seconds)
}
