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

    /// Whether the identity made each of these tables; false for none.
    pub(super) fn holds_all(&self, tables: &[String]) -> bool {
        !tables.is_empty() && tables.iter().all(|table| self.names.peek(table.as_str()).is_some())
    }

    /// Sets the limit again, which is not saved.
    pub(super) fn set_limit(&mut self) {
        self.names.set_limit(NAMES_MAX);
    }
}
