//! Upkeep of a shared lake: one process at a time, and no file of another goes.

use std::fs::File;

use lake::{Lake, LakeError, LakeSettings, Maintenance, Sharing};

use crate::sample::{
    NOON, SOURCE, all, committed, events, later, numbers, open, parquet_files, position, share,
};

fn settings() -> LakeSettings {
    LakeSettings { compact_files_min: 3, ..LakeSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_or_shared() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    let taken = async |sharing| match Lake::open(folder, &settings(), sharing).await.err() {
        Some(LakeError::Locked { holder, .. }) => holder,
        other => panic!("{other:?}"),
    };
    let alone = open(folder).await;
    let process = format!("process {}", std::process::id());
    assert_eq!(taken(Sharing::Shared).await, process);
    drop(alone);
    Lake::check_unused(folder, Sharing::Alone).expect("unused");
    let one = share(folder, &settings()).await;
    let two = share(folder, &settings()).await;
    drop(one);
    assert_eq!(taken(Sharing::Alone).await, "processes that share it");
    Lake::check_unused(folder, Sharing::Alone).expect_err("used");
    drop(two);
    open(folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_start_first_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let starts = (0..6).map(|_| {
        let folder = folder.path().to_owned();
        tokio::spawn(async move { drop(share(&folder, &settings()).await) })
    });
    for start in futures::future::join_all(starts).await {
        start.expect("opened");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = share(folder.path(), &settings()).await;
    let (other, _idle) = share(folder.path(), &settings()).await;
    writer.claim(SOURCE).expect("claimed");
    for number in 0..4 {
        writer.write(&events(number, number + 1, NOON)).expect("written");
        writer.commit(&position(number + 1)).expect("committed");
    }
    let lease = File::create(folder.path().join("upkeep.lock")).expect("a file");
    lease.lock().expect("locked");
    assert_eq!(lake.maintain(later(0)).await.expect("not its turn"), Maintenance::default());
    drop(lease);
    let done = lake.maintain(later(0)).await.expect("its turn");
    assert_eq!((done.merged_files, done.written_files), (4, 1));
    let done = other.maintain(later(2)).await.expect("the other's turn");
    assert_eq!(done.deleted_files, 4, "it knows what the first one merged");
    assert_eq!(numbers(&committed(folder.path()).await.events), all(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_leaves_young_files_to_those_who_write_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, _idle) = share(folder.path(), &settings()).await;
    let (_, mut writer) = share(folder.path(), &settings()).await;
    let table = folder.path().join("events");
    writer.claim(SOURCE).expect("claimed");
    writer.write(&events(0, 5, NOON)).expect("written");
    drop(share(folder.path(), &settings()).await);
    assert_eq!(lake.maintain(later(0)).await.expect("kept in order").deleted_files, 0);
    assert_eq!(parquet_files(&table), 1, "the file is being written");
    // To those who believe that two days have passed it is not.
    assert_eq!(lake.maintain(later(2)).await.expect("kept in order").deleted_files, 1);
    assert_eq!(parquet_files(&table), 0);
    writer.commit(&position(5)).expect("encoded again");
    let view = committed(folder.path()).await;
    assert_eq!(numbers(&view.events), all(5));
    assert_eq!(parquet_files(&table), 1);
}
