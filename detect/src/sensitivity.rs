//! Which tables hold sensitive data, as the operator says.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::settings::SensitiveSettings;

/// Looks up tables by name.
#[derive(Default)]
pub(crate) struct Sensitivity {
    globs: GlobSet,
    /// Level and name of each glob.
    meanings: Vec<(i32, Option<String>)>,
}

impl Sensitivity {
    pub(crate) fn new(settings: &[SensitiveSettings]) -> Result<Self, globset::Error> {
        let mut globs = GlobSetBuilder::new();
        let mut meanings = Vec::new();
        for entry in settings {
            for table in &entry.tables {
                globs.add(GlobBuilder::new(table).case_insensitive(true).build()?);
                meanings.push((entry.level, entry.name.clone()));
            }
        }
        Ok(Self { globs: globs.build()?, meanings })
    }

    /// The highest level among `tables`; none if no table is known to be sensitive.
    pub(crate) fn level<'a>(&self, tables: impl Iterator<Item = &'a String>) -> Option<i32> {
        if self.meanings.is_empty() {
            return None;
        }
        tables.flat_map(|table| self.meanings_of(table)).map(|meaning| meaning.0).max()
    }

    /// How a manager calls the table.
    pub(crate) fn name(&self, table: &str) -> Option<String> {
        self.meanings_of(table).into_iter().find_map(|meaning| meaning.1.clone())
    }

    fn meanings_of(&self, table: &str) -> Vec<&(i32, Option<String>)> {
        let matches = self.globs.matches(table);
        matches.into_iter().filter_map(|index| self.meanings.get(index)).collect()
    }
}
