//! One query, one answer: SQL over a view of the lake, read-only and bounded.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext, col, ident, lit};
use event::Timestamp;
use futures::StreamExt;
use lake::{LakeView, TableView};
use state::State;
use tokio::sync::Semaphore;

use crate::alerts_table::AlertRows;
use crate::cases_table::CaseRows;
use crate::guard::{QueryError, disarm, read_only, refuse_sprawl};
use crate::hex::hex;
use crate::settings::QuerySettings;
use crate::state_table::StateTable;
use crate::stored_table::StoredTable;

/// A query in SQL. Tables: `events`, `rejects`, `alerts`, `cases`.
#[derive(Clone, Debug, Default)]
pub struct SqlQuery {
    /// The SQL.
    pub sql: String,
    /// Values of `$1`, `$2`, …
    pub parameters: Vec<ScalarValue>,
    /// Events and rejects at this time or later only.
    pub from: Option<Timestamp>,
    /// Events and rejects before this time only.
    pub to: Option<Timestamp>,
    /// Most rows wanted; the settings' limit holds all the same.
    pub limit: Option<usize>,
}

/// What a query was answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Columns, also if there is no row.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Whether there would have been more rows than the limit.
    pub truncated: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl Answer {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Answers queries; shared by all who ask.
pub struct Engine {
    settings: QuerySettings,
    runtime: Arc<RuntimeEnv>,
    turns: Semaphore,
    hex: ScalarUDF,
    state: Option<State>,
}

impl Engine {
    /// An engine that spills into `folder`; `alerts` and `cases` are empty without a state.
    pub fn new(
        settings: QuerySettings,
        folder: &Path,
        state: Option<State>,
    ) -> Result<Self, QueryError> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(settings.memory_bytes)))
            .with_temp_file_path(folder)
            .with_max_temp_directory_size(settings.spill_bytes)
            .build_arc()?;
        let turns = Semaphore::new(settings.queries_max.max(1));
        Ok(Self { settings, runtime, turns, hex: hex(), state })
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &QuerySettings {
        &self.settings
    }

    /// Answers a query about a view of the lake.
    pub async fn run(&self, query: &SqlQuery, view: LakeView) -> Result<Answer, QueryError> {
        let longest = Duration::from_secs(self.settings.timeout_seconds);
        let answer = async {
            // The semaphore is never closed; were it, the query would be refused by the next.
            let _turn = self.turns.acquire().await;
            self.answer(query, view).await
        };
        tokio::time::timeout(longest, answer)
            .await
            .unwrap_or(Err(QueryError::Timeout(self.settings.timeout_seconds)))
    }

    async fn answer(&self, query: &SqlQuery, view: LakeView) -> Result<Answer, QueryError> {
        let begun = Instant::now();
        if query.sql.len() > self.settings.sql_bytes_max {
            let (length, most) = (query.sql.len(), self.settings.sql_bytes_max);
            let refusal = format!("the SQL has {length} bytes, the limit is {most}");
            return Err(QueryError::Refused(refusal));
        }
        refuse_sprawl(&query.sql, self.settings.operators_max)?;
        let context = self.context(query, view)?;
        let mut frame = context.sql_with_options(&query.sql, read_only()).await?;
        if !query.parameters.is_empty() {
            frame = frame.with_param_values(ParamValues::from(query.parameters.clone()))?;
        }
        let most = query.limit.unwrap_or(usize::MAX).min(self.settings.rows_max);
        // A plan is not limited: it is the query's shape, and EXPLAIN must stay on top.
        let explains =
            matches!(frame.logical_plan(), LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
        let frame = if explains { frame } else { frame.limit(0, Some(most + 1))? };
        let mut stream = frame.execute_stream().await?;
        let schema = stream.schema();
        let (mut batches, mut room, mut truncated) = (Vec::new(), most, false);
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            truncated |= batch.num_rows() > room;
            let rows = batch.num_rows().min(room);
            room -= rows;
            if rows > 0 {
                batches.push(batch.slice(0, rows));
            }
        }
        Ok(Answer { schema, batches, truncated, elapsed: begun.elapsed() })
    }

    /// A session of its own for each query: nothing carries over to the next.
    fn context(&self, query: &SqlQuery, view: LakeView) -> Result<SessionContext, QueryError> {
        let mut config = SessionConfig::new()
            .with_information_schema(true)
            .with_create_default_catalog_and_schema(true);
        let options = config.options_mut();
        // Late materialisation: without it a search for few rows reads every column of all.
        options.execution.parquet.pushdown_filters = true;
        options.execution.parquet.reorder_filters = true;
        options.execution.parquet.schema_force_view_types = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.time_zone = Some("UTC".to_owned());
        let context = SessionContext::new_with_config_rt(config, self.runtime.clone());
        disarm(&context);
        context.register_udf(self.hex.clone());
        let events = self.table(&context, view.events, "time", query)?;
        context.register_table("events", events.into_view())?;
        let rejects = self.table(&context, view.rejects, "received", query)?;
        context.register_table("rejects", rejects.into_view())?;
        let alerts = StateTable::<AlertRows>::new(self.state.clone());
        context.register_table("alerts", Arc::new(alerts))?;
        let cases = StateTable::<CaseRows>::new(self.state.clone());
        context.register_table("cases", Arc::new(cases))?;
        Ok(context)
    }

    /// A stored table in the contract's column order, ids and fingerprints as digits.
    fn table(
        &self,
        context: &SessionContext,
        view: TableView,
        time: &str,
        query: &SqlQuery,
    ) -> Result<DataFrame, QueryError> {
        let names: Vec<String> =
            view.schema.fields().iter().map(|field| field.name().clone()).collect();
        let table = StoredTable::new(view, time)?;
        let mut frame = context.read_table(Arc::new(table))?;
        let moment = |time: Timestamp| {
            lit(ScalarValue::TimestampMicrosecond(Some(time.0), Some("UTC".into())))
        };
        if let Some(from) = query.from {
            frame = frame.filter(col(time).gt_eq(moment(from)))?;
        }
        if let Some(to) = query.to {
            frame = frame.filter(col(time).lt(moment(to)))?;
        }
        let columns: Vec<Expr> = names
            .into_iter()
            .map(|name| match name.as_str() {
                "id" | "fingerprint" => self.hex.call(vec![ident(&name)]).alias(name),
                _ => ident(name),
            })
            .collect();
        Ok(frame.select(columns)?)
    }
}
