//! The database: opened, migrated, and written by one connection at a time.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use event::EventId;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Pool, SqlSafeStr, Transaction};

/// The database behind the state.
pub(crate) type Engine = sqlx::Sqlite;

/// Alerts, cases, decisions, deliveries and tokens. Cheap to clone; clones share the connections.
///
/// What a method has written when it returns survives the loss of power.
#[derive(Clone, Debug)]
pub struct State {
    read: Pool<Engine>,
    write: Pool<Engine>,
}

/// Why the state could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file could not be created or protected.
    #[error("cannot prepare {}: {source}; check the folder's owner and free space", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Written by a newer release.
    #[error(
        "{} was written by a newer release (its schema {found}, ours {known}); \
         start that release, or restore the copy made before the upgrade", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version of its schema.
        found: i64,
        /// Newest version that this release knows.
        known: i64,
    },
    /// A step from an older schema failed, or an applied one is not the one we know.
    #[error("cannot bring {} to the current schema: {source}; restore a copy", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: MigrateError,
    },
    /// The database refused or failed.
    #[error("the state database failed: {0}; check free space and the health of the disk")]
    Database(#[from] sqlx::Error),
    /// A stored alert, case or decision is not one that this release can read.
    #[error("what is stored as {id} cannot be read: {reason}; restore the state from a copy")]
    Unreadable {
        /// Its id.
        id: EventId,
        /// What its text lacks.
        reason: String,
    },
}

/// Every step from an empty file to the current schema, oldest first.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "alerts, deliveries, tokens",
        include_str!("../migrations/0001_alerts_deliveries_tokens.sql"),
    ),
    (2, "cases, decisions", include_str!("../migrations/0002_cases_decisions.sql")),
];

impl StateError {
    pub(crate) fn unreadable(id: EventId, error: &serde_json::Error) -> Self {
        Self::Unreadable { id, reason: error.to_string() }
    }
}

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that answer questions.
const READERS: u32 = 4;

impl State {
    /// Opens the file, creates it readable by its owner alone, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StateError> {
        protect(path).map_err(|source| StateError::File { path: path.to_owned(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            // Statements hold what attackers wrote: none of it goes to our own log.
            .disable_statement_logging();
        // SQLite has one writer. Waiting for it in a queue is faster than in its busy loop.
        let write = {
            // Of processes that start at once on a new file, one makes it.
            let _one_at_a_time = starting(path).await?;
            let write = pool(1).connect_with(options.clone()).await?;
            migrate(path, &write).await?;
            write
        };
        let reading = options.pragma("query_only", "ON");
        let read = pool(READERS).connect_with(reading).await?;
        Ok(Self { read, write })
    }

    /// Waits for running statements and closes the file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    pub(crate) fn reader(&self) -> &Pool<Engine> {
        &self.read
    }

    pub(crate) fn writer(&self) -> &Pool<Engine> {
        &self.write
    }

    /// A transaction that may write from its first statement.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Engine>, StateError> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }
}

fn pool(connections_max: u32) -> SqlitePoolOptions {
    let pool = SqlitePoolOptions::new().max_connections(connections_max);
    // A file does not go away like a server does: connections live, and need no probe.
    pool.idle_timeout(None).max_lifetime(None).test_before_acquire(false)
}

/// Creates the file if there is none; in any case only its owner may read or write it.
/// SQLite gives its side files the same mode.
fn protect(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// A lock that the system drops with the file.
async fn starting(path: &Path) -> Result<fs::File, StateError> {
    let path = path.with_extension("lock");
    let locked = tokio::task::spawn_blocking({
        let path = path.clone();
        move || {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
            file.lock().map(|()| file)
        }
    });
    let locked = locked.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    locked.map_err(|source| StateError::File { path, source })
}

async fn migrate(path: &Path, write: &Pool<Engine>) -> Result<(), StateError> {
    let steps = MIGRATIONS.iter().map(|&(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let known = MIGRATIONS.iter().map(|step| step.0).max().unwrap_or(0);
    let outcome = Migrator::with_migrations(steps.collect()).run(write).await;
    outcome.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known => {
            StateError::Newer { path: path.to_owned(), found, known }
        }
        source => StateError::Migrate { path: path.to_owned(), source },
    })
}
