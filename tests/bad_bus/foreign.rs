//! Records that others have written to the topic are kept aside, and stop nothing.

use std::path::{Path, PathBuf};

use bus::{Offset, Record};
use serde_json::Value;

use super::broker_files::{events_length, holds_events};
use super::oracle::Oracle;
use super::wait_until;
use crate::cluster::{Cluster, is_left_out, stop};
use crate::history::write_lines;
use crate::topic::Topic;

/// Records that are not ours, made from one that is, and what is said of each.
fn foreign(real: &Record) -> Vec<(&'static str, Record)> {
    let with = |payload: Vec<u8>| Record { payload: payload.into(), ..real.clone() };
    let with_header = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut record = real.clone();
        let header = record.headers.iter_mut().find(|(known, _)| known == name);
        change(&mut header.expect("one of ours").1);
        record
    };
    let cut = |name| with_header(name, &|value| value.truncate(value.len() - 1));
    let version = (event::schema::VERSION + 1).to_le_bytes();
    let newer = with_header("version", &|value| *value = version.to_vec());
    let mut flipped = real.payload.to_vec();
    let middle = 4 + events_length(real) / 2;
    flipped[middle] ^= 1;
    // Believed, it would have every later row of the file taken for known.
    let boundless = with_header("end", &|value| *value = u64::MAX.to_le_bytes().to_vec());
    let mut nothing = with(vec![0; 4]);
    nothing.headers.retain(|(name, _)| name != "ticks");
    let mut damaged_ticks = nothing.clone();
    damaged_ticks.headers.push(("ticks".to_owned(), vec![0xc1; 9]));
    let no_headers = Record { headers: Vec::new(), ..with(b"hello".to_vec()) };
    vec![
        ("no header `version`", no_headers),
        ("the record is cut", with(noise(10_000))),
        ("`version`", cut("version")),
        ("`file`", cut("file")),
        ("`end`", cut("end")),
        ("`partitions`", cut("partitions")),
        ("`copies`", cut("copies")),
        ("is newer than", newer),
        ("checksum", with(flipped)),
        ("the record is empty", with(Vec::new())),
        ("its last row is at", boundless),
        ("it holds nothing", nothing),
        ("`ticks` is damaged", damaged_ticks),
        ("the rejects are damaged", with(vec![0; 1 << 20])),
    ]
}

/// Bytes that do not repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Each foreign record is one row, which says where it stood and what is wrong, and holds its
/// bytes.
fn assert_kept(cluster: &Cluster, foreign: &[(&str, u32, Offset, Record)]) {
    let rows = cluster.querywatch.sql(
        "SELECT source, format, position, reason, hex(bytes) AS bytes FROM rejects \
         ORDER BY source, position",
    );
    let mut problems = Vec::new();
    for (wrong, partition, offset, record) in foreign {
        let place = format!("{}-{partition}", cluster.topic);
        let is_it =
            |row: &&Value| row["source"] == format!("bus/{place}") && row["position"] == offset.0;
        let found: Vec<&Value> = rows.iter().filter(is_it).collect();
        let [row] = found[..] else {
            problems.push(format!("{wrong}: {} rows of record {offset} of {place}", found.len()));
            continue;
        };
        let reason = row["reason"].as_str().expect("a reason");
        for part in [&*format!("record {offset} of partition {place}"), wrong] {
            if !reason.contains(part) {
                problems.push(format!("`{part}` is not in: {reason}"));
            }
        }
        let bytes: String = record.payload.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(row["bytes"] == bytes, "{wrong}: its bytes are kept");
        assert_eq!(row["format"], "envelope", "{wrong}");
    }
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(rows.len(), foreign.len(), "nothing else is rejected");
}

#[test]
fn foreign_records_are_kept_aside() {
    if is_left_out() {
        return;
    }
    let mut cluster = Cluster::new(3);
    cluster.set_session_seconds(2);
    let folder = |name: &str| cluster.querywatch.folder().join(name);
    let (before, after, late) = (folder("before"), folder("after"), folder("late"));
    let logs = [
        write_lines(&before, 21, 3_000),
        write_lines(&after, 22, 3_000),
        write_lines(&late, 23, 1_000),
    ];
    let logs: Vec<(&str, &Path)> =
        ["before", "after", "late"].into_iter().zip(logs.iter().map(PathBuf::as_path)).collect();
    let mut collectors = vec![cluster.collector("c1", &[("before", &before)])];
    cluster.address("c1");
    let topic = Topic::open(&cluster);
    wait_until("real records come first", || topic.extents().iter().all(|(_, end)| *end > 0));
    let records = topic.records();
    let real = records.iter().map(|(_, _, record)| record).find(|record| holds_events(record));
    let place = |(number, (wrong, record)): (usize, (&'static str, Record))| {
        let partition = number as u32 % 3;
        (wrong, partition, topic.append(partition, record.clone()), record)
    };
    let foreign: Vec<_> =
        foreign(real.expect("an event")).into_iter().enumerate().map(place).collect();
    collectors.push(cluster.collector("c2", &[("after", &after)]));

    let mut worker = cluster.worker("worker");
    Oracle::of(&logs[..2]).wait_and_compare(&cluster);
    let said = cluster.said("worker");
    worker.end();

    collectors.push(cluster.collector("c3", &[("late", &late)]));
    let worker = cluster.worker("worker");
    Oracle::of(&logs).wait_and_compare(&cluster);
    stop(&cluster, "worker", worker);
    assert_kept(&cluster, &foreign);
    // Told once a minute for a partition: who writes to the topic must not flood the log.
    let told = said.matches("not one of ours").count();
    assert!((1..foreign.len()).contains(&told), "{said}");
}
