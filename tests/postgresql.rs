//! A real PostgreSQL with pgaudit is used and attacked, and Querywatch tells.
//!
//! `scripts/test` starts the server and says where it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{Process, Querywatch, path_text};
use crate::webhook::Receiver;

/// The server that `scripts/test` started.
struct Server {
    host: String,
    port: String,
    user: String,
    password: String,
    bin: PathBuf,
    log: PathBuf,
}

/// A variable of `scripts/test`; a test whose service is missing fails.
fn variable(name: &str) -> String {
    let name = format!("QUERYWATCH_TEST_{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set; run `scripts/test`"))
}

/// The server, unless the caller asked for a run without services.
fn server() -> Option<Server> {
    if std::env::var("QUERYWATCH_TEST_SERVICES").as_deref() == Ok("off") {
        return None;
    }
    Some(Server {
        host: variable("PGHOST"),
        port: variable("PGPORT"),
        user: variable("PGUSER"),
        password: variable("PGPASSWORD"),
        bin: PathBuf::from(variable("PGBIN")),
        log: PathBuf::from(variable("PGLOG")),
    })
}

/// Application name of the sessions that rotate: each carrier turns its page a little earlier or
/// later, so these are on either side.
const ROTATION: &str = "rotation";

impl Server {
    fn client(&self, program: &str, user: &str, password: &str, application: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .env("PGHOST", &self.host)
            .env("PGPORT", &self.port)
            .env("PGUSER", user)
            .env("PGPASSWORD", password)
            .env("PGDATABASE", "postgres")
            .env("PGAPPNAME", application)
            .env("PGCONNECT_TIMEOUT", "20");
        command
    }

    /// Runs SQL as the superuser; whether it worked.
    fn sql(&self, sql: &str) -> bool {
        self.sql_as(&self.user, &self.password, "psql", sql)
    }

    fn sql_as(&self, user: &str, password: &str, application: &str, sql: &str) -> bool {
        let mut command = self.client("psql", user, password, application);
        let output = command.args(["-X", "-q", "-c", sql]).output().expect("psql starts");
        output.status.success()
    }

    fn pgbench(&self, arguments: &[&str]) {
        let mut command = self.client("pgbench", &self.user, &self.password, "pgbench");
        let output = command.args(arguments).output().expect("pgbench starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pgbench {arguments:?}: {errors}");
    }

    /// Starts new log files; the ones before are complete.
    fn rotate(&self) {
        let sql = "select pg_rotate_logfile()";
        assert!(self.sql_as(&self.user, &self.password, ROTATION, sql), "rotated");
        std::thread::sleep(Duration::from_millis(1_500));
    }

    /// Log files with this ending, oldest first.
    fn logs(&self, ending: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.log).expect("the log folder");
        let mut files: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == ending))
            .collect();
        files.sort();
        files
    }
}

/// What the attackers do, and the rule that must tell.
const ATTACKS: [(&str, &str); 6] = [
    ("copy (select 1) to program 'cat > /dev/null'", "D01"),
    ("alter role qw_app superuser", "B01"),
    // Not logged itself, because pgaudit looks at the setting afterwards: the silence tells.
    ("set pgaudit.log = 'none'", "C05"),
    ("select rolname, rolpassword from pg_authid", "E08"),
    ("delete from qw_orders", "F08"),
    ("select pg_sleep(0.01)", "E01"),
];

fn use_and_attack(server: &Server) {
    let set_up = "drop table if exists qw_orders; drop role if exists qw_app; \
                  create role qw_app login password 'a-Secret-7'; \
                  create table qw_orders(id int, note text); \
                  insert into qw_orders select i, 'n' from generate_series(1, 500) i; \
                  grant select, insert on qw_orders to qw_app";
    assert!(server.sql(set_up), "the scene is set");
    server.pgbench(&["-i", "-q", "-s", "1"]);
    server.pgbench(&["-c", "4", "-t", "100", "-M", "prepared"]);
    for id in 0..20 {
        let sql = format!("select note from qw_orders where id = {id}");
        assert!(server.sql_as("qw_app", "a-Secret-7", "orders-api", &sql), "qw_app reads");
    }
    assert!(!server.sql_as("qw_app", "a-Secret-7", "orders-api", "select * from pg_authid"));
    for _ in 0..10 {
        assert!(!server.sql_as("qw_app", "wrong", "psql", "select 1"), "a wrong password");
    }
    assert!(server.sql_as("qw_app", "a-Secret-7", "psql", "select 1"), "the right one");
    for account in ["admin", "backup", "oracle", "root", "test"] {
        assert!(!server.sql_as(account, "Winter2026", "psql", "select 1"), "one password for all");
    }
    for (sql, rule) in ATTACKS {
        assert!(server.sql(sql), "{rule}: {sql}");
    }
}

/// Settings for a webhook at `url`, whose secret is in the environment.
fn webhook_settings(url: &str) -> String {
    format!(
        "[[respond.channels]]\nname = \"test\"\nwebhook.url = {url:?}\n\
         webhook.allow_private = true\n\
         webhook.secrets = [{{ env = \"QUERYWATCH_TEST_SECRET\" }}]\n"
    )
}

#[test]
fn attacks_on_a_real_server_become_signed_alerts() {
    let Some(server) = server() else { return };
    let _turn = TURN.lock();
    server.rotate();
    let receiver = Receiver::start();
    let querywatch = Querywatch::new();
    let watched = server.log.join("*.csv");
    let settings = querywatch.settings(&watched, &webhook_settings(&receiver.url));
    let mut command = querywatch.command(&["run", "--config", path_text(&settings)]);
    command.env("QUERYWATCH_TEST_SECRET", Receiver::SECRET);
    let child = command.stderr(std::process::Stdio::null()).spawn().map(Process);
    use_and_attack(&server);
    let expected: Vec<&str> =
        ATTACKS.iter().map(|(_, rule)| *rule).chain(["A01", "A02", "A03"]).collect();
    let until = Instant::now() + Duration::from_secs(60);
    let missing = loop {
        let told = receiver.rules();
        let missing: Vec<&&str> = expected.iter().filter(|rule| !told.contains(**rule)).collect();
        if missing.is_empty() || Instant::now() > until {
            break format!("{missing:?} of {told:?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    drop(child);
    assert!(missing.starts_with("[]"), "no alert by {missing}");
    let (verified, ids) = receiver.signatures();
    assert!(verified > 0 && ids == receiver.alerts(), "each alert has one id");
}

/// An event without what one carrier tells and another cannot.
fn comparable(event: &Value) -> Value {
    let mut event = event.clone();
    let object = event.as_object_mut().expect("an object");
    for key in ["id", "position", "evidence", "format", "received", "source", "session"] {
        object.remove(key);
    }
    event
}

/// Events of files of one carrier, in the order of time.
fn parse(querywatch: &Querywatch, files: &[PathBuf]) -> Vec<Value> {
    let mut events = Vec::new();
    for file in files {
        let size = std::fs::metadata(file).expect("a file").len();
        if size == 0 {
            continue;
        }
        let output = querywatch.run(&["parse", path_text(file)]);
        let rejects = String::from_utf8_lossy(&output.stderr);
        assert!(rejects.is_empty(), "{}: {rejects}", file.display());
        let text = String::from_utf8(output.stdout).expect("text");
        events.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
    }
    events
}

/// How often each event is there; `without` is what the other carrier cannot tell.
fn counted(events: &[Value], without: &[&str]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in events.iter().filter(|event| event["application"] != ROTATION) {
        let mut event = comparable(event);
        let object = event.as_object_mut().expect("an object");
        without.iter().for_each(|key| drop(object.remove(*key)));
        *counts.entry(event.to_string()).or_default() += 1;
    }
    counts
}

#[test]
fn the_three_carriers_tell_the_same() {
    let Some(server) = server() else { return };
    let _turn = TURN.lock();
    server.rotate();
    let known: Vec<Vec<PathBuf>> = ["csv", "json", "log"].map(|e| server.logs(e)).to_vec();
    assert!(server.sql("create table if not exists qw_three(id int, \"a,b\" text)"));
    assert!(server.sql("insert into qw_three values (1, E'x\\ny\"z'), (2, null)"));
    assert!(!server.sql("select no_such_column from qw_three"));
    assert!(!server.sql_as("nobody", "x", "psql", "select 1"));
    server.pgbench(&["-i", "-q", "-s", "1"]);
    server.pgbench(&["-c", "2", "-t", "50", "-M", "extended"]);
    server.rotate();
    let querywatch = Querywatch::new();
    let of = |index: usize, ending: &str| {
        let mut files = server.logs(ending);
        // The one that was current when the scene began is the first of ours.
        files.retain(|file| !known[index].contains(file) || Some(file) == known[index].last());
        files.pop();
        parse(&querywatch, &files)
    };
    let (csv, json, text) = (of(0, "csv"), of(1, "json"), of(2, "log"));
    assert!(csv.len() > 300, "{} events", csv.len());
    assert_same(&counted(&csv, &[]), &counted(&json, &[]));
    // The server's prefix has no `%e`, so plain text has no SQLSTATE.
    assert_same(&counted(&csv, &["error_code"]), &counted(&text, &["error_code"]));
}

#[track_caller]
fn assert_same(a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>) {
    let only = |a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>| -> Vec<String> {
        a.iter().filter(|(key, n)| b.get(*key) != Some(*n)).map(|(key, _)| key.clone()).collect()
    };
    let (only_a, only_b) = (only(a, b), only(b, a));
    let few = |events: &[String]| events.iter().take(3).cloned().collect::<Vec<_>>();
    assert!(
        only_a.is_empty() && only_b.is_empty(),
        "{} events only in one, {} only in the other: {:#?} {:#?}",
        only_a.len(),
        only_b.len(),
        few(&only_a),
        few(&only_b)
    );
}

/// Tests that rotate the server's logs take turns.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn ingest_counts_what_the_server_wrote() {
    let Some(server) = server() else { return };
    let _turn = TURN.lock();
    server.rotate();
    server.pgbench(&["-i", "-q", "-s", "1"]);
    server.pgbench(&["-c", "2", "-t", "100"]);
    server.rotate();
    let mut files = server.logs("csv");
    files.pop();
    let written: usize = files.iter().map(|file| csv_records(file)).sum();
    let querywatch = Querywatch::new();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let summary = querywatch.ingest(&files);
    assert_eq!(summary["records"], written, "{summary}");
    assert_eq!(summary["rejects"], 0, "{summary}");
    assert_eq!(querywatch.number("SELECT count(*) FROM events"), written as i64);
}

/// Records of a csvlog, by the rule of quotes alone.
fn csv_records(file: &Path) -> usize {
    let bytes = std::fs::read(file).expect("a log");
    let (mut quoted, mut records) = (false, 0);
    for byte in bytes {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => records += 1,
            _ => {}
        }
    }
    records
}
