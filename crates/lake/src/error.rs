//! What can go wrong with the lake, split by what the caller does: try again, or stop and tell.

use std::io;
use std::path::{Path, PathBuf};

use arrow_schema::ArrowError;
use deltalake_core::DeltaTableError;
use parquet::errors::ParquetError;

/// Why the lake could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A setting under which the lake could not work.
    #[error("lake settings: {0}")]
    Settings(&'static str),
    /// Another process writes the folder, and one of them does not share it.
    #[error(
        "the lake in {folder} is being written by {holder}: \
         stop it, or choose another data folder (processes share a lake over Kafka only)"
    )]
    Locked {
        /// The lake's folder.
        folder: PathBuf,
        /// Who holds it, as far as it said.
        holder: String,
    },
    /// There is no lake to read.
    #[error("there is no lake in {0}: run `querywatch run` or `querywatch ingest` first")]
    Absent(PathBuf),
    /// The folder holds something that is not ours.
    #[error("{folder} is not a table of this lake ({what}): choose another data folder")]
    Foreign {
        /// The table's folder.
        folder: PathBuf,
        /// What was found.
        what: String,
    },
    /// The table was written by a newer version.
    #[error(
        "{folder} was written by a newer version (it has the column `{column}`): \
         install that version, or choose another data folder"
    )]
    Newer {
        /// The table's folder.
        folder: PathBuf,
        /// A column that this version does not know.
        column: String,
    },
    /// The log of the table cannot be read.
    #[error("the log of {folder} cannot be read, restore it from a backup: {source}")]
    Damaged {
        /// The table's folder.
        folder: PathBuf,
        /// What the Delta library says.
        source: Box<DeltaTableError>,
    },
    /// Somebody else changed the table in a way the writer cannot follow.
    #[error(
        "another program changed {folder} at version {version} ({what}): \
         keep it from writing there, then restart"
    )]
    Interfered {
        /// The table's folder.
        folder: PathBuf,
        /// The version that it wrote.
        version: u64,
        /// What it did.
        what: &'static str,
    },
    /// The disk does not keep what it is given; only a restart shows what is there.
    #[error("{path} could not be made durable, check the disk and restart: {source}")]
    Fenced {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another writer moved a claimed position. Nothing of the commit entered `events`.
    #[error(
        "another process has taken over `{name}` (its position in `{table}` is {}, not {}): \
         discard what waits, and claim it again if it is still assigned",
        shown(*.found), shown(*.expected)
    )]
    Superseded {
        /// Name of the position.
        name: String,
        /// The table in which it was moved.
        table: &'static str,
        /// Where this writer left it, if anywhere.
        expected: Option<i64>,
        /// Where it is.
        found: Option<i64>,
    },
    /// A commit in a shared lake moves a position that nobody claimed.
    #[error("the position `{0}` is not claimed: claim it before its rows are written")]
    Unclaimed(String),
    /// A commit moves a position back.
    #[error(
        "the position `{name}` would go back from {stored} to {given}: \
         read on from where it is stored"
    )]
    Backwards {
        /// Name of the position.
        name: String,
        /// Where it is.
        stored: i64,
        /// Where the commit would move it.
        given: i64,
    },
    /// A claim cannot change hands while rows wait.
    #[error("rows still wait while `{0}` is claimed or released: commit or discard them first")]
    Waiting(String),
    /// A compaction is under way already.
    #[error("the lake is being compacted already: wait until it is done")]
    Busy,
    /// A file could not be read or written; trying again may help.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A Parquet file could not be read or written; trying again may help.
    #[error("{path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the library says.
        source: ParquetError,
    },
    /// Columns could not be converted.
    #[error("columns could not be converted: {0}")]
    Arrow(#[from] ArrowError),
    /// The Delta library failed.
    #[error("delta table: {0}")]
    Delta(#[from] Box<DeltaTableError>),
}

impl LakeError {
    /// Whether the same call may succeed later: a full disk, a mount that went away.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Parquet { .. } | Self::Busy)
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn parquet(path: &Path) -> impl FnOnce(ParquetError) -> Self {
        let path = path.to_owned();
        move |source| Self::Parquet { path, source }
    }

    pub(crate) fn damaged(folder: &Path) -> impl FnOnce(DeltaTableError) -> Self {
        let folder = folder.to_owned();
        move |source| Self::Damaged { folder, source: Box::new(source) }
    }
}

fn shown(position: Option<i64>) -> String {
    position.map_or_else(|| "none".to_owned(), |position| position.to_string())
}

impl From<DeltaTableError> for LakeError {
    fn from(error: DeltaTableError) -> Self {
        Self::Delta(Box::new(error))
    }
}
