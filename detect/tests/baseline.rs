//! Baselines in stories: weeks of ordinary traffic, a day that differs, and the alerts it gives.

use std::fs;
use std::path::Path;

use detect::{DetectSettings, Detector, RuleSet};
use event::vocabulary::{Action, Outcome, StatementState};
use event::{Alert, AuditEvent, EventBatch, EventBatchBuilder, EventId, Timestamp};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    /// What the story shows.
    about: String,
    #[serde(default)]
    settings: DetectSettings,
    /// One after another.
    phases: Vec<Phase>,
    /// All alerts, in order.
    alerts: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Phase {
    days: i64,
    traffic: Vec<Traffic>,
}

/// What one identity does on each day of a phase.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Traffic {
    user: String,
    #[serde(default)]
    application: Option<String>,
    client: String,
    /// First and last hour, UTC.
    hours: [i64; 2],
    per_hour: i64,
    /// In turn; `{n}` becomes a letter-only word of the day, to make a statement new.
    statements: Vec<String>,
    /// Only on days with `day % every_days == 0`.
    #[serde(default = "one")]
    every_days: i64,
}

fn one() -> i64 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    rule: String,
    user: String,
    severity: String,
    /// Texts that the explanation holds.
    engineer: Vec<String>,
    manager: String,
    counterfactual: String,
}

/// Monday, 2026-11-02 00:00 UTC.
const START: i64 = 1_793_577_600;

fn word(day: i64) -> String {
    day.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

fn play(story: &Story) -> Vec<EventBatch> {
    let mut day = 0;
    let mut batches = Vec::new();
    for phase in &story.phases {
        for _ in 0..phase.days {
            batches.push(play_day(phase, day));
            day += 1;
        }
    }
    batches
}

fn play_day(phase: &Phase, day: i64) -> EventBatch {
    let mut events = Vec::new();
    for traffic in phase.traffic.iter().filter(|traffic| day % traffic.every_days == 0) {
        for hour in traffic.hours[0]..=traffic.hours[1] {
            for number in 0..traffic.per_hour {
                let seconds = day * 86_400 + hour * 3_600 + number * 3_600 / traffic.per_hour;
                let index = (day + hour + number) as usize % traffic.statements.len();
                let sql = traffic.statements[index].replace("{n}", &word(day));
                events.push((START + seconds, traffic, sql));
            }
        }
    }
    events.sort_by_key(|event| event.0);
    let mut builder = EventBatchBuilder::default();
    for (seconds, traffic, sql) in &events {
        let session = format!("{}-{day}", traffic.user);
        builder.push(&AuditEvent {
            id: EventId::of(&[sql.as_bytes(), &seconds.to_le_bytes()]),
            time: Timestamp(seconds * 1_000_000),
            action: Action::Read,
            user: Some(&traffic.user),
            application: traffic.application.as_deref(),
            client_address: Some(&traffic.client),
            session: Some(&session),
            statement: Some(sql),
            statement_state: StatementState::Full,
            outcome: Outcome::Succeeded,
            ..AuditEvent::new("log", "test", "postgresql", "orders")
        });
    }
    builder.finish()
}

fn check(expected: &Expected, alert: &Alert) {
    assert_eq!(alert.rule, expected.rule);
    assert_eq!(alert.user.as_deref(), Some(expected.user.as_str()));
    assert_eq!(alert.severity.as_str(), expected.severity);
    let texts = &alert.explanation;
    for part in &expected.engineer {
        assert!(texts.engineer.contains(part), "`{part}` is not in `{}`", texts.engineer);
    }
    assert_eq!(texts.manager, expected.manager);
    let silent = &texts.counterfactual_engineer;
    assert!(silent.starts_with(&expected.counterfactual), "{silent}");
    assert!(texts.maturity.is_some() && !texts.usual.is_empty());
}

#[test]
fn stories() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("stories").map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    assert!(paths.len() >= 5, "stories are missing");
    for path in paths {
        let text = fs::read_to_string(&path).expect("readable");
        let story: Story =
            yaml_serde::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let rules = RuleSet::builtin().expect("the built-in rules load");
        let mut detector = Detector::new(&story.settings, rules).expect("valid settings");
        let batches = play(&story);
        let alerts: Vec<Alert> =
            batches.into_iter().flat_map(|batch| detector.observe(batch).alerts).collect();
        let told: Vec<_> = alerts.iter().map(|a| (&a.time, &a.explanation.engineer)).collect();
        assert_eq!(alerts.len(), story.alerts.len(), "{}: {told:#?}", story.about);
        for (expected, alert) in story.alerts.iter().zip(&alerts) {
            check(expected, alert);
        }
    }
}

/// A flood of new statements, tables and names stays within the limits, and is counted.
#[test]
fn a_flood_is_bounded() {
    let mut settings = DetectSettings::default();
    settings.baseline.identities_max = 8;
    let mut detector = Detector::new(&settings, RuleSet::default()).expect("valid settings");
    for round in 0..4_i64 {
        let mut builder = EventBatchBuilder::default();
        for index in 0..2_000_i64 {
            let name = word(round * 2_000 + index);
            let user = if index % 100 == 0 { format!("u{name}") } else { "flood".to_owned() };
            let sql = format!("select {name} from app.{name}");
            builder.push(&AuditEvent {
                time: Timestamp((START + round * 3_600 + index) * 1_000_000),
                user: Some(&user),
                statement: Some(&sql),
                application: Some(&name),
                ..AuditEvent::new("log", "test", "postgresql", "orders")
            });
        }
        detector.observe(builder.finish());
    }
    let statistics = detector.statistics();
    assert!(statistics.identities <= 8);
    assert!(statistics.identity_evictions > 0 && statistics.value_evictions > 5_000);
    let bytes = detector.snapshot().len();
    assert!(bytes < 8 * 128 * 1_024 + 4 * 1_024 * 1_024, "{bytes} bytes");
}
