//! Weeks of habits: the same events and the same model versions give the same cases, with one,
//! two and four workers, with kills and rebalances between. Partitions tell each other nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::binary::{Process, Querywatch};
use crate::cluster::{Cluster, is_left_out, stop};
use crate::fixed_models::FixedModels;
use crate::history::{Expected, wait_for_rows};
use crate::topic::Topic;
use crate::weeks::{MONDAY, write_weeks};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn one_two_and_four_workers_judge_alike() {
    if is_left_out() {
        return;
    }
    let models = FixedModels::of(&["orders", "payroll"]);
    for count in [1, 2, 4] {
        let cluster = Cluster::new(8);
        models.put(&cluster.querywatch);
        let logs = [1, 2].map(|seed| write_weeks(cluster.querywatch.folder(), seed, MONDAY));
        let logs: [(&str, &Path); 2] = [("orders", &logs[0]), ("payroll", &logs[1])];
        let expected = Expected::with(&models, &logs);
        assert!(expected.baseline_alerts() > 5, "the logs hold unusual days");
        let workers = workers(&cluster, count);
        let collectors =
            [cluster.collector("first", &logs[..1]), cluster.collector("second", &logs[1..])];
        cluster.wait_for(expected.events(), expected.alerts(), PATIENCE);
        for (name, collector) in ["first", "second"].iter().zip(collectors) {
            stop(&cluster, name, collector);
        }
        stop_workers(&cluster, workers);
        expected.assert_same(&cluster.querywatch);
    }
}

/// As if a collector came to a partition only when it is done with another: none waits for what
/// is still to be published on the others.
#[test]
fn partitions_that_are_published_one_after_the_other() {
    if is_left_out() {
        return;
    }
    let source = Cluster::new(4);
    let log = write_weeks(source.querywatch.folder(), 5, MONDAY);
    let logs: [(&str, &Path); 1] = [("orders", &log)];
    let models = FixedModels::of(&["orders"]);
    let expected = Expected::with(&models, &logs);
    stop(&source, "collector", publish(&source, &logs, expected.events()));
    let records = Topic::open(&source).records();
    let cluster = Cluster::new(4);
    models.put(&cluster.querywatch);
    let topic = Topic::open(&cluster);
    let workers = workers(&cluster, 2);
    let mut published = 0;
    for partition in 0..4 {
        for (_, _, record) in records.iter().filter(|(its, ..)| *its == partition) {
            topic.append(partition, record.clone());
            published += 1;
        }
        let begun = Instant::now();
        while cluster.stored_records() < published {
            assert!(begun.elapsed() < PATIENCE, "partition {partition} waits for the next");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    cluster.wait_for(expected.events(), expected.alerts(), PATIENCE);
    stop_workers(&cluster, workers);
    expected.assert_same(&cluster.querywatch);
}

/// A killed worker's partitions go to the other, a third one comes and goes: each partition is
/// judged on from its checkpoint.
#[test]
fn kills_and_rebalances_change_nothing() {
    if is_left_out() {
        return;
    }
    let mut cluster = Cluster::new(4);
    cluster.set_session_seconds(2);
    let log = write_weeks(cluster.querywatch.folder(), 3, MONDAY);
    let logs: [(&str, &Path); 1] = [("orders", &log)];
    let models = FixedModels::of(&["orders"]);
    models.put(&cluster.querywatch);
    let expected = Expected::with(&models, &logs);
    let collector = cluster.collector("collector", &logs);
    let mut workers = workers(&cluster, 2);
    for round in 0..6 {
        std::thread::sleep(Duration::from_millis(600));
        let (name, killed) = &mut workers[round % 2];
        killed.end();
        *killed = cluster.worker(name);
        if round % 3 == 2 {
            let third = cluster.worker("worker-3");
            std::thread::sleep(Duration::from_secs(2));
            stop(&cluster, "worker-3", third);
        }
    }
    cluster.wait_for(expected.events(), expected.alerts(), PATIENCE);
    stop(&cluster, "collector", collector);
    stop_workers(&cluster, workers);
    expected.assert_same(&cluster.querywatch);
}

/// Several partitions of one machine's own log.
#[test]
fn several_partitions_judge_them_as_one() {
    let querywatch = Querywatch::new();
    let folder = querywatch.folder().join("orders");
    std::fs::create_dir_all(&folder).expect("a log folder");
    let log = write_weeks(&folder, 4, MONDAY);
    let models = FixedModels::of(&["orders-db"]);
    models.put(&querywatch);
    let expected = Expected::with(&models, &[("orders-db", &log)]);
    let settings = querywatch.settings(&folder, "[bus]\npartitions = 4\n");
    let mut process = querywatch.start(&settings);
    wait_for_rows(&querywatch, expected.events());
    process.terminate();
    assert!(process.wait().expect("ended").success());
    expected.assert_same(&querywatch);
}

/// A back-fill that was broken off finds models of days that it comes to again: it judges with
/// those of the days before, as if it had never been there.
#[test]
fn history_is_judged_with_the_models_of_its_own_days_whatever_is_there() {
    let querywatch = Querywatch::new();
    let log = write_weeks(querywatch.folder(), 6, MONDAY);
    let cases = "SELECT * FROM cases ORDER BY id";
    let alerts = "SELECT * FROM alerts ORDER BY id";
    querywatch.ingest(&[&log]);
    let first = (querywatch.sql(alerts), querywatch.sql(cases));
    let text = serde_json::to_string(&first.1).expect("JSON");
    assert!(text.contains("prior 2026-08-"), "models were in use: {text}");
    // All is gone but models and the days from which they were trained.
    let data = querywatch.data();
    for name in ["lake", "state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        let path = data.join(name);
        let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
    }
    for entry in std::fs::read_dir(data.join("detection")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            std::fs::remove_file(path).expect("removed");
        }
    }
    assert!(data.join("models").is_dir() && data.join("detection/profiles").is_dir());
    querywatch.ingest(&[&log]);
    assert_eq!(first, (querywatch.sql(alerts), querywatch.sql(cases)));
}

fn workers(cluster: &Cluster, count: usize) -> Vec<(String, Process)> {
    let names = (1..=count).map(|number| format!("worker-{number}"));
    names.map(|name| (name.clone(), cluster.worker(&name))).collect()
}

fn stop_workers(cluster: &Cluster, workers: Vec<(String, Process)>) {
    for (name, worker) in workers {
        stop(cluster, &name, worker);
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
