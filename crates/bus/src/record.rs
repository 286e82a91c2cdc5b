//! What travels: a record, its offset, and what a reader is handed.

use std::fmt;

use bytes::Bytes;

/// One record. The bus does not look into it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// What a distributed bus partitions by; may be empty.
    pub key: Vec<u8>,
    /// Names and values beside the payload, kept in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The bytes themselves.
    pub payload: Bytes,
}

/// Place of a record in its partition: dense, from 0, never given to another acknowledged record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a read hands over: a record, or the plain statement that some cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A durable record.
    Record {
        /// Its place.
        offset: Offset,
        /// What was appended there.
        record: Record,
    },
    /// The records `from..to` cannot be had; reading goes on at `to`.
    Gap {
        /// First missing offset.
        from: Offset,
        /// First offset after the gap.
        to: Offset,
        /// Why they are missing.
        reason: GapReason,
    },
}

impl Delivery {
    /// The offset to read from next, and to commit once this delivery is dealt with.
    pub fn next(&self) -> Offset {
        match self {
            Delivery::Record { offset, .. } => Offset(offset.0 + 1),
            Delivery::Gap { to, .. } => *to,
        }
    }
}

/// Why records cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// Retention deleted them after every registered consumer had read them.
    Deleted,
    /// They were acknowledged, and their bytes on disk are no longer what was written.
    Damaged,
}
