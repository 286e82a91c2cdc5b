//! Over Kafka: events a second from file to table, workers pinned to a core each side by side, and
//! how long an attack takes from write(2) to webhook.
//!
//! `QUERYWATCH_TEST_KAFKA=host:port cargo bench --bench kafka -- [EVENTS] [table] [workers]
//! [webhook]`; `scripts/services start kafka DIR` starts a broker. Broker, collector, workers and
//! this writer share the machine.
#![expect(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

#[path = "../tests/binary.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use the rest")]
mod binary;
#[path = "../tests/cluster.rs"]
#[allow(unreachable_pub, reason = "the tests use the rest")]
mod cluster;
#[path = "../tests/fixed_models.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use the rest")]
mod fixed_models;
#[path = "../tests/history.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use the rest")]
mod history;
#[path = "../tests/webhook.rs"]
#[allow(unreachable_pub, reason = "the tests use the rest")]
mod webhook;
#[path = "../tests/weeks.rs"]
#[allow(unreachable_pub, reason = "the tests use the rest")]
mod weeks;

use cluster::Cluster;
use history::write_lines;
use webhook::Receiver;

const PARTS: [&str; 3] = ["table", "workers", "webhook"];
const EVENTS: usize = 2_000_000;
const PARTITIONS: u32 = 8;
const INSTANCES: [&str; 4] = ["orders", "payroll", "ledger", "stock"];
const LOOK: Duration = Duration::from_millis(50);
const EVENTS_PER_SECOND: usize = 5_000;
const LATENCY_SECONDS: usize = 60;
const ATTACKS_PER_SECOND: usize = 5;
const FIRST_SECONDS: usize = 3;

fn main() {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let events: usize = asked.unwrap_or(EVENTS);
    let cluster = Cluster::new(PARTITIONS);
    let logs: Vec<(&str, PathBuf)> = (1..)
        .zip(INSTANCES)
        .map(|(seed, instance)| {
            let folder = cluster.querywatch.folder().join(instance);
            write_lines(&folder, seed, events / INSTANCES.len());
            (instance, folder)
        })
        .collect();
    let bytes: u64 = logs.iter().map(|(_, folder)| length(&folder.join("postgresql.csv"))).sum();
    println!("{events} events of 12 accounts and {} servers, {} MB", logs.len(), bytes / 1_000_000);
    let parts: Vec<String> =
        std::env::args().skip(1).filter(|part| PARTS.contains(&&**part)).collect();
    let is_asked = |part: &str| parts.is_empty() || parts.iter().any(|asked| asked == part);
    if is_asked("table") {
        end_to_end(&cluster, &logs);
    }
    if is_asked("workers") {
        side_by_side(&logs, events);
    }
    if is_asked("webhook") {
        latency();
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a log").len()
}

fn sources<'a>(logs: &'a [(&'static str, PathBuf)]) -> Vec<(&'static str, &'a Path)> {
    logs.iter().map(|(instance, folder)| (*instance, folder.as_path())).collect()
}

/// From the start of a collector until the table has every event.
fn end_to_end(cluster: &Cluster, logs: &[(&'static str, PathBuf)]) {
    let worker = cluster.worker("worker");
    cluster.address("worker");
    while cluster.metric("worker", "kafka_rebalances") < 1.0 {
        std::thread::sleep(LOOK);
    }
    let begun = Instant::now();
    let collector = cluster.collector("collector", &sources(logs));
    let collected = wait(|| {
        let read = cluster.metric("collector", "source_bytes");
        let all: u64 = logs.iter().map(|(_, log)| length(&log.join("postgresql.csv"))).sum();
        read >= all as f64 && cluster.metric("collector", "forward_waiting_records") == 0.0
    });
    let events = cluster.metric("collector", "source_events");
    wait(|| cluster.metric("worker", "detect_events") >= events);
    let judged = begun.elapsed();
    cluster.wait_for(events as usize, 0, Duration::from_secs(600));
    let stored = begun.elapsed();
    println!(
        "file to table: {:.0} events/s ({events} events; published after {:.1} s, judged after \
         {:.1} s, stored after {:.1} s)",
        events / stored.as_secs_f64(),
        collected.as_secs_f64(),
        judged.as_secs_f64(),
        stored.as_secs_f64()
    );
    drop((collector, worker));
}

/// How fast one and two workers, a core each, take what is on the topic; by turns, because the
/// machine is not ours alone.
fn side_by_side(logs: &[(&'static str, PathBuf)], events: usize) {
    for round in 1..=2 {
        for workers in [1, 2] {
            let cluster = Cluster::new(PARTITIONS);
            let collector = cluster.collector("collector", &sources(logs));
            wait(|| {
                let made = cluster.metric("collector", "source_events") >= events as f64;
                made && cluster.metric("collector", "forward_waiting_records") == 0.0
            });
            drop(collector);
            let names: Vec<String> =
                (0..workers).map(|number| format!("worker-{number}")).collect();
            let processes: Vec<_> = names
                .iter()
                .enumerate()
                .map(|(core, name)| cluster.pinned_worker(name, core))
                .collect();
            let judged =
                || names.iter().map(|name| cluster.metric(name, "detect_events")).sum::<f64>();
            let at_work = || names.iter().all(|name| cluster.metric(name, "detect_events") > 0.0);
            wait(at_work);
            let (begun, before) = (Instant::now(), judged());
            let took = wait(|| judged() >= events as f64);
            let rate = (events as f64 - before) / took.as_secs_f64();
            let seconds = begun.elapsed().as_secs_f64();
            println!("round {round}, workers: {workers}: {rate:.0} events/s over {seconds:.1} s");
            drop(processes);
        }
    }
}

/// Polls until it is so; says how long it took.
fn wait(is_so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(600), "it takes longer than ten minutes");
        std::thread::sleep(LOOK);
    }
    begun.elapsed()
}

/// From write(2) to webhook, through collector, broker and worker.
fn latency() {
    let receiver = Receiver::start();
    let mut cluster = Cluster::new(PARTITIONS);
    let webhook = format!(
        "[[respond.channels]]\nname = \"bench\"\nwebhook.url = {:?}\n\
         webhook.allow_private = true\n\
         webhook.secrets = [{{ env = \"QUERYWATCH_BENCH_SECRET\" }}]\n",
        receiver.url
    );
    cluster.set(&webhook, Some(("QUERYWATCH_BENCH_SECRET", Receiver::SECRET)));
    cluster.commit_seconds = 5;
    let folder = cluster.querywatch.folder().join("live");
    let mut live = history::Live::open(&folder);
    let worker = cluster.worker("worker");
    let collector = cluster.collector("collector", &[("live", &folder)]);
    cluster.address("collector");
    cluster.address("worker");
    std::thread::sleep(Duration::from_secs(8));
    let (begun, tick) = (Instant::now(), Duration::from_millis(1));
    let (mut written, mut attacks) = (0, Vec::new());
    while begun.elapsed() < Duration::from_secs(LATENCY_SECONDS as u64) {
        let due = (begun.elapsed().as_secs_f64() * EVENTS_PER_SECOND as f64) as usize;
        let lines: String = (written..due).map(|_| live.ordinary()).collect();
        live.file.write_all(lines.as_bytes()).expect("appended");
        written = due;
        if attacks.len() < (begun.elapsed().as_secs_f64() * ATTACKS_PER_SECOND as f64) as usize {
            let (user, line) = live.attack();
            attacks.push((user, SystemTime::now()));
            live.file.write_all(line.as_bytes()).expect("appended");
        }
        std::thread::sleep(tick);
    }
    let until = Instant::now() + Duration::from_secs(15);
    let is_told = || {
        let users = receiver.users();
        attacks.iter().all(|(user, _)| users.contains(user))
    };
    while !is_told() && Instant::now() < until {
        std::thread::sleep(LOOK);
    }
    let deliveries = receiver.take();
    let took = |(user, written): &(String, SystemTime)| {
        let its = deliveries.iter().filter(|delivery| delivery.alert["user"] == user.as_str());
        its.filter_map(|delivery| delivery.received.duration_since(*written).ok()).min()
    };
    println!("{EVENTS_PER_SECOND} events/s for {LATENCY_SECONDS} s; write(2) to webhook:");
    let (first, rest) = attacks.split_at(FIRST_SECONDS * ATTACKS_PER_SECOND);
    for (when, attacks) in [("first seconds", first), ("then", rest)] {
        let mut milliseconds: Vec<f64> =
            attacks.iter().filter_map(took).map(|took| took.as_secs_f64() * 1e3).collect();
        milliseconds.sort_by(f64::total_cmp);
        let share = |percent: usize| milliseconds[(milliseconds.len() * percent).div_ceil(100) - 1];
        println!(
            "{when}: {} attacks, {} alerts; ms: p50 {:.1}, p99 {:.1}, max {:.1}",
            attacks.len(),
            milliseconds.len(),
            share(50),
            share(99),
            share(100)
        );
    }
    drop((collector, worker));
}
