//! Merging, expiring and deleting: no row twice, none missing, no file gone too early.

use std::fs;

use lake::LakeSettings;

use crate::sample::{
    DAY, NOON, all, committed, copy, events, later, numbers, open_with, parquet_files, position,
    rejects,
};

fn settings() -> LakeSettings {
    LakeSettings { compact_files_min: 3, row_group_rows: 1_024, ..LakeSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn merging_keeps_every_row_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = open_with(folder.path(), &settings()).await;
    // Written backwards, so that the merge has to sort; two days.
    for number in (0..10).rev() {
        writer.write(&events(number * 300, (number + 1) * 300, NOON)).expect("written");
        writer.write(&events(3_000 + number, 3_001 + number, NOON.plus_seconds(DAY))).expect("ok");
        writer.reject(&rejects(number, number + 1)).expect("written");
        writer.commit(&position(10 - number)).expect("committed");
    }
    let old = lake.view();
    assert_eq!((old.events.files.len(), old.rejects.files.len()), (20, 10));
    let done = lake.maintain(later(2)).await.expect("merged");
    assert_eq!((done.merged_files, done.written_files), (30, 3));
    for view in [&old, &lake.view(), &committed(folder.path()).await] {
        assert_eq!(numbers(&view.events), all(3_010), "old views can still be read");
        assert_eq!(numbers(&view.rejects), all(10));
    }
    let merged = lake.view().events;
    let times: Vec<_> = merged.files.iter().map(|file| (file.time_min, file.time_max)).collect();
    assert_eq!(times[0], (NOON.0, NOON.plus_seconds(2_999).0));
    let again = lake.maintain(later(2)).await.expect("nothing to do");
    assert_eq!((again.merged_files, again.deleted_files), (0, 0));

    let vacuumed = lake.maintain(later(4)).await.expect("deleted");
    assert_eq!(vacuumed.deleted_files, 30);
    assert_eq!(parquet_files(&folder.path().join("events")), 2);
    drop((lake, writer));
    let (lake, _) = open_with(folder.path(), &settings()).await;
    assert_eq!(numbers(&lake.view().events), all(3_010));
}

/// A file that rots keeps its own group from being merged, and nothing else from being done.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_merged_keeps_nothing_else_from_being_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = open_with(folder.path(), &settings()).await;
    let table = folder.path().join("events");
    let mut number = 0;
    let mut write_day = |day: i64| {
        for _ in 0..3 {
            writer.write(&events(number, number + 1, NOON.plus_seconds(day * DAY))).expect("ok");
            number += 1;
            writer.commit(&position(number)).expect("committed");
        }
    };
    write_day(0);
    lake.maintain(later(2)).await.expect("merged");
    write_day(1);
    let rotten = lake.view().events.files.last().expect("a file").path.clone();
    fs::write(table.join(&rotten), b"PAR1 no more").expect("damaged");
    write_day(2);
    assert_eq!(parquet_files(&table), 4 + 3 + 3);
    let failed = lake.maintain(later(5)).await.expect_err("one file is damaged");
    assert!(failed.to_string().contains(&rotten), "it is named: {failed}");
    let (of_day_0, of_day_1, of_day_2) = (1, 3, 3 + 1);
    assert_eq!(parquet_files(&table), of_day_0 + of_day_1 + of_day_2);
    assert_eq!(lake.view().events.files.len(), 1 + 3 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_killed_never_doubles_a_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let (before, twice) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (lake, mut writer) = open_with(folder.path(), &settings()).await;
    for number in 0..4 {
        writer.write(&events(number * 10, (number + 1) * 10, NOON)).expect("written");
        writer.commit(&position(number)).expect("committed");
    }
    copy(folder.path(), before.path());
    lake.maintain(later(2)).await.expect("merged");
    let merged = parquet_files(&folder.path().join("events"));
    drop((lake, writer));
    assert_eq!(merged, 5, "four old files and the merged one");

    // Killed before its commit: the new file is there, the log does not name it.
    copy(folder.path(), twice.path());
    fs::remove_dir_all(twice.path().join("events").join("_delta_log")).expect("removed");
    let log = |folder: &tempfile::TempDir| folder.path().join("events").join("_delta_log");
    copy(&log(&before), &log(&twice));
    for (folder, files) in [(&twice, 4), (&folder, 5)] {
        let (lake, writer) = open_with(folder.path(), &settings()).await;
        assert_eq!(parquet_files(&folder.path().join("events")), files);
        assert_eq!(numbers(&lake.view().events), all(40));
        lake.maintain(later(2)).await.expect("merged or nothing to do");
        assert_eq!(numbers(&committed(folder.path()).await.events), all(40));
        drop((lake, writer));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_at_the_same_time_do_not_double_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = open_with(folder.path(), &settings()).await;
    for number in 0..30 {
        writer.write(&events(number * 10, (number + 1) * 10, NOON)).expect("written");
        writer.commit(&position(number)).expect("committed");
    }
    let rounds = (0..4).map(|_| {
        let lake = lake.clone();
        tokio::spawn(async move { lake.maintain(later(2)).await })
    });
    let rounds = futures::future::join_all(rounds).await;
    let merged: usize = rounds
        .into_iter()
        .filter_map(|round| match round.expect("no panic") {
            Ok(done) => Some(done.merged_files),
            Err(error) => {
                assert!(matches!(error, lake::LakeError::Busy), "{error}");
                None
            }
        })
        .sum();
    assert_eq!(merged, 30);
    assert_eq!(numbers(&committed(folder.path()).await.events), all(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn days_beyond_the_retention_go_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = LakeSettings { retention_days: 30, ..settings() };
    let (lake, mut writer) = open_with(folder.path(), &settings).await;
    for day in [0, 1, 40] {
        writer.write(&events(day, day + 1, NOON.plus_seconds((day - 40) * DAY))).expect("written");
    }
    writer.commit(&position(1)).expect("committed");
    let old = lake.view();
    let done = lake.maintain(NOON.plus_seconds(DAY / 4)).await.expect("expired");
    assert_eq!((done.expired_files, done.deleted_files), (2, 0));
    assert_eq!(numbers(&lake.view().events), [40]);
    assert_eq!(numbers(&committed(folder.path()).await.events), [40]);
    assert_eq!(numbers(&old.events), [0, 1, 40], "queries under way are served");
    let done = lake.maintain(NOON.plus_seconds(2 * DAY)).await.expect("deleted");
    assert_eq!(done.deleted_files, 2);
    assert_eq!(parquet_files(&folder.path().join("events")), 1);
    assert_eq!(lake.positions().get("file/orders"), Some(&1));
}
