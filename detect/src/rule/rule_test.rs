//! The tests that a rule carries: events, and how often the rule must alert.

use event::vocabulary::{AccessPath, Action, ActorKind, Evidence, Outcome, StatementState};
use event::{AuditEvent, EventBatchBuilder, EventId, Timestamp};
use serde::Deserialize;

use super::{Rule, RuleSet};
use crate::{DetectSettings, Detector, JobSettings};

/// One test of a rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleTest {
    /// What it shows.
    name: String,
    /// Alerts of this rule that must come, no more and no fewer.
    alerts: usize,
    /// Where the events were taken from, as `file:line` of `testdata`; absent if written by hand.
    #[serde(default, rename = "from")]
    _from: Option<String>,
    /// Registered jobs, if the test is about them.
    #[serde(default)]
    jobs: Vec<JobSettings>,
    /// In order of time.
    events: Vec<TestEvent>,
}

/// The columns of one event, or of many alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TestEvent {
    /// So many events…
    repeat: u32,
    /// …so far apart, the first one so long after the event before.
    after_seconds: f64,
    engine: String,
    instance: String,
    database: Option<String>,
    action: Action,
    command: Option<String>,
    user: Option<String>,
    actor: Option<String>,
    actor_kind: Option<ActorKind>,
    path: Option<AccessPath>,
    client_address: Option<String>,
    client_host: Option<String>,
    application: Option<String>,
    authentication: Option<String>,
    session: String,
    statement_number: Option<i64>,
    object_kind: Option<String>,
    object: Option<String>,
    statement: Option<String>,
    parameters: Option<String>,
    rows: Option<i64>,
    outcome: Outcome,
    error_code: Option<String>,
    error: Option<String>,
}

impl Default for TestEvent {
    fn default() -> Self {
        Self {
            repeat: 1,
            after_seconds: 1.0,
            engine: "postgresql".into(),
            instance: "main".into(),
            database: Some("shop".into()),
            action: Action::Other,
            command: None,
            user: None,
            actor: None,
            actor_kind: None,
            path: None,
            client_address: Some("127.0.0.1".into()),
            client_host: None,
            application: None,
            authentication: None,
            session: "s1".into(),
            statement_number: None,
            object_kind: None,
            object: None,
            statement: None,
            parameters: None,
            rows: None,
            outcome: Outcome::Succeeded,
            error_code: None,
            error: None,
        }
    }
}

/// How one test of a rule ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    /// Id of the rule.
    pub rule: String,
    /// File of the rule.
    pub path: String,
    /// Name of the test.
    pub name: String,
    /// Alerts that had to come.
    pub expected: usize,
    /// Alerts that came.
    pub observed: usize,
    /// Why it could not run, if it could not.
    pub problem: Option<String>,
}

impl TestOutcome {
    /// Whether the rule did what the test asks for.
    pub fn passed(&self) -> bool {
        self.problem.is_none() && self.expected == self.observed
    }
}

/// Runs the tests of the rules in `set`.
pub(super) fn run(set: &RuleSet) -> Vec<TestOutcome> {
    let of = |rule: &'_ Rule| rule.details.rule_tests.len();
    let tests = set.rules().iter().flat_map(|rule| (0..of(rule)).map(move |index| (rule, index)));
    tests.map(|(rule, index)| run_test(set, rule, &rule.details.rule_tests[index])).collect()
}

fn run_test(set: &RuleSet, rule: &Rule, test: &RuleTest) -> TestOutcome {
    let mut settings = DetectSettings { jobs: test.jobs.clone(), ..DetectSettings::default() };
    settings.baseline.enabled = false;
    let outcome = |observed, problem| TestOutcome {
        rule: rule.id.clone(),
        path: rule.path.clone(),
        name: test.name.clone(),
        expected: test.alerts,
        observed,
        problem,
    };
    let mut detector = match Detector::new(&settings, set.clone()) {
        Ok(detector) => detector,
        Err(problem) => return outcome(0, Some(problem.to_string())),
    };
    let mut batch = EventBatchBuilder::default();
    // A Monday morning; only differences matter.
    let mut micros = 1_794_819_600_000_000_i64;
    for event in &test.events {
        for _ in 0..event.repeat {
            micros += (event.after_seconds * 1e6) as i64;
            let id = EventId::of(&[test.name.as_bytes(), &(batch.len() as u64).to_le_bytes()]);
            batch.push(&event.borrowed(id, Timestamp(micros)));
        }
    }
    let alerts = detector.observe(batch.finish()).alerts;
    // An alert of low severity is what a registered job leaves of a critical rule.
    let counts = |alert: &&event::Alert| {
        alert.rule == rule.id && (test.jobs.is_empty() || alert.severity == rule.severity)
    };
    outcome(alerts.iter().filter(counts).count(), None)
}

impl TestEvent {
    fn borrowed(&self, id: EventId, time: Timestamp) -> AuditEvent<'_> {
        let base = AuditEvent::new("test", "test", &self.engine, &self.instance);
        AuditEvent {
            id,
            time,
            received: time,
            evidence: Evidence::B,
            database: self.database.as_deref(),
            action: self.action,
            command: self.command.as_deref(),
            user: self.user.as_deref(),
            actor: self.actor.as_deref(),
            actor_kind: self.actor_kind,
            path: self.path,
            client_address: self.client_address.as_deref(),
            client_host: self.client_host.as_deref(),
            application: self.application.as_deref(),
            authentication: self.authentication.as_deref(),
            session: Some(&self.session),
            statement_number: self.statement_number,
            object_kind: self.object_kind.as_deref(),
            object: self.object.as_deref(),
            statement: self.statement.as_deref(),
            statement_state: match self.statement {
                Some(_) => StatementState::Full,
                None => StatementState::Absent,
            },
            parameters: self.parameters.as_deref(),
            rows: self.rows,
            outcome: self.outcome,
            error_code: self.error_code.as_deref(),
            error: self.error.as_deref(),
            ..base
        }
    }
}
