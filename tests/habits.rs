//! Weeks of habits, judged the same however the stream is divided: what is unusual depends on what
//! the others do, who are watched on other partitions, and how far those are.

use std::path::Path;
use std::time::{Duration, Instant};

use simulate::{Attack, Company, Simulation};

use crate::binary::{Process, Querywatch};
use crate::cluster::{Cluster, is_left_out, stop};
use crate::faults::wait_for_rows;
use crate::history::Expected;
use crate::topic::Topic;

#[test]
fn two_workers_judge_them_as_one_machine() {
    if is_left_out() {
        return;
    }
    let cluster = Cluster::new(8);
    let folder = cluster.querywatch.folder();
    let [first, second] = [("first", 1), ("second", 2)].map(|(name, seed)| {
        let path = folder.join(format!("{name}.csv"));
        std::fs::write(&path, weeks(seed)).expect("written");
        path
    });
    let logs: [(&str, &Path); 2] = [("orders", &first), ("payroll", &second)];
    let expected = Expected::of(&logs);
    let workers = WORKERS.map(|name| cluster.worker(name));
    let collectors =
        [cluster.collector("first", &logs[..1]), cluster.collector("second", &logs[1..])];
    cluster.wait_for(expected.events(), expected.alerts(), Duration::from_secs(120));
    for (name, collector) in ["first", "second"].iter().zip(collectors) {
        stop(&cluster, name, collector);
    }
    assert_judged_alike(&cluster, &expected, workers);
    let habits = expected.count("\"detector\":\"baseline\"");
    assert!(habits >= 4, "only {habits} alerts are of habits");
}

/// As if a collector came to a partition only when it is done with another: what is still to be
/// published is waited for.
#[test]
fn partitions_that_are_published_one_after_the_other() {
    if is_left_out() {
        return;
    }
    let source = Cluster::new(4);
    let log = source.querywatch.folder().join("log.csv");
    std::fs::write(&log, weeks(5)).expect("written");
    let logs: [(&str, &Path); 1] = [("orders", &log)];
    let expected = Expected::of(&logs);
    stop(&source, "collector", publish(&source, &logs, expected.events()));
    let records = Topic::open(&source).records();
    let cluster = Cluster::new(4);
    let topic = Topic::open(&cluster);
    let workers = WORKERS.map(|name| cluster.worker(name));
    for partition in 0..4 {
        let of_it = records.iter().filter(|(its, _, _)| *its == partition);
        for (_, _, record) in of_it {
            topic.append(partition, record.clone());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    cluster.wait_for(expected.events(), expected.alerts(), Duration::from_secs(120));
    assert_judged_alike(&cluster, &expected, workers);
}

const WORKERS: [&str; 2] = ["worker-1", "worker-2"];

fn assert_judged_alike(cluster: &Cluster, expected: &Expected, workers: [Process; 2]) {
    for (name, worker) in WORKERS.iter().zip(workers) {
        stop(cluster, name, worker);
    }
    expected.assert_same(&cluster.querywatch);
    for name in WORKERS {
        let errors = cluster.said(name);
        assert!(!errors.contains("without partitions"), "one went on without others: {errors}");
    }
}

/// Puts all of the logs on the topic.
fn publish(cluster: &Cluster, logs: &[(&str, &Path)], events: usize) -> Process {
    let collector = cluster.collector("collector", logs);
    let until = Instant::now() + Duration::from_secs(60);
    while (cluster.metric("collector", "source_events") as usize) < events
        || cluster.metric("collector", "forward_waiting_records") > 0.0
    {
        assert!(Instant::now() < until, "the logs are not published");
        std::thread::sleep(Duration::from_millis(100));
    }
    collector
}

/// Workers that are killed take nothing with them of what others are to know: who judges their
/// partitions again opens each day with the same figures.
#[test]
fn they_outlive_killed_workers() {
    if is_left_out() {
        return;
    }
    let mut cluster = Cluster::new(4);
    cluster.set_session_seconds(2);
    let log = cluster.querywatch.folder().join("log.csv");
    std::fs::write(&log, weeks(3)).expect("written");
    let logs: [(&str, &Path); 1] = [("orders", &log)];
    let expected = Expected::of(&logs);
    let collector = cluster.collector("collector", &logs);
    let mut workers = WORKERS.map(|name| cluster.worker(name));
    for round in 0..9 {
        std::thread::sleep(Duration::from_millis(600));
        let killed = round % 2;
        workers[killed].end();
        workers[killed] = cluster.worker(WORKERS[killed]);
    }
    cluster.wait_for(expected.events(), expected.alerts(), Duration::from_secs(120));
    stop(&cluster, "collector", collector);
    assert_judged_alike(&cluster, &expected, workers);
}

/// Several partitions of one machine's own log.
#[test]
fn several_partitions_judge_them_as_one() {
    let querywatch = Querywatch::new();
    let folder = querywatch.folder().join("orders");
    std::fs::create_dir_all(&folder).expect("a log folder");
    let log = folder.join("postgresql.csv");
    std::fs::write(&log, weeks(4)).expect("written");
    let expected = Expected::of(&[("orders-db", &log)]);
    let settings = querywatch.settings(&folder, "[bus]\npartitions = 4\n");
    let mut process = querywatch.start(&settings);
    wait_for_rows(&querywatch, expected.events());
    process.terminate();
    assert!(process.wait().expect("ended").success());
    expected.assert_same(&querywatch);
}

/// The log of a company from a Monday on, with attacks once habits are known.
fn weeks(seed: u64) -> Vec<u8> {
    const DAY: i64 = 86_400_000_000;
    let monday = 1_791_158_400_000_000; // 2026-10-05
    let (mut company, mut log) = (Simulation::new(Company::small(), seed), Vec::new());
    for day in 0..21 {
        company.day(monday + day * DAY, &mut log);
        let attacks = Attack::ALL.iter().cycle().skip(day as usize * 2).take(2);
        for attack in attacks.filter(|_| day >= 9) {
            company.attack(*attack, monday + day * DAY + DAY - 7_200_000_000, &mut log);
        }
    }
    log
}
