//! The Delta log on a local disk: entries are published whole or not at all, and durably.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::Action;
use deltalake_core::logstore::get_actions;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::LakeError;

/// Names and numbers of Delta's `txn` actions.
pub(crate) type Positions = BTreeMap<String, i64>;

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// It is in the log.
    Done,
    /// Another entry has this version.
    Taken,
}

/// Folder of a table's log.
pub(crate) fn log_folder(table: &Path) -> PathBuf {
    table.join("_delta_log")
}

/// Publishes entry `version`.
///
/// The object store of the Delta library links an entry before its bytes are on the disk, so a
/// power cut could leave a torn one; here the bytes are durable first. An error other than
/// [`LakeError::Fenced`] means that the entry is not in the log. `entry` must be like no other:
/// an entry with the same bytes is taken for this one.
pub(crate) fn publish(table: &Path, version: u64, entry: &[u8]) -> Result<Published, LakeError> {
    let folder = log_folder(table);
    let target = folder.join(format!("{version:020}.json"));
    let staged = folder.join(format!("_commit_{}.json.tmp", uuid::Uuid::new_v4()));
    let written = File::create_new(&staged)
        .and_then(|mut file| file.write_all(entry).and_then(|()| file.sync_all()));
    // A link is refused if the target exists: two writers cannot both have this version.
    let linked = written.and_then(|()| fs::hard_link(&staged, &target));
    if let Err(error) = fs::remove_file(&staged) {
        tracing::debug!(path = %staged.display(), %error, "left for the next start to delete");
    }
    if let Err(error) = linked {
        // The link may be there although the call failed, on a network file system for one.
        match fs::read(&target) {
            Ok(found) if found == entry => {}
            Ok(_) => return Ok(Published::Taken),
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                return Err(LakeError::Io { path: target, source: error });
            }
            Err(source) => return Err(LakeError::Fenced { path: target, source }),
        }
    }
    sync(&folder).map_err(|source| LakeError::Fenced { path: folder, source })?;
    Ok(Published::Done)
}

/// The actions of entry `version`; none if there is no such entry.
pub(crate) fn read_entry(table: &Path, version: u64) -> Result<Option<Vec<Action>>, LakeError> {
    let path = log_folder(table).join(format!("{version:020}.json"));
    match fs::read(&path) {
        Ok(bytes) => {
            get_actions(version, &bytes.into()).map(Some).map_err(LakeError::damaged(table))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LakeError::io(&path)(error)),
    }
}

/// Every position at `version`, and the version of the newest checkpoint (0 without one).
///
/// The Delta library answers for one name at a time, and only for names that are known.
pub(crate) fn read_positions(table: &Path, version: u64) -> Result<(Positions, u64), LakeError> {
    let mut positions = Positions::new();
    let checkpoint = newest_checkpoint(table, version)?;
    if let Some(checkpoint) = checkpoint {
        let name = format!("{checkpoint:020}.checkpoint.parquet");
        read_checkpoint(&log_folder(table).join(name), &mut positions)?;
    }
    for entry in checkpoint.map_or(0, |checkpoint| checkpoint + 1)..=version {
        let Some(actions) = read_entry(table, entry)? else {
            let missing = DeltaTableError::generic(format!("its entry {entry} is missing"));
            return Err(LakeError::damaged(table)(missing));
        };
        for action in actions {
            if let Action::Txn(position) = action {
                positions.insert(position.app_id, position.version);
            }
        }
    }
    Ok((positions, checkpoint.unwrap_or(0)))
}

/// Version of the newest checkpoint (0 without one). It is told before the entries that the
/// checkpoint stands for are deleted.
pub(crate) fn last_checkpoint(table: &Path) -> Result<u64, LakeError> {
    let path = log_folder(table).join("_last_checkpoint");
    let hint = match fs::read(&path) {
        Ok(hint) => hint,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(LakeError::io(&path)(error)),
    };
    let hint: Value = serde_json::from_slice(&hint).unwrap_or_default();
    match hint.get("version").and_then(Value::as_u64) {
        Some(version) => Ok(version),
        None => Ok(newest_checkpoint(table, u64::MAX)?.unwrap_or(0)),
    }
}

/// Makes an entry durable that the Delta library wrote.
pub(crate) fn sync_entry(table: &Path, version: u64) -> Result<(), LakeError> {
    let folder = log_folder(table);
    let entry = folder.join(format!("{version:020}.json"));
    let synced = File::open(&entry).and_then(|entry| entry.sync_all());
    synced.map_err(LakeError::io(&entry))?;
    sync_folder(&folder)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), LakeError> {
    sync(folder).map_err(LakeError::io(folder))
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn newest_checkpoint(table: &Path, version: u64) -> Result<Option<u64>, LakeError> {
    let folder = log_folder(table);
    let mut newest = None;
    for entry in fs::read_dir(&folder).map_err(LakeError::io(&folder))? {
        let name = entry.map_err(LakeError::io(&folder))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".checkpoint.parquet"));
        let number = number.and_then(|number| number.parse::<u64>().ok());
        newest = newest.max(number.filter(|number| *number <= version));
    }
    Ok(newest)
}

fn read_checkpoint(path: &Path, positions: &mut Positions) -> Result<(), LakeError> {
    let file = File::open(path).map_err(LakeError::io(path))?;
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(LakeError::parquet(path))?;
    let txn = ProjectionMask::columns(reader.parquet_schema(), ["txn.appId", "txn.version"]);
    let reader = reader.with_projection(txn).build().map_err(LakeError::parquet(path))?;
    for batch in reader {
        let batch = batch?;
        let Some(txn) = batch.column_by_name("txn").and_then(|column| column.as_struct_opt())
        else {
            continue;
        };
        let names = txn.column_by_name("appId").and_then(|names| names.as_string_opt::<i32>());
        let numbers = txn.column_by_name("version");
        let numbers = numbers.and_then(|numbers| numbers.as_primitive_opt::<Int64Type>());
        let (Some(names), Some(numbers)) = (names, numbers) else { continue };
        // Rows of other actions have no `txn`, whatever its inner columns hold there.
        for row in (0..txn.len()).filter(|row| txn.is_valid(*row)) {
            if names.is_valid(row) && numbers.is_valid(row) {
                positions.insert(names.value(row).to_owned(), numbers.value(row));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_published_once() {
        let table = tempfile::tempdir().expect("a folder");
        fs::create_dir(log_folder(table.path())).expect("a log");
        let publish = |entry: &[u8]| publish(table.path(), 3, entry).expect("published");
        assert_eq!(publish(b"{}"), Published::Done);
        assert_eq!(publish(b"{}"), Published::Done, "the same entry again is the same entry");
        assert_eq!(publish(b"{ }"), Published::Taken);
        let names: Vec<_> = fs::read_dir(log_folder(table.path())).expect("a log").collect();
        assert_eq!(names.len(), 1, "nothing staged is left: {names:?}");
    }
}
