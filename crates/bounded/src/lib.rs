//! A map with a limit and an exact order of use: the least recently used entry makes room.
//!
//! Every state that hostile input can grow is one of these. It is saved exactly as it is held,
//! order included, so that a stream gives the same in one run and in two.

use std::borrow::Borrow;
use std::hash::Hash;

use hashlink::LinkedHashMap;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// At most `entries_max` entries, from the least to the most recently used.
///
/// Looking ([`peek`](Self::peek)) is no use; [`get`](Self::get), [`get_mut`](Self::get_mut) and
/// [`insert`](Self::insert) are. Each call takes constant time.
#[derive(Clone, Debug)]
pub struct BoundedMap<K: Eq + Hash, V> {
    entries: LinkedHashMap<K, V>,
    entries_max: usize,
    evictions: u64,
}

impl<K: Eq + Hash, V> BoundedMap<K, V> {
    /// An empty map for at most `entries_max` entries, at least one.
    pub fn new(entries_max: usize) -> Self {
        Self { entries: LinkedHashMap::new(), entries_max: entries_max.max(1), evictions: 0 }
    }

    /// Entries held now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries have made room for others since the map was made or read.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Sets another limit; the least recently used entries beyond it go.
    pub fn set_limit(&mut self, entries_max: usize) {
        self.entries_max = entries_max.max(1);
        while self.entries.len() > self.entries_max {
            self.evict();
        }
    }

    /// The value of `key`, without counting as a use.
    pub fn peek<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.get(key)
    }

    /// As [`peek`](Self::peek), to change the value in place.
    pub fn peek_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.get_mut(key)
    }

    /// The value of `key`, which is now the most recently used.
    pub fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.get_mut(key).map(|value| &*value)
    }

    /// As [`get`](Self::get), to change the value.
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.to_back(key)
    }

    /// Puts `value` in as the most recently used; returns the entry that made room for a new one.
    /// A value that `key` had before is replaced and dropped.
    pub fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        self.entries.insert(key, value);
        if self.entries.len() > self.entries_max { self.evict() } else { None }
    }

    /// The value of `key`, made by `new` if there is none yet; now the most recently used.
    pub fn get_or_insert_with<Q>(&mut self, key: &Q, new: impl FnOnce() -> V) -> &mut V
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Eq + Hash + ?Sized,
    {
        if !self.entries.contains_key(key) {
            self.insert(K::from(key), new());
        }
        self.entries.to_back(key).expect("the entry was there or has just been put in")
    }

    /// Takes an entry out.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.remove(key)
    }

    /// The least recently used entry.
    pub fn oldest(&self) -> Option<(&K, &V)> {
        self.entries.front()
    }

    /// Takes the least recently used entry out; no eviction, because it was asked for.
    pub fn pop_oldest(&mut self) -> Option<(K, V)> {
        self.entries.pop_front()
    }

    /// Keeps the entries that `keep` chooses, in their order.
    pub fn retain(&mut self, keep: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain(keep);
    }

    /// The entries, from the least to the most recently used.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    /// As [`iter`](Self::iter), to change the values; no use of any.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.entries.iter_mut()
    }

    fn evict(&mut self) -> Option<(K, V)> {
        self.evictions += 1;
        self.entries.pop_front()
    }
}

/// The entries in their order, as pairs; the limit and the count of evictions are not kept.
impl<K: Serialize + Eq + Hash, V: Serialize> Serialize for BoundedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs = serializer.serialize_seq(Some(self.len()))?;
        for pair in self.entries.iter() {
            pairs.serialize_element(&pair)?;
        }
        pairs.end()
    }
}

/// The entries as they were saved; call [`BoundedMap::set_limit`], because the limit is a setting.
impl<'de, K, V> Deserialize<'de> for BoundedMap<K, V>
where
    K: Deserialize<'de> + Eq + Hash,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<K, V>(std::marker::PhantomData<(K, V)>);
        impl<'de, K, V> Visitor<'de> for Pairs<K, V>
        where
            K: Deserialize<'de> + Eq + Hash,
            V: Deserialize<'de>,
        {
            type Value = LinkedHashMap<K, V>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("pairs of key and value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
                // No memory is reserved by a length that the bytes only claim.
                let mut entries = LinkedHashMap::new();
                while let Some((key, value)) = pairs.next_element::<(K, V)>()? {
                    entries.insert(key, value);
                }
                Ok(entries)
            }
        }
        let entries = deserializer.deserialize_seq(Pairs(std::marker::PhantomData))?;
        Ok(Self { entries, entries_max: usize::MAX, evictions: 0 })
    }
}

#[cfg(test)]
mod tests;
