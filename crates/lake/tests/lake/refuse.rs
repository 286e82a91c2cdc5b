//! What the lake will not do, and how it says so.

use std::fs;
use std::path::Path;

use event::Timestamp;
use lake::{Lake, LakeError, LakeSettings, LakeView, Sharing};

use crate::sample::{NOON, all, committed, events, numbers, open, position};

async fn refusal(folder: &Path) -> LakeError {
    match Lake::open(folder, &LakeSettings::default(), Sharing::Alone).await {
        Ok(_) => panic!("the lake opened"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, writer) = open(folder.path()).await;
    let error = refusal(folder.path()).await;
    let holder = format!("process {}", std::process::id());
    assert!(matches!(&error, LakeError::Locked { holder: by, .. } if *by == holder), "{error}");
    drop(lake);
    assert!(matches!(refusal(folder.path()).await, LakeError::Locked { .. }), "the writer has it");
    drop(writer);
    open(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_a_lake() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = LakeView::read(folder.path()).await.expect_err("there is none");
    assert!(matches!(error, LakeError::Absent(_)), "{error}");
    fs::create_dir(folder.path().join("events")).expect("a folder");
    fs::write(folder.path().join("events").join("notes.txt"), "mine").expect("a file");
    let error = refusal(folder.path()).await;
    assert!(matches!(error, LakeError::Foreign { .. }), "{error}");
    assert!(folder.path().join("events").join("notes.txt").exists(), "nothing is deleted");
}

/// Rewrites the schema in the first entry of the log of `events`.
fn edit_schema(folder: &Path, from: &str, to: &str) {
    let entry = folder.join("events").join("_delta_log").join(format!("{:020}.json", 0));
    let text = fs::read_to_string(&entry).expect("the first entry");
    assert!(text.contains(from), "{text}");
    fs::write(&entry, text.replace(from, to)).expect("edited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_newer_version_or_of_somebody_else() {
    let field = |name: &str| {
        format!("{{\\\"name\\\":\\\"{name}\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true")
    };
    let cases = [
        // A column we do not know; one that is gone; one of another type.
        (field("path"), format!("{},\\\"metadata\\\":{{}}}},{}", field("mood"), field("path"))),
        ("\\\"position\\\"".to_owned(), "\\\"place\\\"".to_owned()),
        (field("path"), field("path").replace("string", "long")),
    ];
    for (index, (from, to)) in cases.iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(open(folder.path()).await);
        edit_schema(folder.path(), from, to);
        let error = refusal(folder.path()).await;
        match index {
            0 => assert!(
                matches!(&error, LakeError::Newer { column, .. } if column == "mood"),
                "{error}"
            ),
            _ => assert!(matches!(error, LakeError::Foreign { .. }), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_an_older_version_gets_the_columns_it_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()).await);
    let lacking = "{\\\"name\\\":\\\"grant_id\\\",\\\"type\\\":\\\"string\\\",\
                   \\\"nullable\\\":true,\\\"metadata\\\":{}},";
    edit_schema(folder.path(), lacking, "");
    let (lake, mut writer) = open(folder.path()).await;
    writer.write(&events(0, 5, NOON)).expect("written");
    writer.commit(&position(5)).expect("committed");
    drop((lake, writer));
    assert_eq!(numbers(&committed(folder.path()).await.events), all(5));
    open(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()).await);
    edit_schema(folder.path(), "\"metaData\"", "\"metaDat");
    let error = refusal(folder.path()).await;
    assert!(matches!(error, LakeError::Damaged { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_goes_back_and_settings_that_cannot_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_lake, mut writer) = open(folder.path()).await;
    writer.commit(&position(9)).expect("committed");
    let error = writer.commit(&position(8)).expect_err("backwards");
    assert!(matches!(error, LakeError::Backwards { stored: 9, given: 8, .. }), "{error}");
    let settings = LakeSettings { vacuum_hours: 0, ..LakeSettings::default() };
    let error = Lake::open(folder.path(), &settings, Sharing::Alone).await.err().expect("refused");
    assert!(matches!(error, LakeError::Settings(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commits_of_another_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lake, mut writer) = open(folder.path()).await;
    let log = folder.path().join("events").join("_delta_log");
    let entry = |version: u64| log.join(format!("{version:020}.json"));
    fs::write(entry(1), "{\"commitInfo\":{\"timestamp\":1}}\n").expect("harmless");
    writer.write(&events(0, 5, NOON)).expect("written");
    assert_eq!(writer.commit(&position(5)).expect("after it").version, 2);
    fs::write(entry(3), "{\"txn\":{\"appId\":\"file/orders\",\"version\":1}}\n").expect("not so");
    writer.write(&events(5, 6, NOON)).expect("written");
    let error = writer.commit(&position(6)).expect_err("another writer");
    assert!(matches!(error, LakeError::Interfered { version: 3, .. }), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(numbers(&lake.view().events), all(6), "the rows are still here");
    lake.maintain(Timestamp(0)).await.expect("upkeep goes on");
}
