//! What stands for a text of any length: 16 bytes of its hash.

use serde::{Deserialize, Serialize};

/// The first 16 bytes of BLAKE3 over texts, each preceded by its length.
///
/// An account name of a megabyte takes no more room than one of a byte, and two that are cut alike
/// are still two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Digest(u64, u64);

impl Digest {
    /// Of texts in their order; none is another text than an empty one.
    pub(super) fn of<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self::hashed(blake3::Hasher::new(), texts)
    }

    /// Of a digest and texts.
    pub(super) fn with<'a>(self, texts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.to_le_bytes());
        hasher.update(&self.1.to_le_bytes());
        Self::hashed(hasher, texts)
    }

    /// That of a small number, which no text has but by chance.
    pub(super) fn of_index(index: usize) -> Self {
        Self(0, index as u64)
    }

    fn hashed<'a>(
        mut hasher: blake3::Hasher,
        texts: impl IntoIterator<Item = Option<&'a str>>,
    ) -> Self {
        for text in texts {
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            hasher.update(&length.to_le_bytes());
            hasher.update(text.unwrap_or_default().as_bytes());
        }
        let hash = hasher.finalize();
        let word = |at: usize| {
            let bytes = hash.as_bytes()[at..at + 8].try_into();
            u64::from_le_bytes(bytes.expect("eight of the 32 bytes"))
        };
        Self(word(0), word(8))
    }
}
