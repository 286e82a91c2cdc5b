//! What every source is, and the list of those there are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::EventId;
use open_set::{Entry, KindSettings, OneOf, OpenSet};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::file_source::FileSourceError;
use super::item::SourceItem;
use super::position::Position;
use super::settings::FileSourceSettings;
use super::stdin::StdinSettings;
use super::syslog_tcp::SyslogTcpSettings;

/// Every kind of source: a new one is a file beside these and its entry here.
const KINDS: &[Entry<dyn Kind>] = &[
    entry::<FileSourceSettings>(),
    entry::<StdinSettings>(),
    entry::<SyslogTcpSettings>(), // RFC 6587
];

/// The set of sources.
pub struct Sources;

impl OpenSet for Sources {
    type Kind = dyn Kind;

    const NOUN: &'static str = "source";

    const FIELDS: &'static str = "name, instance, log";

    fn kinds() -> &'static [Entry<dyn Kind>] {
        KINDS
    }
}

const fn entry<K: Kind + KindSettings + 'static>() -> Entry<dyn Kind> {
    Entry::new(K::NAME, |settings| Ok(Arc::new(K::deserialize(settings)?)))
}

/// Which source it is: the table of its kind in `[[sources]]`.
pub type SourceKind = OneOf<Sources>;

/// What the settings of each kind of source can do.
pub trait Kind: Send + Sync {
    /// What it reads, as the operator named it.
    fn places(&self) -> Vec<String>;

    /// What no second source can read beside it, if it is such a source.
    fn exclusive(&self) -> Option<String> {
        None
    }

    /// Refuses settings under which nothing could be read.
    fn check(&self) -> Result<(), WrongSetting>;

    /// Whether what it reads is there, and of a known format unless one is given; changes
    /// nothing.
    fn examine(&self, format: Option<&str>) -> Vec<Examined>;

    /// Starts the source.
    fn open(&self, start: Start<'_>) -> Result<Box<dyn Source>, SourceError>;
}

/// Something that yields bytes of streams, each with its key and offsets. It promises that the
/// bytes of one key follow one another, and that a position reads on with the same bytes.
///
/// A source that cannot read again what it was given (a pipe, a connection) spools it: it is
/// durable before the sender is rid of it.
pub trait Source: Send {
    /// What it yields; closed when it has ended.
    fn items(&mut self) -> &mut Receiver<SourceItem>;

    /// The record to persist when everything before `offset` of the stream `key` is durable.
    fn position(&self, key: EventId, offset: u64) -> Option<Position>;

    /// Whether the record of a stream is still of use: what it tells of is there, or may come
    /// back.
    fn wants(&self, position: &Position) -> bool;

    /// Takes note of what has been persisted, so that what is kept to be read again can go.
    fn persisted(&mut self, _positions: &[Position]) -> io::Result<()> {
        Ok(())
    }
}

/// A setting of a kind is wrong: its name within the table, what is wrong, and the cure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongSetting(pub String);

/// What `doctor` says of one place that a source reads.
pub struct Examined {
    /// The place, and what it holds.
    pub place: String,
    /// What is wrong there, with the cure.
    pub problem: Option<String>,
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
    pub instance: &'a str,
    /// A folder of its own, for what it must spool.
    pub spool: &'a Path,
    /// What was durable at last.
    pub positions: &'a [Position],
    /// Ends it.
    pub shutdown: CancellationToken,
}
