//! Faults, with real processes and one checker for both buses: nothing is lost, nothing is there
//! twice, and no alert is missing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

use crate::binary::{Process, Querywatch};
use crate::cluster::{Broker, Cluster, is_left_out, stop};
use crate::history::{Expected, Logger, wait_for_rows};

/// How long the faults of one test go on in an ordinary run; `QUERYWATCH_TEST_FAULT_SECONDS` asks
/// for more.
const FAULT_SECONDS: u64 = 15;

fn faults_end() -> Instant {
    let asked = std::env::var("QUERYWATCH_TEST_FAULT_SECONDS").ok();
    let seconds = asked.map_or(FAULT_SECONDS, |text| text.parse().expect("a number of seconds"));
    Instant::now() + Duration::from_secs(seconds)
}

/// Two servers being logged, and who reads and judges them.
struct Site {
    cluster: Cluster,
    loggers: Vec<(&'static str, PathBuf, Logger)>,
    collectors: Vec<Process>,
    workers: Vec<Process>,
}

impl Site {
    fn start(cluster: Cluster) -> Self {
        let logger = |instance: &'static str, seed| {
            let folder = cluster.querywatch.folder().join(instance);
            let logger = Logger::start(&folder, seed);
            (instance, folder, logger)
        };
        let loggers = vec![logger("orders", 3), logger("payroll", 4)];
        let mut site = Self { cluster, loggers, collectors: Vec::new(), workers: Vec::new() };
        site.collectors = (0..2).map(|number| site.collector(number)).collect();
        site.workers = (0..2).map(|number| site.worker(number)).collect();
        site
    }

    fn collector(&self, number: usize) -> Process {
        let (instance, folder, _) = &self.loggers[number];
        self.cluster.collector(&format!("collector-{number}"), &[(instance, folder)])
    }

    fn worker(&self, number: usize) -> Process {
        self.cluster.worker(&format!("worker-{number}"))
    }

    /// Lets everything come to rest; then all must be as on one machine without faults.
    fn finish(self) {
        let lines: Vec<(&str, PathBuf)> = self
            .loggers
            .into_iter()
            .map(|(instance, _, logger)| {
                let path = logger.path().to_path_buf();
                assert!(logger.stop() > 0, "something was logged");
                (instance, path)
            })
            .collect();
        let logs: Vec<(&str, &Path)> = lines.iter().map(|(name, log)| (*name, &**log)).collect();
        let expected = Expected::of(&logs);
        let patience = Duration::from_secs(90);
        self.cluster.wait_for(expected.events(), expected.alerts(), patience);
        for (number, process) in self.collectors.into_iter().enumerate() {
            stop(&self.cluster, &format!("collector-{number}"), process);
        }
        for (number, process) in self.workers.into_iter().enumerate() {
            stop(&self.cluster, &format!("worker-{number}"), process);
        }
        expected.assert_same(&self.cluster.querywatch);
    }
}

fn quick_cluster(partitions: u32) -> Cluster {
    let mut cluster = Cluster::new(partitions);
    cluster.set_session_seconds(2);
    cluster
}

#[test]
fn killed_collectors_lose_and_repeat_nothing() {
    if is_left_out() {
        return;
    }
    let mut site = Site::start(quick_cluster(6));
    let (mut random, end) = (StdRng::seed_from_u64(5), faults_end());
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(random.random_range(20..1_500)));
        let number = random.random_range(0..2);
        site.collectors[number].end();
        site.collectors[number] = site.collector(number);
    }
    site.finish();
}

/// With a commit each second and many kills, some hit the middle of one.
#[test]
fn killed_workers_lose_and_repeat_nothing() {
    if is_left_out() {
        return;
    }
    let mut site = Site::start(quick_cluster(6));
    let (mut random, end) = (StdRng::seed_from_u64(6), faults_end());
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(random.random_range(20..3_000)));
        let number = random.random_range(0..2);
        site.workers[number].end();
        site.workers[number] = site.worker(number);
    }
    site.finish();
}

#[test]
fn a_rebalance_every_two_seconds_changes_no_alert() {
    if is_left_out() {
        return;
    }
    let site = Site::start(quick_cluster(6));
    let end = faults_end();
    while Instant::now() < end {
        let third = site.cluster.worker("worker-3");
        std::thread::sleep(Duration::from_secs(2));
        stop(&site.cluster, "worker-3", third);
    }
    site.finish();
}

/// A worker that sleeps loses its partitions, and wakes up with rows that others have stored.
#[test]
fn a_paused_worker_writes_nothing_twice() {
    if is_left_out() {
        return;
    }
    let site = Site::start(quick_cluster(6));
    let (mut random, end) = (StdRng::seed_from_u64(9), faults_end());
    while Instant::now() < end {
        let worker = &site.workers[random.random_range(0..2)];
        std::thread::sleep(Duration::from_millis(random.random_range(500..2_000)));
        worker.signal(Signal::STOP);
        std::thread::sleep(Duration::from_millis(random.random_range(3_000..5_000)));
        worker.signal(Signal::CONT);
    }
    site.finish();
}

/// Collectors go on reading into their logs, and catch up in order.
#[test]
fn a_killed_broker_that_stays_away_loses_nothing() {
    if is_left_out() {
        return;
    }
    let broker = Broker::start();
    let mut cluster = Cluster::on(&broker.address, 6);
    cluster.set_session_seconds(2);
    let site = Site::start(cluster);
    std::thread::sleep(Duration::from_secs(4));
    broker.crash();
    let end = faults_end();
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    broker.resume();
    std::thread::sleep(Duration::from_secs(3));
    broker.crash();
    broker.resume();
    site.finish();
}

/// The same history on the embedded bus, on one partition and on several.
#[test]
fn a_killed_machine_loses_and_repeats_nothing() {
    for partitions in [1, 4] {
        let querywatch = Querywatch::new();
        let folder = querywatch.folder().join("orders");
        let logger = Logger::start(&folder, 7);
        let extra = format!("[lake]\ncommit_seconds = 1\n[bus]\npartitions = {partitions}\n");
        let settings = querywatch.settings(&folder, &extra);
        let (mut random, end) = (StdRng::seed_from_u64(8), faults_end());
        while Instant::now() < end {
            let mut process = querywatch.start(&settings);
            std::thread::sleep(Duration::from_millis(random.random_range(50..2_000)));
            process.kill().expect("killed");
        }
        let log = logger.path().to_path_buf();
        logger.stop();
        let expected = Expected::of(&[("orders-db", &log)]);
        let mut process = querywatch.start(&settings);
        wait_for_rows(&querywatch, expected.events());
        process.terminate();
        assert!(process.wait().expect("ended").success());
        expected.assert_same(&querywatch);
    }
}
