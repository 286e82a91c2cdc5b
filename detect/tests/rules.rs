//! The rules in the binary: their own tests pass, and each is complete.

use detect::{DetectSettings, Detector, JobSettings, RuleSet, SensitiveSettings};
use event::vocabulary::{Outcome, StatementState};
use event::{AuditEvent, EventBatchBuilder};

#[test]
fn every_case_of_every_rule_passes() {
    let set = RuleSet::builtin().expect("the built-in rules load");
    let outcomes = set.test();
    let failures: Vec<_> = outcomes
        .iter()
        .filter(|outcome| !outcome.passed())
        .map(|o| {
            let (observed, expected) = (o.observed, o.expected);
            let problem = o.problem.as_deref().unwrap_or_default();
            format!("{} `{}`: {observed} alerts, not {expected} {problem}", o.path, o.name)
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(outcomes.len() >= 60, "only {} cases ran", outcomes.len());
}

#[test]
fn every_rule_has_two_cases_that_match_and_two_that_do_not() {
    let set = RuleSet::builtin().expect("the built-in rules load");
    let outcomes = set.test();
    for rule in set.rules() {
        let cases = outcomes.iter().filter(|outcome| outcome.rule == rule.id);
        let (positive, negative): (Vec<_>, Vec<_>) = cases.partition(|case| case.expected > 0);
        assert!(positive.len() >= 2, "{} has {} positive cases", rule.id, positive.len());
        assert!(negative.len() >= 2, "{} has {} negative cases", rule.id, negative.len());
    }
}

#[test]
fn the_critical_rules_of_the_catalogue_are_there_and_complete() {
    let set = RuleSet::builtin().expect("the built-in rules load");
    let critical = [
        "A01", "A02", "A03", "B01", "B02", "B11", "B12", "B18", "C01", "C02", "D01", "D02", "D03",
        "E01", "E08", "F01", "F08", "F09",
    ];
    for id in critical {
        let rule = set.rules().iter().find(|rule| rule.id == id);
        let rule = rule.unwrap_or_else(|| panic!("{id} is missing"));
        assert!(!rule.attack.is_empty(), "{id} names no technique");
        assert!(!rule.controls.is_empty(), "{id} names no control");
        assert!(!rule.false_positives.is_empty(), "{id} names no false positive");
        assert!(rule.investigation.len() >= 2, "{id} does not say what to check");
        assert!(!rule.description.is_empty(), "{id} is not described");
    }
}

/// The manager's text of the first alert about one statement of bo.
fn told(statement: &str, outcome: Outcome) -> String {
    let set = RuleSet::builtin().expect("the built-in rules load");
    let mut detector = Detector::new(&DetectSettings::default(), set).expect("valid settings");
    let mut batch = EventBatchBuilder::default();
    batch.push(&AuditEvent {
        user: Some("bo"),
        statement: Some(statement),
        statement_state: StatementState::Full,
        outcome,
        ..AuditEvent::new("log", "test", "postgresql", "main")
    });
    let alerts = detector.observe(batch.finish()).alerts;
    alerts.first().expect("an alert").explanation.manager.clone()
}

#[test]
fn what_was_refused_or_failed_was_only_tried() {
    let sql = "create function f() returns int language c as 'libc.so.6', 'system'";
    let done = told(sql, Outcome::Succeeded);
    assert!(done.starts_with("bo loaded machine code"), "{done}");
    let refused = told(sql, Outcome::Denied);
    assert!(refused.starts_with("bo tried to load machine code"), "{refused}");
    assert!(refused.ends_with("The database refused it."), "{refused}");
    let failed = told(sql, Outcome::Failed);
    assert!(failed.ends_with("It failed."), "{failed}");
}

fn load(name: &str, text: &str) -> Result<RuleSet, detect::RuleError> {
    RuleSet::from_texts(vec![(name.to_owned(), text.to_owned())])
}

/// A rule that is right; tests break it.
const RULE: &str = "\
title: Sample
id: 6f1a0a44-93a5-4e1b-8a07-0f6f0a8f3c11
detection:
  found:
    command: SELECT
  condition: found
level: high
querywatch:
  rule: X01
  investigation: [look]
  engineer: '{user} did it'
  manager: Somebody did it.
  silent_engineer: silent otherwise
  silent_manager: There would be no alert otherwise.
";

#[test]
fn a_broken_rule_says_where_and_what_to_do() {
    assert!(load("x.yml", RULE).is_ok());
    for (from, to, expected) in [
        ("    command: SELECT", "    comand: SELECT", "x.yml:5: `comand` is not a column"),
        ("{user}", "{usr}", "x.yml:"),
        ("condition: found", "condition: nothing", "x.yml:"),
        ("level: high", "level: hgih", "x.yml:"),
        ("id: 6f", "idd: 6f", "x.yml:1: `Sample` has no `id`"),
        ("  rule: X01", "  role: X01", "x.yml:"),
        ("title: Sample", "title: Sample\nrsigma.suppress: 10m", "would change other rules"),
    ] {
        let broken = RULE.replace(from, to);
        let error = load("x.yml", &broken).err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("`{to}` was accepted"));
        assert!(error.contains(expected), "`{to}`: {error}");
    }
}

#[test]
fn an_id_may_stand_in_one_file_only() {
    let twice = vec![("a.yml".to_owned(), RULE.to_owned()), ("b.yml".to_owned(), RULE.to_owned())];
    let error = RuleSet::from_texts(twice).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("b.yml:1: rule `X01` is in `a.yml` too; rename one"));
}

#[test]
fn settings_that_could_have_no_effect_are_refused() {
    let refused = |settings: &DetectSettings| {
        let rules = RuleSet::builtin().expect("the built-in rules load");
        Detector::new(settings, rules).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let job = |rule: &str| JobSettings {
        name: "nightly dump".into(),
        rules: vec![rule.into()],
        identity: "backup".into(),
        instance: None,
        client: None,
        application: None,
        hours: None,
    };
    let of_jobs = |rule| DetectSettings { jobs: vec![job(rule)], ..DetectSettings::default() };
    assert_eq!(refused(&of_jobs("F01")), "");
    let unknown = refused(&of_jobs("Z9"));
    assert!(unknown.contains("`nightly dump`: there is no rule Z9"), "{unknown}");
    for (level, is_right) in [(0, false), (1, true), (3, true), (7, false)] {
        let sensitive = SensitiveSettings { tables: vec!["hr.*".into()], level, name: None };
        let settings = DetectSettings { sensitive: vec![sensitive], ..DetectSettings::default() };
        assert_eq!(refused(&settings).is_empty(), is_right, "level {level}");
    }
}

#[test]
fn rules_of_databases_do_not_judge_reads_of_audit_data() {
    let alerts_of = |engine: &str| {
        let rules = RuleSet::builtin().expect("the built-in rules load");
        let mut detector = Detector::new(&DetectSettings::default(), rules).expect("valid");
        let mut batch = EventBatchBuilder::default();
        batch.push(&AuditEvent {
            time: event::Timestamp(1),
            user: Some("admin"),
            command: Some("QUERY"),
            statement: Some("select * from pg_shadow"),
            outcome: Outcome::Failed,
            statement_state: StatementState::Full,
            ..AuditEvent::new("log", "test", engine, "main")
        });
        detector.observe(batch.finish()).alerts.len()
    };
    assert_eq!(alerts_of("postgresql"), 1);
    assert_eq!(alerts_of("querywatch"), 0);
}
