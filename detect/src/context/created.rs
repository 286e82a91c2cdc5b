//! Which tables and databases an identity made itself: to drop those again is everyday work.

use bounded::BoundedMap;
use serde::{Deserialize, Serialize};

/// Names remembered for one identity.
const NAMES_MAX: usize = 512;

/// Longest name that is remembered, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// What one identity made, the latest last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Created {
    names: BoundedMap<String, ()>,
}

impl Default for Created {
    fn default() -> Self {
        Self { names: BoundedMap::new(NAMES_MAX) }
    }
}

impl Created {
    /// Notes that the identity made these tables.
    pub(super) fn add(&mut self, tables: &[String]) {
        for table in tables.iter().filter(|table| table.len() <= NAME_BYTES_MAX) {
            self.names.get_or_insert_with(table.as_str(), || ());
        }
    }

    /// Notes that the identity made a database or a schema.
    pub(super) fn add_named(&mut self, name: &str) {
        if name.len() <= NAME_BYTES_MAX {
            self.names.get_or_insert_with(name, || ());
        }
    }

    /// Whether the identity made a database or a schema.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.names.peek(name).is_some()
    }

    /// Whether the identity made each of these tables; false for none.
    pub(super) fn holds_all(&self, tables: &[String]) -> bool {
        !tables.is_empty() && tables.iter().all(|table| self.names.peek(table.as_str()).is_some())
    }

    /// Sets the limit again, which is not saved.
    pub(super) fn set_limit(&mut self) {
        self.names.set_limit(NAMES_MAX);
    }
}

/// `database shop_test` of a statement that makes or drops one of them, by its plain words: none
/// if there is more to it, such as a list or a comment.
pub(super) fn named_object(sql: &str) -> Option<String> {
    let sql = sql.trim().trim_end_matches(';').to_lowercase();
    let mut words = sql.split_whitespace();
    let verb = words.next().filter(|verb| ["create", "drop"].contains(verb))?;
    let kind = words.next().filter(|kind| ["database", "schema"].contains(kind))?;
    let mut name = words.next()?;
    if name == "if" && verb == "drop" {
        name = words.nth(1)?;
    }
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || "_-\"".contains(c));
    is_plain.then(|| format!("{kind} {}", name.trim_matches('"')))
}
