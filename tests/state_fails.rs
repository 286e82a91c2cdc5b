//! A state that cannot be opened or written stops no detection, and says so.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::binary::{Process, Querywatch, path_text};
use crate::csvlog::{attack, audited};

const PATIENCE: Duration = Duration::from_secs(30);

/// Debian's `nobody`.
const NOBODY: u32 = 65_534;

/// A running process that reads one folder.
struct Site {
    querywatch: Querywatch,
    log: PathBuf,
    told: PathBuf,
    lines: usize,
}

impl Site {
    fn new() -> Self {
        let querywatch = Querywatch::new();
        let log = querywatch.folder().join("log");
        std::fs::create_dir(&log).expect("a log folder");
        let told = querywatch.folder().join("told");
        Self { querywatch, log, told, lines: 0 }
    }

    fn start(&self, is_nobody: bool) -> Process {
        let querywatch = &self.querywatch;
        let extra = "[lake]\ncommit_seconds = 1\n";
        let settings = querywatch.settings(&self.log, extra);
        let mut command = querywatch.command(&["run", "--config", path_text(&settings)]);
        if is_nobody {
            // Where it was built, others may not go.
            let program = querywatch.folder().join("querywatch");
            std::fs::copy(env!("CARGO_BIN_EXE_querywatch"), &program).expect("copied");
            let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            command = std::process::Command::new(program);
            command.args(arguments).current_dir(querywatch.folder()).uid(NOBODY).gid(NOBODY);
        }
        let told = std::fs::File::create(&self.told).expect("a file");
        command.stdout(Stdio::null()).stderr(told);
        Process(command.spawn().expect("the program starts"))
    }

    /// Appends lines, one of which is an attack.
    fn write(&mut self) {
        let (from, to) = (self.lines, self.lines + 100);
        let text: String = (from..to - 1).map(audited).collect();
        let path = self.log.join("postgresql.csv");
        let mut file = std::fs::File::options().create(true).append(true).open(path).expect("log");
        file.write_all((text + &attack(to - 1)).as_bytes()).expect("appended");
        self.lines = to;
    }

    fn state(&self) -> PathBuf {
        self.querywatch.data().join("state.sqlite")
    }

    /// What `/readyz` answers, once it holds these.
    fn wait_for_ready(&self, parts: &[&str]) {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.readyz().unwrap_or_default();
            if parts.iter().all(|part| answer.contains(part)) {
                return;
            }
            assert!(Instant::now() < until, "{parts:?} are not in: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn address(&self) -> Option<String> {
        let told = std::fs::read_to_string(&self.told).ok()?;
        Some(told.split_once("http://")?.1.split('/').next()?.to_owned())
    }

    /// `doctor` asks whoever listens at the configured address.
    fn doctor_says(&self, parts: &[&str]) {
        let settings = self.querywatch.folder().join("settings.toml");
        let text = std::fs::read_to_string(&settings).expect("settings");
        let address = self.address().expect("an address");
        let doctor = self.querywatch.folder().join("doctor.toml");
        std::fs::write(&doctor, text.replace("127.0.0.1:0", &address)).expect("written");
        let output = self.querywatch.run(&["doctor", "--config", path_text(&doctor)]);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(parts.iter().all(|part| told.contains(part)), "{parts:?} are not in: {told}");
    }

    fn readyz(&self) -> Option<String> {
        let address = self.address()?;
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Everything that was logged is in the table.
    fn wait_for_rows(&self) {
        crate::history::wait_for_rows(&self.querywatch, self.lines);
    }

    fn wait_for_alerts(&self, count: i64) {
        let until = Instant::now() + PATIENCE;
        let count_them = "SELECT count(*) FROM alerts WHERE statement LIKE 'ALTER ROLE u%'";
        while self.querywatch.number(count_them) < count {
            assert!(Instant::now() < until, "{count} alerts are expected");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn mode(path: &Path, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("owner");
}

/// Alerts wait until the state can be opened, and none is lost.
#[test]
fn a_damaged_state_stops_no_detection() {
    let mut site = Site::new();
    site.write();
    std::fs::create_dir(site.querywatch.data()).expect("a data folder");
    std::fs::write(site.state(), "no database at all, ".repeat(1_000)).expect("written");
    let mut process = site.start(false);
    site.wait_for_ready(&["503", "no alert is recorded or sent", "state"]);
    site.doctor_says(&["WRONG address", "no alert is recorded or sent"]);
    let healthy = site.querywatch.folder().join("healthy");
    let data = site.querywatch.data();
    let empty = ["sql", "--data", path_text(&data), "--output", "csv", "SELECT 1"];
    assert!(!site.querywatch.run(&empty).status.success(), "no answer without the state");
    site.write();
    std::thread::sleep(Duration::from_secs(3));
    std::fs::rename(site.state(), healthy).expect("put aside");
    site.wait_for_ready(&["200 OK", "alerts: running"]);
    site.doctor_says(&["ok    address", "ready", "alerts: running", "upkeep: running"]);
    site.wait_for_rows();
    site.wait_for_alerts(2);
    process.terminate();
    assert!(process.wait().expect("ended").success());
}

/// A file that may be read only.
#[test]
fn a_read_only_state_stops_no_detection() {
    let mut site = Site::new();
    site.write();
    let data = site.querywatch.data();
    std::fs::create_dir(&data).expect("a data folder");
    for path in [site.querywatch.folder(), &site.log, &data] {
        mode(path, 0o777);
    }
    std::fs::write(site.state(), "").expect("written");
    mode(&site.state(), 0o444);
    // Root may write all the same.
    let mut process = site.start(rustix::process::getuid().is_root());
    site.wait_for_ready(&["503", "no alert is recorded or sent", "ermission denied"]);
    site.write();
    std::thread::sleep(Duration::from_secs(3));
    std::fs::remove_file(site.state()).expect("removed");
    site.wait_for_ready(&["200 OK"]);
    site.wait_for_rows();
    site.wait_for_alerts(2);
    process.terminate();
    assert!(process.wait().expect("ended").success());
}

/// It was well when it was opened.
#[test]
fn a_state_that_is_damaged_under_way_stops_no_detection() {
    let mut site = Site::new();
    site.write();
    let mut process = site.start(false);
    site.wait_for_ready(&["200 OK"]);
    site.wait_for_alerts(1);
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        let path = site.querywatch.data().join(name);
        let Ok(length) = std::fs::metadata(&path).map(|metadata| metadata.len()) else { continue };
        let mut file = std::fs::File::options().write(true).open(&path).expect("the state");
        file.write_all(&vec![0x5a; length as usize]).expect("damaged");
    }
    site.write();
    site.wait_for_ready(&["503", "wait to be recorded"]);
    site.write();
    // The table cannot be asked beside such a state; what was stored meanwhile is asked below.
    std::thread::sleep(Duration::from_secs(3));
    process.terminate();
    assert!(!process.wait().expect("ended").success(), "alerts are not recorded");
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        // Not all of them need be there.
        let _ = std::fs::remove_file(site.querywatch.data().join(name));
    }
    site.wait_for_rows();
    // What could not be recorded comes again.
    let mut process = site.start(false);
    site.wait_for_alerts(2);
    process.terminate();
    assert!(process.wait().expect("ended").success());
}
