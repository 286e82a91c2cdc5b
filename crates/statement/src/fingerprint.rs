//! The 64-bit name of a normal form.

use std::fmt;

use serde::{Serialize, Serializer};

/// First eight bytes, big endian, of BLAKE3 over the normal form; shown as 16 hex digits.
///
/// The hash is a cryptographic one because attackers choose the SQL: with a fast hash they could
/// write a statement that wears the fingerprint of a trusted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    pub(crate) fn of(normal_form: &[u8]) -> Self {
        let hash = blake3::hash(normal_form);
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
