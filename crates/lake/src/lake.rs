//! The lake of one data folder: shared by its writer, its compactor and those who query.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use crate::columns::Columns;
use crate::encoder::milliseconds;
use crate::lock::WriterLock;
use crate::log::Positions;
use crate::table::Table;
use crate::view::{LakeView, TableView};
use crate::writer::Writer;
use crate::{LakeError, LakeSettings, recover};

/// Name of the position that numbers the commits of `events`.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// The open lake; clones share it. Nobody else writes the folder until the last one is gone.
#[derive(Clone)]
pub struct Lake {
    pub(crate) shared: Arc<Shared>,
}

/// What the writer, the compactor and queries share. Locks are taken in the order of the fields.
pub(crate) struct Shared {
    pub(crate) settings: LakeSettings,
    /// Held by whoever merges or deletes files.
    pub(crate) upkeep: Mutex<()>,
    pub(crate) rejects: Mutex<Table>,
    pub(crate) events: Mutex<Table>,
    pub(crate) view: RwLock<LakeView>,
    pub(crate) trouble: Mutex<Option<String>>,
    missing_files: usize,
    _lock: WriterLock,
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
    /// Why the last commit failed, if it did.
    pub trouble: Option<String>,
}

impl Lake {
    /// Whether nobody has the lake in `folder` open for writing. Changes nothing.
    ///
    /// # Errors
    /// [`LakeError::Locked`] if somebody has.
    pub fn check_unused(folder: &Path) -> Result<(), LakeError> {
        WriterLock::look(folder)
    }

    /// Opens the lake in `folder` for writing, creating what is missing.
    ///
    /// # Errors
    /// [`LakeError::Locked`] if another process has it; [`LakeError::Foreign`],
    /// [`LakeError::Newer`] or [`LakeError::Damaged`] if what is there cannot be used.
    pub async fn open(folder: &Path, settings: &LakeSettings) -> Result<(Self, Writer), LakeError> {
        settings.check()?;
        std::fs::create_dir_all(folder).map_err(LakeError::io(folder))?;
        let lock = WriterLock::take(folder)?;
        let opened = SystemTime::now();
        let mut events = Table::open(folder, Columns::events()).await?;
        let mut rejects = Table::open(folder, Columns::rejects()).await?;
        let missing_files =
            recover::sweep(&mut events, opened)? + recover::sweep(&mut rejects, opened)?;
        let checkpoint = events.position(CHECKPOINT).unwrap_or(0);
        recover::take_back(&mut rejects, checkpoint, milliseconds(opened))?;
        let view = LakeView { events: TableView::new(&events), rejects: TableView::new(&rejects) };
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            upkeep: Mutex::new(()),
            rejects: Mutex::new(rejects),
            events: Mutex::new(events),
            view: RwLock::new(view),
            trouble: Mutex::new(None),
            missing_files,
            _lock: lock,
        });
        let writer = Writer::new(shared.clone());
        Ok((Self { shared }, writer))
    }

    /// Every position as committed with the events: those that commits were given, and
    /// `checkpoint`, the number of the newest commit.
    pub fn positions(&self) -> Positions {
        lock(&self.shared.events).positions.clone()
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
        LakeStatus {
            version: view.events.version,
            files: files().count(),
            bytes: files().map(|file| file.bytes).sum(),
            rows: tables.iter().map(|table| table.rows()).sum(),
            waiting_rows: tables.iter().map(|table| table.hot_rows()).sum(),
            missing_files: self.shared.missing_files,
            trouble: lock(&self.shared.trouble).clone(),
        }
    }
}

impl Shared {
    /// The table of these columns.
    pub(crate) fn table(&self, columns: &Columns) -> MutexGuard<'_, Table> {
        lock(if columns.name == Columns::events().name { &self.events } else { &self.rejects })
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
