//! Who may move a position, and what becomes of the rows of those who may no more.

use lake::{Claim, LakeError, LakeSettings};

use crate::sample::{NOON, SOURCE, all, committed, events, numbers, position, rejects, share};

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_taken_over_while_rows_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = LakeSettings::default();
    let (lake, mut first) = share(folder.path(), &settings).await;
    let (_, mut second) = share(folder.path(), &settings).await;
    let nothing = Claim { events: None, rejects: None };
    assert_eq!(first.claim(SOURCE).expect("claimed"), nothing);
    first.write(&events(0, 10, NOON)).expect("written");
    first.reject(&rejects(0, 2)).expect("written");
    assert_eq!(second.claim(SOURCE).expect("claimed"), nothing, "nothing is committed yet");
    second.write(&events(0, 7, NOON)).expect("written");
    second.reject(&rejects(0, 1)).expect("written");
    second.commit(&position(7)).expect("it is first");

    for _ in 0..2 {
        let error = first.commit(&position(10)).expect_err("it is second");
        assert!(matches!(&error, LakeError::Superseded { name, .. } if name == SOURCE), "{error}");
        assert!(!error.is_retryable());
    }
    assert_eq!(numbers(&committed(folder.path()).await.events), all(7));
    assert_eq!(numbers(&committed(folder.path()).await.rejects), all(1));
    assert_eq!(lake.status().superseded, 2);
    let error = first.claim(SOURCE).expect_err("its rows are of another claim");
    assert!(matches!(error, LakeError::Waiting(_)), "{error}");
    first.discard();
    assert_eq!(numbers(&lake.view().events), all(7), "the view is whole again");
    assert_eq!(lake.status().problem, None);
    let claim = first.claim(SOURCE).expect("claimed");
    assert_eq!(claim, Claim { events: Some(7), rejects: Some(7) });
    first.write(&events(7, 20, NOON)).expect("written");
    first.reject(&rejects(1, 4)).expect("written");
    first.commit(&position(20)).expect("committed");
    second.write(&events(7, 8, NOON)).expect("written");
    assert!(matches!(second.commit(&position(8)), Err(LakeError::Superseded { .. })));
    let view = committed(folder.path()).await;
    assert_eq!((numbers(&view.events), numbers(&view.rejects)), (all(20), all(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_rejects_and_events_gives_each_reject_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = LakeSettings::default();
    let (lake, mut first) = share(folder.path(), &settings).await;
    let (_, mut early) = share(folder.path(), &settings).await;
    first.claim(SOURCE).expect("claimed");
    early.claim(SOURCE).expect("claimed, before the crash");
    first.write(&events(0, 10, NOON)).expect("written");
    first.reject(&rejects(0, 10)).expect("written");
    std::fs::remove_dir_all(folder.path().join("events").join("date=2026-11-21")).expect("gone");
    first.commit(&position(10)).expect_err("the file of the events has no folder");
    drop((first, lake));

    // Whoever claimed before does not know of the rejects, and learns it before it doubles them.
    early.write(&events(0, 12, NOON)).expect("written");
    early.reject(&rejects(0, 12)).expect("written");
    let error = early.commit(&position(12)).expect_err("rejects were stored");
    let table = |error: &LakeError| match error {
        LakeError::Superseded { table, .. } => Some(*table),
        _ => None,
    };
    assert_eq!(table(&error), Some("rejects"), "{error}");
    early.discard();
    let claim = early.claim(SOURCE).expect("claimed");
    assert_eq!(claim, Claim { events: None, rejects: Some(10) });
    early.write(&events(0, 5, NOON)).expect("written");
    early.commit(&position(5)).expect("rejects stay ahead");
    early.write(&events(5, 12, NOON)).expect("written");
    early.reject(&rejects(10, 12)).expect("written, from where the claim said");
    early.commit(&position(12)).expect("committed");
    let view = committed(folder.path()).await;
    assert_eq!((numbers(&view.events), numbers(&view.rejects)), (all(12), all(12)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_claimed_is_not_moved() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = share(folder.path(), &LakeSettings::default()).await;
    writer.write(&events(0, 1, NOON)).expect("written");
    let error = writer.commit(&position(1)).expect_err("not claimed");
    assert!(matches!(error, LakeError::Unclaimed(_)), "{error}");
    writer.claim(SOURCE).expect("claimed");
    let error = writer.release(SOURCE).expect_err("a row waits");
    assert!(matches!(error, LakeError::Waiting(_)), "{error}");
    writer.commit(&position(5)).expect("committed");
    let error = writer.commit(&position(4)).expect_err("backwards");
    assert!(matches!(error, LakeError::Backwards { stored: 5, given: 4, .. }), "{error}");
    writer.release(SOURCE).expect("released");
    assert!(matches!(writer.commit(&position(6)), Err(LakeError::Unclaimed(_))));
    assert_eq!(lake.positions().get(SOURCE), Some(&5));
}
