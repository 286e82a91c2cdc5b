//! A crash at any step of a commit, then a replay: every row is there once.

use std::fs;
use std::path::Path;

use lake::{LakeError, LakeSettings, Writer};

use crate::sample::{
    NOON, all, committed, copy, events, numbers, open, open_with, parquet_files, position, rejects,
    stored,
};

/// Reads on from the committed position as a source would, up to event 30 and reject 6.
async fn replay(folder: &Path, step: i64) {
    let (lake, mut writer) = open(folder).await;
    let (mut at, rejected) = stored(&lake);
    while at < 30 {
        let next = (at + step).min(30);
        write_after(&mut writer, at, next, rejected);
        at = next;
        writer.commit(&position(at)).expect("committed");
    }
    for view in [lake.view(), committed(folder).await] {
        assert_eq!(numbers(&view.events), all(30));
        assert_eq!(numbers(&view.rejects), all(6));
    }
}

/// Every fifth record is followed by a reject; those up to `rejected` are stored already.
fn write_after(writer: &mut Writer, from: i64, to: i64, rejected: i64) {
    writer.write(&events(from, to, NOON)).expect("written");
    writer.reject(&rejects(from.max(rejected) / 5, to / 5)).expect("written");
}

fn write(writer: &mut Writer, from: i64, to: i64) {
    write_after(writer, from, to, from);
}

/// A lake with 10 events committed, and the same after another 10.
async fn before_and_after() -> (tempfile::TempDir, tempfile::TempDir) {
    let (before, after) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (lake, mut writer) = open(after.path()).await;
    write(&mut writer, 0, 10);
    writer.commit(&position(10)).expect("committed");
    copy(after.path(), before.path());
    write(&mut writer, 10, 20);
    writer.commit(&position(20)).expect("committed");
    drop((lake, writer));
    (before, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let (_lake, mut writer) = open(folder.path()).await;
        write(&mut writer, 0, 12);
    }
    assert_eq!(parquet_files(&folder.path().join("events")), 1, "an unfinished file is left");
    let (_, writer) = open(folder.path()).await;
    assert_eq!(parquet_files(&folder.path().join("events")), 0, "the next start deletes it");
    drop(writer);
    replay(folder.path(), 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_the_rejects_and_the_events() {
    for step in [1, 7, 10, 30] {
        let (folder, after) = before_and_after().await;
        copy(&after.path().join("rejects"), &folder.path().join("rejects"));
        let days = after.path().join("events").join("date=2026-11-21");
        copy(&days, &folder.path().join("events").join("date=2026-11-21"));
        replay(folder.path(), step).await;
        assert_eq!(parquet_files(&after.path().join("events")), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_the_rejects_and_the_events_and_again_during_the_replay() {
    let (folder, after) = before_and_after().await;
    copy(&after.path().join("rejects"), &folder.path().join("rejects"));
    for at in 10..16 {
        // One commit of a single event each time, then a crash.
        let (lake, mut writer) = open(folder.path()).await;
        assert_eq!(stored(&lake), (at, 20), "rejects are ahead");
        write_after(&mut writer, at, at + 1, 20);
        writer.commit(&position(at + 1)).expect("committed");
    }
    replay(folder.path(), 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_the_rejects_and_the_events_and_merged_before_the_replay() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = LakeSettings { compact_files_min: 2, ..LakeSettings::default() };
    let (lake, mut writer) = open_with(folder.path(), &settings).await;
    for number in 0..3 {
        writer.reject(&rejects(number, number + 1)).expect("written");
        writer.commit(&position(number + 1)).expect("committed");
    }
    // Only the events cannot be committed: their file loses its folder.
    let away = folder.path().join("away");
    writer.reject(&rejects(3, 4)).expect("written");
    writer.write(&events(3, 4, NOON)).expect("written");
    let days = folder.path().join("events").join("date=2026-11-21");
    fs::rename(&days, &away).expect("renamed");
    writer.commit(&position(4)).expect_err("there is no folder for events");
    let done = lake.maintain(NOON).await.expect("kept in order");
    assert_eq!((done.merged_files, done.written_files), (4, 1));
    drop((lake, writer));
    fs::rename(&away, &days).expect("back");

    let (lake, mut writer) = open_with(folder.path(), &settings).await;
    assert_eq!(stored(&lake), (3, 4));
    assert_eq!(numbers(&lake.view().rejects), all(4), "the fourth is kept");
    writer.write(&events(3, 4, NOON)).expect("written, without the reject");
    writer.commit(&position(4)).expect("committed");
    assert_eq!(numbers(&committed(folder.path()).await.rejects), all(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_commit_before_anybody_heard_of_it() {
    let (_, after) = before_and_after().await;
    replay(after.path(), 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_tables_are_created() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()).await);
    // As far as the second table's creation had come, which happens aside.
    let aside = folder.path().join("rejects.new");
    fs::rename(folder.path().join("rejects"), &aside).expect("renamed");
    fs::write(aside.join("_delta_log").join(format!("{:020}.json", 0)), "{\"prot").expect("torn");
    replay(folder.path(), 11).await;
    assert!(!aside.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_goes_away_and_comes_back_costs_no_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = open(folder.path()).await;
    write(&mut writer, 0, 10);
    let (events, away) = (folder.path().join("events"), folder.path().join("away"));
    fs::rename(&events, &away).expect("renamed");
    fs::write(&events, "not a folder").expect("in the way");
    write(&mut writer, 10, 20);
    let error = writer.commit(&position(20)).expect_err("there is no folder");
    assert!(error.is_retryable(), "{error}");
    assert!(lake.status().problem.is_some());
    assert_eq!(numbers(&lake.view().events), all(20), "the rows wait");
    write(&mut writer, 20, 30);
    let stopped = writer.commit_until(&position(30), || true).expect_err("stopped");
    assert!(matches!(stopped, LakeError::Io { .. } | LakeError::Parquet { .. }), "{stopped}");

    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| writer.commit_until(&position(30), || false));
        std::thread::sleep(std::time::Duration::from_millis(120));
        fs::remove_file(&events).expect("out of the way");
        fs::rename(&away, &events).expect("back");
        let done = waiting.join().expect("no panic").expect("committed");
        assert_eq!(done.events, 30);
    });
    assert_eq!(lake.status().problem, None);
    drop((lake, writer));
    replay(folder.path(), 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_failed_halfway_is_finished_by_the_next_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = open(folder.path()).await;
    let (events, away) = (folder.path().join("events"), folder.path().join("away"));
    write(&mut writer, 0, 10);
    fs::rename(&events, &away).expect("renamed");
    writer.commit(&position(10)).expect_err("there is no folder for events");
    fs::rename(&away, &events).expect("back");
    let done = writer.commit(&position(10)).expect("committed");
    assert_eq!((done.events, done.rejects), (10, 0), "the rejects were stored before");
    assert_eq!(stored(&lake), (10, 10));
    drop((lake, writer));
    replay(folder.path(), 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_waiting_rows_of_a_lost_day_are_encoded_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = open(folder.path()).await;
    writer.write(&events(0, 5, NOON)).expect("written");
    // Someone tidies up beneath us: the open file loses its name, the folder its file.
    fs::remove_dir_all(folder.path().join("events").join("date=2026-11-21")).expect("gone");
    writer.write(&events(5, 10, NOON)).expect("written");
    let error = writer.commit(&position(10)).expect_err("the day's folder is gone");
    assert!(error.is_retryable(), "{error}");
    writer.commit(&position(10)).expect("encoded again");
    assert_eq!(numbers(&lake.view().events), all(10));
    assert_eq!(numbers(&committed(folder.path()).await.events), all(10));
}
