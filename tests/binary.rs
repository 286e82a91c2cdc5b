//! The built program, as a user starts it.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The program with a data folder of its own.
pub struct Querywatch {
    folder: tempfile::TempDir,
}

impl Querywatch {
    /// A fresh folder.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The folder around the data folder: logs and settings of a test go here.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A command of the program, run in the test's folder, apart from the caller's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_querywatch"));
        command.args(arguments).current_dir(self.folder.path()).env_remove("QUERYWATCH_LOG");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    /// Runs a command that must succeed; its standard output.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}\n{errors}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs a command that must fail with exit code 1; its standard error.
    pub fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let out = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{arguments:?} succeeded:\n{out}");
        String::from_utf8(output.stderr).expect("text")
    }

    /// Ingests files; the summary.
    pub fn ingest(&self, files: &[&Path]) -> Value {
        let data = self.data();
        let mut arguments = vec!["ingest", "--json", "--data", path_text(&data)];
        arguments.extend(files.iter().map(|file| path_text(file)));
        serde_json::from_str(&self.succeed(&arguments)).expect("a summary")
    }

    /// Asks a query; the rows.
    pub fn sql(&self, query: &str) -> Vec<Value> {
        let data = self.data();
        let text = self.succeed(&["sql", "--data", path_text(&data), "--output", "json", query]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The only value of the only row.
    pub fn number(&self, query: &str) -> i64 {
        let rows = self.sql(query);
        let first = rows.first().and_then(Value::as_object).expect("a row");
        first.values().next().and_then(Value::as_i64).expect("a number")
    }

    /// Writes settings with one source and one webhook, if an address is given.
    pub fn settings(&self, log: &Path, extra: &str) -> PathBuf {
        let path = self.folder().join("settings.toml");
        let text = format!(
            "data = {:?}\n\n{extra}\n[query]\naddress = \"127.0.0.1:0\"\n\n[[sources]]\n\
             name = \"orders\"\ninstance = \"orders-db\"\nfiles.paths = [{:?}]\n",
            path_text(&self.data()),
            path_text(log)
        );
        std::fs::write(&path, text).expect("settings are written");
        path
    }

    /// Starts `run`; the address is on the first line of its standard error.
    pub fn start(&self, settings: &Path) -> Process {
        let mut command = self.command(&["run", "--config", path_text(settings)]);
        command.stderr(Stdio::piped()).stdout(Stdio::null());
        Process(command.spawn().expect("the program starts"))
    }
}

/// A process that does not outlive its test, however that ends.
pub struct Process(pub Child);

impl Process {
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("a process that runs");
    }

    /// Tells it to stop.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills it as the kernel would; it is gone when this returns.
    pub fn end(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("dead");
    }
}

impl Deref for Process {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Paths of tests are text.
pub fn path_text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
