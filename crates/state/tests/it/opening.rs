//! Opening: private to its owner, whole after a crash, refused if a newer release wrote it.

use std::os::unix::fs::PermissionsExt;

use event::alert::Severity;
use sqlx::{Connection, SqliteConnection};
use state::{AlertFilter, State, StateError};

use crate::{alert, new_state, seconds};

#[tokio::test]
async fn files_are_their_owners() {
    let (folder, state) = new_state().await;
    let alerts = [alert(1, 1, Severity::Low)];
    state.record_alerts(&alerts, |_| vec![], seconds(2)).await.expect("recorded");
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
        files += 1;
    }
    assert_eq!(files, 4, "the file, its log, the log's index, and the lock of a start");
}

#[tokio::test]
async fn newer_schema_is_refused() {
    let (folder, state) = new_state().await;
    state.close().await;
    let path = folder.path().join("state.sqlite");
    let address = format!("sqlite://{}", path.display());
    let mut connection = SqliteConnection::connect(&address).await.expect("connected");
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'later', TRUE, x'00', 0)",
    )
    .execute(&mut connection)
    .await
    .expect("inserted");
    connection.close().await.expect("closed");
    let error = State::open(&path).await.expect_err("newer");
    assert!(matches!(error, StateError::Newer { found: 999, .. }), "{error}");
    assert!(error.to_string().contains("newer release"), "{error}");
}

#[tokio::test]
async fn what_is_no_database_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.sqlite");
    std::fs::write(&path, [7; 4_096]).expect("written");
    State::open(&path).await.expect_err("not a database");
    assert_eq!(std::fs::read(&path).expect("read"), [7; 4_096], "left as it was");
}

#[tokio::test]
async fn copy_of_a_living_state_holds_what_was_acknowledged() {
    let (folder, state) = new_state().await;
    let alerts = [alert(1, 1, Severity::Low), alert(2, 2, Severity::High)];
    state.record_alerts(&alerts, |_| vec!["soc".into()], seconds(2)).await.expect("recorded");
    // What a killed process leaves: the file and its log, without the log's index.
    let after = tempfile::tempdir().expect("a folder");
    for name in ["state.sqlite", "state.sqlite-wal"] {
        std::fs::copy(folder.path().join(name), after.path().join(name)).expect("copied");
    }
    let revived = State::open(&after.path().join("state.sqlite")).await.expect("opened");
    let page = revived.alerts(&AlertFilter::default(), 9, None).await.expect("a page");
    assert_eq!(page.alerts.len(), 2);
    assert_eq!(revived.pending("soc").await.expect("counted"), 2);
}
