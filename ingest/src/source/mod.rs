//! Where bytes come from: files that grow, are rotated, truncated, compressed and removed; pipes
//! and connections, which are spooled.
//!
//! # Layout
//!
//! - [`Source`], [`SourceKind`]: what every source is, and the list of them; [`Position`]: how far
//!   one is read.
//! - `stdin`, `syslog_tcp`: sources that spool what they receive; `spool`, `received`: how that is
//!   kept and read.
//! - [`FileSource`]: the thread that follows files, and its channel of [`SourceItem`]s.
//! - [`FileSet`]: its synchronous core. `reconcile` looks at the file system, `recognise` tells
//!   which content a file holds.
//! - [`FilePositions`], [`FilePosition`]: how far each content is read, for the caller to keep.
//! - [`FileSourceSettings`]: what the operator says.
//!
//! The source promises that the bytes of one key follow one another without hole or overlap, that
//! the same key and offset never come with other bytes, and that what it cannot read it reports.
//!
//! One window it cannot close: what is written to a file between the last read and a truncation
//! (`copytruncate`) is only there if the copy has it and stands beside the file.

mod content;
mod file_position;
mod file_set;
mod file_source;
mod item;
mod kind;
mod order;
mod position;
mod progress;
mod received;
mod recognise;
mod reconcile;
mod selection;
mod settings;
mod spool;
mod stdin;
mod stream;
mod syslog_tcp;
mod watch;

#[cfg(test)]
mod tests;

pub use file_position::{FilePosition, FilePositions};
pub use file_set::FileSet;
pub use file_source::{FileSource, FileSourceError};
pub use item::{Notice, SourceData, SourceItem};
pub use kind::{Examined, Kind, Source, SourceError, SourceKind, Sources, Start, WrongSetting};
pub use position::Position;
pub use progress::FileProgress;
pub use selection::SelectionError;
pub use settings::{FileSourceMode, FileSourceSettings};
pub use spool::SpoolPosition;
pub use stdin::StdinSettings;
pub use syslog_tcp::SyslogTcpSettings;
