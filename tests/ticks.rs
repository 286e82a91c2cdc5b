//! Event time over Kafka: every partition hears of each hour that a server's log enters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, is_left_out, stop};
use crate::topic::Topic;

const PARTITIONS: u32 = 3;

/// A file's key, where in it, and the hour that the instance enters there.
type Tick = (u64, String, i64);

/// A line of one of two accounts at so many seconds since 1970.
fn line(seconds: i64, number: usize) -> String {
    let time = chrono::DateTime::from_timestamp(seconds, 0).expect("a time");
    let (stamp, user) = (time.format("%Y-%m-%d %H:%M:%S"), ["ana", "bo"][number % 2]);
    let mut line = String::new();
    let _ = writeln!(
        line,
        "{stamp}.000 UTC,\"{user}\",\"shop\",{number},\"10.1.2.3:51022\",67c42e10.{number:x},\
         {number},\"SELECT\",2026-11-16 00:00:00 UTC,3/17,0,LOG,00000,\"AUDIT: SESSION,{number},1,\
         READ,SELECT,,,select {number},<not logged>\",,,,,,,,,\"app\",\"client backend\",,0"
    );
    line
}

#[test]
fn every_partition_hears_of_each_hour() {
    if is_left_out() {
        return;
    }
    let cluster = Cluster::new(PARTITIONS);
    let now = chrono::Utc::now().timestamp();
    let begun = (now.div_euclid(3_600) - 6) * 3_600;
    // A clock that jumps days ahead and is set right again, and a quiet hour.
    let hours = [0, 1, 1, 48, 2, 1, 4];
    let times = hours.iter().flat_map(|hour| (0..40).map(move |at| begun + hour * 3_600 + at));
    let log: String = times.enumerate().map(|(number, time)| line(time, number)).collect();
    let path = cluster.querywatch.folder().join("orders.csv");
    std::fs::write(&path, log).expect("written");
    let collector = cluster.collector("collector", &[("orders", &path)]);
    let until = Instant::now() + Duration::from_secs(60);
    while cluster.metric("collector", "source_events") < 40.0 * hours.len() as f64
        || cluster.metric("collector", "forward_waiting_records") > 0.0
    {
        assert!(Instant::now() < until, "the log is not published");
        std::thread::sleep(Duration::from_millis(100));
    }
    stop(&cluster, "collector", collector);
    let mut heard: BTreeMap<u32, Vec<Tick>> = BTreeMap::new();
    for (partition, _, record) in Topic::open(&cluster).records() {
        let ticks = record.headers.iter().find(|(name, _)| name == "ticks");
        let ticks = ticks.map(|(_, bytes)| rmp_serde::from_slice::<Vec<Tick>>(bytes));
        heard.entry(partition).or_default().extend(ticks.into_iter().flatten().flatten());
    }
    let first = begun.div_euclid(3_600);
    let entered: Vec<i64> = [0, 1, 2, 4].iter().map(|hour| first + hour).collect();
    assert_eq!(heard.len(), PARTITIONS as usize, "{heard:?}");
    for ticks in heard.values() {
        let hours: Vec<i64> = ticks.iter().map(|(_, _, hour)| *hour).collect();
        assert_eq!(hours, entered);
        assert!(ticks.iter().all(|(_, instance, _)| instance == "orders"), "{ticks:?}");
    }
    let places: BTreeSet<Vec<u64>> =
        heard.values().map(|ticks| ticks.iter().map(|(place, ..)| *place).collect()).collect();
    assert_eq!(places.len(), 1, "at the same places of the file: {places:?}");
}
