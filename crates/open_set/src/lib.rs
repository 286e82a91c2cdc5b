//! Settings that choose one of an open set of kinds, such as channels or sources.
//!
//! Each kind owns one table of settings, named for it, which stands beside the fields that all
//! kinds share. A new kind is a file with its settings, and one entry in the list of its set.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A set of kinds.
pub trait OpenSet: 'static {
    /// What every kind can do.
    type Kind: ?Sized + Send + Sync + 'static;

    /// What one of them is called, such as `channel`.
    const NOUN: &'static str;

    /// The fields that stand beside the table of the kind, for errors.
    const FIELDS: &'static str;

    /// Every kind.
    fn kinds() -> &'static [Entry<Self::Kind>];
}

/// Settings of one kind.
pub trait KindSettings: Serialize + DeserializeOwned {
    /// Name of the table.
    const NAME: &'static str;
}

/// One kind in the list of its set.
pub struct Entry<K: ?Sized> {
    name: &'static str,
    read: fn(&Value) -> serde_json::Result<Arc<K>>,
}

impl<K: ?Sized> Entry<K> {
    /// A kind of this name, whose settings `read` reads.
    pub const fn new(name: &'static str, read: fn(&Value) -> serde_json::Result<Arc<K>>) -> Self {
        Self { name, read }
    }
}

/// The settings of one kind of the set, and what it can do.
pub struct OneOf<S: OpenSet> {
    name: &'static str,
    settings: Value,
    kind: Arc<S::Kind>,
}

impl<S: OpenSet> OneOf<S> {
    /// The kind of these settings.
    ///
    /// # Errors
    /// If they cannot be written as JSON, or name a kind that is not of the set.
    pub fn new<K: KindSettings>(settings: &K) -> serde_json::Result<Self> {
        Self::read(K::NAME, serde_json::to_value(settings)?)
    }

    /// The settings, if they are of this kind.
    pub fn settings<K: KindSettings>(&self) -> Option<K> {
        let is_it = self.name == K::NAME;
        is_it.then(|| K::deserialize(&self.settings).ok()).flatten()
    }

    /// Name of the kind.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn read(name: &str, settings: Value) -> serde_json::Result<Self> {
        let Some(entry) = S::kinds().iter().find(|entry| entry.name == name) else {
            let (noun, fields, names) = (S::NOUN, S::FIELDS, names::<S>());
            let message = format!("unknown field `{name}`; a {noun} has {fields} and {names}");
            return Err(serde_json::Error::custom(message));
        };
        let kind = (entry.read)(&settings)
            .map_err(|error| serde_json::Error::custom(format!("`{name}`: {error}")))?;
        Ok(Self { name: entry.name, settings, kind })
    }
}

/// Names of all kinds, as they stand in settings.
pub fn kind_names<S: OpenSet>() -> impl Iterator<Item = &'static str> {
    S::kinds().iter().map(|entry| entry.name)
}

fn names<S: OpenSet>() -> String {
    let names: Vec<_> = kind_names::<S>().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}

impl<S: OpenSet> Deref for OneOf<S> {
    type Target = S::Kind;

    fn deref(&self) -> &S::Kind {
        &self.kind
    }
}

impl<S: OpenSet> Clone for OneOf<S> {
    fn clone(&self) -> Self {
        Self { name: self.name, settings: self.settings.clone(), kind: self.kind.clone() }
    }
}

impl<S: OpenSet> PartialEq for OneOf<S> {
    fn eq(&self, other: &Self) -> bool {
        (self.name, &self.settings) == (other.name, &other.settings)
    }
}

impl<S: OpenSet> fmt::Debug for OneOf<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.settings)
    }
}

impl<S: OpenSet> Serialize for OneOf<S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        BTreeMap::from([(self.name, &self.settings)]).serialize(serializer)
    }
}

impl<'de, S: OpenSet> Deserialize<'de> for OneOf<S> {
    /// Reads what the other fields have left: one table named for its kind.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let mut found: Option<Self> = None;
        for (name, settings) in left {
            let read = Self::read(&name, settings).map_err(D::Error::custom)?;
            if let Some(other) = found.replace(read) {
                let (noun, one) = (S::NOUN, other.name);
                let message =
                    format!("it has `{one}` and `{name}`; keep one, or make another {noun} of it");
                return Err(D::Error::custom(message));
            }
        }
        let missing = || format!("the {} has no kind; add {}", S::NOUN, names::<S>());
        found.ok_or_else(|| D::Error::custom(missing()))
    }
}
