//! Detection is a function of the stream: neither batches, nor restarts, nor hash seeds matter.

use std::sync::LazyLock;

use detect::{DetectSettings, Detector, RuleSet};
use event::vocabulary::{Action, Outcome, StatementState};
use event::{AuditEvent, EventBatch, EventBatchBuilder, EventId, Timestamp};
use proptest::prelude::*;

/// One event of a generated stream, as indices into the tables below.
#[derive(Clone, Debug)]
struct Step {
    user: usize,
    deed: usize,
    client: usize,
    application: usize,
    /// Before or after the event before it.
    seconds: i64,
}

const USERS: [&str; 3] = ["app", "bo", "ana"];
const CLIENTS: [&str; 4] = ["10.0.0.1", "10.0.0.2", "10.9.0.1", "2001:db8::1"];
const APPLICATIONS: [Option<&str>; 3] = [Some("checkout-api"), Some("psql"), None];
const DEEDS: [Option<&str>; 10] = [
    None, // A failed log-in.
    None, // A log-in.
    Some("select name from app.customers where id = 1"),
    Some("update app.orders set note = 'x' where id = 2"),
    Some("select * from hr.salaries"),
    Some("alter role ana superuser"),
    Some("delete from app.orders"),
    Some("copy app.orders to stdout"),
    Some("select pg_sleep(3)"),
    Some("set pgaudit.log = 'none'"),
];

fn step() -> impl Strategy<Value = Step> {
    let seconds = prop_oneof![
        6 => 0..30_i64,
        2 => -20..0_i64,
        2 => 1_000..30_000_i64,
    ];
    (0..USERS.len(), 0..DEEDS.len(), 0..CLIENTS.len(), 0..APPLICATIONS.len(), seconds).prop_map(
        |(user, deed, client, application, seconds)| Step {
            user,
            deed,
            client,
            application,
            seconds,
        },
    )
}

fn batch(steps: &[Step]) -> EventBatch {
    let mut builder = EventBatchBuilder::default();
    let mut time = Timestamp(1_790_000_000_000_000);
    for (index, step) in steps.iter().enumerate() {
        time = time.plus_seconds(step.seconds);
        let base = AuditEvent::new("log", "test", "postgresql", "main");
        let statement = DEEDS[step.deed];
        let failed = step.deed == 0;
        builder.push(&AuditEvent {
            id: EventId::of(&[&index.to_le_bytes()]),
            time,
            position: index as i64,
            action: if statement.is_none() { Action::Login } else { Action::Read },
            outcome: if failed { Outcome::Denied } else { Outcome::Succeeded },
            error_code: failed.then_some("28P01"),
            user: Some(USERS[step.user]),
            client_address: Some(CLIENTS[step.client]),
            application: APPLICATIONS[step.application],
            statement,
            statement_state: match statement {
                Some(_) => StatementState::Full,
                None => StatementState::Absent,
            },
            session: Some("s"),
            ..base
        });
    }
    builder.finish()
}

/// Soon mature, so that short streams reach the baselines.
fn settings() -> DetectSettings {
    let mut settings = DetectSettings::default();
    settings.baseline.active_days_min = 2;
    settings.baseline.active_hours_min = 3;
    settings.baseline.cases_per_identity_day = 0.1;
    settings.baseline.fingerprints_max = 4;
    settings.baseline.tables_max = 2;
    settings.baseline.identities_max = 2;
    settings.rules.groups_max = 4;
    settings.cases.open_max = 4;
    settings.rules.matches_max = 8;
    settings
}

fn rules() -> RuleSet {
    static RULES: LazyLock<RuleSet> =
        LazyLock::new(|| RuleSet::builtin().expect("the built-in rules load"));
    RULES.clone()
}

/// Everything that comes out, as bytes: alerts, rows, and the state at the end.
fn run(stream: &EventBatch, cuts: &[(usize, bool)]) -> (Vec<String>, Vec<String>, Vec<u8>) {
    let mut detector = Detector::new(&settings(), rules()).expect("valid settings");
    let (mut alerts, mut rows, mut from) = (Vec::new(), Vec::new(), 0);
    let ends = cuts.iter().copied().chain([(stream.len(), false)]);
    for (end, restart) in ends {
        let observed = detector.observe(stream.slice(from, end - from));
        let json = |alert| serde_json::to_string(alert).expect("alerts are JSON");
        alerts.extend(observed.alerts.iter().map(json));
        let json = |row| serde_json::to_string(&row).expect("rows are JSON");
        rows.extend(observed.batch.rows().iter().map(json));
        from = end;
        if restart {
            let bytes = detector.snapshot();
            detector = Detector::restore(&settings(), rules(), &bytes).expect("own snapshot");
            assert_eq!(detector.snapshot(), bytes, "a restored state is the same state");
        }
    }
    (alerts, rows, detector.snapshot())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 16,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn batches_and_restarts_change_nothing(
        steps in prop::collection::vec(step(), 1..180),
        cuts in prop::collection::vec((0..180_usize, any::<bool>()), 0..6),
    ) {
        let stream = batch(&steps);
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| cut.0 <= steps.len()).collect();
        cuts.sort_unstable();
        let whole = run(&stream, &[]);
        // A second detector has other hash seeds.
        prop_assert_eq!(&whole, &run(&stream, &[]));
        prop_assert_eq!(&whole, &run(&stream, &cuts));
    }
}

#[test]
fn the_property_reaches_rules_correlations_and_baselines() {
    let mut steps = Vec::new();
    for day in 0..30_usize {
        for _ in 0..4 {
            steps.push(Step { user: 0, deed: 2, client: 0, application: 0, seconds: 21_600 });
        }
        if day == 29 {
            steps.push(Step { user: 0, deed: 4, client: 2, application: 1, seconds: 1 });
            steps.push(Step { user: 0, deed: 5, client: 2, application: 1, seconds: 1 });
            let guess = Step { user: 1, deed: 0, client: 2, application: 1, seconds: 1 };
            steps.extend(std::iter::repeat_n(guess, 9));
        }
    }
    let (alerts, _, _) = run(&batch(&steps), &[(7, true), (80, true)]);
    for detector in ["\"rule\"", "\"correlation\"", "\"baseline\""] {
        let found = alerts.iter().any(|a| a.contains(&format!("\"detector\":{detector}")));
        assert!(found, "no {detector} among {alerts:#?}");
    }
}

#[test]
fn a_foreign_snapshot_is_refused_and_other_rules_keep_the_baselines() {
    let stream = batch(&[Step { user: 0, deed: 2, client: 0, application: 0, seconds: 1 }]);
    let mut detector = Detector::new(&settings(), rules()).expect("valid settings");
    detector.observe(stream);
    let bytes = detector.snapshot();
    assert!(Detector::restore(&settings(), rules(), &bytes[..bytes.len() / 2]).is_err());
    assert!(Detector::restore(&settings(), rules(), b"").is_err());
    let without = RuleSet::default();
    let other = Detector::restore(&settings(), without, &bytes).expect("the rules may change");
    assert_eq!(other.statistics().identities, 1);
    assert_eq!(other.statistics().groups, 0);
}
