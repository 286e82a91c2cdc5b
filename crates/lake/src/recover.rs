//! Clears up after a crash: files that no commit names, and rejects whose events never came.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirEntry};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::LakeError;
use crate::data_file::{DataFile, number};
use crate::log::log_folder;
use crate::table::{Change, Reason, Table};

/// Compares the folder with the log; returns how many files the log names in vain.
///
/// Deleted is exactly: a file that [`crate::data_file::new_path`] could have named, in a folder
/// `date=…` of the table, which the log names neither as part of the table nor as removed, and
/// which was last written before `opened`; and a staged log entry older than that. The caller
/// holds the writer's lock, so nobody is about to commit them.
pub(crate) fn sweep(table: &mut Table, opened: SystemTime) -> Result<usize, LakeError> {
    let mut found = HashSet::new();
    let mut orphans = 0;
    {
        let active: HashSet<&str> = table.files.iter().map(|file| file.path.as_str()).collect();
        let removed: HashMap<&str, i64> =
            table.removed.iter().map(|file| (file.path.as_str(), file.at)).collect();
        for day in entries(&table.folder)? {
            let name = day.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with("date=")) else {
                continue;
            };
            for file in entries(&day.path())? {
                let path = format!("{name}/{}", file.file_name().to_string_lossy());
                if active.contains(path.as_str()) || removed.contains_key(path.as_str()) {
                    found.insert(path);
                } else if number(&path).is_some() && is_older(&file, opened) {
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
        if staged && is_older(&entry, opened) {
            fs::remove_file(entry.path()).map_err(LakeError::io(&entry.path()))?;
        }
    }
    if orphans > 0 {
        tracing::info!(table = table.columns.name, orphans, "deleted files of unfinished commits");
    }
    table.removed.retain(|file| found.contains(&file.path));
    let lost = table.files.iter().filter(|file| !found.contains(&file.path));
    Ok(lost.inspect(|file| tracing::error!(path = file.path, "a file of the lake is gone")).count())
}

/// Takes rejects back whose events never came: files of `rejects` for a commit later than
/// `checkpoint`, the newest one of `events`.
///
/// Nobody was told that they are stored, and their positions did not move, so they are read again.
pub(crate) fn take_back(rejects: &mut Table, checkpoint: i64, now: i64) -> Result<(), LakeError> {
    let is_ahead = |file: &&Arc<DataFile>| file.number().is_some_and(|number| number > checkpoint);
    let remove: Vec<_> = rejects.files.iter().filter(is_ahead).cloned().collect();
    if remove.is_empty() {
        return Ok(());
    }
    let rows: u64 = remove.iter().map(|file| file.rows).sum();
    tracing::info!(rows, "took back rejects of an unfinished commit; they will be read again");
    let (reason, add, positions) = (Reason::TakeBack { checkpoint }, Vec::new(), Vec::new());
    let change = Change { reason, add, remove, positions };
    if rejects.commit(&change, now)? {
        return Ok(());
    }
    // Another program removed or merged one of them since they were read, a moment ago.
    let (folder, version) = (rejects.folder.clone(), rejects.version);
    Err(LakeError::Interfered { folder, version, what: "it removed files being taken back" })
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

fn is_older(entry: &DirEntry, than: SystemTime) -> bool {
    entry.metadata().and_then(|data| data.modified()).is_ok_and(|written| written < than)
}
