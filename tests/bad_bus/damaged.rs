//! A batch that rots in the broker's file: what is lost is said, the rest is stored.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use bus::Record;
use event::EventBatch;

use super::broker_files::{Batch, batches, events_length, holds_events, partition_file};
use super::oracle::{Oracle, events};
use super::{PATIENCE, wait_until};
use crate::cluster::{Broker, Cluster, is_left_out, stop};
use crate::history::{Logger, write_lines};
use crate::topic::Topic;

/// Flips a bit in the last byte of a batch, in place: the broker has the file open.
fn damage(path: &Path, batch: &Batch) {
    let mut file = File::options().read(true).write(true).open(path).expect("the broker's file");
    let mut byte = [0];
    file.seek(SeekFrom::Start(batch.end - 1)).expect("a place");
    file.read_exact(&mut byte).expect("a byte");
    file.seek(SeekFrom::Start(batch.end - 1)).expect("a place");
    file.write_all(&[byte[0] ^ 0x10]).expect("written");
}

/// Ids of the events of records that are in a batch of this partition.
fn ids_in(records: &[(u32, u64, Record)], partition: u32, batch: &Batch) -> BTreeSet<String> {
    let is_in = |place: u32, offset: u64| {
        place == partition && (batch.first..=batch.last).contains(&offset)
    };
    let mut ids = BTreeSet::new();
    for (place, offset, record) in records {
        if is_in(*place, *offset) && holds_events(record) {
            let events = &record.payload[4..4 + events_length(record)];
            let events = EventBatch::from_ipc(events).expect("events");
            ids.extend(events.rows().iter().map(|row| row.event().id.to_string()));
        }
    }
    ids
}

#[test]
fn a_batch_that_the_broker_has_damaged() {
    if is_left_out() {
        return;
    }
    let broker = Broker::start();
    let mut cluster = Cluster::on(&broker.address, 2);
    cluster.set_session_seconds(2);
    let folder = |name: &str| cluster.querywatch.folder().join(name);
    let (orders, late) = (folder("orders"), folder("late"));
    let logger = Logger::start(&orders, 31);
    let _orders = cluster.collector("collector-1", &[("orders", &orders)]);
    cluster.address("collector-1");
    let topic = Topic::open(&cluster);
    let path = partition_file(&broker.data(), &cluster.topic, 1);
    wait_until("there is something to damage", || batches(&path).len() > 8);
    let log = logger.path().to_path_buf();
    logger.stop();
    let records = topic.records();
    let batches = batches(&path);
    let middle = batches.iter().skip(batches.len() / 2);
    let found = middle.map(|batch| (batch, ids_in(&records, 1, batch)));
    let (batch, lost) = found.into_iter().find(|(_, ids)| !ids.is_empty()).expect("events");
    damage(&path, batch);
    let check = |logs: &[(&str, &Path)]| {
        let all = events(&Oracle::of(logs).0);
        let is_left = |line: &&str| !lost.iter().any(|id| line.contains(id));
        let left: Vec<&str> = all.lines().filter(is_left).map(id).collect();
        assert_eq!(left.len() + lost.len(), all.lines().count(), "what is lost was there");
        cluster.wait_for(left.len(), 1, PATIENCE);
        let stored = events(&cluster.querywatch);
        let stored: Vec<&str> = stored.lines().map(id).collect();
        assert!(left == stored, "{} events expected, {} found", left.len(), stored.len());
    };

    let mut worker = cluster.worker("worker-1");
    check(&[("orders", &log)]);
    let said = cluster.said("worker-1");
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("bus are lost")).collect();
    assert_eq!(lines.len(), 1, "said once: {said}");
    let (from, to) = (format!("from={}", batch.first), format!("to={}", batch.last + 1));
    for part in [&*format!("{}-1", cluster.topic), &from, &to] {
        assert!(lines[0].contains(part), "`{part}` is not in: {said}");
    }
    worker.end();

    let late_log = write_lines(&late, 32, 1_000);
    let _late = cluster.collector("collector-2", &[("late", &late)]);
    let worker = cluster.worker("worker-2");
    check(&[("orders", &log), ("late", &late_log)]);
    stop(&cluster, "worker-2", worker);
    let lines = said.lines().filter(|line| line.contains("CRC32C")).count();
    assert!(lines <= 1, "the client of Kafka says it once at most: {said}");
}

/// The id in a line of [`events`].
fn id(line: &str) -> &str {
    line.split('"').nth(3).expect("the id is first")
}
