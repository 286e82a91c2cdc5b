//! Those who only look on, and those who were away for days: the newest state, at little cost.

use std::fs;
use std::path::Path;

use lake::{LakeError, LakeReader, LakeSettings};

use crate::sample::{NOON, SOURCE, all, events, later, numbers, position, rejects, share};

fn settings() -> LakeSettings {
    LakeSettings { compact_files_min: 3, checkpoint_commits: 4, ..LakeSettings::default() }
}

/// What the clean-up of the log does after two days.
fn clean_up(table: &Path) {
    let log = table.join("_delta_log");
    let names = || fs::read_dir(&log).expect("a log").map(|entry| entry.expect("one").file_name());
    let number = |name: &str, end: &str| name.strip_suffix(end)?.parse::<u64>().ok();
    let names: Vec<_> = names().filter_map(|name| name.into_string().ok()).collect();
    let checkpoints = names.iter().filter_map(|name| number(name, ".checkpoint.parquet"));
    let newest = checkpoints.max().expect("a checkpoint");
    for name in &names {
        if number(name, ".json").is_some_and(|version| version < newest) {
            fs::remove_file(log.join(name)).expect("deleted");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_follows_commits_merges_and_clean_ups() {
    let folder = tempfile::tempdir().expect("a folder");
    let absent = LakeReader::open(folder.path()).await.err().expect("there is none");
    assert!(matches!(absent, LakeError::Absent(_)), "{absent}");
    let (lake, mut writer) = share(folder.path(), &settings()).await;
    writer.claim(SOURCE).expect("claimed");
    let reader = LakeReader::open(folder.path()).await.expect("a lake");
    reader.follow().expect("nothing is new");
    for number in 0..20 {
        writer.write(&events(number, number + 1, NOON)).expect("written");
        writer.reject(&rejects(number, number + 1)).expect("written");
        writer.commit(&position(number + 1)).expect("committed");
        let old = reader.view();
        reader.follow().expect("followed");
        assert_eq!(numbers(&old.events), all(number), "a view does not change");
        assert_eq!(numbers(&reader.view().events), all(number + 1));
        assert_eq!(numbers(&reader.view().rejects), all(number + 1));
        assert_eq!(reader.positions().get(SOURCE), Some(&(number + 1)));
        if number % 5 == 4 {
            let done = lake.maintain(later(0)).await.expect("kept in order");
            assert!(done.merged_files > 0 && done.checkpoints > 0, "{done:?}");
        }
    }
    reader.follow().expect("followed");
    assert_eq!(reader.view().events.files, lake.view().events.files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_and_a_writer_that_were_away_for_days() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = share(folder.path(), &settings()).await;
    writer.claim(SOURCE).expect("claimed");
    writer.write(&events(0, 5, NOON)).expect("written");
    writer.commit(&position(5)).expect("committed");
    let reader = LakeReader::open(folder.path()).await.expect("a lake");
    let (away, mut other) = share(folder.path(), &settings()).await;
    other.claim("bus/1").expect("claimed");
    other.write(&events(1_000, 1_003, NOON)).expect("written");
    for number in 5..20 {
        writer.write(&events(number, number + 1, NOON)).expect("written");
        writer.commit(&position(number + 1)).expect("committed");
        lake.maintain(later(0)).await.expect("kept in order");
    }
    clean_up(&folder.path().join("events"));

    // An entry where the clean-up left a gap would be lost: nobody reads it.
    let version = lake.view().events.version;
    let done = other.commit(&[("bus/1".to_owned(), 3)]).expect("committed");
    assert_eq!(done.version, version + 1);
    lake.follow().expect("followed");
    reader.follow().expect("read anew");
    let expected: Vec<_> = (0..20).chain(1_000..1_003).collect();
    for view in [lake.view(), reader.view(), away.view()] {
        assert_eq!(numbers(&view.events), expected);
    }
    assert_eq!(away.positions().get(SOURCE), Some(&20));
    let deleted = away.maintain(later(3)).await.expect("kept in order").deleted_files;
    assert!(deleted > 0, "it knows what others merged while it was away");
    assert_eq!(numbers(&lake.view().events), expected);
}
