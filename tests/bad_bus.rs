//! A bus that is not there, refuses, or holds what is not ours: one clear message, nothing lost
//! and nothing twice.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bus::Bus;
use tokio::runtime::Runtime;

use crate::binary::{Process, path_text};
use crate::cluster::{Cluster, is_left_out, service, stop};
use crate::history::{Expected, Live, write_lines};
use crate::topic::Topic;

mod broker_files;
mod damaged;
mod foreign;
mod oracle;

use broker_files::{batches, partition_file};
use oracle::alerts;

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until it is so; `what` says what was waited for in vain.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Starts a worker that must give up soon; all that it says.
fn refused(cluster: &Cluster, name: &str, variables: &[(&str, &str)]) -> String {
    let querywatch = &cluster.querywatch;
    let settings = cluster.settings(name, &querywatch.data(), &[]);
    let mut command =
        querywatch.command(&["run", "--role", "detect", "--config", path_text(&settings)]);
    let path = querywatch.folder().join(format!("{name}.told"));
    let told = File::create(&path).expect("a file");
    command.stdout(told.try_clone().expect("a file")).stderr(told);
    command.envs(variables.iter().copied());
    let mut process = Process(command.spawn().expect("the program starts"));
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        let told = String::from_utf8_lossy(&std::fs::read(&path).expect("text")).into_owned();
        if let Some(status) = process.try_wait().expect("a child") {
            assert_eq!(status.code(), Some(1), "{name}: {told}");
            return String::from_utf8_lossy(&std::fs::read(&path).expect("text")).into_owned();
        }
        assert!(Instant::now() < until, "{name} goes on: {told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One line, which holds each of these.
#[track_caller]
fn assert_message(name: &str, told: &str, parts: &[&str]) {
    assert_eq!(told.lines().count(), 1, "{name}: one message: {told}");
    for part in parts {
        assert!(told.contains(part), "{name}: `{part}` is not in: {told}");
    }
}

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

#[test]
fn no_such_broker() {
    if is_left_out() {
        return;
    }
    let address = nobody();
    let cluster = Cluster::on(&address, 2);
    let folder = cluster.querywatch.folder().join("orders");
    let log = write_lines(&folder, 11, 2_000);
    let sources: [(&str, &Path); 1] = [("orders", &folder)];
    let expected = Expected::of(&[("orders", &log)]);
    let collector = cluster.collector("collector", &sources);
    wait_until("the source is read", || {
        let read = cluster.metric("collector", "source_events") as usize;
        read == expected.events() && cluster.metric("collector", "forward_waiting_records") > 0.0
    });
    let told = refused(&cluster, "worker", &[]);

    wait_until("it is said", || cluster.said("collector").contains("waits in the log"));
    std::thread::sleep(Duration::from_secs(2));
    let said = cluster.said("collector");
    let ready = cluster.get("collector", "/readyz").expect("an answer");
    for part in ["503", "reaches Kafka", &address, "refused", "bus.kafka.brokers"] {
        assert!(ready.contains(part), "`{part}` is not in: {ready}");
    }
    stop(&cluster, "collector", collector);

    // With a broker, what was read meanwhile arrives.
    let cured = Cluster::new(2);
    let data = cluster.querywatch.folder().join("collector");
    let worker = cured.worker("worker");
    let collector = cured.process("collect", "collector", &data, &sources);
    cured.wait_for(expected.events(), expected.alerts(), PATIENCE);
    stop(&cured, "collector", collector);
    stop(&cured, "worker", worker);
    expected.assert_same(&cured.querywatch);

    let parts = [&*address, "refused", "bus.kafka.brokers"];
    let about: Vec<&str> = said.lines().filter(|line| line.contains(&address)).collect();
    assert_message("collector", &about.join("\n"), &parts);
    assert_message("worker", &told, &parts);
}

/// What is wrong between us and the brokers, and what the message must hold.
struct Refusal {
    name: &'static str,
    /// Of `scripts/test`, where the broker listens.
    listener: &'static str,
    security: &'static str,
    mechanism: Option<&'static str>,
    ca_file: Option<PathBuf>,
    parts: &'static [&'static str],
}

const PASSWORD: &str = "a-wrong-password-4711";

/// A certificate that has signed nothing.
fn other_authority(folder: &Path) -> PathBuf {
    let (key, certificate) = (folder.join("other.key"), folder.join("other.pem"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other"]);
    command.arg("-keyout").arg(key).arg("-out").arg(&certificate);
    assert!(command.output().expect("openssl").status.success());
    certificate
}

fn refusals(other: &Path) -> Vec<Refusal> {
    let credentials = |name, mechanism| Refusal {
        name,
        listener: "KAFKA_SASL",
        security: "sasl_tls",
        mechanism: Some(mechanism),
        ca_file: Some(PathBuf::from(service("KAFKA_CA"))),
        parts: &["credentials", "bus.kafka.username", "password", "sasl_mechanism"],
    };
    let authority = |name, ca_file: Option<&Path>, parts| Refusal {
        ca_file: ca_file.map(Path::to_path_buf),
        parts,
        ..credentials(name, "scram_sha_256")
    };
    let listener = |name, listener, security| Refusal {
        listener,
        security,
        mechanism: None,
        ca_file: None,
        parts: &["bus.kafka.security"],
        ..credentials(name, "plain")
    };
    vec![
        credentials("plain", "plain"),
        credentials("scram", "scram_sha_512"),
        authority("authority", Some(other), &["not trusted", "bus.kafka.ca_file"]),
        authority("no-authority", None, &["not trusted", "bus.kafka.ca_file"]),
        authority(
            "no-file",
            Some(Path::new("/nowhere/ca.pem")),
            &["bus.kafka.ca_file", "/nowhere/ca.pem", "No such file"],
        ),
        listener("plaintext", "KAFKA_SASL", "plaintext"),
        listener("tls", "KAFKA", "tls"),
    ]
}

impl Refusal {
    fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::on(&service(self.listener), 1);
        let mut lines = format!("security = {:?}\n", self.security);
        if let Some(mechanism) = self.mechanism {
            lines += &format!("sasl_mechanism = {mechanism:?}\n");
            lines += "username = { env = \"QUERYWATCH_TEST_KAFKA_USER\" }\n";
            lines += "password = { env = \"BUS_PASSWORD\" }\n";
        }
        if let Some(file) = &self.ca_file {
            lines += &format!("ca_file = {:?}\n", path_text(file));
        }
        cluster.set_bus(&lines);
        cluster
    }

    fn check(&self) {
        let cluster = self.cluster();
        let password = ("BUS_PASSWORD", PASSWORD);
        let told = refused(&cluster, self.name, &[password]);
        assert!(!told.contains(PASSWORD), "{}: the password is in: {told}", self.name);
        assert_message(self.name, &told, self.parts);
        let told = refused(&cluster, self.name, &[password, ("QUERYWATCH_LOG", "trace")]);
        assert!(told.lines().count() > 1, "{}: everything is told: {told}", self.name);
        assert!(!told.contains(PASSWORD), "{}: the password is in: {told}", self.name);
    }
}

#[test]
fn brokers_that_refuse() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let refusals = refusals(&other_authority(folder.path()));
    std::thread::scope(|scope| {
        for refusal in &refusals {
            scope.spawn(|| refusal.check());
        }
        scope.spawn(|| {
            let told = refused(&refusals[0].cluster(), "no-password", &[]);
            assert_message("no-password", &told, &["bus.kafka.password", "BUS_PASSWORD"]);
        });
    });
}

/// Where a topic's partitions are others than configured.
#[test]
fn other_partitions_than_configured() {
    if is_left_out() {
        return;
    }
    let cluster = Cluster::new(3);
    let mut settings = cluster.bus_settings();
    settings.partitions = 2;
    let runtime = Runtime::new().expect("threads");
    runtime.block_on(Bus::open(&settings, Path::new("/nowhere"))).expect("a topic");
    let cure = "set bus.partitions to 2, or use another topic";
    let parts = [&*cluster.topic, "has 2 partitions", "bus.partitions is 3", cure];
    let told = refused(&cluster, "worker", &[]);
    assert_message("worker", &told, &parts);
    let folder = cluster.querywatch.folder().join("orders");
    write_lines(&folder, 12, 100);
    let collector = cluster.collector("collector", &[("orders", &folder)]);
    wait_until("it is said", || parts.iter().all(|part| cluster.said("collector").contains(part)));
    let ready = cluster.get("collector", "/readyz").expect("an answer");
    for part in parts.iter().chain(&["503"]) {
        assert!(ready.contains(part), "`{part}` is not in: {ready}");
    }
    stop(&cluster, "collector", collector);
}

/// One line that was logged by a clock that is wrong by so many days.
fn skewed(live: &mut Live, days: i64) -> String {
    let line = live.ordinary();
    let time = chrono::Utc::now() + chrono::TimeDelta::days(days);
    format!("{}{}", time.format("%Y-%m-%d %H:%M:%S%.3f"), &line[23..])
}

/// A server's clock that jumps and is set right again.
#[test]
fn clocks_that_are_wrong() {
    if is_left_out() {
        return;
    }
    let cluster = Cluster::new(2);
    let folder = cluster.querywatch.folder().join("orders");
    let mut live = Live::open(&folder);
    let worker = cluster.worker("worker");
    let collector = cluster.collector("collector", &[("orders", &folder)]);
    for days in [0, 1, 0, -1, 0] {
        for _ in 0..600 {
            let line = skewed(&mut live, days);
            live.file.write_all(line.as_bytes()).expect("appended");
        }
    }
    cluster.wait_for(3_000, 0, PATIENCE);
    let stored = "SELECT date_diff, count(*) FROM (SELECT CAST(round((extract(epoch FROM time) - \
                  extract(epoch FROM received)) / 86400) AS BIGINT) AS date_diff FROM events \
                  WHERE engine = 'postgresql') GROUP BY date_diff ORDER BY date_diff";
    let rows = cluster.querywatch.sql(stored);
    let days: Vec<Vec<i64>> = rows
        .iter()
        .map(|row| {
            row.as_object().expect("a row").values().filter_map(serde_json::Value::as_i64).collect()
        })
        .collect();
    assert_eq!(days.concat().len(), 6, "{rows:?}");
    for wanted in [[-1, 600], [0, 1_800], [1, 600]] {
        assert!(
            days.iter().any(|row| wanted.iter().all(|number| row.contains(number))),
            "{rows:?}"
        );
    }
    assert_eq!(alerts(&cluster.querywatch), "", "no alert");
    assert_eq!(cluster.querywatch.number("SELECT count(*) FROM rejects"), 0);
    stop(&cluster, "collector", collector);
    stop(&cluster, "worker", worker);

    let topic = Topic::open(&cluster);
    let data = PathBuf::from(service("KAFKA_CA")).with_file_name("data");
    let now = chrono::Utc::now().timestamp_millis();
    for (partition, (start, end)) in topic.extents().into_iter().enumerate() {
        assert_eq!(start, 0, "nothing is deleted");
        let batches = batches(&partition_file(&data, &cluster.topic, partition as u32));
        assert_eq!(batches.last().map_or(0, |batch| batch.last + 1), end);
        for batch in batches {
            let is_near = (now - batch.time).abs() < 120_000;
            assert!(batch.is_broker_time && is_near, "the broker's clock counts");
        }
    }
}
