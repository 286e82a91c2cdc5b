//! One Delta table: which files it has, which positions, and how both change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use deltalake_core::kernel::Action;

use crate::change::Change;
use crate::columns::Columns;
use crate::data_file::DataFile;
use crate::log::{Positions, Published, last_checkpoint, log_folder, publish, read_entry};
use crate::opening::{self, State};
use crate::{LakeError, Sharing};

/// Files of a table, in the order in which they were added.
pub(crate) type Files = Arc<[Arc<DataFile>]>;

/// One Delta table, kept up to date by its own commits and by the log entries of others instead
/// of being read from the log again.
///
/// The library's own commit keeps every active file as Arrow batches and reads them anew with
/// each commit; this one costs what it adds.
pub(crate) struct Table {
    pub(crate) columns: &'static Columns,
    pub(crate) folder: PathBuf,
    pub(crate) version: u64,
    pub(crate) positions: Positions,
    pub(crate) files: Files,
    /// Files that are no longer part of the table, until they are deleted.
    pub(crate) removed: Vec<Removed>,
    /// Version of the newest checkpoint, as far as known.
    pub(crate) checkpoint: u64,
    /// How often another writer had the version that a commit wanted.
    pub(crate) conflicts: Arc<AtomicU64>,
    sharing: Sharing,
}

/// A file that queries under way may still read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) path: String,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}

impl Table {
    /// The table beneath `lake`, which is there; nothing is created.
    pub(crate) async fn read(
        lake: &Path,
        columns: &'static Columns,
        sharing: Sharing,
    ) -> Result<Self, LakeError> {
        let folder = lake.join(columns.name);
        if !log_folder(&folder).exists() {
            return Err(LakeError::Absent(lake.to_owned()));
        }
        let State { version, positions, files, removed, checkpoint } =
            opening::read(&folder, columns).await?;
        let conflicts = Arc::default();
        Ok(Self {
            columns,
            folder,
            version,
            positions,
            files,
            removed,
            checkpoint,
            conflicts,
            sharing,
        })
    }

    /// Position of that name.
    pub(crate) fn position(&self, name: &str) -> Option<i64> {
        self.positions.get(name).copied()
    }

    /// Puts the change into the log, after whatever others put there. An error other than a fence
    /// means that it is not in the log.
    ///
    /// Returns false if another program removed a file that the change removes.
    pub(crate) fn commit(&mut self, change: &Change, now: i64) -> Result<bool, LakeError> {
        let entry = change.entry(now)?;
        loop {
            self.follow()?;
            if !change.remove.iter().all(|file| self.holds(&file.path)) {
                return Ok(false);
            }
            self.expect(&change.expected)?;
            match publish(&self.folder, self.version + 1, &entry)? {
                Published::Done => break,
                Published::Taken => self.conflicts.fetch_add(1, Ordering::Relaxed),
            };
        }
        self.version += 1;
        let removed: Vec<&str> = change.remove.iter().map(|file| file.path.as_str()).collect();
        let add = change.add.iter().cloned().map(Arc::new);
        self.replace(&removed, add.collect(), now);
        self.positions.extend(change.positions.iter().cloned());
        Ok(true)
    }

    /// An error if one of these positions is another by now.
    pub(crate) fn expect(&self, expected: &[(String, Option<i64>)]) -> Result<(), LakeError> {
        let moved = expected.iter().find(|(name, at)| self.position(name) != *at);
        let Some((name, expected)) = moved else { return Ok(()) };
        let found = self.position(name);
        let (name, table, expected) = (name.clone(), self.columns.name, *expected);
        Err(LakeError::Superseded { name, table, expected, found })
    }

    /// Takes over what others committed. Costs two looks into the folder if that is nothing.
    ///
    /// Entries that the clean-up of the log deleted meanwhile are not missed: it deletes none
    /// that is newer than the checkpoint which stands for it.
    pub(crate) fn follow(&mut self) -> Result<(), LakeError> {
        loop {
            let next = self.version + 1;
            match read_entry(&self.folder, next)? {
                Some(actions) => self.take_over(next, actions)?,
                None if last_checkpoint(&self.folder)? > self.version => self.reload(next)?,
                None => return Ok(()),
            }
        }
    }

    fn holds(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    fn replace(&mut self, removed: &[&str], add: Vec<Arc<DataFile>>, now: i64) {
        let kept = self.files.iter().filter(|file| !removed.contains(&file.path.as_str()));
        self.files = kept.cloned().chain(add).collect();
        let removed = removed.iter().map(|path| Removed { path: (*path).to_owned(), at: now });
        self.removed.extend(removed);
    }

    fn take_over(&mut self, version: u64, actions: Vec<Action>) -> Result<(), LakeError> {
        let interfered = |what| Err(self.interfered(version, what));
        let (mut add, mut removed, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Add(file) => match DataFile::from_add(file, self.columns) {
                    Some(file) => add.push(Arc::new(file)),
                    None => return interfered("it added foreign files"),
                },
                Action::Remove(file) => removed.push((file.path, file.deletion_timestamp)),
                Action::Txn(_) if self.sharing == Sharing::Alone => {
                    return interfered("it moved a position, which only this process may do");
                }
                Action::Txn(position) => positions.push((position.app_id, position.version)),
                Action::Metadata(_) | Action::Protocol(_) => {
                    return interfered("it changed the schema or the properties");
                }
                _ => {}
            }
        }
        let folder = self.folder.display();
        match self.sharing {
            Sharing::Alone => tracing::warn!(%folder, version, "another program wrote a commit"),
            Sharing::Shared => tracing::debug!(%folder, version, "another process committed"),
        }
        let at = removed.iter().find_map(|(_, at)| *at).unwrap_or(0);
        let removed: Vec<&str> = removed.iter().map(|(path, _)| path.as_str()).collect();
        self.replace(&removed, add, at);
        self.positions.extend(positions);
        self.version = version;
        Ok(())
    }

    /// Reads the table anew: entry `vanished` was deleted before it could be followed.
    fn reload(&mut self, vanished: u64) -> Result<(), LakeError> {
        let state = opening::read_blocking(&self.folder, self.columns)?;
        if state.version < vanished {
            return Err(self.interfered(vanished, "its log entry vanished"));
        }
        tracing::debug!(folder = %self.folder.display(), state.version, "read the table anew");
        State {
            version: self.version,
            positions: self.positions,
            files: self.files,
            removed: self.removed,
            checkpoint: self.checkpoint,
        } = state;
        Ok(())
    }

    fn interfered(&self, version: u64, what: &'static str) -> LakeError {
        LakeError::Interfered { folder: self.folder.clone(), version, what }
    }
}
