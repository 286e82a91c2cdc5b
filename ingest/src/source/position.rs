//! How far a stream of bytes is read: a key and an offset for all, and what a kind of source needs
//! beside them to find its stream again.

use event::EventId;
use serde::{Deserialize, Serialize};

use super::file_position::FilePosition;
use super::spool::SpoolPosition;

/// The durable record of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Position {
    /// In a file, which is recognised by its content.
    File(FilePosition),
    /// In what one start of the program has received and spooled.
    Spool(SpoolPosition),
}

impl Position {
    /// The key of the stream, of which event ids derive.
    pub fn key(&self) -> EventId {
        match self {
            Self::File(position) => position.key,
            Self::Spool(position) => position.key,
        }
    }

    /// Everything before it is durable.
    pub fn offset(&self) -> u64 {
        match self {
            Self::File(position) => position.offset,
            Self::Spool(position) => position.offset,
        }
    }

    /// The position in a file, if it is one.
    pub fn file(&self) -> Option<&FilePosition> {
        match self {
            Self::File(position) => Some(position),
            Self::Spool(_) => None,
        }
    }

    /// The position in a spool, if it is one.
    pub fn spool(&self) -> Option<&SpoolPosition> {
        match self {
            Self::Spool(position) => Some(position),
            Self::File(_) => None,
        }
    }
}
