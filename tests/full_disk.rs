//! A full disk holds everything up and loses nothing: one message says so, and what to do.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::binary::{Process, Querywatch, path_text};
use crate::cluster::{Cluster, is_left_out};
use crate::csvlog::line;
use crate::history::{Expected, write_lines};

const SIZE_MIB: usize = 32;
const LINES: usize = 40_000;

/// A file system in memory at the data folder, which only programs started by it see, and a file
/// that fills it.
struct SmallDisk {
    folder: PathBuf,
    holder: Process,
}

impl SmallDisk {
    fn mount(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let script = "mount -t tmpfs -o size=\"$1\" small \"$2\" && echo mounted && read -r _";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
        command.arg(format!("{SIZE_MIB}m")).arg(folder);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut holder = Process(child.expect("util-linux has unshare"));
        let mut said = String::new();
        let out = holder.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut said).expect("text");
        assert_eq!(said, "mounted\n", "this test needs root, or user namespaces for everyone");
        Self { folder: folder.to_path_buf(), holder }
    }

    /// A command that sees the disk.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string()]);
        command.args(["--user", "--mount", "--preserve-credentials", "--", program]);
        command.args(arguments).env_remove("QUERYWATCH_LOG");
        command
    }

    fn querywatch(&self, arguments: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_querywatch"), arguments)
    }

    fn shell(&self, script: &str) {
        let status = self.command("sh", &["-c", script, "sh", path_text(&self.folder)]).status();
        assert!(status.expect("sh starts").success(), "{script}");
    }

    fn fill(&self, left_mib: usize) {
        self.shell(&format!("head -c {}m /dev/zero > \"$1/filler\"", SIZE_MIB - left_mib));
    }

    fn free(&self) {
        self.shell("rm \"$1/filler\"");
    }

    fn number(&self, query: &str) -> i64 {
        let data = path_text(&self.folder);
        let mut command = self.querywatch(&["sql", "--data", data, "--output", "json", query]);
        let output = command.output().expect("it starts");
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let first = rows[0].as_object().and_then(|row| row.values().next());
        first.and_then(serde_json::Value::as_i64).expect("a number")
    }

    fn assert_all_is_there(&self) {
        let lines = LINES as i64;
        assert_eq!(self.number("SELECT count(*) FROM events WHERE engine = 'postgresql'"), lines);
        assert_eq!(self.number("SELECT count(DISTINCT statement_number) FROM events"), lines);
        assert_eq!(self.number("SELECT count(*) FROM rejects"), 0);
    }
}

/// What a process says, line by line, as it says it.
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn listen(child: &mut Child) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (kept, stderr) = (lines.clone(), child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().expect("not poisoned").push(line);
            }
        });
        Self(lines)
    }

    fn with(&self, part: &str) -> Vec<String> {
        let lines = self.0.lock().expect("not poisoned");
        lines.iter().filter(|line| line.contains(part)).cloned().collect()
    }

    fn wait_for(&self, part: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.with(part).is_empty() {
            assert!(Instant::now() < until, "`{part}` was not said, but: {:#?}", self.with(""));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn write_log(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    let mut file = std::fs::File::create(folder.join("postgresql.csv")).expect("a log");
    let mut random = StdRng::seed_from_u64(3);
    for number in 0..LINES {
        // What a compressor cannot make small.
        let noise: u128 = random.random();
        let sql = format!("select * from shop.orders where note = '{noise:032x}'");
        let row = format!("AUDIT: SESSION,{number},1,READ,SELECT,,,{sql},<not logged>");
        file.write_all(line(number, "app", &row).as_bytes()).expect("written");
    }
}

fn start(mut command: Command) -> (Process, Said) {
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
    let mut process = Process(child.expect("it starts"));
    let said = Said::listen(&mut process);
    (process, said)
}

#[test]
fn an_ingest_waits_for_room_and_stores_every_line_once() {
    let querywatch = Querywatch::new();
    let (data, log) = (querywatch.data(), querywatch.folder().join("log"));
    write_log(&log);
    let disk = SmallDisk::mount(&data);
    disk.fill(1);
    let arguments = ["ingest", "--data", path_text(&data), path_text(&log)];
    let (mut process, said) = start(disk.querywatch(&arguments));
    said.wait_for("make room");
    // As long as it is full, nothing is repeated.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(said.with("make room").len(), 1, "{:#?}", said.with(""));
    assert!(said.with("make room")[0].contains(path_text(&data)), "the place is named");
    disk.free();
    assert!(process.wait().expect("ends").success(), "{:#?}", said.with(""));
    disk.assert_all_is_there();
}

#[test]
fn a_run_waits_for_room_and_stores_every_line_once() {
    let querywatch = Querywatch::new();
    let (data, log) = (querywatch.data(), querywatch.folder().join("log"));
    write_log(&log);
    let bus = "[bus]\nsegment_bytes = 1000000\nreserve_bytes = 4000000\n";
    let settings = querywatch.settings(&log, bus);
    let disk = SmallDisk::mount(&data);
    disk.fill(3); // less than the bus leaves to others
    let run = ["run", "--config", path_text(&settings)];
    let (mut process, said) = start(disk.querywatch(&run));
    said.wait_for("reserve_bytes");
    said.wait_for("http://"); // from here on it listens to signals
    assert!(said.with("reserve_bytes")[0].contains(path_text(&data)), "the place is named");
    // A stop waits for what cannot be stored, but not against a second word.
    process.terminate();
    std::thread::sleep(Duration::from_secs(1));
    assert!(process.try_wait().expect("a child").is_none(), "{:#?}", said.with(""));
    process.terminate();
    assert_eq!(process.wait().expect("ends").code(), Some(1), "{:#?}", said.with(""));
    said.wait_for("stopped before everything was stored");
    let (mut process, said) = start(disk.querywatch(&run));
    said.wait_for("reserve_bytes");
    disk.free();
    let until = Instant::now() + Duration::from_secs(60);
    let count = "SELECT count(*) FROM events WHERE engine = 'postgresql'";
    while disk.number(count) < LINES as i64 {
        assert!(Instant::now() < until, "{:#?}", said.with(""));
        std::thread::sleep(Duration::from_millis(300));
    }
    process.terminate();
    assert!(process.wait().expect("ends").success(), "{:#?}", said.with(""));
    disk.assert_all_is_there();
}

/// The rest of the site goes on; what the collector could not take waits in the source.
#[test]
fn a_collector_waits_for_room_and_publishes_every_line_once() {
    if is_left_out() {
        return;
    }
    let cluster = Cluster::new(4);
    let log = cluster.querywatch.folder().join("orders");
    let file = write_lines(&log, 10, 60_000);
    let expected = Expected::of(&[("orders", &file)]);
    let data = cluster.querywatch.folder().join("collector");
    let disk = SmallDisk::mount(&data);
    disk.fill(2);
    let settings = cluster.settings("collector", &data, &[("orders", &log)]);
    let _worker = cluster.worker("worker");
    let mut command =
        disk.querywatch(&["run", "--role", "collect", "--config", path_text(&settings)]);
    command.env("QUERYWATCH__BUS__RESERVE_BYTES", "4194304");
    let (collector, said) = start(command);
    said.wait_for("free some space");
    std::thread::sleep(Duration::from_secs(2));
    assert!(cluster.querywatch.number("SELECT count(*) FROM events") < expected.events() as i64);
    disk.free();
    cluster.wait_for(expected.events(), expected.alerts(), Duration::from_secs(60));
    collector.terminate();
    expected.assert_same(&cluster.querywatch);
}
