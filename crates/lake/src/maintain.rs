//! Keeps the lake in order: merges, expires, deletes, and sums the log up.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::sync::Arc;

use deltalake_core::checkpoints::create_checkpoint_from_table_url_and_cleanup;
use event::Timestamp;

use crate::LakeError;
use crate::columns::Columns;
use crate::data_file::DataFile;
use crate::lake::{Lake, lock};
use crate::log::{log_folder, sync_folder};
use crate::table::{Change, Reason, url};

/// What one round of upkeep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Small files that were merged.
    pub merged_files: usize,
    /// Files that took their place.
    pub written_files: usize,
    /// Files whose rows are kept no longer.
    pub expired_files: usize,
    /// Files deleted: merged or expired long enough ago.
    pub deleted_files: usize,
    /// Logs summed up.
    pub checkpoints: usize,
}

impl Lake {
    /// One round of upkeep; call it every minute or so, and after a long ingest.
    ///
    /// # Errors
    /// The first one; what was done until then stays done, the rest is done by the next round.
    pub async fn maintain(&self, now: Timestamp) -> Result<Maintenance, LakeError> {
        let lake = self.clone();
        let work = tokio::task::spawn_blocking(move || lake.tidy(now));
        let mut done = match work.await {
            Ok(done) => done?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        for columns in [Columns::events(), Columns::rejects()] {
            done.checkpoints += usize::from(self.checkpoint(columns).await?);
        }
        Ok(done)
    }

    fn tidy(&self, now: Timestamp) -> Result<Maintenance, LakeError> {
        let expired_files = self.expire(now)?;
        let merged = self.compact(now)?;
        let deleted_files = self.vacuum(now)?;
        let (merged_files, written_files) = (merged.read, merged.written);
        let checkpoints = 0;
        Ok(Maintenance { merged_files, written_files, expired_files, deleted_files, checkpoints })
    }

    /// Takes the files of days beyond the retention out of both tables.
    fn expire(&self, now: Timestamp) -> Result<usize, LakeError> {
        let kept = self.shared.settings.retention_days;
        if kept == 0 {
            return Ok(0);
        }
        let _one_at_a_time = lock(&self.shared.upkeep);
        let first = i64::from(now.day()) - i64::from(kept);
        let is_expired = |file: &&Arc<DataFile>| i64::from(file.day) < first;
        let mut count = 0;
        for columns in [Columns::rejects(), Columns::events()] {
            let mut table = self.shared.table(columns);
            let remove: Vec<_> = table.files.iter().filter(is_expired).cloned().collect();
            if remove.is_empty() {
                continue;
            }
            let (reason, add, positions) = (Reason::Expire, Vec::new(), Vec::new());
            let files = remove.len();
            let change = Change { reason, add, remove, positions };
            if table.commit(&change, now.0.div_euclid(1_000))? {
                tracing::info!(table = columns.name, files, "expired");
                self.shared.show_files(&table);
                count += files;
            }
        }
        Ok(count)
    }

    /// Deletes files that left the tables so long ago that no query reads them any more.
    fn vacuum(&self, now: Timestamp) -> Result<usize, LakeError> {
        let _one_at_a_time = lock(&self.shared.upkeep);
        let grace = i64::from(self.shared.settings.vacuum_hours) * 3_600_000;
        let last = now.0.div_euclid(1_000).saturating_sub(grace);
        let mut count = 0;
        for columns in [Columns::rejects(), Columns::events()] {
            let (folder, removed) = {
                let table = self.shared.table(columns);
                (table.folder.clone(), table.removed.clone())
            };
            for file in removed.into_iter().filter(|file| file.at <= last) {
                let path = folder.join(&file.path);
                match fs::remove_file(&path) {
                    Ok(()) => count += 1,
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(LakeError::io(&path)(error)),
                }
                self.shared.table(columns).removed.retain(|other| *other != file);
            }
        }
        Ok(count)
    }

    /// Sums the log of a table up if enough commits were made since the last time.
    async fn checkpoint(&self, columns: &Columns) -> Result<bool, LakeError> {
        let (folder, version, last) = {
            let table = self.shared.table(columns);
            (table.folder.clone(), table.version, table.checkpoint)
        };
        if version.saturating_sub(last) < self.shared.settings.checkpoint_commits {
            return Ok(false);
        }
        // Opens the table afresh: what it needs of memory is gone when it is done.
        create_checkpoint_from_table_url_and_cleanup(url(&folder)?, version, None, None).await?;
        let log = log_folder(&folder);
        let path = log.join(format!("{version:020}.checkpoint.parquet"));
        let synced = File::open(&path).and_then(|checkpoint| checkpoint.sync_all());
        synced.map_err(LakeError::io(&path))?;
        sync_folder(&log)?;
        self.shared.table(columns).checkpoint = version;
        Ok(true)
    }
}
