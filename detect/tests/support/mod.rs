//! Streams of events for tests, in microseconds after a Monday at midnight.

use detect::{DetectSettings, Detector, Observed, RuleSet};
use event::vocabulary::{Action, Outcome, StatementState};
use event::{AuditEvent, EventBatchBuilder, EventId, Timestamp};

pub(crate) const MINUTE: i64 = 60_000_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Monday, 2026-11-02 00:00 UTC.
pub(crate) const START: i64 = 1_793_577_600_000_000;

/// Hours since 1970 at so many microseconds after the start.
#[allow(dead_code, reason = "not every test ticks")]
pub(crate) fn hour(after: i64) -> i64 {
    (START + after) / HOUR
}

/// A detector with the built-in rules that knows nothing yet.
pub(crate) fn detector() -> Detector {
    let rules = RuleSet::builtin().expect("the built-in rules load");
    Detector::new(&DetectSettings::default(), rules).expect("valid settings")
}

/// One event, owned.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) time: i64,
    pub(crate) received: i64,
    pub(crate) user: String,
    client: String,
    application: String,
    action: Action,
    pub(crate) command: Option<String>,
    statement: Option<String>,
    pub(crate) outcome: Outcome,
    pub(crate) error: Option<(&'static str, String)>,
    pub(crate) rows: Option<i64>,
    pub(crate) session: String,
    pub(crate) statement_number: Option<i64>,
}

/// What one account does from one client with one program.
pub(crate) struct Stream {
    user: String,
    client: String,
    application: String,
    steps: Vec<Step>,
}

impl Stream {
    pub(crate) fn new(user: &str, client: &str, application: &str) -> Self {
        let (user, client, application) = (user.into(), client.into(), application.into());
        Self { user, client, application, steps: Vec::new() }
    }

    /// Runs a statement; the step may be changed further.
    pub(crate) fn run(&mut self, after: i64, command: &str, statement: &str) -> &mut Step {
        let action = match command {
            "SELECT" => Action::Read,
            "COPY" | "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE TABLE" => Action::Write,
            command if command.contains("ROLE") || command == "GRANT" => Action::Grant,
            command if command.starts_with("SET") => Action::Set,
            _ => Action::Define,
        };
        self.steps.push(Step {
            time: START + after,
            received: START + after + 100 * DAY,
            user: self.user.clone(),
            client: self.client.clone(),
            application: self.application.clone(),
            action,
            command: Some(command.to_owned()),
            statement: Some(statement.to_owned()),
            outcome: Outcome::Succeeded,
            error: None,
            rows: None,
            session: format!("{}-{}", self.user, after / DAY),
            statement_number: None,
        });
        self.steps.last_mut().expect("just pushed")
    }

    /// When its first step is.
    #[allow(dead_code, reason = "not every test ticks")]
    pub(crate) fn begin(&self) -> i64 {
        self.steps.first().expect("it has steps").time
    }

    /// Has all of it be read at a time.
    #[allow(dead_code, reason = "not every test reads back")]
    pub(crate) fn set_received(&mut self, time: i64) {
        self.steps.iter_mut().for_each(|step| step.received = time);
    }

    /// The first so many steps, and the rest.
    #[allow(dead_code, reason = "not every test splits")]
    pub(crate) fn split(mut self, count: usize) -> (Self, Self) {
        let rest = Self { steps: self.steps.split_off(count), ..Self::new("", "", "") };
        (self, rest)
    }

    /// Somebody fails to log in as `user`.
    #[allow(dead_code, reason = "not every test fails to log in")]
    pub(crate) fn failed_login(&mut self, after: i64, user: &str) {
        let error = format!("password authentication failed for user \"{user}\"");
        self.steps.push(Step {
            time: START + after,
            received: START + after + 100 * DAY,
            user: user.to_owned(),
            client: self.client.clone(),
            application: self.application.clone(),
            action: Action::Login,
            command: None,
            statement: None,
            outcome: Outcome::Denied,
            error: Some(("28P01", error)),
            rows: None,
            session: "login".to_owned(),
            statement_number: None,
        });
    }
}

/// Has the detector observe a stream in batches, and gathers what it gives. Of a case the last
/// telling counts.
pub(crate) fn observe(detector: &mut Detector, stream: &Stream) -> Gathered {
    let mut gathered = Gathered { alerts: Vec::new(), cases: Vec::new() };
    for (part, steps) in stream.steps.chunks(1_000).enumerate() {
        let mut batch = EventBatchBuilder::default();
        for (index, step) in steps.iter().enumerate() {
            let number = (part * 1_000 + index) as u64;
            batch.push(&step.borrowed(number));
        }
        let Observed { alerts, cases, .. } = detector.observe(batch.finish());
        gathered.alerts.extend(alerts);
        for case in cases {
            gathered.cases.retain(|known: &event::Case| known.id != case.id);
            gathered.cases.push(case);
        }
    }
    gathered
}

/// See [`observe`].
pub(crate) struct Gathered {
    pub(crate) alerts: Vec<event::Alert>,
    pub(crate) cases: Vec<event::Case>,
}

impl Step {
    fn borrowed(&self, number: u64) -> AuditEvent<'_> {
        AuditEvent {
            id: EventId::of(&[
                self.user.as_bytes(),
                &self.time.to_le_bytes(),
                &number.to_le_bytes(),
            ]),
            time: Timestamp(self.time),
            received: Timestamp(self.received),
            database: Some("shop"),
            action: self.action,
            command: self.command.as_deref(),
            user: Some(&self.user),
            client_address: Some(&self.client),
            application: Some(&self.application),
            session: Some(&self.session),
            statement_number: self.statement_number,
            statement: self.statement.as_deref(),
            statement_state: match self.statement {
                Some(_) => StatementState::Full,
                None => StatementState::Absent,
            },
            rows: self.rows,
            outcome: self.outcome,
            error_code: self.error.as_ref().map(|(code, _)| *code),
            error: self.error.as_ref().map(|(_, text)| text.as_str()),
            ..AuditEvent::new("log", "test", "postgresql", "main")
        }
    }
}
