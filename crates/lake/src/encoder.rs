//! Turns waiting batches into Parquet files, one a day, while they arrive.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::take::take_record_batch;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::columns::{Columns, long_values};
use crate::data_file::{Bounds, DataFile, new_path, stats};
use crate::log::sync_folder;
use crate::{LakeError, LakeSettings};

/// The files of one commit under construction.
///
/// A failure leaves it useless: drop it with [`discard`](Self::discard) and encode the rows again.
pub(crate) struct Encoder {
    columns: &'static Columns,
    folder: PathBuf,
    properties: WriterProperties,
    open_days_max: usize,
    open: HashMap<i32, OpenFile>,
    // Rows of days beyond `open_days_max`: a clock gone wild must not open a file per row.
    deferred: BTreeMap<i32, Vec<RecordBatch>>,
    finished: Vec<DataFile>,
}

impl Encoder {
    /// Encodes into `folder`.
    pub(crate) fn new(columns: &'static Columns, folder: &Path, settings: &LakeSettings) -> Self {
        Self {
            columns,
            folder: folder.to_owned(),
            properties: properties(columns, settings),
            open_days_max: settings.open_days_max,
            open: HashMap::new(),
            deferred: BTreeMap::new(),
            finished: Vec::new(),
        }
    }

    /// Appends a waiting batch.
    pub(crate) fn write(&mut self, waiting: &RecordBatch) -> Result<(), LakeError> {
        let days = self.columns.days(waiting);
        let Some(first) = days.first().copied() else { return Ok(()) };
        let rows = self.columns.without_date(waiting);
        if days.iter().all(|day| *day == first) {
            return self.write_day(first, rows);
        }
        let mut by_day: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
        for (row, day) in (0_u32..).zip(days.iter()) {
            by_day.entry(*day).or_default().push(row);
        }
        for (day, indices) in by_day {
            self.write_day(day, take_record_batch(&rows, &UInt32Array::from(indices))?)?;
        }
        Ok(())
    }

    /// Closes every file; they are on the disk when this returns.
    pub(crate) fn finish(&mut self) -> Result<Vec<DataFile>, LakeError> {
        for file in self.open.values_mut() {
            self.finished.push(file.finish(self.columns)?);
        }
        self.open.clear();
        for (day, batches) in std::mem::take(&mut self.deferred) {
            let file = self.create(day)?;
            let file = self.open.entry(day).insert_entry(file).into_mut();
            for rows in &batches {
                file.write(rows, self.columns)?;
            }
            self.finished.push(file.finish(self.columns)?);
            self.open.clear();
        }
        sync_days(&self.folder, &self.finished)?;
        Ok(std::mem::take(&mut self.finished))
    }

    /// Deletes what was written.
    pub(crate) fn discard(mut self) {
        for (_, file) in self.open.drain() {
            file.delete();
        }
        remove_all(&self.folder, &self.finished);
    }

    fn write_day(&mut self, day: i32, rows: RecordBatch) -> Result<(), LakeError> {
        if !self.open.contains_key(&day) {
            if self.open.len() >= self.open_days_max {
                self.deferred.entry(day).or_default().push(rows);
                return Ok(());
            }
            let file = self.create(day)?;
            self.open.insert(day, file);
        }
        let Some(file) = self.open.get_mut(&day) else { return Ok(()) };
        file.write(&rows, self.columns)
    }

    fn create(&self, day: i32) -> Result<OpenFile, LakeError> {
        OpenFile::create(&self.folder, day, &self.columns.file, &self.properties)
    }
}

/// Deletes files that no commit will name.
pub(crate) fn remove_all(folder: &Path, files: &[DataFile]) {
    for file in files {
        remove(&folder.join(&file.path));
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "left for the next start to delete");
    }
}

/// Makes the entries of the days' folders, and of those folders themselves, durable.
pub(crate) fn sync_days(folder: &Path, files: &[DataFile]) -> Result<(), LakeError> {
    let mut days: Vec<_> = files.iter().filter_map(|file| Path::new(&file.path).parent()).collect();
    days.sort_unstable();
    days.dedup();
    for day in &days {
        sync_folder(&folder.join(day))?;
    }
    if days.is_empty() { Ok(()) } else { sync_folder(folder) }
}

/// One Parquet file being written.
pub(crate) struct OpenFile {
    writer: ArrowWriter<File>,
    full_path: PathBuf,
    path: String,
    day: i32,
    rows: u64,
    bounds: Bounds,
}

impl OpenFile {
    pub(crate) fn create(
        folder: &Path,
        day: i32,
        schema: &SchemaRef,
        properties: &WriterProperties,
    ) -> Result<Self, LakeError> {
        let path = new_path(day);
        let full_path = folder.join(&path);
        let day_folder = full_path.parent().unwrap_or(folder);
        fs::create_dir_all(day_folder).map_err(LakeError::io(day_folder))?;
        let file = File::create_new(&full_path).map_err(LakeError::io(&full_path))?;
        // Without the Arrow schema in the footer every reader sees plain types.
        let options = ArrowWriterOptions::new()
            .with_properties(properties.clone())
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, schema.clone(), options)
            .map_err(LakeError::parquet(&full_path))?;
        Ok(Self { writer, full_path, path, day, rows: 0, bounds: Bounds::new() })
    }

    pub(crate) fn write(&mut self, rows: &RecordBatch, columns: &Columns) -> Result<(), LakeError> {
        self.writer.write(rows).map_err(LakeError::parquet(&self.full_path))?;
        self.rows += rows.num_rows() as u64;
        for name in columns.bounded {
            let values = long_values(rows, name).unwrap_or_default();
            let (Some(min), Some(max)) = (values.iter().min(), values.iter().max()) else {
                continue;
            };
            match self.bounds.iter_mut().find(|(known, _, _)| known == name) {
                Some((_, least, most)) => (*least, *most) = (*min.min(least), *max.max(most)),
                None => self.bounds.push((name, *min, *max)),
            }
        }
        Ok(())
    }

    /// Closes the file and makes its bytes durable; its folder entry is the caller's to sync.
    pub(crate) fn finish(&mut self, columns: &Columns) -> Result<DataFile, LakeError> {
        let path = &self.full_path;
        self.writer.finish().map_err(LakeError::parquet(path))?;
        let file = self.writer.inner();
        file.sync_all().map_err(LakeError::io(path))?;
        let bytes = file.metadata().map_err(LakeError::io(path))?.len();
        let time = self.bounds.iter().find(|(name, _, _)| *name == columns.time);
        let (time_min, time_max) = time.map_or((i64::MIN, i64::MAX), |(_, min, max)| (*min, *max));
        Ok(DataFile {
            path: self.path.clone(),
            bytes,
            rows: self.rows,
            day: self.day,
            time_min,
            time_max,
            written: milliseconds(SystemTime::now()),
            stats: stats(self.rows, &self.bounds),
        })
    }

    /// Deletes it.
    pub(crate) fn delete(&self) {
        remove(&self.full_path);
    }
}

/// Milliseconds since 1970.
pub(crate) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How a file of these columns is encoded.
pub(crate) fn properties(columns: &Columns, settings: &LakeSettings) -> WriterProperties {
    let level = ZstdLevel::try_new(settings.zstd_level).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("querywatch ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(settings.row_group_rows))
        .set_write_batch_size(8_192)
        .set_offset_index_disabled(true)
        // Statistics cost a comparison per value and help only where rows are ordered by them.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_enabled(false);
    for field in columns.file.fields() {
        let column = ColumnPath::from(field.name().as_str());
        properties = match field.data_type() {
            DataType::Dictionary(..) => properties.set_column_dictionary_enabled(column, true),
            DataType::List(_) => {
                let texts = ["list", "element"].map(str::to_owned);
                let path = [vec![field.name().clone()], texts.to_vec()].concat();
                properties.set_column_dictionary_enabled(ColumnPath::from(path), true)
            }
            DataType::Int64 if field.name() == "fingerprint" => {
                properties.set_column_dictionary_enabled(column, true)
            }
            DataType::Int64 | DataType::Timestamp(..) => {
                properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
            }
            _ => properties,
        };
    }
    for name in columns.bounded {
        let column = ColumnPath::from(*name);
        properties = properties.set_column_statistics_enabled(column, EnabledStatistics::Chunk);
    }
    // Ids are random: compressing them is work for nothing.
    properties =
        properties.set_column_compression(ColumnPath::from("id"), Compression::UNCOMPRESSED);
    properties.build()
}
