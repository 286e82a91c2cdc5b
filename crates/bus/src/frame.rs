//! One record as bytes: a checked head of 28 bytes, then a checked body. The head has its own
//! checksum so that a damaged body costs one record, not the rest of the segment.
//!
//! ```text
//! head  u32 checksum of the rest of the head · u32 body length · u32 checksum of the body
//!       u64 offset · u64 durable (every offset below it was durable when this was written)
//! body  u32 key length · key · u32 headers · { u32 length · name · u32 length · value } · payload
//! ```
//!
//! Numbers are little-endian. Both checksums are CRC-32 seeded with the segment's random salt:
//! a payload cannot contain bytes that pass for a record.

use bytes::{Buf, Bytes};
use crc32fast::Hasher;

use crate::Record;

pub(crate) const HEAD_BYTES: usize = 28;

/// Bytes that a record takes in a segment.
pub(crate) fn frame_bytes(record: &Record) -> u64 {
    let headers: usize = record.headers.iter().map(|(name, v)| 8 + name.len() + v.len()).sum();
    (HEAD_BYTES + 8 + record.key.len() + headers + record.payload.len()) as u64
}

/// Appends a record's frame. Its size has been checked against `record_bytes_max`, a `u32`.
pub(crate) fn encode(out: &mut Vec<u8>, salt: u64, offset: u64, durable: u64, record: &Record) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    put(out, &record.key);
    out.extend_from_slice(&(record.headers.len() as u32).to_le_bytes());
    for (name, value) in &record.headers {
        put(out, name.as_bytes());
        put(out, value);
    }
    out.extend_from_slice(&record.payload);

    let (head, body) = out[start..].split_at_mut(HEAD_BYTES);
    head[4..8].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[8..12].copy_from_slice(&body_checksum(salt, body).to_le_bytes());
    head[12..20].copy_from_slice(&offset.to_le_bytes());
    head[20..28].copy_from_slice(&durable.to_le_bytes());
    let checksum = head_checksum(salt, &head[4..]);
    head[..4].copy_from_slice(&checksum.to_le_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A head whose checksum holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) body_bytes: u64,
    pub(crate) offset: u64,
    pub(crate) durable: u64,
    body_checksum: u32,
}

impl Head {
    /// Reads a head from the start of `bytes`; `None` if there is none.
    pub(crate) fn parse(salt: u64, bytes: &[u8]) -> Option<Head> {
        let mut bytes = bytes.get(..HEAD_BYTES)?;
        let expected = head_checksum(salt, &bytes[4..]);
        if bytes.get_u32_le() != expected {
            return None;
        }
        let body_bytes = u64::from(bytes.get_u32_le());
        let body_checksum = bytes.get_u32_le();
        let (offset, durable) = (bytes.get_u64_le(), bytes.get_u64_le());
        Some(Head { body_bytes, offset, durable, body_checksum })
    }

    /// Checks and reads the body; the payload shares the memory of `body`.
    pub(crate) fn decode(&self, salt: u64, mut body: Bytes) -> Option<Record> {
        if body_checksum(salt, &body) != self.body_checksum {
            return None;
        }
        let key = take(&mut body)?.to_vec();
        let count = body.try_get_u32_le().ok()?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let name = String::from_utf8(take(&mut body)?.to_vec()).ok()?;
            headers.push((name, take(&mut body)?.to_vec()));
        }
        Some(Record { key, headers, payload: body })
    }
}

/// The offset that a head would carry, without checking the head.
pub(crate) fn claimed_offset(head: &[u8]) -> Option<u64> {
    head.get(12..20)?.try_into().ok().map(u64::from_le_bytes)
}

fn take(body: &mut Bytes) -> Option<Bytes> {
    let length = body.try_get_u32_le().ok()? as usize;
    (length <= body.len()).then(|| body.split_to(length))
}

fn head_checksum(salt: u64, bytes: &[u8]) -> u32 {
    checksum(salt as u32, bytes)
}

fn body_checksum(salt: u64, bytes: &[u8]) -> u32 {
    checksum((salt >> 32) as u32, bytes)
}

fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frame_reads_back_and_any_flipped_bit_is_seen(
            key in any::<Vec<u8>>(), name in ".{0,8}", value in any::<Vec<u8>>(),
            payload in any::<Vec<u8>>(), salt: u64, offset: u64, flip: prop::sample::Index,
        ) {
            let record = Record { key, headers: vec![(name, value)], payload: payload.into() };
            let mut bytes = Vec::new();
            encode(&mut bytes, salt, offset, offset / 2, &record);
            prop_assert_eq!(bytes.len() as u64, frame_bytes(&record));

            let read = |bytes: &[u8]| {
                let head = Head::parse(salt, bytes)?;
                let body = bytes.get(HEAD_BYTES..HEAD_BYTES + head.body_bytes as usize)?;
                Some((head.offset, head.durable, head.decode(salt, body.to_vec().into())?))
            };
            prop_assert_eq!(read(&bytes), Some((offset, offset / 2, record)));

            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&bytes), None);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, salt: u64) {
            let head = Head {
                body_bytes: bytes.len() as u64, offset: 0, durable: 0,
                body_checksum: body_checksum(salt, &bytes),
            };
            let _ = Head::parse(salt, &bytes);
            let size = bytes.len();
            if let Some(record) = head.decode(salt, bytes.into()) {
                prop_assert_eq!(frame_bytes(&record), (HEAD_BYTES + size) as u64);
            }
        }
    }
}
