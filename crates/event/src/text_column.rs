//! A dictionary-encoded text column under construction: every distinct value is stored once.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Key of a null row; never reaches the array.
const NULL: i32 = -1;

/// Appends texts, remembers distinct ones.
#[derive(Default)]
pub(crate) struct TextColumn {
    keys: Vec<i32>,
    nulls: usize,
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    // Keyed by a random seed: the texts are a client's to choose.
    hasher: DefaultHashBuilder,
    distinct: HashTable<i32>,
    last: Option<i32>,
    last_word: Option<(&'static str, i32)>,
}

impl TextColumn {
    /// Appends one row.
    pub(crate) fn push(&mut self, text: Option<&str>) {
        let key = match text {
            Some(text) => self.key(text),
            None => {
                self.nulls += 1;
                NULL
            }
        };
        self.keys.push(key);
    }

    /// Appends one row of a closed set of words, which are told apart by where they are.
    pub(crate) fn push_word(&mut self, word: Option<&'static str>) {
        match (word, self.last_word) {
            (Some(word), Some((last, key))) if std::ptr::eq(word, last) => self.keys.push(key),
            (Some(word), _) => {
                let key = self.key(word);
                self.last_word = Some((word, key));
                self.keys.push(key);
            }
            (None, _) => self.push(None),
        }
    }

    /// Replaces the text of a row pushed before; nothing happens if there is no such row.
    pub(crate) fn set(&mut self, row: usize, text: Option<&str>) {
        let key = text.map_or(NULL, |text| self.key(text));
        let Some(slot) = self.keys.get_mut(row) else { return };
        match (*slot, key) {
            (NULL, NULL) => {}
            (NULL, _) => self.nulls -= 1,
            (_, NULL) => self.nulls += 1,
            _ => {}
        }
        *slot = key;
    }

    /// Hands out the column and starts an empty one, keeping the memory of the keys' table.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        // The next batch is likely to be as large.
        let next = Vec::with_capacity(self.keys.len());
        let keys = std::mem::replace(&mut self.keys, next);
        let nulls =
            (self.nulls > 0).then(|| NullBuffer::from_iter(keys.iter().map(|k| *k != NULL)));
        let keys: Vec<i32> = keys.into_iter().map(|key| key.max(0)).collect();
        let mut offsets = std::mem::take(&mut self.offsets);
        offsets.insert(0, 0);
        if offsets.len() == 1 && !keys.is_empty() {
            // Arrow wants even the key under a null to point at a value.
            offsets.push(0);
        }
        let values = StringArray::new(
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_vec(std::mem::take(&mut self.bytes)),
            None,
        );
        self.distinct.clear();
        self.nulls = 0;
        (self.last, self.last_word) = (None, None);
        let keys = Int32Array::new(ScalarBuffer::from(keys), nulls);
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)))
    }

    /// Bytes of distinct text so far.
    pub(crate) fn text_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn key(&mut self, text: &str) -> i32 {
        if let Some(last) = self.last
            && value(&self.offsets, &self.bytes, last) == text.as_bytes()
        {
            return last;
        }
        let hash = self.hasher.hash_one(text);
        let (offsets, bytes) = (&self.offsets, &self.bytes);
        let found =
            self.distinct.find(hash, |key| value(offsets, bytes, *key) == text.as_bytes()).copied();
        let key = found.unwrap_or_else(|| self.insert(hash, text));
        self.last = Some(key);
        key
    }

    fn insert(&mut self, hash: u64, text: &str) -> i32 {
        // Both fit: the builder closes a batch long before 2 GiB of text or 2³¹ rows.
        let key = self.offsets.len() as i32;
        self.bytes.extend_from_slice(text.as_bytes());
        self.offsets.push(self.bytes.len() as i32);
        let (offsets, bytes, hasher) = (&self.offsets, &self.bytes, &self.hasher);
        self.distinct.insert_unique(hash, key, |key| hasher.hash_one(str_at(offsets, bytes, *key)));
        key
    }
}

/// Bytes of the distinct value `key`; `offsets` holds the ends.
fn value<'a>(offsets: &[i32], bytes: &'a [u8], key: i32) -> &'a [u8] {
    let key = key as usize;
    let start = if key == 0 { 0 } else { offsets[key - 1] as usize };
    &bytes[start..offsets[key] as usize]
}

fn str_at<'a>(offsets: &[i32], bytes: &'a [u8], key: i32) -> &'a str {
    // Only whole `str`s were appended; were that ever false, an empty text would hash wrongly
    // and cost a duplicate entry, nothing more.
    std::str::from_utf8(value(offsets, bytes, key)).unwrap_or_default()
}
