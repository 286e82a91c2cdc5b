//! Which schema a bare table name stands for, as far as the server has told.

use bounded::BoundedMap;
use event::AuditEvent;
use serde::{Deserialize, Serialize};

/// Databases whose tables are remembered.
const DATABASES_MAX: usize = 256;

/// Tables remembered for each database.
const TABLES_MAX: usize = 4_096;

/// Longest name that is remembered, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// The names by database, from what the server resolved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TableNames {
    databases: BoundedMap<String, BoundedMap<String, Schema>>,
    #[serde(skip)]
    key: String,
}

/// The schema of a bare name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Schema {
    /// The only one so far that has the table.
    Only(String),
    /// Several have one of that name, so that the search path decides.
    Several,
}

impl Default for TableNames {
    fn default() -> Self {
        Self { databases: BoundedMap::new(DATABASES_MAX), key: String::new() }
    }
}

impl TableNames {
    /// Sets the limits again, which are not saved.
    pub(crate) fn set_limits(&mut self) {
        self.databases.set_limit(DATABASES_MAX);
        self.databases.iter_mut().for_each(|(_, tables)| tables.set_limit(TABLES_MAX));
    }

    /// Notes the qualified name of a table that the server names.
    pub(crate) fn learn(&mut self, event: &AuditEvent<'_>, object: &str) {
        let Some((schema, table)) = object.split_once('.') else { return };
        if object.len() > NAME_BYTES_MAX || table.contains('.') {
            return;
        }
        self.set_key(event);
        let new = || BoundedMap::new(TABLES_MAX);
        let tables = self.databases.get_or_insert_with(self.key.as_str(), new);
        match tables.get_mut(table) {
            Some(Schema::Only(known)) if known != schema => {
                tables.insert(table.to_owned(), Schema::Several);
            }
            Some(_) => {}
            None => {
                tables.insert(table.to_owned(), Schema::Only(schema.to_owned()));
            }
        }
    }

    /// The qualified name of a bare one, if just one schema is known to have it.
    pub(crate) fn resolve(&mut self, event: &AuditEvent<'_>, table: &str) -> Option<String> {
        if self.databases.is_empty() || table.contains('.') {
            return None;
        }
        self.set_key(event);
        match self.databases.peek_mut(self.key.as_str())?.get(table)? {
            Schema::Only(schema) => Some(format!("{schema}.{table}")),
            Schema::Several => None,
        }
    }

    fn set_key(&mut self, event: &AuditEvent<'_>) {
        self.key.clear();
        self.key.push_str(event.instance);
        self.key.push('\0');
        self.key.push_str(event.database.unwrap_or_default());
    }
}
