//! Sources that cannot read again, from bytes to rows: what is in their spool survives `kill -9`
//! and is stored once.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::api::Service;
use crate::binary::{Process, Querywatch, path_text};

const DAY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/formats/postgresql_syslog/day.log");

const COUNT: &str = "SELECT count(*) FROM events WHERE engine = 'postgresql'";

/// Starts of the program, and days that are sent.
const ROUNDS: usize = 4;

/// The day of a server, with other processes in each round.
fn day(round: usize) -> String {
    let text = std::fs::read_to_string(DAY).expect("the day's log");
    text.replace("[7644]", &format!("[{}]", 8_000 + round))
}

fn events_of_a_day() -> i64 {
    let querywatch = Querywatch::new();
    querywatch.ingest(&[Path::new(DAY)]);
    querywatch.number(COUNT)
}

/// Settings with one source that reads `source`.
fn settings(querywatch: &Querywatch, source: &str) -> PathBuf {
    let path = querywatch.folder().join("settings.toml");
    let text = format!(
        "data = {:?}\n[lake]\ncommit_seconds = 1\n[query]\naddress = \"127.0.0.1:0\"\n\
         [[sources]]\nname = \"orders\"\n{source}\n",
        path_text(&querywatch.data())
    );
    std::fs::write(&path, text).expect("settings are written");
    path
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "in a minute it did not come to this: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Files of the spool, oldest first.
fn segments(querywatch: &Querywatch) -> Vec<PathBuf> {
    let Ok(listed) = std::fs::read_dir(querywatch.data().join("spool/orders")) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn wait_until_spooled(querywatch: &Querywatch, text: &str) {
    wait_until("the text is in the spool", || {
        let newest = segments(querywatch).pop();
        newest.is_some_and(|path| std::fs::read_to_string(path).is_ok_and(|have| have == text))
    });
}

/// All is stored once, so many parts of lines are rejects, and nothing of the spool is left.
fn assert_stored_once(querywatch: &Querywatch, rejects: usize, start: impl Fn() -> Process) {
    let expected = events_of_a_day() * ROUNDS as i64;
    let mut running = start();
    let data = querywatch.data();
    wait_until("all events are stored", || {
        let query = ["sql", "--data", path_text(&data), "--output", "ndjson", COUNT];
        let output = querywatch.run(&query);
        String::from_utf8_lossy(&output.stdout).contains(&format!(":{expected}}}"))
    });
    running.terminate();
    assert!(running.wait().expect("ended").success());
    let mut running = start();
    wait_until("the spool is cleared", || segments(querywatch).is_empty());
    running.terminate();
    assert!(running.wait().expect("ended").success());
    assert_eq!(querywatch.number(COUNT), expected);
    let distinct = "SELECT count(DISTINCT id) FROM events WHERE engine = 'postgresql'";
    assert_eq!(querywatch.number(distinct), expected);
    assert_eq!(querywatch.number("SELECT count(*) FROM rejects"), rejects as i64);
}

fn connect(address: SocketAddr) -> TcpStream {
    let mut connection = None;
    wait_until("it listens", || {
        connection = TcpStream::connect(address).ok();
        connection.is_some()
    });
    connection.expect("connected")
}

#[test]
fn syslog_over_tcp_that_is_spooled_survives_a_kill_and_is_stored_once() {
    let querywatch = Querywatch::new();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("its address");
    drop(free);
    let settings = settings(&querywatch, &format!("syslog_tcp.listen = \"{address}\""));
    for round in 0..ROUNDS {
        let mut running = querywatch.start(&settings);
        let mut sender = connect(address);
        let text = day(round);
        let framed = match round % 2 {
            0 => text.clone(),
            _ => text.lines().map(|line| format!("{} {line}", line.len())).collect(),
        };
        // It arrives in pieces that end anywhere.
        for piece in framed.as_bytes().chunks(1_000) {
            sender.write_all(piece).expect("sent");
            std::thread::sleep(Duration::from_millis(1));
        }
        wait_until_spooled(&querywatch, &text);
        // What was not sent whole is no message, and is sent again.
        let torn = if round % 2 == 0 { "Nov 21 02:41:52 db1" } else { "400 Nov 21 02:41:52 db1" };
        sender.write_all(torn.as_bytes()).expect("sent");
        running.end();
    }
    assert_stored_once(&querywatch, 0, || querywatch.start(&settings));
    let said = querywatch.run(&["doctor", "--config", path_text(&settings)]).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains(&format!("source orders: syslog over TCP at {address}")), "{said}");
}

#[test]
fn sources_tell_of_what_is_received() {
    let querywatch = Querywatch::new();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("its address");
    drop(free);
    let settings = settings(&querywatch, &format!("syslog_tcp.listen = \"{address}\""));
    let expected = events_of_a_day();
    let service = Service::run(querywatch, &settings);
    connect(address).write_all(day(0).as_bytes()).expect("sent");
    let mut source = serde_json::Value::Null;
    wait_until("the source tells of all events", || {
        let (_, sources) = service.get("/api/v1/sources");
        source = sources["sources"][0].clone();
        source["events"] == expected
    });
    service.stop();
    assert_eq!(source["paths"][0], format!("syslog over TCP at {address}"));
    assert_eq!(source["format"], "postgresql_syslog");
    assert_eq!((&source["rejects"], &source["problem"]), (&0.into(), &serde_json::Value::Null));
}

#[test]
fn standard_input_that_is_spooled_survives_a_kill_and_is_stored_once() {
    let querywatch = Querywatch::new();
    let settings = settings(&querywatch, "stdin = {}");
    let start = |stdin: Stdio| {
        let mut command = querywatch.command(&["run", "--config", path_text(&settings)]);
        command.stdin(stdin).stderr(Stdio::null()).stdout(Stdio::null());
        Process(command.spawn().expect("the program starts"))
    };
    for round in 0..ROUNDS {
        let mut running = start(Stdio::piped());
        let mut pipe = running.stdin.take().expect("a pipe");
        let text = day(round);
        pipe.write_all(text.as_bytes()).expect("written");
        wait_until_spooled(&querywatch, &text);
        let torn = "Nov 21 02:41:52 db1";
        pipe.write_all(torn.as_bytes()).expect("written");
        wait_until_spooled(&querywatch, &format!("{text}{torn}"));
        running.end();
    }
    // The pipe has ended: what is spooled is read nevertheless, and the torn line is kept.
    assert_stored_once(&querywatch, ROUNDS, || start(Stdio::null()));
}
