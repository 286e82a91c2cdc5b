//! Sorted sets of the names in a statement, with a limit.

use std::collections::BTreeSet;

/// More tables, columns or functions than any honest statement has.
const NAMES_MAX: usize = 1024;

/// What a statement touches.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) read: Set,
    pub(crate) written: Set,
    pub(crate) columns: Set,
    pub(crate) functions: Set,
}

impl Names {
    pub(crate) fn is_truncated(&self) -> bool {
        [&self.read, &self.written, &self.columns, &self.functions].iter().any(|s| s.truncated)
    }
}

#[derive(Default)]
pub(crate) struct Set {
    names: BTreeSet<String>,
    truncated: bool,
}

impl Set {
    pub(crate) fn insert(&mut self, name: impl Into<String>) {
        let name = name.into();
        if self.names.len() < NAMES_MAX || self.names.contains(&name) {
            self.names.insert(name);
        } else {
            self.truncated = true;
        }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Functions: `"Sleep"` of MySQL is `sleep`.
    pub(crate) fn into_lower_case(self) -> Vec<String> {
        let lower: BTreeSet<_> = self.names.iter().map(|name| name.to_lowercase()).collect();
        lower.into_iter().collect()
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.names.into_iter().collect()
    }
}
