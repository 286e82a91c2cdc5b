//! What may not be read is named, with the cure; the rest is read all the same.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::csvlog::audited;

/// Debian's `nobody`.
const NOBODY: u32 = 65_534;

/// The program as an account that may not read everything.
struct Ordinary {
    folder: tempfile::TempDir,
}

impl Ordinary {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        mode(folder.path(), 0o777);
        if rustix::process::getuid().is_root() {
            // Where it was built, others may not go.
            let program = env!("CARGO_BIN_EXE_querywatch");
            let here = folder.path().join("querywatch");
            std::fs::copy(program, &here).expect("copied");
            mode(&here, 0o755);
        }
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new(self.folder.path().join("querywatch"));
            command.uid(NOBODY).gid(NOBODY);
            command
        } else {
            Command::new(env!("CARGO_BIN_EXE_querywatch"))
        };
        command.args(arguments).current_dir(self.folder.path()).env_remove("QUERYWATCH_LOG");
        command.output().expect("the program starts")
    }

    fn write(&self, name: &str, lines: std::ops::Range<usize>) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        std::fs::write(&path, lines.map(audited).collect::<String>()).expect("written");
    }
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("owner");
}

#[track_caller]
fn assert_named(output: &Output, parts: &[&str]) {
    let told = [&output.stdout[..], &output.stderr[..]].concat();
    let message = String::from_utf8_lossy(&told);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert_eq!(message.matches("ermission").count(), 1, "said once: {message}");
}

#[test]
fn a_file_without_permission_is_named_and_the_others_are_read() {
    let ordinary = Ordinary::new();
    ordinary.write("log/a.csv", 0..10);
    ordinary.write("log/b.csv", 10..20);
    mode(&ordinary.folder.path().join("log/b.csv"), 0);
    let output = ordinary.run(&["ingest", "--data", "data", "log"]);
    assert_named(&output, &["log/b.csv", "ermission denied"]);
    let sql = ["sql", "--data", "data", "--output", "csv", "SELECT count(*) FROM events"];
    let output = ordinary.run(&sql);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().last(), Some("10"));
}

#[test]
fn a_folder_without_permission_is_named() {
    let ordinary = Ordinary::new();
    ordinary.write("log/a.csv", 0..10);
    let log = ordinary.folder.path().join("log");
    mode(&log, 0);
    let output = ordinary.run(&["ingest", "--data", "data", "log"]);
    mode(&log, 0o755); // so that it can be removed
    assert_named(&output, &["log", "ermission denied"]);
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let ordinary = Ordinary::new();
    ordinary.write("log/a.csv", 0..10);
    let data = ordinary.folder.path().join("data");
    std::fs::create_dir(&data).expect("created");
    mode(&data, 0o555);
    let output = ordinary.run(&["ingest", "--data", "data", "log"]);
    mode(&data, 0o755);
    assert_named(&output, &["data", "ermission denied"]);
}

#[test]
fn a_data_folder_of_somebody_else_is_named() {
    let ordinary = Ordinary::new();
    ordinary.write("log/a.csv", 0..10);
    assert!(ordinary.run(&["ingest", "--data", "data", "log"]).status.success());
    let data = ordinary.folder.path().join("data");
    mode(&data, 0);
    let output = ordinary.run(&["sql", "--data", "data", "SELECT 1"]);
    mode(&data, 0o700);
    assert_named(&output, &["data folder", "cannot be read", "ermission denied"]);
}
