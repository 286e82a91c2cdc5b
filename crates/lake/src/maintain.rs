//! Keeps the lake in order: merges, expires, deletes, and sums the log up.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use deltalake_core::checkpoints::create_checkpoint_from_table_url_and_cleanup;
use event::Timestamp;

use crate::change::{Change, Reason};
use crate::columns::Columns;
use crate::data_file::DataFile;
use crate::lake::{Lake, lock};
use crate::lock::FolderLock;
use crate::log::{last_checkpoint, log_folder, sync_folder};
use crate::opening::url;
use crate::sweep::sweep;
use crate::{LakeError, Sharing};

/// Seconds between two looks for files that no commit names.
const SWEEP_EVERY: i64 = 3_600;

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
    /// One round of upkeep; call it every minute or so, and after a long ingest. If another
    /// process is at it, this one does nothing.
    ///
    /// # Errors
    /// The first one. Every step is tried, whatever became of those before it: files that cannot
    /// be merged must not keep others from being deleted.
    pub async fn maintain(&self, now: Timestamp) -> Result<Maintenance, LakeError> {
        let lease = match self.shared.sharing {
            Sharing::Alone => None,
            Sharing::Shared => match FolderLock::upkeep(&self.shared.folder)? {
                Some(lease) => Some(lease),
                None => {
                    self.shared.follow()?;
                    self.forget(now);
                    return Ok(Maintenance::default());
                }
            },
        };
        let lake = self.clone();
        let work = tokio::task::spawn_blocking(move || lake.tidy(now));
        let mut done = match work.await {
            Ok(done) => done,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        for columns in [Columns::events(), Columns::rejects()] {
            let summed_up = self.checkpoint(columns).await;
            done.0.checkpoints += usize::from(or_note(summed_up, &mut done.1));
        }
        drop(lease);
        done.1.map_or(Ok(done.0), Err)
    }

    /// Every step, and the first error.
    fn tidy(&self, now: Timestamp) -> (Maintenance, Option<LakeError>) {
        let mut failed = None;
        if self.shared.sharing == Sharing::Shared {
            or_note(self.shared.follow(), &mut failed);
        }
        let expired_files = or_note(self.expire(now), &mut failed);
        let merged = or_note(self.compact(now), &mut failed);
        let vacuumed = or_note(self.vacuum(now), &mut failed);
        let deleted_files = vacuumed + or_note(self.sweep(now), &mut failed);
        let (merged_files, written_files) = (merged.read, merged.written);
        let checkpoints = 0;
        let done =
            Maintenance { merged_files, written_files, expired_files, deleted_files, checkpoints };
        (done, failed)
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
            let files = remove.len();
            let change = Change::replace(Reason::Expire, remove, Vec::new());
            let is_done = table.commit(&change, now.0.div_euclid(1_000));
            self.shared.show_files(&table);
            if is_done? {
                tracing::info!(table = columns.name, files, "expired");
                count += files;
            }
        }
        Ok(count)
    }

    /// Deletes files that left the tables so long ago that no query reads them any more.
    fn vacuum(&self, now: Timestamp) -> Result<usize, LakeError> {
        let _one_at_a_time = lock(&self.shared.upkeep);
        let last = self.unread_since(now);
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

    /// Deletes files that other processes began and will not commit any more.
    fn sweep(&self, now: Timestamp) -> Result<usize, LakeError> {
        let mut swept = lock(&self.shared.swept);
        let is_due = swept.is_none_or(|last| now >= last.plus_seconds(SWEEP_EVERY));
        let last = u64::try_from(self.unread_since(now));
        let (Sharing::Shared, true, Ok(last)) = (self.shared.sharing, is_due, last) else {
            return Ok(0);
        };
        let before = SystemTime::UNIX_EPOCH + Duration::from_millis(last);
        let mut orphans = 0;
        for columns in [Columns::rejects(), Columns::events()] {
            let mut table = self.shared.table(columns);
            // A commit may have named such files a moment ago.
            table.follow()?;
            self.shared.show_files(&table);
            orphans += sweep(&mut table, Some(before))?.orphans;
        }
        *swept = Some(now);
        Ok(orphans)
    }

    /// Drops from memory which files left the tables: whoever does the upkeep deletes them, and
    /// those that are forgotten by everybody are found by the sweep.
    fn forget(&self, now: Timestamp) {
        let last = self.unread_since(now);
        for columns in [Columns::rejects(), Columns::events()] {
            self.shared.table(columns).removed.retain(|file| file.at > last);
        }
    }

    /// No query reads files that left the tables before, in milliseconds since 1970.
    fn unread_since(&self, now: Timestamp) -> i64 {
        let grace = i64::from(self.shared.settings.vacuum_hours) * 3_600_000;
        now.0.div_euclid(1_000).saturating_sub(grace)
    }

    /// Sums the log of a table up if enough commits were made since the last time.
    async fn checkpoint(&self, columns: &Columns) -> Result<bool, LakeError> {
        let (folder, version, known) = {
            let table = self.shared.table(columns);
            (table.folder.clone(), table.version, table.checkpoint)
        };
        // Another process may have done it while this one did not have the lease.
        let last = last_checkpoint(&folder)?.max(known);
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

/// What was done; nothing if it failed, which is noted unless something failed before.
fn or_note<T: Default>(done: Result<T, LakeError>, failed: &mut Option<LakeError>) -> T {
    done.unwrap_or_else(|error| {
        _ = failed.get_or_insert(error);
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use event::{AuditEvent, Enrichment, EventBatchBuilder, EventId};

    use super::*;
    use crate::LakeSettings;

    #[tokio::test(flavor = "multi_thread")]
    async fn two_merges_of_the_same_files_do_not_both_enter_the_table() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = LakeSettings { compact_files_min: 2, ..LakeSettings::default() };
        let open = || Lake::open(folder.path(), &settings, Sharing::Shared);
        let (one, mut writer) = open().await.expect("the lake opens");
        let (two, _idle) = open().await.expect("the lake opens");
        writer.claim("bus/0").expect("claimed");
        for number in 0..3 {
            let mut builder = EventBatchBuilder::default();
            let id = EventId::of(&[b"source"]).at(number);
            let event = AuditEvent::new("files", "json", "postgresql", "orders");
            builder.push(&AuditEvent { id, ..event });
            let mut enrichment = Enrichment::default();
            enrichment.push(&Default::default(), &Default::default());
            writer.write(&builder.finish().enrich(enrichment)).expect("written");
            writer.commit(&[("bus/0".to_owned(), number as i64)]).expect("committed");
        }
        two.follow().expect("followed");
        // Neither has the lease, and the second does not know yet what the first did.
        let now = Timestamp(1 << 60);
        assert_eq!(one.compact(now).expect("merged").read, 3);
        assert_eq!(two.compact(now).expect("given up").read, 0);
        for lake in [one, two] {
            lake.follow().expect("followed");
            let view = lake.view().events;
            assert_eq!((view.rows(), view.files.len()), (3, 1));
        }
    }
}
