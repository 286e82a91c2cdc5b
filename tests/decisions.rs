//! What people decide over HTTP takes effect for rules and baselines, and a replay of the bus
//! decides the same.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Days, Duration as Span, Utc};
use serde_json::{Value, json};

use crate::api::Service;
use crate::binary::Querywatch;
use crate::history::wait_for_rows;

/// Two of each: one of them is spoken for, the other is not.
const DEPLOYERS: [&str; 2] = ["deploy", "mallory"];
const OPERATORS: [&str; 2] = ["ops", "oscar"];
const READERS: [&str; 2] = ["reader", "rita"];
const SERVICES: [&str; 2] = ["billing", "basket"];
const RELEASED: [&str; 2] = ["web", "worker"];

const SUPERUSER: &str = "alter role helper superuser";
const UNAUDITED: &str = "alter system set pgaudit.log = 'none'";
const FILE: &str = "select pg_read_file('/etc/passwd')";

/// A server's csvlog, in order of time.
struct Log {
    file: File,
    /// Midnight of the last of the days.
    today: DateTime<Utc>,
    rows: usize,
}

impl Log {
    fn open(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).expect("a log");
        let midnight = Utc::now().date_naive().and_hms_opt(0, 0, 0).expect("a time").and_utc();
        Self { file, today: midnight - Days::new(1), rows: 0 }
    }

    /// Ten days of the services, and on the last of them what is decided about.
    fn write_habits(&mut self) {
        let mut text = String::new();
        for quarter in 0..(10 * 24 + 9) * 4 {
            let time = self.today - Days::new(10) + Span::minutes(15 * quarter);
            for name in SERVICES.iter().chain(&RELEASED) {
                let sql = format!("select amount from app.{name} where id = 1");
                self.row(&mut text, time, (name, "10.0.1.5"), "READ,SELECT", &sql);
            }
            if quarter == (9 * 24 + 9) * 4 {
                for name in READERS {
                    self.row(&mut text, time, (name, "10.0.2.7"), "READ,SELECT", FILE);
                }
            }
        }
        self.file.write_all(text.as_bytes()).expect("written");
    }

    /// The same by both of each kind, at ten o'clock of today.
    fn write_acts(&mut self) {
        let (mut text, time) = (String::new(), self.today + Span::hours(9) + Span::minutes(30));
        for name in DEPLOYERS {
            self.row(&mut text, time, (name, "10.0.2.8"), "ROLE,ALTER ROLE", SUPERUSER);
        }
        for name in OPERATORS {
            self.row(&mut text, time, (name, "10.0.2.8"), "MISC,ALTER SYSTEM", UNAUDITED);
        }
        for name in READERS {
            self.row(&mut text, time, (name, "10.0.2.7"), "READ,SELECT", FILE);
        }
        for name in SERVICES.iter().chain(&RELEASED) {
            let sql = "select iban from hr.accounts where id = 1";
            self.row(&mut text, time, (name, "10.9.9.9"), "READ,SELECT", sql);
        }
        self.file.write_all(text.as_bytes()).expect("written");
    }

    /// Each in a session of its own, so that statements are numbered from one.
    fn row(
        &mut self,
        text: &mut String,
        time: DateTime<Utc>,
        (user, client): (&str, &str),
        class: &str,
        sql: &str,
    ) {
        self.rows += 1;
        let (session, stamp) = (self.rows, time.format("%Y-%m-%d %H:%M:%S%.3f"));
        let _ = writeln!(
            text,
            "{stamp} UTC,\"{user}\",\"shop\",{session},\"{client}:51022\",67c42e10.{session:x},1,\
             \"SELECT\",{stamp} UTC,3/17,0,LOG,00000,\
             \"AUDIT: SESSION,1,1,{class},,,{sql},<not logged>,1\",,,,,,,,,\"app\",\
             \"client backend\",,0"
        );
    }
}

/// (identity, rule, severity) of every case.
fn cases(querywatch: &Querywatch) -> Vec<(String, String, String)> {
    let rows = querywatch.sql("SELECT identity, rule, severity FROM cases ORDER BY identity, rule");
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let told = |row| (text(row, "identity"), text(row, "rule"), text(row, "severity"));
    rows.iter().map(told).collect()
}

/// What detection told of every case; what people decided about it is left out.
fn told(querywatch: &Querywatch) -> Vec<Value> {
    querywatch.sql(
        "SELECT id, opened, updated, severity, identity, instance, lineage, family, rule, title, \
         signals, causes, causes_total, events, engineer, manager, risk FROM cases ORDER BY id",
    )
}

fn decide(service: &Service, today: DateTime<Utc>) {
    let exceptions = [
        json!({ "identity": DEPLOYERS[0], "rule": "B01" }),
        json!({ "identity": SERVICES[0], "rule": "baseline.*" }),
    ];
    for scope in exceptions {
        let exception = json!({ "scope": scope, "reason": "it is meant to" });
        let (status, answer) = service.post("/api/v1/exceptions", &exception);
        assert_eq!(status, 201, "{answer}");
    }
    let case = until("the case of the file that was read", || {
        let (_, page) = service.get(&format!("/api/v1/cases?identity={}", READERS[0]));
        page["cases"][0]["id"].as_str().map(str::to_owned)
    });
    let verdict = json!({ "verdict": "benign", "reason": "a check of the auditors" });
    let (status, answer) = service.send("PATCH", &format!("/api/v1/cases/{case}"), &verdict);
    assert_eq!((status, &answer["verdict"]), (200, &json!("benign")), "{answer}");
    let until_then = (Utc::now() + Span::hours(1)).to_rfc3339();
    for name in [OPERATORS[0], RELEASED[0]] {
        let window = json!({ "scope": { "identity": name }, "from": today.to_rfc3339(),
            "until": until_then, "reason": "the release of the week" });
        let (status, answer) = service.post("/api/v1/change-windows", &window);
        assert_eq!(status, 201, "{answer}");
    }
    // They are published in the order in which they were made.
    until("the last decision to be published", || {
        let (_, page) = service.get("/api/v1/change-windows");
        (page["decisions"][0]["published"] == true).then_some(())
    });
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: waited for a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn decisions_take_effect_and_a_replay_decides_the_same() {
    let querywatch = Querywatch::new();
    let folder = querywatch.folder().join("log");
    std::fs::create_dir(&folder).expect("a folder");
    let mut log = Log::open(&folder.join("postgresql.csv"));
    log.write_habits();
    let settings =
        querywatch.settings(&folder, "[bus]\npartitions = 2\n[lake]\ncommit_seconds = 1\n");
    let service = Service::run(querywatch, &settings);
    service.wait_for(log.rows as i64);
    decide(&service, log.today);
    log.write_acts();
    wait_for_rows(&service.querywatch, log.rows);
    let querywatch = service.stop();
    let case = |identity: &str, rule: &str, severity: &str| {
        (identity.to_owned(), rule.to_owned(), severity.to_owned())
    };
    let expected = [
        // An exception: no case of `billing` nor of `deploy`.
        case("basket", "baseline.table", "high"),
        case("mallory", "B01", "critical"),
        // A change window: a step less.
        case("ops", "C01", "high"),
        case("oscar", "C01", "critical"),
        // A verdict: no second case of `reader`. What was told yesterday is a step less today.
        case("reader", "D02", "high"),
        case("rita", "D02", "high"),
        case("rita", "D02", "medium"),
        case("web", "baseline.table", "medium"),
        case("worker", "baseline.table", "high"),
    ];
    assert_eq!(cases(&querywatch), expected);
    let before = told(&querywatch);
    for name in ["detection", "state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        let path = querywatch.data().join(name);
        match path.is_dir() {
            true => std::fs::remove_dir_all(path).expect("removed"),
            false => drop(std::fs::remove_file(path)),
        }
    }
    let service = Service::run(querywatch, &settings);
    until("the replay", || (told(&service.querywatch).len() == before.len()).then_some(()));
    let querywatch = service.stop();
    assert_eq!(told(&querywatch), before);
}
