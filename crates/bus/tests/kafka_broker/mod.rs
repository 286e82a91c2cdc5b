//! The brokers that tests are given, and a topic of its own for each test.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use bus::kafka::{KafkaSecurity, KafkaSettings};
use bus::{BusKind, BusSettings};
use rdkafka::ClientConfig;
use secret::SecretSource;

/// Where the brokers listen without encryption.
pub(crate) struct Broker {
    pub(crate) address: String,
}

/// A variable of `scripts/test`; a test whose service is missing fails.
pub(crate) fn variable(name: &str) -> String {
    let name = format!("QUERYWATCH_TEST_{name}");
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set; run `scripts/test`"))
}

impl Broker {
    /// The broker, unless the caller asked for a run without services.
    pub(crate) fn given() -> Option<Broker> {
        if std::env::var("QUERYWATCH_TEST_SERVICES").as_deref() == Ok("off") {
            return None;
        }
        Some(Broker { address: variable("KAFKA") })
    }

    /// Settings of a bus with a topic and groups that nobody else has.
    pub(crate) fn settings(&self, partitions: u32) -> BusSettings {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let own = format!("{}.{}", since.as_micros(), COUNT.fetch_add(1, Relaxed));
        let kafka = KafkaSettings {
            brokers: vec![self.address.clone()],
            topic: format!("test.{own}"),
            group_prefix: format!("test.{own}"),
            session_timeout_seconds: 6,
            ..KafkaSettings::default()
        };
        BusSettings { kind: BusKind::Kafka, partitions, kafka, ..BusSettings::default() }
    }

    /// The same over TLS with user and password.
    pub(crate) fn secured(&self, partitions: u32) -> BusSettings {
        let mut settings = self.settings(partitions);
        settings.kafka.brokers = vec![variable("KAFKA_SASL")];
        settings.kafka.security = KafkaSecurity::SaslTls;
        settings.kafka.ca_file = Some(PathBuf::from(variable("KAFKA_CA")));
        settings.kafka.username = Some(SecretSource::Env("QUERYWATCH_TEST_KAFKA_USER".into()));
        settings.kafka.password = Some(SecretSource::Env("QUERYWATCH_TEST_KAFKA_PASSWORD".into()));
        settings
    }

    /// A client of the broker that is none of ours.
    pub(crate) fn foreign(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }
}

/// A broker of the test's own, which it may stop.
pub(crate) struct OwnBroker {
    pub(crate) broker: Broker,
    process: String,
    command: Vec<String>,
    again: Option<Child>,
    folder: tempfile::TempDir,
    secured: String,
    password: String,
}

impl OwnBroker {
    /// Starts it with extra settings: `name=value`.
    pub(crate) fn start(extra: &[&str]) -> OwnBroker {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let told = services("start", &[&["kafka", &path], extra].concat());
        let value = |name: &str| {
            let found = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.expect("a setting of the service").to_owned()
        };
        let (address, secured, password) =
            (value("KAFKA"), value("KAFKA_SASL"), value("KAFKA_PASSWORD"));
        let running = std::fs::read_to_string(folder.path().join("kafka/running")).unwrap();
        let process = running.split(' ').next().unwrap().to_owned();
        let command = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
        let command = command.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
        OwnBroker {
            broker: Broker { address },
            process,
            command,
            again: None,
            folder,
            secured,
            password,
        }
    }

    /// Settings of a bus over TLS with user and password.
    pub(crate) fn secured(&self, partitions: u32) -> BusSettings {
        let mut settings = self.broker.secured(partitions);
        let password = self.folder.path().join("password");
        std::fs::write(&password, &self.password).unwrap();
        settings.kafka.brokers = vec![self.secured.clone()];
        settings.kafka.ca_file = Some(self.folder.path().join("kafka/ca.pem"));
        settings.kafka.password = Some(SecretSource::File(password));
        settings
    }

    /// Starts it again after `KILL`, at the same address and on the same files.
    pub(crate) fn restart(&mut self) {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).current_dir(self.folder.path().join("kafka"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.again = Some(command.spawn().unwrap());
    }

    /// `STOP`: it hangs, connections stay. `CONT`: it goes on. `KILL`: it dies.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.process]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        match &mut self.again {
            Some(again) => {
                again.kill().unwrap();
                again.wait().unwrap();
            }
            None => drop(Command::new("kill").args(["-s", "CONT", &self.process]).status()),
        }
        services("stop", &[&self.folder.path().display().to_string()]);
    }
}

fn services(verb: &str, words: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/services");
    let output = Command::new(script).arg(verb).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
