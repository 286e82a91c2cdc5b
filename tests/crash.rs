//! `kill -9` at any moment: afterwards every line that was written is there exactly once.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::binary::{Process, Querywatch, path_text};
use crate::csvlog::audited;

/// Kills in an ordinary run of the tests; `QUERYWATCH_TEST_KILLS` asks for more.
const KILLS: usize = 25;

fn kills() -> usize {
    let asked = std::env::var("QUERYWATCH_TEST_KILLS").ok();
    asked.map_or(KILLS, |text| text.parse().expect("QUERYWATCH_TEST_KILLS is a number"))
}

/// Appends numbered lines and rotates by renaming until it is told to stop; says how many.
struct Logger {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Logger {
    fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a log folder");
        let (stop, folder) = (Arc::new(AtomicBool::new(false)), folder.to_path_buf());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || write(&folder, &stopped));
        Self { stop, thread }
    }

    fn stop(self) -> usize {
        self.stop.store(true, SeqCst);
        self.thread.join().expect("the logger ends")
    }
}

fn write(folder: &Path, stop: &AtomicBool) -> usize {
    let current = folder.join("postgresql.csv");
    let mut random = StdRng::seed_from_u64(11);
    let (mut file, mut number, mut rotation) = (open(&current), 0, 0);
    while !stop.load(SeqCst) {
        for _ in 0..random.random_range(1..40) {
            let line = audited(number);
            // Now and then a line arrives in two pieces.
            let cut = if random.random_bool(0.1) { random.random_range(0..line.len()) } else { 0 };
            file.write_all(&line.as_bytes()[..cut]).expect("appended");
            file.write_all(&line.as_bytes()[cut..]).expect("appended");
            number += 1;
        }
        if random.random_bool(0.02) {
            rotation += 1;
            let rotated = folder.join(format!("postgresql-{rotation:04}.csv"));
            std::fs::rename(&current, rotated).expect("rotated");
            file = open(&current);
        }
        std::thread::sleep(Duration::from_millis(random.random_range(1..8)));
    }
    number
}

fn open(path: &PathBuf) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("a log file")
}

/// Lets a process live for a while, then kills it as the kernel would.
fn kill_after(mut child: Process, life: Duration) -> bool {
    let until = Instant::now() + life;
    while Instant::now() < until {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(child);
    true
}

fn assert_exactly_once(querywatch: &Querywatch, lines: usize) {
    let counts = querywatch.sql(
        "SELECT count(*) AS rows, count(DISTINCT id) AS ids, \
         count(DISTINCT statement) AS statements FROM events WHERE engine = 'postgresql'",
    );
    let lines = lines as i64;
    let expected = serde_json::json!([{ "rows": lines, "ids": lines, "statements": lines }]);
    assert_eq!(serde_json::Value::from(counts), expected);
    assert_eq!(querywatch.number("SELECT count(*) FROM rejects"), 0);
}

#[test]
fn a_killed_ingest_stores_every_line_once() {
    let querywatch = Querywatch::new();
    let log = querywatch.folder().join("log");
    let logger = Logger::start(&log);
    let mut random = StdRng::seed_from_u64(1);
    let mut killed = 0;
    let data = querywatch.data();
    for _ in 0..kills() {
        let arguments = ["ingest", "--data", path_text(&data), path_text(&log)];
        let mut command = querywatch.command(&arguments);
        let child = command.stdout(std::process::Stdio::null());
        let child =
            child.stderr(std::process::Stdio::null()).spawn().map(Process).expect("started");
        killed += usize::from(kill_after(child, Duration::from_millis(random.random_range(1..70))));
    }
    let lines = logger.stop();
    querywatch.ingest(&[&log]);
    assert!(killed > kills() / 4, "only {killed} were killed before they were done");
    assert_exactly_once(&querywatch, lines);
}

#[test]
fn a_killed_run_stores_every_line_once() {
    let querywatch = Querywatch::new();
    let log = querywatch.folder().join("log");
    let logger = Logger::start(&log);
    let settings = querywatch.settings(&log, "[lake]\ncommit_seconds = 1\n");
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..kills() {
        let child = querywatch.start(&settings);
        assert!(
            kill_after(child, Duration::from_millis(random.random_range(1..900))),
            "`run` ended by itself"
        );
    }
    let lines = logger.stop();
    let mut child = querywatch.start(&settings);
    wait_for_rows(&querywatch, lines);
    child.terminate();
    let mut errors = String::new();
    let mut stderr = child.stderr.take().expect("piped");
    stderr.read_to_string(&mut errors).expect("read to its end");
    let ended = child.wait().expect("ended");
    assert!(ended.success(), "`run` did not stop cleanly: {errors}");
    assert_exactly_once(&querywatch, lines);
}

fn wait_for_rows(querywatch: &Querywatch, lines: usize) {
    let until = Instant::now() + Duration::from_secs(60);
    let count = "SELECT count(*) FROM events WHERE engine = 'postgresql'";
    loop {
        let data = querywatch.data();
        let output =
            querywatch.run(&["sql", "--data", path_text(&data), "--output", "ndjson", count]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && text.contains(&format!(":{lines}}}")) {
            return;
        }
        assert!(Instant::now() < until, "{lines} lines were written, the table has {text}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Positions of the table are of one log: another under the same name would be taken for read.
#[test]
fn another_log_under_the_same_name_is_refused() {
    let querywatch = Querywatch::new();
    let log = querywatch.folder().join("log");
    std::fs::create_dir_all(&log).expect("a log folder");
    let settings = querywatch.settings(&log, "[lake]\ncommit_seconds = 1\n");
    let write = |name: &str, lines: std::ops::Range<usize>| {
        let text: String = lines.map(audited).collect();
        std::fs::write(log.join(name), text).expect("written");
    };
    write("first.csv", 0..1_000);
    let mut running = querywatch.start(&settings);
    wait_for_rows(&querywatch, 1_000);
    running.terminate();
    assert!(running.wait().expect("ended").success());
    std::fs::remove_dir_all(querywatch.data().join("bus")).expect("removed");
    // Each start appends to the new log until it is longer than the old one was.
    let until = Instant::now() + Duration::from_secs(60);
    for number in 1.. {
        write(&format!("more-{number}.csv"), number * 10_000..number * 10_000 + 100);
        let mut running = querywatch.start(&settings);
        let mut said = String::new();
        let mut stderr = running.stderr.take().expect("piped");
        std::thread::sleep(Duration::from_millis(500));
        running.terminate();
        stderr.read_to_string(&mut said).expect("text");
        assert!(!running.wait().expect("ended").success(), "it went on: {said}");
        if said.contains("is not the one that was judged there") {
            return;
        }
        assert!(said.contains("is gone"), "{said}");
        assert!(Instant::now() < until, "the log never grew: {said}");
    }
}

/// The one before stands in, with a warning; nothing is lost or stored twice.
#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let querywatch = Querywatch::new();
    let log = querywatch.folder().join("log");
    std::fs::create_dir_all(&log).expect("a log folder");
    let settings = querywatch.settings(&log, "[lake]\ncommit_seconds = 1\n");
    let mut told = String::new();
    for round in 0..3 {
        let text: String = (round * 500..(round + 1) * 500).map(audited).collect();
        std::fs::write(log.join(format!("{round}.csv")), text).expect("written");
        if round == 2 {
            let newest = querywatch.data().join("detection/0.checkpoint");
            let bytes = std::fs::read(&newest).expect("a checkpoint");
            std::fs::write(&newest, &bytes[..bytes.len() / 2]).expect("damaged");
        }
        let mut running = querywatch.start(&settings);
        wait_for_rows(&querywatch, (round + 1) * 500);
        running.terminate();
        let mut stderr = running.stderr.take().expect("piped");
        stderr.read_to_string(&mut told).expect("text");
        assert!(running.wait().expect("ended").success(), "{told}");
    }
    let told: Vec<&str> = told.lines().filter(|line| line.contains("damaged")).collect();
    assert!(!told.is_empty() && told.iter().all(|line| line.contains("the one before it is used")));
    assert_exactly_once(&querywatch, 1_500);
}
