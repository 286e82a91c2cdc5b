//! A table of the lake as DataFusion reads it: Parquet files and the rows that wait for a commit.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use datafusion::arrow::datatypes::FieldRef;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use lake::{DataFile, TableView};

/// The partition column; its values stand in folder names, not in files.
const DATE: &str = "date";

/// One table at one moment. The columns are the stored ones with `date` last.
#[derive(Debug)]
pub(crate) struct StoredTable {
    view: TableView,
    schema: SchemaRef,
    table_schema: TableSchema,
    time: usize,
}

impl StoredTable {
    /// A table whose rows are ordered by `time`, a column of moments.
    pub(crate) fn new(view: TableView, time: &str) -> Result<Self> {
        let stored = &view.schema;
        let date: FieldRef = Arc::new(stored.field_with_name(DATE)?.clone());
        let others = stored.fields().iter().filter(|field| field.name() != DATE).cloned();
        let file_schema = Arc::new(Schema::new(others.collect::<Vec<_>>()));
        let time = file_schema.index_of(time)?;
        let table_schema =
            TableSchema::builder(file_schema).with_table_partition_cols(vec![date]).build();
        let schema = table_schema.table_schema().clone();
        Ok(Self { view, schema, table_schema, time })
    }

    /// Files in as many groups as there are threads, each with what the log knows of it.
    fn file_groups(&self, groups: usize) -> Vec<FileGroup> {
        let mut grouped = vec![Vec::new(); groups.clamp(1, self.view.files.len().max(1))];
        for (index, file) in self.view.files.iter().enumerate() {
            let group = index % grouped.len();
            grouped[group].push(self.partitioned(file));
        }
        grouped.into_iter().map(FileGroup::new).collect()
    }

    fn partitioned(&self, file: &DataFile) -> PartitionedFile {
        let path = self.view.path(file).to_string_lossy().into_owned();
        let mut columns = vec![ColumnStatistics::new_unknown(); self.schema.fields().len() - 1];
        let moment = |micros| {
            let zone = Some("UTC".into());
            Precision::Inexact(ScalarValue::TimestampMicrosecond(Some(micros), zone))
        };
        columns[self.time].min_value = moment(file.time_min);
        columns[self.time].max_value = moment(file.time_max);
        let statistics = Statistics {
            num_rows: Precision::Exact(file.rows as usize),
            total_byte_size: Precision::Absent,
            column_statistics: columns,
        };
        let mut partitioned = PartitionedFile::new(path, file.bytes);
        partitioned.partition_values = vec![ScalarValue::Date32(Some(file.day))];
        partitioned.with_statistics(Arc::new(statistics))
    }

    fn scan_files(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let store = ObjectStoreUrl::local_filesystem();
        let runtime = state.runtime_env();
        let readers = CachedParquetFileReaderFactory::new(
            runtime.object_store(&store)?,
            runtime.cache_manager.get_file_metadata_cache(),
        );
        let global = state.config_options().execution.parquet.clone();
        let options = TableParquetOptions { global, ..TableParquetOptions::default() };
        let source = ParquetSource::new(self.table_schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let groups = self.file_groups(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(store, Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn scan_waiting(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let every: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = projection.unwrap_or(&every);
        let stored =
            columns.iter().map(|index| self.view.schema.index_of(self.schema.field(*index).name()));
        let stored = stored.collect::<std::result::Result<Vec<_>, _>>()?;
        let batches = self.view.hot_columns(&stored)?;
        let schema = Arc::new(self.schema.project(columns)?);
        Ok(MemorySourceConfig::try_new_exec(&[batches], schema, None)?)
    }
}

#[async_trait::async_trait]
impl TableProvider for StoredTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters skip files, row groups and pages; DataFusion applies them to the rows afterwards.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // A limit holds for rows that pass the filter; which those are is not known here.
        let limit = limit.filter(|_| filters.is_empty());
        let mut inputs = Vec::new();
        if !self.view.files.is_empty() {
            inputs.push(self.scan_files(state, projection, limit)?);
        }
        if !self.view.hot.is_empty() || inputs.is_empty() {
            inputs.push(self.scan_waiting(projection)?);
        }
        match inputs.len() {
            1 => inputs.pop().ok_or_else(|| DataFusionError::Internal("no input".to_owned())),
            _ => UnionExec::try_new(inputs),
        }
    }
}
