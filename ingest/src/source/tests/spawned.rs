//! The thread: it wakes up on changes, stops when asked, and is quick.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::rig::{Rig, lines};
use crate::source::{FileSource, FileSourceMode, FileSourceSettings, SourceItem};

fn spawn(rig: &Rig, mode: FileSourceMode) -> (Receiver<SourceItem>, CancellationToken) {
    let stop = CancellationToken::new();
    let settings = FileSourceSettings { chunk_bytes: 512 * 1024, ..rig.settings.clone() };
    let (_, items) = FileSource::spawn(settings, "db", &[], mode, stop.clone()).expect("started");
    (items, stop)
}

fn wait_for(items: &mut Receiver<SourceItem>, wanted: impl Fn(&SourceItem) -> bool) -> SourceItem {
    loop {
        let item = items.blocking_recv().expect("an item");
        if wanted(&item) {
            return item;
        }
    }
}

#[test]
fn appended_bytes_come_long_before_the_next_look() {
    let mut rig = Rig::new(&["x.log"]);
    rig.settings.reconcile_milliseconds = 60_000;
    rig.append("x.log", b"first\n");
    let (mut items, stop) = spawn(&rig, FileSourceMode::Follow);
    wait_for(&mut items, |item| matches!(item, SourceItem::Idle));
    std::thread::sleep(Duration::from_millis(100));
    let mut latencies = Vec::new();
    for number in 0..200 {
        let line = format!("line {number}\n");
        let start = Instant::now();
        rig.append("x.log", line.as_bytes());
        wait_for(
            &mut items,
            |item| matches!(item, SourceItem::Data(data) if data.bytes == line.as_bytes()),
        );
        latencies.push(start.elapsed());
        wait_for(&mut items, |item| matches!(item, SourceItem::Idle));
    }
    latencies.sort();
    tracing::info!(median = ?latencies[100], high = ?latencies[198], "append to data");
    assert!(latencies[100] < Duration::from_millis(20), "{:?}", latencies[100]);
    stop.cancel();
    while items.blocking_recv().is_some() {}
}

#[test]
fn a_new_and_a_rotated_file_are_seen_by_notification() {
    let mut rig = Rig::new(&["*.log"]);
    rig.settings.reconcile_milliseconds = 60_000;
    let (mut items, stop) = spawn(&rig, FileSourceMode::Follow);
    wait_for(&mut items, |item| matches!(item, SourceItem::Idle));
    std::thread::sleep(Duration::from_millis(100));
    for text in ["one\n", "two\n", "three\n"] {
        rig.append("x.log", text.as_bytes());
        wait_for(
            &mut items,
            |item| matches!(item, SourceItem::Data(data) if data.bytes == text.as_bytes()),
        );
        rig.rename("x.log", &format!("x.log.{}", text.trim()));
    }
    stop.cancel();
    while items.blocking_recv().is_some() {}
}

#[test]
fn a_full_channel_holds_the_source_back_and_loses_nothing() {
    let rig = Rig::new(&["x.log"]);
    let whole = lines("a", 400_000);
    rig.append("x.log", whole.as_bytes());
    let (mut items, _stop) = spawn(&rig, FileSourceMode::ReadToEnd);
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    let mut read = Vec::new();
    while let Some(item) = items.blocking_recv() {
        if let SourceItem::Data(data) = item {
            read.extend_from_slice(&data.bytes);
        }
    }
    let megabytes = whole.len() as f64 / 1e6;
    tracing::info!(megabytes_per_second = megabytes / start.elapsed().as_secs_f64(), "read");
    assert_eq!(read.len(), whole.len());
    assert!(read == whole.as_bytes());
}
