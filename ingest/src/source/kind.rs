//! What every source is, and the list of those there are.
//!
//! A source that cannot read again what it was given (a pipe, a connection) spools it: the bytes go
//! to files and are durable before the sender is rid of them, and those files are followed.

use std::io;
use std::path::{Path, PathBuf};

use event::EventId;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::file_source::{FileSource, FileSourceError};
use super::item::SourceItem;
use super::position::FilePosition;
use super::settings::{FileSourceMode, FileSourceSettings};
use super::spool::{self, Spool};
use super::stdin::StdinSettings;
use super::syslog_tcp::SyslogTcpSettings;

/// How far one stream of a source has been read; what it means depends on the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Position {
    /// An offset in a file, which is recognised by its content.
    File(FilePosition),
    /// The next number of a stream that numbers what it gives.
    Sequence {
        /// Key of the stream.
        stream: EventId,
        /// Everything before is durable.
        next: u64,
    },
    /// An offset in an object of a store.
    Object {
        /// Key of the object's stream.
        stream: EventId,
        /// Name of the object.
        object: String,
        /// Everything before is durable.
        offset: u64,
    },
    /// An offset in a partition of a topic.
    Topic {
        /// Key of the partition's stream.
        stream: EventId,
        /// Number of the partition.
        partition: u32,
        /// Everything before is durable.
        offset: u64,
    },
}

impl Position {
    /// The key of the stream, of which event ids derive.
    pub fn key(&self) -> EventId {
        match self {
            Self::File(position) => position.key,
            Self::Sequence { stream, .. }
            | Self::Object { stream, .. }
            | Self::Topic { stream, .. } => *stream,
        }
    }

    /// The position in a file, if it is one.
    pub fn into_file(self) -> Option<FilePosition> {
        match self {
            Self::File(position) => Some(position),
            _ => None,
        }
    }
}

/// Something that yields bytes of streams, each with its key and position. It promises that the
/// bytes of one key follow one another, and that a position reads on with the same bytes.
pub trait Source: Send {
    /// What it yields; closed when it has ended.
    fn items(&mut self) -> &mut Receiver<SourceItem>;

    /// The record to persist when everything before `offset` of the stream `key` is durable.
    fn position(&self, key: EventId, offset: u64) -> Option<Position>;

    /// Takes note of what has been persisted, so that what is kept to be read again can go.
    fn persisted(&mut self, positions: &[Position]) -> io::Result<()>;
}

/// Which source it is, with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Files that grow and are rotated.
    Files(FileSourceSettings),
    /// What is piped into the program.
    Stdin(StdinSettings),
    /// Syslog over TCP.
    SyslogTcp(SyslogTcpSettings),
}

/// A source could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Of files.
    #[error(transparent)]
    Files(#[from] FileSourceError),
    /// Its spool cannot be written.
    #[error("the spool {}: {error}; make it writable", folder.display())]
    Spool {
        /// The spool's folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It cannot receive.
    #[error("{what}: {error}")]
    Receive {
        /// What was to be done.
        what: String,
        /// What the system says.
        error: io::Error,
    },
}

/// Where a source begins, and what it may use.
pub struct Start<'a> {
    /// Name of the server that it is of; part of every key.
    pub name: &'a str,
    /// A folder of its own, for what it must spool.
    pub spool: &'a Path,
    /// What was durable at last.
    pub positions: &'a [FilePosition],
    /// Whether more is to come.
    pub mode: FileSourceMode,
    /// Ends it.
    pub shutdown: CancellationToken,
}

impl SourceKind {
    /// What it reads, as the operator named it.
    pub fn places(&self) -> Vec<String> {
        match self {
            Self::Files(settings) => settings.paths.clone(),
            Self::Stdin(_) => vec!["standard input".to_owned()],
            Self::SyslogTcp(settings) => vec![format!("syslog over TCP at {}", settings.listen)],
        }
    }

    /// Whether it keeps what it receives in files until that is read.
    pub fn is_spooled(&self) -> bool {
        !matches!(self, Self::Files(_))
    }

    /// Starts the source.
    pub fn open(&self, start: Start<'_>) -> Result<Box<dyn Source>, SourceError> {
        let open = |bytes_max| {
            let folder = start.spool.to_owned();
            let spool = Spool::open(&folder, bytes_max);
            spool.map_err(|error| SourceError::Spool { folder, error })
        };
        let (files, spool) = match self {
            Self::Files(settings) => (settings.clone(), None),
            Self::Stdin(settings) => {
                settings.start(open(settings.spool_bytes_max)?, &start.shutdown)?;
                (spooled(start.spool), Some(start.spool.to_owned()))
            }
            Self::SyslogTcp(settings) => {
                settings.start(open(settings.spool_bytes_max)?, &start.shutdown)?;
                (spooled(start.spool), Some(start.spool.to_owned()))
            }
        };
        let Start { name, positions, mode, shutdown, .. } = start;
        let (files, items) = FileSource::spawn(files, name, positions, mode, shutdown)?;
        Ok(Box::new(Followed { files, items, spool }))
    }
}

/// How the files of a spool are followed.
fn spooled(folder: &Path) -> FileSourceSettings {
    FileSourceSettings {
        paths: vec![folder.to_string_lossy().into_owned()],
        ..FileSourceSettings::default()
    }
}

/// Files that are followed: those of the operator, or those of a spool.
struct Followed {
    files: FileSource,
    items: Receiver<SourceItem>,
    spool: Option<PathBuf>,
}

impl Source for Followed {
    fn items(&mut self) -> &mut Receiver<SourceItem> {
        &mut self.items
    }

    fn position(&self, key: EventId, offset: u64) -> Option<Position> {
        self.files.position(key, offset).map(Position::File)
    }

    fn persisted(&mut self, positions: &[Position]) -> io::Result<()> {
        let Some(folder) = &self.spool else { return Ok(()) };
        let files = positions.iter().cloned().filter_map(Position::into_file);
        spool::remove_read(folder, &files.collect::<Vec<_>>())
    }
}
