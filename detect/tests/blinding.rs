//! What could blind detection without switching it off: quiet, wrong clocks, decoys, the end of a
//! case, more decisions than anybody reads.

mod support;

use std::sync::Arc;

use detect::{
    BaselineSettings, DetectSettings, Detector, InstanceModels, Models, RuleSet, SensitiveSettings,
};
use event::decision::{ChangeWindow, DecisionKind, Exception, HELD_MAX, Scope};
use event::vocabulary::Outcome;
use event::{Alert, Case, Decision, Timestamp};
use model::{DayProfile, Prior, TrainSettings, Trainer};

use support::{DAY, Gathered, HOUR, MINUTE, START, Stream, detector, hour, observe};

const PROGRAM: &str = "copy t from program 'curl evil'";

/// Observes a stream as the pipeline does: each new hour of an event is ticked before it.
fn observe_with_ticks(detector: &mut Detector, streams: &[Stream]) -> Gathered {
    let mut gathered = Gathered { alerts: Vec::new(), cases: Vec::new() };
    for stream in streams {
        detector.tick("main", hour(stream.begin() - START));
        let Gathered { alerts, cases } = observe(detector, stream);
        gathered.alerts.extend(alerts);
        for case in cases {
            gathered.cases.retain(|known| known.id != case.id);
            gathered.cases.push(case);
        }
    }
    gathered
}

#[test]
fn a_weekly_program_is_a_case_a_week_whatever_its_minute() {
    for (hours, minute) in [(168, 0), (168, 15), (27, 0), (27, 15)] {
        let weeks: Vec<_> = (0..6)
            .map(|number| {
                let mut stream = Stream::new("mallory", "10.0.0.9", "psql");
                stream.run(number * hours * HOUR + minute * MINUTE, "COPY", PROGRAM);
                stream
            })
            .collect();
        let observed = observe_with_ticks(&mut detector(), &weeks);
        assert_eq!(observed.cases.len(), 6, "every {hours} h at :{minute:02}");
    }
}

/// Forty working days, each a stream of its own.
fn habits() -> Vec<Stream> {
    let day = |day: i64| {
        let mut stream = Stream::new("ana", "10.0.2.7", "psql");
        for hour in 8..17 {
            let time = day * DAY + hour * HOUR;
            stream.run(time, "SELECT", "select id, name from app.orders where id < 100");
        }
        stream
    };
    (0..56).filter(|number| number % 7 < 5).map(day).collect()
}

fn with_sensitive_tables() -> Detector {
    let sensitive =
        SensitiveSettings { tables: vec!["hr.*".into(), "clinic.*".into()], level: 3, name: None };
    let settings = DetectSettings { sensitive: vec![sensitive], ..DetectSettings::default() };
    Detector::new(&settings, RuleSet::builtin().expect("rules")).expect("valid settings")
}

/// A night on which three sensitive tables are read.
fn night(day: i64) -> Stream {
    let mut night = Stream::new("ana", "10.0.2.7", "psql");
    for (index, table) in ["hr.salaries", "hr.reviews", "clinic.patients"].iter().enumerate() {
        let time = day * DAY + 3 * HOUR + index as i64 * MINUTE;
        night.run(time, "SELECT", &format!("select * from {table}")).rows = Some(5_000_000);
    }
    night
}

fn causes(cases: &[Case]) -> Vec<&str> {
    cases.iter().flat_map(|case| &case.causes).map(|cause| cause.cause.as_str()).collect()
}

#[test]
fn a_weekend_does_not_stop_the_clock_before_an_insider() {
    let mut detector = with_sensitive_tables();
    observe_with_ticks(&mut detector, &habits());
    let observed = observe_with_ticks(&mut detector, &[night(57)]);
    let causes = causes(&observed.cases);
    for table in ["table hr.salaries", "table hr.reviews", "table clinic.patients", "rows"] {
        assert!(causes.contains(&table), "{causes:?}");
    }
}

#[test]
fn a_line_with_a_wrong_date_changes_nothing_of_the_baseline() {
    let told = |wrong: Option<i64>| {
        let mut detector = with_sensitive_tables();
        let (read, mut days) = (START + 60 * DAY, habits());
        if let Some(time) = wrong {
            let sql = "select id, name from app.orders where id < 100";
            days[10].run(0, "SELECT", sql).time = time;
        }
        days.push(night(57));
        days.iter_mut().for_each(|day| day.set_received(read));
        let observed = observe_with_ticks(&mut detector, &days);
        causes(&observed.cases).iter().map(|cause| (*cause).to_owned()).collect::<Vec<_>>()
    };
    let expected = told(None);
    assert!(expected.len() > 3, "{expected:?}");
    for days_ahead in [20, 59, 61, 365, 2_900_000] {
        assert_eq!(told(Some(START + days_ahead * DAY)), expected, "{days_ahead} days ahead");
    }
}

/// What is usual in a house with one identity.
fn models_of_one() -> Models {
    let mut trainer = Trainer::new(TrainSettings::default());
    for day in 1..29 {
        let (instance, identity) = ("main".to_owned(), "ana".to_owned());
        trainer.add(DayProfile { instance, identity, day, ..DayProfile::default() });
    }
    let trained = trainer.train(28, "main");
    let prior = trained.iter().find(|it| it.kind == Prior::KIND).expect("a prior");
    let prior = Prior::decode(&prior.bytes).expect("ours");
    let mut models = Models::default();
    let prior = Some(("1".to_owned(), Arc::new(prior)));
    models.set("main", InstanceModels { prior, peers: None });
    models
}

#[test]
fn what_is_new_and_harmless_is_no_decoy_for_what_is_sensitive() {
    for models in [Models::default(), models_of_one()] {
        tell_sensitive_tables_behind_a_decoy(models);
    }
}

fn tell_sensitive_tables_behind_a_decoy(models: Models) {
    let mut detector = with_sensitive_tables();
    detector.set_models(models);
    observe_with_ticks(&mut detector, &habits());
    let tables = ["app.tags", "hr.salaries", "clinic.patients", "hr.bank", "clinic.notes"];
    for (number, table) in tables.iter().enumerate() {
        let mut day = Stream::new("ana", "10.0.2.7", "psql");
        let sql = format!("select id, name from {table} where id < 100");
        day.run((56 + number as i64) * DAY + 10 * HOUR, "SELECT", &sql).rows = Some(50);
        let observed = observe_with_ticks(&mut detector, &[day]);
        let cause = format!("table {table}");
        let is_told = causes(&observed.cases).contains(&cause.as_str());
        assert_eq!(is_told, number > 0, "{table}: {:?}", observed.cases);
    }
}

#[test]
fn a_case_counts_all_of_its_day_however_the_stream_is_cut() {
    let run = |cut: usize| {
        let mut stream = Stream::new("mallory", "10.0.0.9", "psql");
        for minute in 0..1_500 {
            let program = if minute == 1_430 { "/tmp/evil" } else { "/opt/etl/fetch.sh" };
            stream.run(minute * MINUTE, "COPY", &format!("copy t from program '{program}'"));
        }
        let (first, rest) = stream.split(cut);
        let mut detector = detector();
        let before = observe(&mut detector, &first).cases;
        let after = observe(&mut detector, &rest).cases;
        let is_old = |case: &&Case| after.iter().all(|newer| newer.id != case.id);
        let mut all: Vec<_> = before.iter().filter(is_old).chain(&after).collect();
        all.sort_by_key(|case| case.opened);
        all.iter().map(|case| (case.signals, case.causes_total)).collect::<Vec<_>>()
    };
    let expected = vec![(1_440, 2), (60, 1)];
    for cut in [0, 1_000, 1_438, 1_441, 1_500] {
        assert_eq!(run(cut), expected, "cut at {cut}");
    }
}

fn scope(identity: &str) -> Scope {
    Scope { identity: Some(identity.to_owned()), ..Scope::default() }
}

fn rules(alerts: &[Alert]) -> Vec<&str> {
    alerts.iter().map(|alert| alert.rule.as_str()).collect()
}

#[test]
fn every_exception_that_may_be_made_holds() {
    let mut detector = detector();
    for number in 0..HELD_MAX {
        let (reason, expires) = ("a job".to_owned(), Some(Timestamp(START + 100 * DAY)));
        let exception = Exception { scope: scope(&format!("u{number}")), reason, expires };
        let kind = DecisionKind::Exception(exception);
        detector.decide(&Decision::new(Timestamp(START), "ann", kind));
    }
    for number in [0, 17, HELD_MAX / 2, HELD_MAX - 1] {
        let mut stream = Stream::new(&format!("u{number}"), "10.0.0.9", "psql");
        stream.run(HOUR, "COPY", PROGRAM);
        assert_eq!(rules(&observe(&mut detector, &stream).alerts), [""; 0], "u{number}");
    }
    let mut stream = Stream::new("another", "10.0.0.9", "psql");
    stream.run(HOUR, "COPY", PROGRAM);
    assert_eq!(rules(&observe(&mut detector, &stream).alerts), ["D01"]);
}

#[test]
fn change_windows_hold_by_time_and_table_for_an_identity_that_comes_again() {
    let mut detector = detector();
    let window = |from: i64, table: Option<&str>| {
        let scope = Scope { table: table.map(str::to_owned), ..scope("etl*") };
        let (from, until) = (Timestamp(START + from * HOUR), Timestamp(START + (from + 1) * HOUR));
        let kind = ChangeWindow { scope, from, until, reason: "a release".into() };
        Decision::new(Timestamp(START), "ann", DecisionKind::ChangeWindow(kind))
    };
    detector.decide(&window(2, None));
    detector.decide(&window(4, Some("app.*")));
    let mut severity = |after: i64, table: &str| {
        let mut stream = Stream::new("etl7", "10.0.0.9", "psql");
        stream.run(after * HOUR + 60, "DELETE", &format!("delete from {table}"));
        let told = observe(&mut detector, &stream).alerts;
        told.first().map(|alert| alert.severity)
    };
    let usual = severity(1, "app.a");
    assert!(usual > severity(2, "app.b"), "announced");
    assert_eq!(severity(30, "app.c"), usual, "it is over");
}

#[test]
fn failures_that_are_log_ins_teach_and_tell_nothing_of_statements() {
    let settings = BaselineSettings { active_days_min: 1, ..BaselineSettings::default() };
    let settings = DetectSettings { baseline: settings, ..DetectSettings::default() };
    let rules = RuleSet::builtin().expect("rules");
    let mut detector = Detector::new(&settings, rules).expect("valid settings");
    observe_with_ticks(&mut detector, &habits());
    let mut stream = Stream::new("ana", "10.0.2.7", "psql");
    for second in 0..200 {
        stream.failed_login(57 * DAY + second * MINUTE / 60, "ana");
    }
    let told = observe(&mut detector, &stream).alerts;
    assert!(told.iter().all(|alert| alert.rule != "baseline.failures"), "{told:#?}");
    let mut stream = Stream::new("ana", "10.0.2.7", "psql");
    for second in 0..200 {
        let time = 58 * DAY + second * MINUTE / 60;
        stream.run(time, "SELECT", "select nam from app.orders").outcome = Outcome::Failed;
    }
    let told = observe(&mut detector, &stream).alerts;
    assert!(told.iter().any(|alert| alert.rule == "baseline.failures"), "{told:#?}");
}
