//! Collectors, workers and a server over a real Kafka, each a process of its own.
#![allow(dead_code, reason = "tests and benches use different parts")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bus::kafka::KafkaSettings;
use bus::{BusKind, BusSettings};
use serde_json::Value;

use crate::binary::{Process, Querywatch, path_text};

/// Topics of one run of the tests.
static TOPICS: AtomicUsize = AtomicUsize::new(0);

/// Whether this run was asked to do without services (`scripts/test --quick`).
pub fn is_left_out() -> bool {
    std::env::var("QUERYWATCH_TEST_SERVICES").as_deref() == Ok("off")
}

/// A setting of the environment that `scripts/test` makes.
pub fn service(name: &str) -> String {
    let variable = format!("QUERYWATCH_TEST_{name}");
    std::env::var(&variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: `scripts/test` starts Kafka and sets it")
    })
}

/// Processes that share a topic, a lake and a state.
pub struct Cluster {
    /// Their data folder is that of the workers and the server.
    pub querywatch: Querywatch,
    pub topic: String,
    kafka: String,
    partitions: u32,
    session_seconds: u32,
    /// Of the lake.
    pub commit_seconds: u32,
    bus: String,
    extra: String,
    variable: Option<(String, String)>,
}

impl Cluster {
    /// A new topic on the Kafka of this run.
    pub fn new(partitions: u32) -> Self {
        Self::on(&service("KAFKA"), partitions)
    }

    /// A new topic on this Kafka.
    pub fn on(kafka: &str, partitions: u32) -> Self {
        let number = TOPICS.fetch_add(1, SeqCst);
        let topic = format!("querywatch.{}.{number}", std::process::id());
        let querywatch = Querywatch::new();
        Self {
            querywatch,
            topic,
            kafka: kafka.to_owned(),
            partitions,
            session_seconds: 6,
            commit_seconds: 1,
            bus: String::new(),
            extra: String::new(),
            variable: None,
        }
    }

    /// After so long the group gives a dead worker's partitions to others.
    pub fn set_session_seconds(&mut self, seconds: u32) {
        self.session_seconds = seconds;
    }

    /// More lines of `[bus.kafka]`.
    pub fn set_bus(&mut self, lines: &str) {
        self.bus = lines.to_owned();
    }

    /// What somebody else needs to open the topic.
    pub fn bus_settings(&self) -> BusSettings {
        let kafka = KafkaSettings {
            brokers: vec![self.kafka.clone()],
            topic: self.topic.clone(),
            group_prefix: format!("{}.other", self.topic),
            ..KafkaSettings::default()
        };
        let (kind, partitions) = (BusKind::Kafka, self.partitions);
        BusSettings { kind, partitions, kafka, ..BusSettings::default() }
    }

    /// More sections of the settings, and a variable of the environment that they name.
    pub fn set(&mut self, extra: &str, variable: Option<(&str, &str)>) {
        self.extra = extra.to_owned();
        self.variable = variable.map(|(name, value)| (name.to_owned(), value.to_owned()));
    }

    /// Starts a collector of (instance, log folder), with a data folder of its own.
    pub fn collector(&self, name: &str, sources: &[(&str, &Path)]) -> Process {
        let data = self.querywatch.folder().join(name);
        self.process("collect", name, &data, sources)
    }

    /// Starts a worker.
    pub fn worker(&self, name: &str) -> Process {
        self.process("detect", name, &self.querywatch.data(), &[])
    }

    /// Starts a server; says its address.
    pub fn server(&self, name: &str) -> (Process, String) {
        let process = self.process("serve", name, &self.querywatch.data(), &[]);
        (process, self.address(name))
    }

    /// Where a process listens, once it does.
    pub fn address(&self, name: &str) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let said = self.said(name);
            if let Some((_, rest)) = said.split_once("http://") {
                return rest.split('/').next().unwrap_or_default().to_owned();
            }
            assert!(Instant::now() < until, "{name} does not listen: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a process has said on its standard error.
    pub fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.errors(name)).unwrap_or_default()
    }

    fn errors(&self, name: &str) -> PathBuf {
        self.querywatch.folder().join(format!("{name}.err"))
    }

    /// Starts a role.
    pub fn process(
        &self,
        role: &str,
        name: &str,
        data: &Path,
        sources: &[(&str, &Path)],
    ) -> Process {
        let settings = self.settings(name, data, sources);
        let arguments = ["run", "--role", role, "--config", path_text(&settings)];
        self.spawn(name, self.querywatch.command(&arguments))
    }

    /// Starts a worker that runs on one core only.
    pub fn pinned_worker(&self, name: &str, core: usize) -> Process {
        let settings = self.settings(name, &self.querywatch.data(), &[]);
        let program = env!("CARGO_BIN_EXE_querywatch");
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &core.to_string(), program, "run", "--role", "detect"]);
        command.args(["--config", path_text(&settings)]).env_remove("QUERYWATCH_LOG");
        self.spawn(name, command)
    }

    fn spawn(&self, name: &str, mut command: Command) -> Process {
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(self.errors(name));
        command.stdout(Stdio::null()).stderr(errors.expect("a file for errors"));
        command.current_dir(self.querywatch.folder());
        if let Some((name, value)) = &self.variable {
            command.env(name, value);
        }
        Process(command.spawn().expect("the program starts"))
    }

    /// What a process answers, with the headers.
    pub fn get(&self, name: &str, path: &str) -> std::io::Result<String> {
        self.request(name, path, "")
    }

    /// What a server answers to who has the first token.
    pub fn ask(&self, name: &str, path: &str) -> Value {
        let token = std::fs::read_to_string(self.querywatch.data().join("admin.token"));
        let token = token.expect("the first token");
        let header = format!("Authorization: Bearer {}\r\n", token.trim());
        let answer = self.request(name, path, &header).expect("an answer");
        let (_head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    fn request(&self, name: &str, path: &str, headers: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address(name))?;
        let mut text = String::new();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n{headers}\r\n").as_bytes())?;
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// A figure of `/metrics`, summed over its labels.
    pub fn metric(&self, name: &str, metric: &str) -> f64 {
        let text = self.get(name, "/metrics").unwrap_or_default();
        let is_it = |line: &&str| {
            let rest = line.strip_prefix("querywatch_").and_then(|line| line.strip_prefix(metric));
            rest.is_some_and(|rest| rest.starts_with([' ', '{']) || rest.starts_with("_total"))
        };
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        text.lines().filter(is_it).filter_map(value).sum()
    }

    /// Records of the topic that are in the table, of all partitions.
    pub fn stored_records(&self) -> u64 {
        let settings = self.settings("doctor", &self.querywatch.data(), &[]);
        let output = self.querywatch.run(&["doctor", "--config", path_text(&settings)]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let stored = |line: &str| {
            let (_, rest) = line.split_once(": ")?;
            line.contains("records stored").then_some(())?;
            rest.split(' ').next()?.parse::<u64>().ok()
        };
        told.lines().filter_map(stored).sum()
    }

    /// Writes the settings of a process.
    pub fn settings(&self, name: &str, data: &Path, sources: &[(&str, &Path)]) -> PathBuf {
        let mut text = format!(
            "data = {:?}\n[bus]\nkind = \"kafka\"\npartitions = {}\n\n[bus.kafka]\n\
             brokers = [{:?}]\ntopic = {:?}\ngroup_prefix = {:?}\nsession_timeout_seconds = {}\n\
             {}\n[query]\naddress = \"127.0.0.1:0\"\n\n[lake]\ncommit_seconds = {}\n{}\n",
            path_text(data),
            self.partitions,
            self.kafka,
            self.topic,
            self.topic,
            self.session_seconds,
            self.bus,
            self.commit_seconds,
            self.extra,
        );
        for (instance, log) in sources {
            let log = path_text(log);
            text += &format!("[[sources]]\nname = {instance:?}\nfiles.paths = [{log:?}]\n");
        }
        let path = self.querywatch.folder().join(format!("{name}.toml"));
        std::fs::write(&path, text).expect("settings are written");
        path
    }

    /// Waits until the table holds so many events and alerts; not for ever: who compares says
    /// what is missing.
    pub fn wait_for(&self, events: usize, alerts: usize, patience: Duration) {
        let until = Instant::now() + patience;
        let count = "SELECT (SELECT count(*) FROM events WHERE engine = 'postgresql') AS events, \
                     (SELECT count(*) FROM alerts) AS alerts";
        let data = self.querywatch.data();
        let query = ["sql", "--data", path_text(&data), "--output", "json", count];
        loop {
            let output = self.querywatch.run(&query);
            let rows: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let number = |name: &str| rows[0][name].as_u64().unwrap_or(0) as usize;
            if number("events") >= events && number("alerts") >= alerts {
                return;
            }
            if Instant::now() >= until {
                return;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// Tells a process to stop; it must do so cleanly.
pub fn stop(cluster: &Cluster, name: &str, mut process: Process) {
    process.terminate();
    let ended = process.wait().expect("ended");
    assert!(ended.success(), "{name} did not stop cleanly: {}", cluster.said(name));
}

/// A broker of its own, to be crashed without harm to others.
pub struct Broker {
    folder: tempfile::TempDir,
    pub address: String,
}

impl Broker {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("services");
        let settings = Self::script(&["start", "kafka", path_text(&data)]);
        let line = settings.lines().find_map(|line| line.strip_prefix("KAFKA="));
        Self { folder, address: line.expect("an address").to_owned() }
    }

    pub fn crash(&self) {
        Self::script(&["crash", "kafka", path_text(&self.folder.path().join("services"))]);
    }

    pub fn resume(&self) {
        Self::script(&["resume", "kafka", path_text(&self.folder.path().join("services"))]);
    }

    /// Its log files.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("services/kafka/data")
    }

    fn script(arguments: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
        let output = Command::new(script).args(arguments).output().expect("the script starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let data = self.folder.path().join("services");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
        // A test that failed has said why; what is left of the broker goes with the machine.
        let _ = Command::new(script).args(["stop", path_text(&data)]).status();
    }
}
