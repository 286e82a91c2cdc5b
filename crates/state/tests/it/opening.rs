//! Opening: private to its owner, whole after a crash, refused if a newer release wrote it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use event::Alert;
use event::alert::Severity;
use event::vocabulary::CaseChange;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, SqlSafeStr, SqliteConnection};
use state::{AlertFilter, State, StateError};

use crate::{alert, new_state, seconds};

#[tokio::test]
async fn files_are_their_owners() {
    let (folder, state) = new_state().await;
    let alerts = [alert(1, 1, Severity::Low)];
    state.record(&alerts, &[], |_| vec![], seconds(2)).await.expect("recorded");
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

/// A state as the first schema kept it: three alerts, one of which waits for its delivery.
async fn state_of_the_first_schema(path: &Path) {
    let address = format!("sqlite://{}?mode=rwc", path.display());
    let mut connection = SqliteConnection::connect(&address).await.expect("connected");
    let first = include_str!("../../migrations/0001_alerts_deliveries_tokens.sql");
    let first = Migration::new(
        1,
        "alerts, deliveries, tokens".into(),
        MigrationType::Simple,
        first.into_sql_str(),
        false,
    );
    let migrator = Migrator::with_migrations(vec![first]);
    migrator.run_direct(None, &mut connection, false).await.expect("migrated");
    for (second, rule) in [(1, "F01"), (2, "F08"), (3, "baseline.table")] {
        let whole = Alert {
            rule: rule.into(),
            title: "O'Brien's \"dump\"".into(),
            ..alert(second as u64, second, Severity::High)
        };
        let mut body = serde_json::to_value(&whole).expect("JSON");
        for field in ["case_id", "change", "family", "cause", "models"] {
            body.as_object_mut().expect("an object").remove(field).expect("is there");
        }
        sqlx::query(
            "INSERT INTO alerts (id, time, recorded, rule, severity, instance, search, body) \
             VALUES ($1, $2, $2, $3, 2, 'orders', '', $4)",
        )
        .bind(whole.id.to_string())
        .bind(whole.time.0)
        .bind(rule)
        .bind(body.to_string())
        .execute(&mut connection)
        .await
        .expect("inserted");
    }
    sqlx::raw_sql(
        "INSERT INTO deliveries SELECT id, 'soc', 2, time, time, 'pending', 0, time, 0 \
         FROM alerts WHERE rule = 'F01'",
    )
    .execute(&mut connection)
    .await
    .expect("inserted");
    connection.close().await.expect("closed");
}

#[tokio::test]
async fn older_schema_is_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.sqlite");
    state_of_the_first_schema(&path).await;
    let state = State::open(&path).await.expect("opened");
    let page = state.alerts(&AlertFilter::default(), 9, None).await.expect("a page");
    let families: Vec<_> = page.alerts.iter().map(|it| (&*it.rule, it.family.as_str())).collect();
    assert_eq!(
        families,
        [("baseline.table", "behaviour"), ("F08", "impact"), ("F01", "exfiltration")]
    );
    let oldest = &page.alerts[2];
    assert_eq!((oldest.case_id, oldest.change), (oldest.id, CaseChange::Opened));
    assert_eq!(oldest.title, "O'Brien's \"dump\"");
    let filter = AlertFilter { case: Some(oldest.id), ..Default::default() };
    let found = state.alerts(&filter, 9, None).await.expect("a page").alerts;
    assert_eq!(found.first(), Some(oldest));
    assert_eq!(state.pending("soc").await.expect("counted"), 1, "its delivery still waits");
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
    state.record(&alerts, &[], |_| vec!["soc".into()], seconds(2)).await.expect("recorded");
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
