//! Over a real Kafka: the same events and alerts as on one machine.

use std::time::Duration;

use crate::cluster::{Cluster, stop};
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
#[test]
fn two_collectors_and_two_workers_do_what_one_machine_does() {
    let cluster = Cluster::new(8);
    let folder = cluster.querywatch.folder();
    let (first, second) = (folder.join("first"), folder.join("second"));
    let first_log = write_lines(&first, 1, lines() / 2);
    let second_log = write_lines(&second, 2, lines() / 2);
    let logs = [("orders", first_log.as_path()), ("payroll", second_log.as_path())];
    let expected = Expected::of(&logs);
    let workers = [cluster.worker("worker-1"), cluster.worker("worker-2")];
    let collectors = [
        cluster.collector("collector-1", &[("orders", &first)]),
        cluster.collector("collector-2", &[("payroll", &second)]),
    ];
    let (server, _address) = cluster.server("server");
    cluster.wait_for(expected.events(), expected.alerts(), Duration::from_secs(120));
    for (number, process) in collectors.into_iter().enumerate() {
        stop(&cluster, &format!("collector-{}", number + 1), process);
    }
    for (number, process) in workers.into_iter().enumerate() {
        stop(&cluster, &format!("worker-{}", number + 1), process);
    }
    stop(&cluster, "server", server);
    expected.assert_same(&cluster.querywatch);
}
