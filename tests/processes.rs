//! What an operator sees of a set-up over Kafka: a server knows all processes, and so does
//! `doctor`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::path_text;
use crate::cluster::{Cluster, is_left_out, stop};
use crate::csvlog::audited;

/// Events of the log.
const EVENTS: usize = 500;

/// The sources of the server, once they are as wished.
fn sources(cluster: &Cluster, wish: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let seen = cluster.ask("server", "/api/v1/sources");
        if is_so(&seen) {
            return seen;
        }
        assert!(Instant::now() < until, "{wish}: {seen:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn process<'a>(seen: &'a Value, role: &str) -> &'a Value {
    let mut processes = seen["processes"].as_array().expect("processes").iter();
    processes.find(|process| process["role"] == role).unwrap_or(&Value::Null)
}

#[test]
fn a_server_and_doctor_know_all_processes() {
    if is_left_out() {
        return;
    }
    let cluster = Cluster::new(2);
    let log = cluster.querywatch.folder().join("orders");
    std::fs::create_dir(&log).expect("a folder");
    let lines: String = (0..EVENTS).map(audited).collect();
    std::fs::write(log.join("a.csv"), lines).expect("written");
    let worker = cluster.worker("worker");
    let mut collector = cluster.collector("collector", &[("orders", &log)]);
    let (server, _address) = cluster.server("server");

    let seen = sources(&cluster, "all is judged and told", |seen| {
        seen["sources"][0]["events"] == EVENTS
            && process(seen, "collect")["forward"]["waiting_records"] == 0
            && process(seen, "detect")["detect"]["events"] == EVENTS
            && process(seen, "detect")["lake"]["commits"].as_u64() > Some(0)
    });
    figures_are_told(&seen, &collector.id().to_string());
    doctor_names_them(&cluster, &seen);

    // Who stops in good order is not missed.
    stop(&cluster, "worker", worker);
    sources(&cluster, "the worker is gone", |seen| process(seen, "detect").is_null());
    // Who just ends is.
    collector.end();
    let silent = |problem: &Value| {
        problem.as_str().is_some_and(|problem| problem.starts_with("nothing was heard of"))
    };
    let seen = sources(&cluster, "the collector is called silent", |seen| {
        silent(&process(seen, "collect")["problem"])
    });
    assert!(silent(&seen["sources"][0]["problem"]), "{seen:#}");
    assert_eq!(seen["sources"][0]["events"], EVENTS, "what it said last stays: {seen:#}");
    let settings = cluster.settings("doctor", &cluster.querywatch.data(), &[]);
    let output = cluster.querywatch.run(&["doctor", "--config", path_text(&settings)]);
    let told = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("WRONG collect querywatch-"), "{told}");
    stop(&cluster, "server", server);
}

fn figures_are_told(seen: &Value, collector_id: &str) {
    let source = &seen["sources"][0];
    assert_eq!(seen["sources"].as_array().map(Vec::len), Some(1), "{seen:#}");
    assert_eq!((&source["name"], &source["rejects"]), (&"orders".into(), &0.into()), "{seen:#}");
    assert_eq!(source["format"], "postgresql_csvlog", "{seen:#}");
    assert!(source["problem"].is_null(), "{seen:#}");
    let [collector, worker, server] =
        ["collect", "detect", "serve"].map(|role| process(seen, role));
    assert!(
        collector["name"].as_str().is_some_and(|name| name.ends_with(collector_id)),
        "{seen:#}"
    );
    assert_eq!((&source["process"], &source["host"]), (&collector["name"], &collector["host"]));
    for process in [collector, worker, server] {
        assert!(process["problem"].is_null(), "{process:#}");
        assert_eq!(process["version"], env!("CARGO_PKG_VERSION"));
        for figure in ["producer_queue_records", "producer_queue_bytes", "rebalances"] {
            assert!(process["kafka"][figure].is_u64(), "{figure}: {process:#}");
        }
    }
    assert!(worker["kafka"]["rebalances"].as_u64() >= Some(1), "{worker:#}");
    assert_eq!(worker["kafka"]["partitions"].as_array().map(Vec::len), Some(2), "{worker:#}");
    for figure in ["commits", "commit_conflicts", "superseded"] {
        assert!(worker["lake"][figure].is_u64(), "{figure}: {worker:#}");
    }
    // What the group calls its member is what the process calls itself.
    let member = seen["bus"][0]["worker"].as_str().expect("a worker");
    assert!(member.starts_with(worker["name"].as_str().expect("a name")), "{seen:#}");
    for (process, part) in [(collector, "lake"), (collector, "detect"), (server, "forward")] {
        assert!(process[part].is_null(), "{part} is not part of the role: {process:#}");
    }
}

fn doctor_names_them(cluster: &Cluster, seen: &Value) {
    let settings = cluster.settings("doctor", &cluster.querywatch.data(), &[]);
    // As on the server: that it runs is not wrong.
    let address = cluster.address("server");
    let text = std::fs::read_to_string(&settings).expect("settings");
    std::fs::write(&settings, text.replace("127.0.0.1:0", &address)).expect("written");
    let told = cluster.querywatch.succeed(&["doctor", "--config", path_text(&settings)]);
    assert!(told.contains(&format!("Querywatch answers at {address}")), "{told}");
    for process in seen["processes"].as_array().expect("processes") {
        let name = process["name"].as_str().expect("a name");
        assert!(told.contains(&format!("{name}: heard of")), "{name}: {told}");
    }
    let figures =
        ["0 records to be forwarded", "in the producer queue", "rebalance", "commit conflicts"];
    for figure in figures {
        assert!(told.contains(figure), "{figure}: {told}");
    }
}
