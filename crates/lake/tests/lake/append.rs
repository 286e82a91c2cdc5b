//! Rows appear once, at once, and stay, whatever is committed or merged meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lake::LakeSettings;

use crate::sample::{NOON, all, committed, events, numbers, open, open_with, position, rejects};

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_positions_are_committed_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = open(folder.path()).await;
    writer.write(&events(0, 100, NOON)).expect("written");
    writer.reject(&rejects(0, 3)).expect("written");
    assert_eq!(numbers(&lake.view().events), all(100), "rows are seen before the commit");
    assert!(committed(folder.path()).await.events.files.is_empty());

    let done = writer.commit(&position(100)).expect("committed");
    assert_eq!((done.version, done.events, done.rejects), (1, 100, 3));
    let view = lake.view();
    assert!(view.events.hot.is_empty() && view.rejects.hot.is_empty());
    let other = committed(folder.path()).await;
    for view in [&view, &other] {
        assert_eq!(numbers(&view.events), all(100));
        assert_eq!(numbers(&view.rejects), all(3));
    }
    assert_eq!(view.events.files, other.events.files, "both ways tell the same of the files");

    let again = writer.commit(&position(100)).expect("nothing to do");
    assert_eq!(again.version, done.version);
    let moved = writer.commit(&position(120)).expect("committed without rows");
    assert_eq!(moved.version, 2);
    drop((lake, writer));
    let (lake, _) = open(folder.path()).await;
    assert_eq!(lake.positions().get("file/orders"), Some(&120));
    let rejected = lake.reject_positions();
    assert_eq!(rejected.get("file/orders"), Some(&100), "no reject came after");
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_outlive_checkpoints_of_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = LakeSettings { checkpoint_commits: 3, ..LakeSettings::default() };
    let (lake, mut writer) = open_with(folder.path(), &settings).await;
    for number in 0..8 {
        writer.write(&events(number, number + 1, NOON)).expect("written");
        let name = format!("bus/{number}");
        writer.commit(&[(name, number)]).expect("committed");
        lake.maintain(NOON).await.expect("kept in order");
    }
    let before = lake.positions();
    drop((lake, writer));
    let (lake, _) = open_with(folder.path(), &settings).await;
    assert_eq!(lake.positions(), before);
    assert_eq!(before.len(), 8, "{before:?}");
    assert_eq!(numbers(&lake.view().events), all(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_due_by_rows_or_by_age() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = LakeSettings { commit_rows_max: 20, ..LakeSettings::default() };
    let (_, mut writer) = open_with(folder.path(), &settings).await;
    let later = Instant::now() + Duration::from_secs(60);
    assert!(!writer.is_due(later), "there is nothing to commit");
    writer.write(&events(0, 10, NOON)).expect("written");
    assert!(!writer.is_due(Instant::now()));
    assert!(writer.is_due(later));
    writer.write(&events(10, 20, NOON)).expect("written");
    assert!(writer.is_due(Instant::now()));
    writer.commit(&position(20)).expect("committed");
    assert!(!writer.is_due(later));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_gone_wild_costs_no_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = open(folder.path()).await;
    for number in 0..40 {
        let day = event::Timestamp(number * 86_400_000_000 * 1_000);
        writer.write(&events(number, number + 1, day)).expect("written");
    }
    for (number, time) in [(40, i64::MAX - 100_000_000), (41, i64::MIN + 100_000_000)] {
        writer.write(&events(number, number + 1, event::Timestamp(time))).expect("written");
    }
    writer.commit(&position(42)).expect("committed");
    assert_eq!(numbers(&lake.view().events), all(42));
    assert_eq!(numbers(&committed(folder.path()).await.events), all(42));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_is_whole_while_rows_are_written_committed_and_merged() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = LakeSettings { compact_files_min: 3, ..LakeSettings::default() };
    let (lake, mut writer) = open_with(folder.path(), &settings).await;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..60 {
                let (from, to) = (number * 50, (number + 1) * 50);
                writer.write(&events(from, to, NOON)).expect("written");
                if number % 2 == 1 {
                    writer.commit(&position(to)).expect("committed");
                }
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            while !done.load(Ordering::Acquire) {
                runtime.block_on(lake.maintain(NOON)).expect("kept in order");
            }
        });
        let mut seen = 0;
        while !done.load(Ordering::Acquire) {
            let numbers = numbers(&lake.view().events);
            assert_eq!(numbers, all(numbers.len() as i64), "no row twice, none missing");
            assert!(numbers.len() >= seen, "no row goes");
            seen = numbers.len();
        }
    });
    assert_eq!(numbers(&lake.view().events), all(3_000));
    assert_eq!(numbers(&committed(folder.path()).await.events), all(3_000));
}
