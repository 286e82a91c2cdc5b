//! Merges small files into large ones, their rows sorted by time. No row is added or lost: the
//! old files leave the table in the same commit in which the new one enters it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, TryLockError};

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_cast::cast;
use arrow_ord::sort::sort_to_indices;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use event::Timestamp;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use crate::change::{Change, Reason};
use crate::columns::Columns;
use crate::data_file::DataFile;
use crate::encoder::{OpenFile, properties, remove_all, sync_days};
use crate::lake::Lake;
use crate::{LakeError, LakeSettings};

/// A day that is over still receives rows; its files are merged as they are once it was quiet
/// for so long, in milliseconds.
const QUIET: i64 = 15 * 60 * 1_000;

/// Bytes of rows in memory that a merge sorts at once, if they are fewer rows than a row group.
const SORT_BYTES_MAX: usize = 48 << 20;

/// Files that one merge reads at most, so that their number of rows stays a number of bytes.
const GROUP_FILES_MAX: usize = 512;

/// What a compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Files that left the tables.
    pub(crate) read: usize,
    /// Files that replace them.
    pub(crate) written: usize,
}

impl Lake {
    /// Merges the small files of both tables that are worth it; blocks while it does.
    ///
    /// # Errors
    /// [`LakeError::Busy`] if a merge or a deletion is under way: two merges of the same files
    /// would both succeed as far as Delta is concerned, and double their rows. Else the first one:
    /// files that cannot be merged keep no others from it.
    pub(crate) fn compact(&self, now: Timestamp) -> Result<Merged, LakeError> {
        let _one_at_a_time = match self.shared.upkeep.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(LakeError::Busy),
        };
        let (mut merged, mut failed) = (Merged::default(), None);
        for columns in [Columns::events(), Columns::rejects()] {
            let files = self.shared.table(columns).files.clone();
            for group in plan(&files, now, &self.shared.settings) {
                let read = group.len();
                match self.replace(columns, group, now) {
                    Ok(true) => {
                        merged.read += read;
                        merged.written += 1;
                    }
                    Ok(false) => {}
                    Err(error) => _ = failed.get_or_insert(error),
                }
            }
        }
        failed.map_or(Ok(merged), Err)
    }

    /// False if another program removed one of the files meanwhile.
    fn replace(
        &self,
        columns: &'static Columns,
        group: Vec<Arc<DataFile>>,
        now: Timestamp,
    ) -> Result<bool, LakeError> {
        let folder = self.shared.table(columns).folder.clone();
        let file = merge(&folder, columns, &group, &self.shared.settings)?;
        let change = Change::replace(Reason::Compact, group, vec![file]);
        let mut table = self.shared.table(columns);
        let result = table.commit(&change, now.0.div_euclid(1_000));
        // In any case it has followed what others did.
        self.shared.show_files(&table);
        match &result {
            Ok(true) | Err(LakeError::Fenced { .. }) => {}
            _ => remove_all(&folder, &change.add),
        }
        result
    }
}

/// Groups of files to merge, each of one day and each worth it.
///
/// Days that are over and quiet: all small files. Others: files of like size, once there are
/// enough of them, so that a row is rewritten a logarithmic number of times.
fn plan(
    files: &[Arc<DataFile>],
    now: Timestamp,
    settings: &LakeSettings,
) -> Vec<Vec<Arc<DataFile>>> {
    let mut by_day: BTreeMap<i32, Vec<Arc<DataFile>>> = BTreeMap::new();
    for file in files {
        by_day.entry(file.day).or_default().push(file.clone());
    }
    let mut groups = Vec::new();
    for (day, files) in by_day {
        let newest = files.iter().map(|file| file.written).max().unwrap_or(0);
        let is_quiet = now.0.div_euclid(1_000).saturating_sub(newest) > QUIET;
        let is_over = day < now.day() && is_quiet;
        let small = files.into_iter().filter(|file| file.bytes < settings.target_file_bytes / 2);
        let mut tiers: BTreeMap<u32, Vec<Arc<DataFile>>> = BTreeMap::new();
        for file in small {
            let tier = if is_over { 0 } else { file.bytes.max(1).ilog2() / 2 };
            tiers.entry(tier).or_default().push(file);
        }
        let files_min = if is_over { 2 } else { settings.compact_files_min };
        for tier in tiers.into_values().filter(|tier| tier.len() >= files_min) {
            groups.extend(split(tier, settings.target_file_bytes));
        }
    }
    groups
}

/// Cuts files, ordered by time, into groups of about the target's size.
fn split(mut files: Vec<Arc<DataFile>>, target: u64) -> Vec<Vec<Arc<DataFile>>> {
    files.sort_by_key(|file| (file.time_min, file.time_max));
    let mut groups = vec![Vec::new()];
    let mut bytes = 0;
    for file in files {
        let Some(group) = groups.last_mut() else { break };
        let is_full = bytes + file.bytes > target || group.len() >= GROUP_FILES_MAX;
        if is_full && !group.is_empty() {
            bytes = 0;
            groups.push(Vec::new());
        }
        bytes += file.bytes;
        if let Some(group) = groups.last_mut() {
            group.push(file);
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// Writes the rows of `group` into one new file, each row group sorted by time.
fn merge(
    folder: &Path,
    columns: &'static Columns,
    group: &[Arc<DataFile>],
    settings: &LakeSettings,
) -> Result<DataFile, LakeError> {
    let day = group.first().map_or(0, |file| file.day);
    let properties = properties(columns, settings);
    let mut output = OpenFile::create(folder, day, &columns.file, &properties)?;
    let written = copy(folder, columns, group, settings, &mut output);
    let merged = written.and_then(|rows| Ok((rows, output.finish(columns)?)));
    let (rows, file) = match merged {
        Ok(merged) => merged,
        Err(error) => {
            output.delete();
            return Err(error);
        }
    };
    let known = group.iter().all(|file| file.rows > 0);
    let expected: u64 = group.iter().map(|file| file.rows).sum();
    if known && rows != expected {
        output.delete();
        let what = format!("a merge read {rows} rows where the log says {expected}");
        return Err(LakeError::Foreign { folder: folder.to_owned(), what });
    }
    sync_days(folder, std::slice::from_ref(&file))?;
    Ok(file)
}

fn copy(
    folder: &Path,
    columns: &Columns,
    group: &[Arc<DataFile>],
    settings: &LakeSettings,
    output: &mut OpenFile,
) -> Result<u64, LakeError> {
    let (mut pending, mut rows, mut bytes, mut total) = (Vec::new(), 0, 0, 0);
    for file in group {
        let path = folder.join(&file.path);
        for batch in open(&path, columns)? {
            let batch = adapt(&batch?, columns)?;
            rows += batch.num_rows();
            bytes += batch.get_array_memory_size();
            total += batch.num_rows() as u64;
            pending.push(batch);
            if rows >= settings.row_group_rows || bytes >= SORT_BYTES_MAX {
                output.write(&sorted(&pending, columns)?, columns)?;
                (rows, bytes) = (0, 0);
                pending.clear();
            }
        }
    }
    if rows > 0 {
        output.write(&sorted(&pending, columns)?, columns)?;
    }
    Ok(total)
}

fn sorted(batches: &[RecordBatch], columns: &Columns) -> Result<RecordBatch, ArrowError> {
    let rows = concat_batches(&columns.file, batches)?;
    let time = rows.column(columns.file.index_of(columns.time)?);
    take_record_batch(&rows, &sort_to_indices(time, None, None)?)
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// Reads a file, with repeated text as dictionaries where it can be had.
fn open(path: &Path, columns: &Columns) -> Result<Batches, LakeError> {
    let file = File::open(path).map_err(LakeError::io(path))?;
    let plain = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
        .map_err(LakeError::parquet(path))?;
    let wanted: HashMap<&str, &DataType> = columns
        .file
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field.data_type()))
        .collect();
    let encoded = |field: &Field| match (field.data_type(), wanted.get(field.name().as_str())) {
        (DataType::Utf8, Some(repeated @ DataType::Dictionary(..))) => {
            field.clone().with_data_type((*repeated).clone())
        }
        _ => field.clone(),
    };
    let fields = plain.schema().fields().iter().map(|field| encoded(field));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(
        file,
        ArrowReaderOptions::new().with_schema(schema),
    );
    let reader = reader.and_then(|reader| reader.with_batch_size(8_192).build());
    Ok(Box::new(reader.map_err(LakeError::parquet(path))?))
}

/// The columns of this version, whatever version or program wrote the file.
fn adapt(batch: &RecordBatch, columns: &Columns) -> Result<RecordBatch, ArrowError> {
    let adapted =
        columns.file.fields().iter().map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        });
    RecordBatch::try_new(columns.file.clone(), adapted.collect::<Result<Vec<ArrayRef>, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(20_000 * 86_400_000_000);

    fn file(day: i32, bytes: u64, written: i64) -> Arc<DataFile> {
        let (path, stats) = (format!("{day}-{bytes}-{written}"), String::new());
        let (time_min, time_max) = (written, written);
        Arc::new(DataFile { path, bytes, rows: 1, day, time_min, time_max, written, stats })
    }

    #[test]
    fn only_enough_files_of_like_size_are_merged_today() {
        let settings = LakeSettings { compact_files_min: 4, ..LakeSettings::default() };
        let now = NOW.0 / 1_000;
        let mut files: Vec<_> = (0..3).map(|age| file(20_000, 4_096, now - age)).collect();
        files.push(file(20_000, 1 << 20, now));
        assert!(plan(&files, NOW, &settings).is_empty());
        files.push(file(20_000, 4_097, now));
        let groups = plan(&files, NOW, &settings);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_day_that_is_over_and_quiet_is_merged_up_to_the_target() {
        let settings = LakeSettings { target_file_bytes: 10 << 20, ..LakeSettings::default() };
        let old = NOW.0 / 1_000 - QUIET - 1;
        let mut files: Vec<_> = (0..7).map(|index| file(19_999, 3 << 20, old - index)).collect();
        files.push(file(19_999, 9 << 20, old));
        let groups = plan(&files, NOW, &settings);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
        files.push(file(19_999, 3 << 20, NOW.0 / 1_000));
        assert!(plan(&files, NOW, &settings).is_empty(), "rows still arrive");
    }
}
