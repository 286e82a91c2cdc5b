//! One Delta table: which files it has, which positions, and how both change.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::CommitData;
use deltalake_core::kernel::{Action, StructType, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableBuilder, TableProperty};
use futures::TryStreamExt;
use url::Url;

use crate::LakeError;
use crate::columns::{Columns, DATE};
use crate::data_file::DataFile;
use crate::log::{
    self, Positions, Published, log_folder, publish, read_entry, sync_entry, sync_folder,
};

/// Files of a table, in the order in which they were added.
pub(crate) type Files = Arc<[Arc<DataFile>]>;

/// One Delta table, kept up to date by its only writer instead of being read from the log again.
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
    /// Version of the newest checkpoint.
    pub(crate) checkpoint: u64,
}

/// A file that queries under way may still read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) path: String,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
}

/// Why files come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// New rows.
    Append,
    /// The same rows in other files.
    Compact,
    /// Rows that are kept no longer.
    Expire,
    /// Rejects for commits of `events` after this one, which were never made.
    TakeBack { checkpoint: i64 },
}

/// One commit.
pub(crate) struct Change {
    pub(crate) reason: Reason,
    pub(crate) add: Vec<DataFile>,
    pub(crate) remove: Vec<Arc<DataFile>>,
    pub(crate) positions: Vec<(String, i64)>,
}

impl Table {
    /// Opens the table beneath `lake`, creating it if there is none.
    pub(crate) async fn open(lake: &Path, columns: &'static Columns) -> Result<Self, LakeError> {
        let folder = lake.join(columns.name);
        if !log_folder(&folder).exists() {
            create(lake, &folder, columns).await?;
        }
        let mut delta = load(&folder).await?;
        if let Some(missing) = check_schema(&delta, &folder, columns)? {
            delta = delta.add_columns().with_fields(missing).await?;
            let version = delta.version().unwrap_or_default();
            sync_entry(&folder, version)?;
            tracing::info!(folder = %folder.display(), version, "added columns of this version");
        }
        Self::from_delta(&delta, folder, columns).await
    }

    /// The table as a reader finds it; nothing is created.
    pub(crate) async fn read(lake: &Path, columns: &'static Columns) -> Result<Self, LakeError> {
        let folder = lake.join(columns.name);
        if !log_folder(&folder).exists() {
            return Err(LakeError::Absent(lake.to_owned()));
        }
        let delta = load(&folder).await?;
        check_schema(&delta, &folder, columns)?;
        Self::from_delta(&delta, folder, columns).await
    }

    async fn from_delta(
        delta: &DeltaTable,
        folder: PathBuf,
        columns: &'static Columns,
    ) -> Result<Self, LakeError> {
        let state = delta.snapshot().map_err(LakeError::damaged(&folder))?;
        let version = state.version();
        let mut files = Vec::new();
        for view in state.log_data().iter() {
            #[expect(deprecated, reason = "the only public way to the whole `add` action")]
            let add = view.add_action();
            let Some(file) = DataFile::from_add(add, columns) else {
                let what = format!("the log names the file `{}`", view.path());
                return Err(LakeError::Foreign { folder, what });
            };
            files.push(Arc::new(file));
        }
        files.sort_by(|a, b| (a.written, &a.path).cmp(&(b.written, &b.path)));
        let log_store = delta.log_store();
        let removed = state.all_tombstones(&log_store).map_ok(|removed| Removed {
            path: removed.path().into_owned(),
            at: removed.deletion_timestamp().unwrap_or(0),
        });
        let removed = removed.try_collect().await.map_err(LakeError::damaged(&folder))?;
        let (positions, checkpoint) = log::read_positions(&folder, version)?;
        Ok(Self { columns, folder, version, positions, files: files.into(), removed, checkpoint })
    }

    /// Position of that name.
    pub(crate) fn position(&self, name: &str) -> Option<i64> {
        self.positions.get(name).copied()
    }

    /// Puts the change into the log. An error other than a fence leaves the table as it was.
    ///
    /// Returns false if another program removed a file that the change removes.
    pub(crate) fn commit(&mut self, change: &Change, now: i64) -> Result<bool, LakeError> {
        let entry = change.entry(now)?;
        loop {
            if !change.remove.iter().all(|file| self.holds(&file.path)) {
                return Ok(false);
            }
            let version = self.version + 1;
            match publish(&self.folder, version, &entry)? {
                Published::Done => break,
                Published::Taken => self.follow(version)?,
            }
        }
        self.version += 1;
        let removed: Vec<&str> = change.remove.iter().map(|file| file.path.as_str()).collect();
        let add = change.add.iter().cloned().map(Arc::new);
        self.replace(&removed, add.collect(), now);
        self.positions.extend(change.positions.iter().cloned());
        Ok(true)
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

    /// Takes over an entry that another program wrote, such as a merge of files.
    fn follow(&mut self, version: u64) -> Result<(), LakeError> {
        let interfered =
            |what| LakeError::Interfered { folder: self.folder.clone(), version, what };
        let actions = read_entry(&self.folder, version)?;
        let actions = actions.ok_or_else(|| interfered("its log entry vanished"))?;
        let (mut add, mut removed) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Add(file) => {
                    let file = DataFile::from_add(file, self.columns);
                    add.push(Arc::new(file.ok_or_else(|| interfered("it added foreign files"))?));
                }
                Action::Remove(file) => removed.push((file.path, file.deletion_timestamp)),
                Action::Txn(position) if self.positions.contains_key(&position.app_id) => {
                    return Err(interfered("it moved a position of this writer"));
                }
                Action::Metadata(_) | Action::Protocol(_) => {
                    return Err(interfered("it changed the schema or the properties"));
                }
                _ => {}
            }
        }
        tracing::warn!(folder = %self.folder.display(), version, "another program wrote a commit");
        let at = removed.iter().find_map(|(_, at)| *at).unwrap_or(0);
        let removed: Vec<&str> = removed.iter().map(|(path, _)| path.as_str()).collect();
        self.replace(&removed, add, at);
        self.version = version;
        Ok(())
    }
}

impl Change {
    /// New rows and where they came from.
    pub(crate) fn append(add: Vec<DataFile>, positions: Vec<(String, i64)>) -> Self {
        Self { reason: Reason::Append, add, remove: Vec::new(), positions }
    }

    fn entry(&self, now: i64) -> Result<Vec<u8>, LakeError> {
        let data_change = self.reason != Reason::Compact;
        let add = self.add.iter().map(|file| Action::Add(file.add(data_change)));
        let remove = self.remove.iter().map(|file| Action::Remove(file.remove(data_change, now)));
        let actions = remove.chain(add).collect();
        let operation = match self.reason {
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
            Reason::TakeBack { checkpoint } => {
                // For the reader of the history: the number stands in the names of the files.
                let predicate = Some(format!("commit number > {checkpoint}"));
                DeltaOperation::Delete { predicate }
            }
        };
        let positions = self.positions.iter();
        let positions = positions
            .map(|(name, number)| Transaction::new_with_last_update(name, *number, Some(now)));
        let data = CommitData::new(actions, operation, HashMap::new(), positions.collect());
        let bytes = data.get_bytes().map_err(deltalake_core::DeltaTableError::from)?;
        Ok(bytes.to_vec())
    }
}

/// URL of a table's folder, which must exist.
pub(crate) fn url(folder: &Path) -> Result<Url, LakeError> {
    let absolute = fs::canonicalize(folder).map_err(LakeError::io(folder))?;
    Url::from_directory_path(&absolute).map_err(|()| LakeError::Foreign {
        folder: folder.to_owned(),
        what: "its path cannot be written as a URL".to_owned(),
    })
}

async fn load(folder: &Path) -> Result<DeltaTable, LakeError> {
    let builder = DeltaTableBuilder::from_url(url(folder)?)?;
    builder.load().await.map_err(LakeError::damaged(folder))
}

/// Creates the table aside and renames it, so that it is there whole or not at all.
async fn create(lake: &Path, folder: &Path, columns: &Columns) -> Result<(), LakeError> {
    let occupied = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        let what = "it holds files but no Delta log".to_owned();
        return Err(LakeError::Foreign { folder: folder.to_owned(), what });
    }
    let aside = lake.join(format!("{}.new", columns.name));
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(LakeError::io(&aside))?;
    }
    fs::create_dir_all(&aside).map_err(LakeError::io(&aside))?;
    let schema: StructType = columns.table.as_ref().try_into_kernel()?;
    CreateBuilder::new()
        .with_location(url(&aside)?.to_string())
        .with_table_name(columns.name)
        .with_columns(schema.fields().cloned())
        .with_partition_columns([DATE])
        .with_configuration_property(TableProperty::LogRetentionDuration, Some("interval 2 days"))
        .with_configuration_property(TableProperty::EnableExpiredLogCleanup, Some("true"))
        .await?;
    sync_entry(&aside, 0)?;
    sync_folder(&aside)?;
    fs::rename(&aside, folder).map_err(LakeError::io(folder))?;
    sync_folder(lake)
}

/// Columns that an older version did not have yet, if any; an error if the table is not ours.
fn check_schema(
    delta: &DeltaTable,
    folder: &Path,
    columns: &Columns,
) -> Result<Option<Vec<deltalake_core::kernel::StructField>>, LakeError> {
    let state = delta.snapshot().map_err(LakeError::damaged(folder))?;
    let foreign = |what: String| LakeError::Foreign { folder: folder.to_owned(), what };
    let wanted: StructType = columns.table.as_ref().try_into_kernel()?;
    let found = state.schema();
    if state.metadata().partition_columns() != [DATE] {
        return Err(foreign(format!("it is not partitioned by `{DATE}`")));
    }
    let mut missing = Vec::new();
    for field in wanted.fields() {
        match found.field(field.name()) {
            Some(known) if known.data_type() == field.data_type() => {}
            Some(known) => {
                let (name, is, should) = (field.name(), known.data_type(), field.data_type());
                return Err(foreign(format!("column `{name}` is of type {is}, not {should}")));
            }
            None if field.is_nullable() => missing.push(field.clone()),
            None => return Err(foreign(format!("it has no column `{}`", field.name()))),
        }
    }
    if let Some(unknown) = found.fields().find(|field| wanted.field(field.name()).is_none()) {
        let column = unknown.name().clone();
        return Err(LakeError::Newer { folder: folder.to_owned(), column });
    }
    Ok((!missing.is_empty()).then_some(missing))
}
