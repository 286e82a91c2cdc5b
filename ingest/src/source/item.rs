//! What the file source hands on: bytes, and what there is to say about files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use event::EventId;
use thiserror::Error;

/// One thing that the source has to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceItem {
    /// The next bytes of a file.
    Data(SourceData),
    /// Everything known is read to its present end; sent once until there is data again.
    Idle,
    /// Something the operator should know of a file.
    Notice(Notice),
    /// All files are read; only in `ReadToEnd` mode, and the last item.
    Finished,
}

/// Bytes of one content. For one key they follow one another without hole or overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceData {
    /// The content, whatever the file is called.
    pub key: EventId,
    /// Where the bytes were read.
    pub path: Arc<Path>,
    /// Offset of the first byte, in the decompressed content.
    pub offset: u64,
    /// May be empty, to bring `end_of_file`.
    pub bytes: Bytes,
    /// The content is complete: compressed, rotated away and drained, or read to its end once.
    /// Should it grow nevertheless, it is resumed with a notice.
    pub end_of_file: bool,
}

/// What happened to a file. `Display` says it in words, with the cure where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the message of each variant names its fields")]
pub enum Notice {
    /// A content not seen before; its position record should be kept from now on.
    #[error("{}: new file, read from its start", path.display())]
    Found { key: EventId, path: Arc<Path> },
    /// Reading goes on: after a restart, in a copy, or in a file that was complete.
    #[error("{}: read on from byte {offset}", path.display())]
    Resumed { key: EventId, path: Arc<Path>, offset: u64 },
    /// The same content is known under another name and is not read again.
    #[error("{}: same content as {}, not read again", path.display(), of.display())]
    Copy { key: EventId, path: Arc<Path>, of: Arc<Path> },
    /// The path names another file now, or none; the open file is drained first.
    #[error("{}: renamed or replaced; what is left of it is read first", path.display())]
    Rotated { key: EventId, path: Arc<Path>, offset: u64 },
    /// The file was deleted; what is left of it is read through the open descriptor.
    #[error("{}: deleted; what is left of it is read first", path.display())]
    Removed { key: EventId, path: Arc<Path>, offset: u64 },
    /// The file was cut or overwritten. `unread_bytes` were seen there and not read; a copy is
    /// looked for. What was written and cut between two looks cannot be counted.
    #[error("{}: truncated after {offset} bytes were read, {unread_bytes} were not; rotate by \
             renaming, because copying and truncating can lose lines", path.display())]
    Truncated { key: EventId, path: Arc<Path>, offset: u64, unread_bytes: u64 },
    /// A content ended without its end having been seen.
    #[error("{}: gone after {offset} bytes were read, at least {unread_bytes} were not; keep \
             rotated files in their folder until they are read", path.display())]
    Lost { key: EventId, path: Arc<Path>, offset: u64, unread_bytes: u64 },
    /// A file or folder cannot be read; reported once and tried again.
    #[error("{}: cannot be read: {problem}; {cure}", path.display())]
    Unreadable { path: PathBuf, problem: String, cure: &'static str },
    /// A path names nothing yet.
    #[error("{pattern}: no such file yet; check the path if it should be there")]
    Absent { pattern: String },
    /// A compressed file ends early or is broken.
    #[error("{}: damaged after {offset} bytes: {problem}; restore it from its origin",
            path.display())]
    Damaged { path: Arc<Path>, offset: u64, problem: String },
    /// More files want to be open than may be; the others are read as soon as one is done.
    #[error("{waiting} files wait because {limit} are open; raise files_max")]
    TooManyOpen { limit: usize, waiting: usize },
    /// More files are there than are looked at.
    #[error("more than {limit} files match; narrow the paths or raise files_listed_max")]
    TooManyListed { limit: usize },
    /// The kernel tells of no changes, so the files are looked at in intervals.
    #[error(
        "changes are looked for every {interval_milliseconds} ms: {problem}; raise \
             fs.inotify.max_user_watches and max_user_instances"
    )]
    Polling { problem: String, interval_milliseconds: u64 },
    /// The record of this content is no longer needed.
    #[error("{}: forgotten, it is gone and `remembered_files_max` is reached", path.display())]
    Forgotten { key: EventId, path: Arc<Path> },
}

impl Notice {
    /// How to make a path readable, by what is wrong with it.
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let cure = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "grant the service's user read on the file and execute on its folders"
            }
            std::io::ErrorKind::Unsupported => "recompress it with gzip or zstd",
            std::io::ErrorKind::NotFound => "repair the symbolic link",
            _ => "check the path and its file system",
        };
        Self::Unreadable { path: path.into(), problem: error.to_string(), cure }
    }
}
