//! Opens a Delta table through the library: creates it, checks its schema, reads its state.

use std::fs;
use std::path::Path;
use std::time::Duration;

use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::{StructField, StructType};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::{DeltaTable, DeltaTableBuilder, TableProperty};
use futures::TryStreamExt;
use url::Url;

use crate::LakeError;
use crate::columns::{Columns, DATE};
use crate::data_file::DataFile;
use crate::log::{Positions, log_folder, read_positions, sync_entry, sync_folder};
use crate::table::{Files, Removed};

/// How often a table is read that another process is cleaning up, and the pause in between.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(50);

/// What the log of a table says at one version.
pub(crate) struct State {
    pub(crate) version: u64,
    pub(crate) positions: Positions,
    pub(crate) files: Files,
    pub(crate) removed: Vec<Removed>,
    /// Version of the newest checkpoint.
    pub(crate) checkpoint: u64,
}

/// Creates the table beneath `lake` if there is none, and adds the columns that it lacks. The
/// caller holds the lock for opening.
pub(crate) async fn prepare(lake: &Path, columns: &'static Columns) -> Result<(), LakeError> {
    let folder = lake.join(columns.name);
    if !log_folder(&folder).exists() {
        create(lake, &folder, columns).await?;
    }
    let delta = load(&folder).await?;
    let Some(missing) = check_schema(&delta, &folder, columns)? else { return Ok(()) };
    let delta = delta.add_columns().with_fields(missing).await?;
    let version = delta.version().unwrap_or_default();
    sync_entry(&folder, version)?;
    tracing::info!(folder = %folder.display(), version, "added columns of this version");
    Ok(())
}

/// The newest state of the table in `folder`.
///
/// Another process may delete old entries of the log while they are read; then the table is read
/// again, from the newer checkpoint that made them superfluous.
pub(crate) async fn read(folder: &Path, columns: &'static Columns) -> Result<State, LakeError> {
    let mut attempt = 1;
    loop {
        match read_once(folder, columns).await {
            Err(LakeError::Damaged { .. } | LakeError::Io { .. }) if attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            read => return read,
        }
    }
}

async fn read_once(folder: &Path, columns: &'static Columns) -> Result<State, LakeError> {
    let delta = load(folder).await?;
    check_schema(&delta, folder, columns)?;
    let state = delta.snapshot().map_err(LakeError::damaged(folder))?;
    let version = state.version();
    let mut files = Vec::new();
    for view in state.log_data().iter() {
        #[expect(deprecated, reason = "the only public way to the whole `add` action")]
        let add = view.add_action();
        let Some(file) = DataFile::from_add(add, columns) else {
            let what = format!("the log names the file `{}`", view.path());
            return Err(LakeError::Foreign { folder: folder.to_owned(), what });
        };
        files.push(std::sync::Arc::new(file));
    }
    files.sort_by(|a, b| (a.written, &a.path).cmp(&(b.written, &b.path)));
    let log_store = delta.log_store();
    let removed = state.all_tombstones(&log_store).map_ok(|removed| Removed {
        path: removed.path().into_owned(),
        at: removed.deletion_timestamp().unwrap_or(0),
    });
    let removed = removed.try_collect().await.map_err(LakeError::damaged(folder))?;
    let (positions, checkpoint) = read_positions(folder, version)?;
    Ok(State { version, positions, files: files.into(), removed, checkpoint })
}

/// As [`read`], for callers that have no runtime.
pub(crate) fn read_blocking(folder: &Path, columns: &'static Columns) -> Result<State, LakeError> {
    // The caller may be a thread of a runtime, which may not start another one.
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .map_err(LakeError::io(folder))?;
            runtime.block_on(read(folder, columns))
        });
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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
) -> Result<Option<Vec<StructField>>, LakeError> {
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
