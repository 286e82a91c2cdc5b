//! One consistent picture of the lake for a query: the files, and the rows that wait for a commit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::cast;
use arrow_schema::{ArrowError, SchemaRef};

use crate::table::Table;
use crate::{DataFile, LakeError, LakeReader};

/// Both tables at one moment. Cheap to take and to clone; it never changes.
#[derive(Debug, Clone)]
pub struct LakeView {
    /// The table `events`.
    pub events: TableView,
    /// The table `rejects`.
    pub rejects: TableView,
}

/// One table at one moment: its rows are those of `files` and those of `hot`, no row in both.
#[derive(Debug, Clone)]
pub struct TableView {
    /// Folder of the table.
    pub folder: PathBuf,
    /// Columns as readers see them; `date` comes from the file's folder, not from the file.
    pub schema: SchemaRef,
    /// Version of the Delta table.
    pub version: u64,
    /// Its files.
    pub files: Arc<[Arc<DataFile>]>,
    /// Rows not yet committed, in the columns of `schema` with repeated text still
    /// dictionary-encoded; see [`hot_columns`](Self::hot_columns).
    pub hot: Vec<RecordBatch>,
}

impl LakeView {
    /// The committed state of a lake that other processes may be writing.
    ///
    /// # Errors
    /// [`LakeError::Absent`] if there is no lake, else what keeps its log from being read.
    pub async fn read(folder: &Path) -> Result<Self, LakeError> {
        Ok(LakeReader::open(folder).await?.view())
    }
}

impl TableView {
    pub(crate) fn new(table: &Table) -> Self {
        Self {
            folder: table.folder.clone(),
            schema: table.columns.table.clone(),
            version: table.version,
            files: table.files.clone(),
            hot: Vec::new(),
        }
    }

    /// Where a file is.
    pub fn path(&self, file: &DataFile) -> PathBuf {
        self.folder.join(&file.path)
    }

    /// Rows in files and waiting.
    pub fn rows(&self) -> u64 {
        let stored: u64 = self.files.iter().map(|file| file.rows).sum();
        stored + self.hot_rows()
    }

    /// Rows waiting.
    pub fn hot_rows(&self) -> u64 {
        self.hot.iter().map(|batch| batch.num_rows() as u64).sum()
    }

    /// The hot rows in the plain types of `schema`, only the columns at these indices.
    pub fn hot_columns(&self, columns: &[usize]) -> Result<Vec<RecordBatch>, ArrowError> {
        let schema = Arc::new(self.schema.project(columns)?);
        let plain = |batch: &RecordBatch| {
            let stored = batch.project(columns)?;
            let stored = stored.columns().iter().zip(schema.fields());
            let cast = stored.map(|(column, field)| cast(column, field.data_type()));
            // A mere count wants no column at all, but all the rows.
            let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = cast.collect::<Result<Vec<ArrayRef>, _>>()?;
            RecordBatch::try_new_with_options(schema.clone(), columns, &rows)
        };
        self.hot.iter().map(plain).collect()
    }
}
