//! A stream that is divided by identity over several detectors gives the alerts of the whole
//! stream, wherever each source stands. Baselines are in `organisation.rs`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use detect::{DetectSettings, Detector, RuleSet, counted_by_client};
use event::vocabulary::{Action, Outcome, StatementState};
use event::{AuditEvent, EventBatch, EventBatchBuilder, EventId, Timestamp};
use proptest::prelude::*;

const SHARES: usize = 3;
const INSTANCES: [&str; 2] = ["orders", "payroll"];
const USERS: [&str; 7] = ["app", "bo", "ana", "etl", "kim", "lena", "finn"];
const CLIENTS: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.9.0.1"];
const DEEDS: [&str; 4] = [
    "select name from app.customers where id = 1",
    "alter role ana superuser",
    "copy app.orders to program 'sh'",
    "select pg_sleep(30)",
];

/// One event of one instance.
#[derive(Clone, Debug)]
struct Step {
    instance: usize,
    user: usize,
    client: usize,
    /// A failed log-in, a log-in, or a deed.
    what: usize,
    seconds: i64,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![5 => Just(0), 1 => Just(1), 1 => 2..DEEDS.len() + 2];
    (0..INSTANCES.len(), 0..USERS.len(), 0..CLIENTS.len(), what, 0..240_i64).prop_map(
        |(instance, user, client, what, seconds)| Step { instance, user, client, what, seconds },
    )
}

/// The events of each instance, in the order of its log.
fn streams(steps: &[Step]) -> Vec<Vec<EventBatch>> {
    let mut streams = vec![Vec::new(); INSTANCES.len()];
    let mut times = [Timestamp(1_790_000_000_000_000); INSTANCES.len()];
    for (index, step) in steps.iter().enumerate() {
        times[step.instance] = times[step.instance].plus_seconds(step.seconds);
        let statement = step.what.checked_sub(2).map(|deed| DEEDS[deed]);
        let failed = step.what == 0;
        let mut builder = EventBatchBuilder::default();
        builder.push(&AuditEvent {
            id: EventId::of(&[&index.to_le_bytes()]),
            time: times[step.instance],
            action: if statement.is_none() { Action::Login } else { Action::Read },
            outcome: if failed { Outcome::Denied } else { Outcome::Succeeded },
            error_code: failed.then_some("28P01"),
            user: Some(USERS[step.user]),
            client_address: Some(CLIENTS[step.client]),
            statement,
            statement_state: match statement {
                Some(_) => StatementState::Full,
                None => StatementState::Absent,
            },
            ..AuditEvent::new("log", "test", "postgresql", INSTANCES[step.instance])
        });
        streams[step.instance].push(builder.finish());
    }
    streams
}

fn detector() -> Detector {
    static RULES: LazyLock<RuleSet> =
        LazyLock::new(|| RuleSet::builtin().expect("the built-in rules load"));
    let mut settings = DetectSettings::default();
    settings.baseline.enabled = false;
    Detector::new(&settings, RULES.clone()).expect("valid settings")
}

type Alerts = BTreeSet<String>;

fn add(alerts: &mut Alerts, found: Vec<event::Alert>) {
    alerts.extend(found.iter().map(|alert| serde_json::to_string(alert).expect("JSON")));
}

fn share_of(parts: &[&str]) -> usize {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    usize::from(EventId::of(&parts).0[0]) % SHARES
}

/// One detector, one instance after the other.
fn whole(streams: &[Vec<EventBatch>]) -> Alerts {
    let (mut detector, mut alerts) = (detector(), Alerts::new());
    for batch in streams.iter().flatten() {
        add(&mut alerts, detector.observe(batch.clone()).alerts);
    }
    alerts
}

/// Several detectors; `turns` says which instance comes next.
fn divided(streams: &[Vec<EventBatch>], turns: &[usize]) -> Alerts {
    let mut detectors: Vec<Detector> = (0..SHARES).map(|_| detector()).collect();
    let (mut alerts, mut next) = (Alerts::new(), vec![0; streams.len()]);
    let rest = (0..streams.len()).flat_map(|instance| vec![instance; streams[instance].len()]);
    for instance in turns.iter().copied().chain(rest) {
        let Some(batch) = streams[instance].get(next[instance]) else { continue };
        next[instance] += 1;
        let rows = batch.rows();
        let event = rows.row(0).event();
        let own = share_of(&[event.instance, event.user.expect("a user")]);
        if let Some(client) = counted_by_client(&event) {
            let share = share_of(&[event.instance, &client]);
            add(&mut alerts, detectors[share].count_by_client(batch));
        }
        add(&mut alerts, detectors[own].observe_share(batch.clone()).alerts);
    }
    alerts
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn shares_give_the_alerts_of_the_whole(
        steps in prop::collection::vec(step(), 1..400),
        turns in prop::collection::vec(0..INSTANCES.len(), 0..400),
    ) {
        let streams = streams(&steps);
        prop_assert_eq!(whole(&streams), divided(&streams, &turns));
    }
}

#[test]
fn the_property_reaches_counts_by_identity_and_by_client() {
    let step = |user, what| Step { instance: 0, user, client: 0, what, seconds: 10 };
    let mut steps: Vec<Step> = (0..6).map(|user| step(user, 0)).collect();
    steps.extend((0..9).map(|_| step(0, 0)));
    steps.push(step(0, 1));
    let alerts = divided(&streams(&steps), &[]);
    for rule in ["A01", "A02", "A03"] {
        let found = alerts.iter().any(|alert| alert.contains(&format!("\"rule\":\"{rule}\"")));
        assert!(found, "no {rule} among {alerts:#?}");
    }
}
