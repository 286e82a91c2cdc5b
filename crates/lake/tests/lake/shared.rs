//! Several writers of one lake, in threads and in processes: every row once, whoever wrote it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lake::{LakeSettings, Writer};
use rand::Rng;

use crate::sample::{NOON, committed, events, later, numbers, rejects, share};

const FOLDER: &str = "LAKE_TEST_SHARED";
const WRITER: &str = "LAKE_TEST_WRITER";

/// Records that each process writes.
const RECORDS: i64 = 400;

fn settings() -> LakeSettings {
    LakeSettings { compact_files_min: 4, checkpoint_commits: 16, ..LakeSettings::default() }
}

/// Numbers of one writer do not meet those of another.
fn first(writer: i64) -> i64 {
    writer * 100_000
}

/// Commits records `0..to` of its own partition, a few at a time, each tenth with a reject.
fn write(handle: &mut Writer, writer: i64, to: i64) {
    let name = format!("bus/{writer}");
    let claim = handle.claim(&name).expect("claimed");
    let mut at = claim.events.unwrap_or(0);
    let rejected = claim.rejects.unwrap_or(0);
    while at < to {
        let next = (at + 4).min(to);
        let first = first(writer);
        handle.write(&events(first + at, first + next, NOON)).expect("written");
        let new = (at.max(rejected) + 9) / 10..(next + 9) / 10;
        handle.reject(&rejects(first + new.start, first + new.end.max(new.start))).expect("ok");
        handle.commit(&[(name.clone(), next)]).expect("committed");
        at = next;
    }
}

fn expected(writers: i64, to: i64) -> Vec<i64> {
    (0..writers).flat_map(|writer| first(writer)..first(writer) + to).collect()
}

async fn check(folder: &Path, writers: i64, to: i64) {
    let view = committed(folder).await;
    assert_eq!(numbers(&view.events), expected(writers, to));
    assert_eq!(numbers(&view.rejects), expected(writers, to / 10));
    let reader = lake::LakeReader::open(folder).await.expect("a lake");
    let all = (0..writers).map(|writer| (format!("bus/{writer}"), to));
    assert_eq!(reader.positions(), all.collect::<BTreeMap<_, _>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_and_four_writers_commit_at_once() {
    for (writers, to) in [(2, 400), (4, 200)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut open = Vec::new();
        for _ in 0..writers {
            open.push(share(folder.path(), &settings()).await);
        }
        std::thread::scope(|scope| {
            for (writer, (_, handle)) in (0..).zip(&mut open) {
                scope.spawn(move || write(handle, writer, to));
            }
        });
        check(folder.path(), writers, to).await;
        for (lake, _) in &open {
            assert_eq!(lake.status().commits, to as u64 / 4);
            lake.follow().expect("followed");
            assert_eq!(numbers(&lake.view().events), expected(writers, to));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_while_others_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(share(folder.path(), &settings()).await);
    }
    let runtime = tokio::runtime::Handle::current();
    let (lake, _keeper) = share(folder.path(), &settings()).await;
    let merged = std::thread::scope(|scope| {
        let work = (0..).zip(&mut open);
        let work =
            work.map(|(writer, (_, handle))| scope.spawn(move || write(handle, writer, 200)));
        let work: Vec<_> = work.collect();
        let mut merged = 0;
        while work.iter().any(|thread| !thread.is_finished()) {
            merged += std::thread::scope(|inner| {
                let round = inner.spawn(|| runtime.block_on(lake.maintain(later(0))));
                round.join().expect("no panic").expect("kept in order").merged_files
            });
        }
        merged
    });
    assert!(merged > 0, "nothing was merged meanwhile");
    check(folder.path(), 2, 200).await;
}

/// Not a test by itself: one of the processes.
#[tokio::test(flavor = "multi_thread")]
async fn write_as_one_of_many() {
    let (Some(folder), Ok(writer)) = (std::env::var_os(FOLDER), std::env::var(WRITER)) else {
        return;
    };
    let writer = writer.parse().expect("a number");
    let (lake, mut handle) = share(Path::new(&folder), &settings()).await;
    for to in (0..=RECORDS).step_by(40) {
        write(&mut handle, writer, to);
        lake.maintain(later(0)).await.expect("kept in order");
    }
}

fn spawn(folder: &Path, writer: i64) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["shared::write_as_one_of_many", "--exact"])
        .env(FOLDER, folder)
        .env(WRITER, writer.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process")
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_are_killed_and_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..5 {
        let mut children: Vec<_> = (0..3).map(|writer| spawn(folder.path(), writer)).collect();
        if round < 4 {
            std::thread::sleep(Duration::from_millis(rand::rng().random_range(100..600)));
            children.iter_mut().for_each(|child| child.kill().expect("killed"));
        }
        for mut child in children {
            let ended = child.wait().expect("ended");
            assert!(round < 4 || ended.success(), "{ended}");
        }
    }
    check(folder.path(), 3, RECORDS).await;
}
