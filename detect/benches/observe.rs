//! Cost of observing a batch of pgbench-like events, whole and part by part.

use detect::{DetectSettings, Detector, RuleSet};
use event::vocabulary::{Action, Outcome, StatementState};
use event::{AuditEvent, BATCH_ROWS, EventBatch, EventBatchBuilder, EventId, Timestamp};

fn main() {
    divan::main();
}

/// pgbench's five statements with changing values, of twenty clients.
fn batch() -> EventBatch {
    let mut builder = EventBatchBuilder::default();
    for index in 0..BATCH_ROWS as i64 {
        let (account, delta) = (index * 7_919 % 100_000, index % 5_000 - 2_500);
        let (action, command, statement) = match index % 5 {
            0 => (
                Action::Write,
                "UPDATE",
                format!(
                    "UPDATE pgbench_accounts SET abalance = abalance + {delta} \
                     WHERE aid = {account};"
                ),
            ),
            1 => (
                Action::Read,
                "SELECT",
                format!("SELECT abalance FROM pgbench_accounts WHERE aid = {account};"),
            ),
            2 => (
                Action::Write,
                "UPDATE",
                format!(
                    "UPDATE pgbench_tellers SET tbalance = tbalance + {delta} WHERE tid = {};",
                    account % 10
                ),
            ),
            3 => (
                Action::Write,
                "UPDATE",
                format!("UPDATE pgbench_branches SET bbalance = bbalance + {delta} WHERE bid = 1;"),
            ),
            _ => (
                Action::Write,
                "INSERT",
                format!(
                    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES \
                 ({}, 1, {account}, {delta}, CURRENT_TIMESTAMP);",
                    account % 10
                ),
            ),
        };
        let session = format!("6b00f662.{:x}", index % 20);
        builder.push(&AuditEvent {
            id: EventId::default().at(index as u64),
            time: Timestamp(1_790_000_000_000_000 + index * 100),
            action,
            command: Some(command),
            user: Some("bench"),
            client_address: Some("10.0.0.1"),
            application: Some("pgbench"),
            session: Some(&session),
            statement: Some(&statement),
            statement_state: StatementState::Full,
            outcome: Outcome::Succeeded,
            ..AuditEvent::new("log", "postgresql_csvlog", "postgresql", "main")
        });
    }
    builder.finish()
}

fn measure(bencher: divan::Bencher<'_, '_>, settings: &DetectSettings, rules: RuleSet) {
    let mut detector = Detector::new(settings, rules).expect("valid settings");
    let batch = batch();
    detector.observe(batch.clone());
    bencher
        .counter(divan::counter::ItemsCount::new(BATCH_ROWS))
        .with_inputs(|| batch.clone())
        .bench_local_values(|batch| detector.observe(batch));
}

/// Everything.
#[divan::bench]
fn observe(bencher: divan::Bencher<'_, '_>) {
    measure(bencher, &DetectSettings::default(), RuleSet::builtin().expect("rules load"));
}

/// Without baselines.
#[divan::bench]
fn rules_only(bencher: divan::Bencher<'_, '_>) {
    let mut settings = DetectSettings::default();
    settings.baseline.enabled = false;
    measure(bencher, &settings, RuleSet::builtin().expect("rules load"));
}

/// Without baselines and rules: reading the columns, the SQL, and writing the columns.
#[divan::bench]
fn columns_only(bencher: divan::Bencher<'_, '_>) {
    let mut settings = DetectSettings::default();
    settings.baseline.enabled = false;
    measure(bencher, &settings, RuleSet::default());
}

/// Rules without remembered matches: what remembering saves.
#[divan::bench]
fn rules_forgetful(bencher: divan::Bencher<'_, '_>) {
    let mut settings = DetectSettings::default();
    settings.baseline.enabled = false;
    settings.rules.matches_max = 0;
    measure(bencher, &settings, RuleSet::builtin().expect("rules load"));
}

/// Reading the columns of each row alone.
#[divan::bench]
fn rows(bencher: divan::Bencher<'_, '_>) {
    let batch = batch();
    bencher.counter(divan::counter::ItemsCount::new(BATCH_ROWS)).bench_local(|| {
        for row in batch.rows().iter() {
            divan::black_box(row.event());
        }
    });
}
