//! The table `alerts`: what detection found, read from the state when a question asks for it.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use event::Alert;
use state::{ALERT_PAGE_MAX, AlertFilter, State};

/// Most alerts one question reads, the newest.
const ALERTS_MAX: usize = 100_000;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let text = |name| Field::new(name, DataType::Utf8, true);
    let list = |name| {
        let item = Field::new("item", DataType::Utf8, true);
        Field::new(name, DataType::List(Arc::new(item)), true)
    };
    Arc::new(Schema::new(vec![
        text("id"),
        Field::new("time", moment.clone(), true),
        Field::new("first_time", moment, true),
        text("rule"),
        text("title"),
        text("severity"),
        text("detector"),
        text("identity"),
        text("instance"),
        text("database"),
        text("user"),
        text("client"),
        text("application"),
        text("session"),
        text("statement"),
        text("fingerprint"),
        text("evidence"),
        list("events"),
        Field::new("event_count", DataType::Int64, true),
        text("engineer"),
        text("manager"),
        list("attack"),
        list("controls"),
        Field::new("risk", DataType::Float64, true),
    ]))
});

/// The alerts of a state; none without one.
#[derive(Clone)]
pub(crate) struct AlertsTable {
    state: Option<State>,
}

impl AlertsTable {
    pub(crate) fn new(state: Option<State>) -> Self {
        Self { state }
    }

    async fn newest(&self) -> Result<Vec<Alert>> {
        let Some(state) = &self.state else { return Ok(Vec::new()) };
        let (mut alerts, mut after) = (Vec::new(), None);
        loop {
            let page = state
                .alerts(&AlertFilter::default(), ALERT_PAGE_MAX, after)
                .await
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            alerts.extend(page.alerts);
            after = page.next;
            if after.is_none() || alerts.len() >= ALERTS_MAX {
                return Ok(alerts);
            }
        }
    }
}

impl std::fmt::Debug for AlertsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AlertsTable")
    }
}

#[async_trait::async_trait]
impl TableProvider for AlertsTable {
    fn schema(&self) -> SchemaRef {
        SCHEMA.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = columns(&self.newest().await?)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema(), projection.cloned())?)
    }
}

fn columns(alerts: &[Alert]) -> Result<RecordBatch> {
    let text = |value: fn(&Alert) -> Option<String>| -> ArrayRef {
        Arc::new(alerts.iter().map(value).collect::<StringArray>())
    };
    let moment = |value: fn(&Alert) -> i64| -> ArrayRef {
        let micros = alerts.iter().map(value);
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
    };
    Ok(RecordBatch::try_new(
        SCHEMA.clone(),
        vec![
            text(|alert| Some(alert.id.to_string())),
            moment(|alert| alert.time.0),
            moment(|alert| alert.first_time.0),
            text(|alert| Some(alert.rule.clone())),
            text(|alert| Some(alert.title.clone())),
            text(|alert| Some(alert.severity.as_str().to_owned())),
            text(|alert| Some(format!("{:?}", alert.detector).to_lowercase())),
            text(|alert| alert.identity.clone()),
            text(|alert| Some(alert.instance.clone())),
            text(|alert| alert.database.clone()),
            text(|alert| alert.user.clone()),
            text(|alert| alert.client.clone()),
            text(|alert| alert.application.clone()),
            text(|alert| alert.session.clone()),
            text(|alert| alert.statement.clone()),
            text(|alert| alert.fingerprint.clone()),
            text(|alert| Some(alert.evidence.as_str().to_owned())),
            lists(
                alerts.iter().map(|alert| alert.events.iter().map(ToString::to_string).collect()),
            ),
            Arc::new(Int64Array::from_iter_values(alerts.iter().map(|a| a.event_count as i64))),
            text(|alert| Some(alert.explanation.engineer.clone())),
            text(|alert| Some(alert.explanation.manager.clone())),
            lists(alerts.iter().map(|alert| alert.attack.clone())),
            lists(alerts.iter().map(|alert| alert.controls.clone())),
            Arc::new(Float64Array::from_iter_values(alerts.iter().map(|alert| alert.risk))),
        ],
    )?)
}

fn lists(rows: impl Iterator<Item = Vec<String>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in rows {
        row.iter().for_each(|text| builder.values().append_value(text));
        builder.append(true);
    }
    Arc::new(builder.finish())
}
