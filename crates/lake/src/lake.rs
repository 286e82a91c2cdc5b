//! The lake of one data folder: shared by its writer, its compactor and those who query.
//! Other processes may have the same folder open; each follows the commits of the others.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::SystemTime;

use event::Timestamp;

use crate::columns::Columns;
use crate::lock::FolderLock;
use crate::log::Positions;
use crate::sweep::sweep;
use crate::table::Table;
use crate::view::{LakeView, TableView};
use crate::writer::Writer;
use crate::{LakeError, LakeSettings, Sharing, opening};

/// The open lake; clones share it. The folder's lock is held until the last one is gone.
#[derive(Clone)]
pub struct Lake {
    pub(crate) shared: Arc<Shared>,
}

/// What the writer, the compactor and queries share. Locks are taken in the order of the fields.
pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    pub(crate) settings: LakeSettings,
    pub(crate) sharing: Sharing,
    /// Held by whoever merges or deletes files.
    pub(crate) upkeep: Mutex<()>,
    pub(crate) rejects: Mutex<Table>,
    pub(crate) events: Mutex<Table>,
    pub(crate) view: RwLock<LakeView>,
    pub(crate) problem: Mutex<Option<String>>,
    pub(crate) commits: AtomicU64,
    conflicts: [Arc<AtomicU64>; 2],
    pub(crate) superseded: AtomicU64,
    /// When files that no commit names were last looked for.
    pub(crate) swept: Mutex<Option<Timestamp>>,
    missing_files: usize,
    _lock: FolderLock,
}

/// How the lake is doing, for the console and for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeStatus {
    /// Version of `events`.
    pub version: u64,
    /// Files of both tables.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// Rows of both tables, those that wait included.
    pub rows: u64,
    /// Rows that wait for a commit.
    pub waiting_rows: u64,
    /// Files that were gone when the lake was opened.
    pub missing_files: usize,
    /// Commits that this process made, those of its upkeep left out.
    pub commits: u64,
    /// How often another process was first with a version.
    pub commit_conflicts: u64,
    /// How often another process had moved a claimed position.
    pub superseded: u64,
    /// Why the last commit failed, if it did.
    pub problem: Option<String>,
}

impl Lake {
    /// Whether the lake in `folder` could be opened so. Changes nothing.
    ///
    /// # Errors
    /// [`LakeError::Locked`] if somebody has it who does not share it likewise.
    pub fn check_unused(folder: &Path, sharing: Sharing) -> Result<(), LakeError> {
        FolderLock::look(folder, sharing)
    }

    /// Opens the lake in `folder` for writing, creating what is missing.
    ///
    /// # Errors
    /// [`LakeError::Locked`] if another process has it and one of them does not share;
    /// [`LakeError::Foreign`], [`LakeError::Newer`] or [`LakeError::Damaged`] if what is there
    /// cannot be used.
    pub async fn open(
        folder: &Path,
        settings: &LakeSettings,
        sharing: Sharing,
    ) -> Result<(Self, Writer), LakeError> {
        settings.check()?;
        std::fs::create_dir_all(folder).map_err(LakeError::io(folder))?;
        let lock = FolderLock::write(folder, sharing)?;
        let opened = SystemTime::now();
        {
            let _one_at_a_time = FolderLock::open(folder).await?;
            opening::prepare(folder, Columns::events()).await?;
            opening::prepare(folder, Columns::rejects()).await?;
        }
        let mut events = Table::read(folder, Columns::events(), sharing).await?;
        let mut rejects = Table::read(folder, Columns::rejects(), sharing).await?;
        // Others who share it may be about to commit files that no entry names yet.
        let before = (sharing == Sharing::Alone).then_some(opened);
        let missing = sweep(&mut events, before)?.missing + sweep(&mut rejects, before)?.missing;
        let view = LakeView { events: TableView::new(&events), rejects: TableView::new(&rejects) };
        let conflicts = [events.conflicts.clone(), rejects.conflicts.clone()];
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            settings: settings.clone(),
            sharing,
            upkeep: Mutex::new(()),
            rejects: Mutex::new(rejects),
            events: Mutex::new(events),
            view: RwLock::new(view),
            problem: Mutex::new(None),
            commits: AtomicU64::new(0),
            conflicts,
            superseded: AtomicU64::new(0),
            swept: Mutex::new(None),
            missing_files: missing,
            _lock: lock,
        });
        let writer = Writer::new(shared.clone());
        Ok((Self { shared }, writer))
    }

    /// Positions as committed with the events.
    pub fn positions(&self) -> Positions {
        lock(&self.shared.events).positions.clone()
    }

    /// Positions as committed with the rejects; a name that is further here than in
    /// [`positions`](Self::positions) was in a commit that was not finished.
    pub fn reject_positions(&self) -> Positions {
        lock(&self.shared.rejects).positions.clone()
    }

    /// Brings the view up to the newest commits of other processes; cheap if there are none.
    ///
    /// # Errors
    /// What keeps the logs from being followed.
    pub fn follow(&self) -> Result<(), LakeError> {
        for table in [&self.shared.rejects, &self.shared.events] {
            match table.try_lock() {
                Ok(mut table) => self.shared.follow_table(&mut table)?,
                Err(TryLockError::Poisoned(table)) => {
                    self.shared.follow_table(&mut table.into_inner())?;
                }
                // A commit follows by itself, and queries do not wait for its disk.
                Err(TryLockError::WouldBlock) => {}
            }
        }
        Ok(())
    }

    /// Both tables at this moment: every row that was written, once.
    pub fn view(&self) -> LakeView {
        self.shared.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How it is doing.
    pub fn status(&self) -> LakeStatus {
        let view = self.view();
        let tables = [&view.events, &view.rejects];
        let files = || tables.iter().flat_map(|table| table.files.iter());
        let conflicts = self.shared.conflicts.iter();
        LakeStatus {
            version: view.events.version,
            files: files().count(),
            bytes: files().map(|file| file.bytes).sum(),
            rows: tables.iter().map(|table| table.rows()).sum(),
            waiting_rows: tables.iter().map(|table| table.hot_rows()).sum(),
            missing_files: self.shared.missing_files,
            commits: self.shared.commits.load(Ordering::Relaxed),
            commit_conflicts: conflicts.map(|count| count.load(Ordering::Relaxed)).sum(),
            superseded: self.shared.superseded.load(Ordering::Relaxed),
            problem: lock(&self.shared.problem).clone(),
        }
    }
}

impl Shared {
    /// The table of these columns.
    pub(crate) fn table(&self, columns: &Columns) -> MutexGuard<'_, Table> {
        lock(if columns.name == Columns::events().name { &self.events } else { &self.rejects })
    }

    /// Takes over what others committed, in both tables.
    pub(crate) fn follow(&self) -> Result<(), LakeError> {
        self.follow_table(&mut lock(&self.rejects))?;
        self.follow_table(&mut lock(&self.events))
    }

    fn follow_table(&self, table: &mut Table) -> Result<(), LakeError> {
        let followed = table.follow();
        self.show_files(table);
        followed
    }

    /// Changes what queries see of the table, all at once.
    pub(crate) fn show(&self, columns: &Columns, change: impl FnOnce(&mut TableView)) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let is_events = columns.name == Columns::events().name;
        change(if is_events { &mut view.events } else { &mut view.rejects });
    }

    /// Shows the files of a table, whose lock the caller holds.
    pub(crate) fn show_files(&self, table: &Table) {
        self.show(table.columns, |view| {
            view.files = table.files.clone();
            view.version = table.version;
        });
    }
}

/// A thread that panicked has not left half a change behind: changes are made in one assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
