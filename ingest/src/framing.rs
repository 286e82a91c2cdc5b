//! Where records begin and end, apart from what they mean.
//!
//! A frame finds the first record in bytes that it keeps no memory of: the same bytes give the same
//! frame, whether they came at once or in parts, so that reading can go on anywhere between two
//! records. Each looks at `limit` bytes at most; what is longer is handed back to be rejected.

pub(crate) mod csv;
pub(crate) mod lines;
pub(crate) mod syslog;
#[cfg_attr(not(test), expect(dead_code, reason = "the first format in XML is yet to come"))]
pub(crate) mod xml;

/// What stands at the head of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Bytes between records, such as an empty line.
    Skip(usize),
    /// A record of so many bytes, with what ends it.
    Record(usize),
    /// More bytes are needed to tell.
    Partial,
    /// A record that is longer than the limit.
    TooLong,
    /// No record: bytes that the framing does not allow.
    Malformed,
}
