//! Over a real Kafka: the same events and alerts as on one machine.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, is_left_out, stop};
use crate::csvlog;
use crate::history::{Expected, write_lines};

/// Lines of an ordinary run of the tests; `QUERYWATCH_TEST_LINES` asks for more.
const LINES: usize = 100_000;

fn lines() -> usize {
    let asked = std::env::var("QUERYWATCH_TEST_LINES").ok();
    asked.map_or(LINES, |text| text.parse().expect("QUERYWATCH_TEST_LINES is a number"))
}

/// Two collectors, two workers, one server. Alerts are compared byte for byte, as a set: workers
/// record them side by side, so that the order among identities is nobody's promise. What is
/// counted by identity or by client is counted in the order of its log, which is the same here as
/// on one machine, because the logs are of different instances.
fn compare(cluster: &Cluster, logs: [(&str, &Path); 2]) {
    let expected = Expected::of(&logs);
    let workers = [cluster.worker("worker-1"), cluster.worker("worker-2")];
    // Both share the partitions before there is work: a short log is done in no time.
    let until = Instant::now() + Duration::from_secs(60);
    while ["worker-1", "worker-2"].iter().any(|name| cluster.metric(name, "kafka_rebalances") < 1.0)
    {
        assert!(Instant::now() < until, "the workers do not share the partitions");
        std::thread::sleep(Duration::from_millis(50));
    }
    let collectors = [
        cluster.collector("collector-1", &logs[..1]),
        cluster.collector("collector-2", &logs[1..]),
    ];
    let (server, _address) = cluster.server("server");
    cluster.wait_for(expected.events(), expected.alerts(), Duration::from_secs(120));
    for (number, process) in collectors.into_iter().enumerate() {
        stop(cluster, &format!("collector-{}", number + 1), process);
    }
    for (number, process) in workers.into_iter().enumerate() {
        let name = format!("worker-{}", number + 1);
        assert!(cluster.metric(&name, "detect_events") > 0.0, "{name} had nothing to do");
        stop(cluster, &name, process);
    }
    stop(cluster, "server", server);
    expected.assert_same(&cluster.querywatch);
}

#[test]
fn two_collectors_and_two_workers_do_what_one_machine_does() {
    if is_left_out() {
        return;
    }
    let cluster = Cluster::new(8);
    let folder = cluster.querywatch.folder();
    let first = write_lines(&folder.join("first"), 1, lines() / 2);
    let second = write_lines(&folder.join("second"), 2, lines() / 2);
    compare(&cluster, [("orders", &first), ("payroll", &second)]);
}

/// What real servers logged, attacks among it. `QUERYWATCH_TEST_BULK` names more of it: a csvlog
/// that stands before the captures in both logs.
#[test]
fn logs_of_real_servers_give_the_same_over_kafka() {
    if is_left_out() {
        return;
    }
    let cluster = Cluster::new(8);
    let bulk =
        std::env::var("QUERYWATCH_TEST_BULK").map(|path| std::fs::read(path).expect("a log"));
    let mut text = bulk.unwrap_or_default();
    for capture in crate::replay::captures() {
        text.extend(std::fs::read(capture).expect("a capture"));
        // A server that crashed leaves a line without its end.
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    let folder = cluster.querywatch.folder();
    let [first, second] = ["first.csv", "second.csv"].map(|name| folder.join(name));
    std::fs::write(&first, &text).expect("written");
    // Files are known by their content: the second server's log begins with its own line.
    std::fs::write(&second, [csvlog::audited(1).as_bytes(), &text].concat()).expect("written");
    compare(&cluster, [("orders", &first), ("payroll", &second)]);
}
