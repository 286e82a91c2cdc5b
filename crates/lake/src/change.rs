//! One commit as it stands in the Delta log: files that come and go, and positions.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake_core::kernel::transaction::CommitData;
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use serde_json::Value;

use crate::LakeError;
use crate::columns::DATE;
use crate::data_file::DataFile;

/// Why files come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// New rows.
    Append,
    /// The same rows in other files.
    Compact,
    /// Rows that are kept no longer.
    Expire,
}

/// One commit.
pub(crate) struct Change {
    pub(crate) reason: Reason,
    pub(crate) add: Vec<DataFile>,
    pub(crate) remove: Vec<Arc<DataFile>>,
    pub(crate) positions: Vec<(String, i64)>,
    /// Positions on which the change rests: it is not made if one of them is another by then.
    pub(crate) expected: Vec<(String, Option<i64>)>,
}

impl Change {
    /// New rows and where they came from.
    pub(crate) fn append(
        add: Vec<DataFile>,
        positions: Vec<(String, i64)>,
        expected: Vec<(String, Option<i64>)>,
    ) -> Self {
        Self { reason: Reason::Append, add, remove: Vec::new(), positions, expected }
    }

    /// Files that leave, and those that take their place.
    pub(crate) fn replace(reason: Reason, remove: Vec<Arc<DataFile>>, add: Vec<DataFile>) -> Self {
        Self { reason, add, remove, positions: Vec::new(), expected: Vec::new() }
    }

    /// The entry as it enters the log. No two calls give the same bytes, so whoever finds them
    /// in the log knows that the entry is its own.
    pub(crate) fn entry(&self, now: i64) -> Result<Vec<u8>, LakeError> {
        let data_change = self.reason != Reason::Compact;
        let add = self.add.iter().map(|file| Action::Add(file.add(data_change)));
        let remove = self.remove.iter().map(|file| Action::Remove(file.remove(data_change, now)));
        let actions = remove.chain(add).collect();
        let positions = self.positions.iter();
        let positions = positions
            .map(|(name, number)| Transaction::new_with_last_update(name, *number, Some(now)));
        let unique = Value::String(uuid::Uuid::new_v4().to_string());
        let info = HashMap::from([("commitId".to_owned(), unique)]);
        let data = CommitData::new(actions, self.operation(), info, positions.collect());
        let bytes = data.get_bytes().map_err(deltalake_core::DeltaTableError::from)?;
        Ok(bytes.to_vec())
    }

    fn operation(&self) -> DeltaOperation {
        match self.reason {
            Reason::Append => DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(vec![DATE.to_owned()]),
                predicate: None,
            },
            Reason::Compact => {
                let target_size = self.add.iter().map(|file| file.bytes as i64).sum();
                DeltaOperation::Optimize { predicate: None, target_size }
            }
            Reason::Expire => {
                let newest = self.remove.iter().max_by_key(|file| file.day);
                let predicate = newest.map(|file| format!("{DATE} <= '{}'", file.date()));
                DeltaOperation::Delete { predicate }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_entries_are_alike() {
        let position = vec![("bus/0".to_owned(), 7)];
        let change = Change::append(Vec::new(), position, Vec::new());
        assert_ne!(change.entry(1).expect("an entry"), change.entry(1).expect("an entry"));
    }
}
