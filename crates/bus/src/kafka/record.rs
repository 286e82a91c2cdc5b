//! A record as Kafka hands it over.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::Record;

/// A record and its place.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) record: Record,
}

impl Read {
    /// Copies it out of librdkafka. What a foreign record lacks is empty.
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Read {
        let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
        Read {
            // librdkafka hands out neither negative partitions nor offsets.
            partition: u32::try_from(message.partition()).unwrap_or_default(),
            offset: u64::try_from(message.offset()).unwrap_or_default(),
            record: Record {
                key: bytes(message.key()),
                headers: headers(message),
                payload: Bytes::from(bytes(message.payload())),
            },
        }
    }
}

/// Names that are no UTF-8 are left out, with their values: ours are never like that.
fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Vec<u8>)> {
    let Some(headers) = message.headers() else { return Vec::new() };
    let header = |place| {
        // The binding panics on such a name, and anyone who may write to the topic may send one.
        let read = || headers.try_get(place).map(|h| (h.key.to_owned(), h.value.map(Vec::from)));
        let (name, value) = catch_unwind(AssertUnwindSafe(read)).ok().flatten()?;
        Some((name, value.unwrap_or_default()))
    };
    (0..headers.count()).filter_map(header).collect()
}
