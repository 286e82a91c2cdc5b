//! A table of the state: read page by page while a query asks for more, never all at once.
//!
//! Conditions and limits go down to the database; what it cannot apply exactly, DataFusion applies
//! to the rows again. Nothing is left out in silence: whoever reads on gets every row.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{SchemaRef, SortOptions};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;
use state::{PAGE_MAX, State, StateError};

use crate::condition::{Condition, Exactness};

/// The rows of one table of the state that a query wants, and how far they have been read.
#[async_trait::async_trait]
pub(crate) trait StateRows: Clone + Default + fmt::Debug + Send + Sync + 'static {
    /// Columns by which rows come, each in descending order; none for any order.
    const DESCENDING: &'static [&'static str];

    /// The columns.
    fn schema() -> &'static SchemaRef;

    /// Leaves out rows that the condition does not want, as far as the database can.
    fn narrow(&mut self, condition: &Condition<'_>) -> Exactness;

    /// The next rows, at most so many; none after the last.
    async fn next(&mut self, state: &State, most: usize) -> Result<Option<RecordBatch>, RowsError>;
}

/// Why rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowsError {
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// They do not fit the columns.
    #[error(transparent)]
    Arrow(#[from] arrow_schema::ArrowError),
}

/// One table of a state; empty without one.
pub(crate) struct StateTable<R> {
    state: Option<State>,
    rows: R,
}

impl<R: StateRows> StateTable<R> {
    pub(crate) fn new(state: Option<State>) -> Self {
        Self { state, rows: R::default() }
    }
}

impl<R> fmt::Debug for StateTable<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateTable")
    }
}

#[async_trait::async_trait]
impl<R: StateRows> TableProvider for StateTable<R> {
    fn schema(&self) -> SchemaRef {
        R::schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let conditions: Vec<_> = filters.iter().map(|filter| Condition::of(filter)).collect();
        let (mut seen, mut twice) = (HashSet::new(), HashSet::new());
        for choice in conditions.iter().flatten().filter_map(Condition::choice) {
            if !seen.insert(choice) {
                twice.insert(choice);
            }
        }
        let support = conditions.iter().map(|condition| {
            let Some(condition) = condition else {
                return TableProviderFilterPushDown::Unsupported;
            };
            // Of two choices of one column the database applies one.
            let is_alone = condition.choice().is_none_or(|column| !twice.contains(column));
            match R::default().narrow(condition) {
                Exactness::Exact if is_alone => TableProviderFilterPushDown::Exact,
                Exactness::Exact | Exactness::Inexact => TableProviderFilterPushDown::Inexact,
                Exactness::Ignored => TableProviderFilterPushDown::Unsupported,
            }
        });
        Ok(support.collect())
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (mut rows, mut is_exact) = (self.rows.clone(), true);
        for filter in filters {
            let narrowed = Condition::of(filter).map(|condition| rows.narrow(&condition));
            is_exact &= narrowed == Some(Exactness::Exact);
        }
        // A limit holds for rows that pass every condition.
        let limit = limit.filter(|_| is_exact);
        let scan = Scan { state: self.state.clone(), rows, limit };
        let ordering = ordering::<R>(projection)?;
        let exec = StreamingTableExec::try_new(
            self.schema(),
            vec![Arc::new(scan)],
            projection,
            ordering,
            false,
            limit,
        )?;
        Ok(Arc::new(exec))
    }
}

/// The order in which the rows come, as far as its columns are wanted.
fn ordering<R: StateRows>(projection: Option<&Vec<usize>>) -> Result<Option<LexOrdering>> {
    let schema = match projection {
        Some(projection) => Arc::new(R::schema().project(projection)?),
        None => R::schema().clone(),
    };
    let options = SortOptions { descending: true, nulls_first: true };
    let wanted = R::DESCENDING.iter().take_while(|name| schema.index_of(name).is_ok());
    let columns = wanted.map(|name| Ok(PhysicalSortExpr::new(col(name, &schema)?, options)));
    Ok(LexOrdering::new(columns.collect::<Result<Vec<_>>>()?))
}

/// One reading of the table.
struct Scan<R> {
    state: Option<State>,
    rows: R,
    limit: Option<usize>,
}

impl<R> fmt::Debug for Scan<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scan")
    }
}

impl<R: StateRows> PartitionStream for Scan<R> {
    fn schema(&self) -> &SchemaRef {
        R::schema()
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let most = self.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let begin = self.state.clone().map(|state| (state, self.rows.clone()));
        let pages = stream::try_unfold(begin, move |reading| async move {
            let Some((state, mut rows)) = reading else { return Ok(None) };
            let page = rows.next(&state, most).await;
            let page = page.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok(page.map(|batch| (batch, Some((state, rows)))))
        });
        Box::pin(RecordBatchStreamAdapter::new(R::schema().clone(), pages))
    }
}
