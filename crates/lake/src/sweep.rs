//! Compares a table's folder with its log: files that no commit names, and files that are gone.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::LakeError;
use crate::data_file::{DataFile, is_ours};
use crate::log::log_folder;
use crate::table::Table;

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Files that no commit names; they were deleted.
    pub(crate) orphans: usize,
    /// Files that the log names in vain.
    pub(crate) missing: usize,
}

/// Deletes what crashes left behind, and looks for what is gone.
///
/// Deleted is exactly: a file that [`crate::data_file::new_path`] could have named, in a folder
/// `date=…` of the table, which the log names neither as part of the table nor as removed, and
/// which was last written before `before`; and a staged log entry older than that. The caller
/// knows that nobody is about to commit files so old; without `before` nothing is deleted.
pub(crate) fn sweep(table: &mut Table, before: Option<SystemTime>) -> Result<Swept, LakeError> {
    let mut found = HashSet::new();
    let mut orphans = 0;
    {
        let active: HashSet<&str> = table.files.iter().map(|file| file.path.as_str()).collect();
        let removed: HashSet<&str> = table.removed.iter().map(|file| file.path.as_str()).collect();
        for day in entries(&table.folder)? {
            let name = day.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with("date=")) else {
                continue;
            };
            for file in entries(&day.path())? {
                let path = format!("{name}/{}", file.file_name().to_string_lossy());
                if active.contains(path.as_str()) || removed.contains(path.as_str()) {
                    found.insert(path);
                } else if is_ours(&path) && is_older(&file, before) {
                    fs::remove_file(file.path()).map_err(LakeError::io(&file.path()))?;
                    orphans += 1;
                }
            }
        }
    }
    for entry in entries(&log_folder(&table.folder))? {
        let name = entry.file_name();
        let staged = name
            .to_str()
            .is_some_and(|name| name.starts_with("_commit_") && name.ends_with(".json.tmp"));
        if staged && is_older(&entry, before) {
            fs::remove_file(entry.path()).map_err(LakeError::io(&entry.path()))?;
        }
    }
    if orphans > 0 {
        tracing::info!(table = table.columns.name, orphans, "deleted files of unfinished commits");
    }
    table.removed.retain(|file| found.contains(&file.path));
    let lost = table.files.iter().filter(|file| !found.contains(&file.path));
    let tell =
        |file: &&Arc<DataFile>| tracing::error!(path = file.path, "a file of the lake is gone");
    Ok(Swept { orphans, missing: lost.inspect(tell).count() })
}

fn entries(folder: &Path) -> Result<Vec<DirEntry>, LakeError> {
    let entries = fs::read_dir(folder).map_err(LakeError::io(folder))?;
    let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(LakeError::io(folder))?;
    // A plain file called like a day's folder is nobody's business.
    let inner = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("date="));
    let is_wanted = |entry: &DirEntry| {
        let name = entry.file_name();
        inner || entry.path().is_dir() || !name.to_string_lossy().starts_with("date=")
    };
    Ok(entries.into_iter().filter(is_wanted).collect())
}

fn is_older(entry: &DirEntry, than: Option<SystemTime>) -> bool {
    let written = || entry.metadata().and_then(|data| data.modified());
    than.is_some_and(|than| written().is_ok_and(|written| written < than))
}
