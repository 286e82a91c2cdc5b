//! The table `alerts`: the events of cases, newest first.

use std::sync::{Arc, LazyLock};

use arrow_array::{Float64Array, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use event::vocabulary::CauseFamily;
use event::{Alert, EventId};
use state::{AlertFilter, Cursor, State};

use crate::condition::{Condition, Exactness};
use crate::state_columns::{
    SEVERITIES, any_word, earlier, later, list_field, lists, moment_field, moments, one_text,
    one_word, text_field, texts,
};
use crate::state_table::{RowsError, StateRows};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        text_field("case_id"),
        text_field("change"),
        moment_field("time"),
        moment_field("first_time"),
        text_field("rule"),
        text_field("family"),
        text_field("cause"),
        text_field("title"),
        text_field("severity"),
        text_field("detector"),
        text_field("identity"),
        text_field("instance"),
        text_field("database"),
        text_field("user"),
        text_field("client"),
        text_field("application"),
        text_field("session"),
        text_field("statement"),
        text_field("fingerprint"),
        text_field("evidence"),
        list_field("events"),
        Field::new("event_count", DataType::Int64, true),
        text_field("engineer"),
        text_field("manager"),
        list_field("attack"),
        list_field("controls"),
        Field::new("risk", DataType::Float64, true),
    ]))
});

/// Alerts that pass a filter, after a cursor.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlertRows {
    filter: AlertFilter,
    after: Option<Cursor>,
    is_over: bool,
}

#[async_trait::async_trait]
impl StateRows for AlertRows {
    const DESCENDING: &'static [&'static str] = &["time", "id"];

    fn schema() -> &'static SchemaRef {
        &SCHEMA
    }

    fn narrow(&mut self, condition: &Condition<'_>) -> Exactness {
        let filter = &mut self.filter;
        match condition {
            Condition::From("time", moment) => later(&mut filter.from, *moment),
            Condition::Before("time", moment) => earlier(&mut filter.to, *moment),
            Condition::OneOf("severity", words) => {
                any_word(&mut filter.severities, words, SEVERITIES, |it| it.as_str())
            }
            Condition::OneOf("family", words) => {
                one_word(&mut filter.family, words, CauseFamily::ALL, CauseFamily::as_str)
            }
            Condition::OneOf("rule", texts) => one_text(&mut filter.rule, texts),
            Condition::OneOf("identity", texts) => one_text(&mut filter.identity, texts),
            Condition::OneOf("instance", texts) => one_text(&mut filter.instance, texts),
            Condition::OneOf("case_id", texts) => one_case(&mut filter.case, texts),
            _ => Exactness::Ignored,
        }
    }

    async fn next(&mut self, state: &State, most: usize) -> Result<Option<RecordBatch>, RowsError> {
        if self.is_over {
            return Ok(None);
        }
        let page = state.alerts(&self.filter, most, self.after).await?;
        self.after = page.next;
        self.is_over = page.next.is_none();
        Ok(Some(columns(&page.alerts)?))
    }
}

/// Ids are compared as texts: only one written as ours is one of ours.
fn one_case(filter: &mut Option<EventId>, values: &[&str]) -> Exactness {
    let ([value], None) = (values, &filter) else { return Exactness::Ignored };
    *filter = value.parse().ok().filter(|id: &EventId| id.to_string() == *value);
    if filter.is_some() { Exactness::Exact } else { Exactness::Ignored }
}

fn columns(alerts: &[Alert]) -> Result<RecordBatch, ArrowError> {
    let text = |value: fn(&Alert) -> &String| texts(alerts, |alert| Some(value(alert).clone()));
    let optional = |value: fn(&Alert) -> &Option<String>| texts(alerts, |it| value(it).clone());
    let word = |value: fn(&Alert) -> &'static str| texts(alerts, |it| Some(value(it).to_owned()));
    RecordBatch::try_new(
        SCHEMA.clone(),
        vec![
            texts(alerts, |alert| Some(alert.id.to_string())),
            texts(alerts, |alert| Some(alert.case_id.to_string())),
            word(|alert| alert.change.as_str()),
            moments(alerts, |alert| alert.time),
            moments(alerts, |alert| alert.first_time),
            text(|alert| &alert.rule),
            word(|alert| alert.family.as_str()),
            text(|alert| &alert.cause),
            text(|alert| &alert.title),
            word(|alert| alert.severity.as_str()),
            texts(alerts, |alert| Some(format!("{:?}", alert.detector).to_lowercase())),
            optional(|alert| &alert.identity),
            text(|alert| &alert.instance),
            optional(|alert| &alert.database),
            optional(|alert| &alert.user),
            optional(|alert| &alert.client),
            optional(|alert| &alert.application),
            optional(|alert| &alert.session),
            optional(|alert| &alert.statement),
            optional(|alert| &alert.fingerprint),
            word(|alert| alert.evidence.as_str()),
            lists(alerts, |alert| alert.events.iter().map(ToString::to_string).collect()),
            Arc::new(Int64Array::from_iter_values(alerts.iter().map(|a| a.event_count as i64))),
            text(|alert| &alert.explanation.engineer),
            text(|alert| &alert.explanation.manager),
            lists(alerts, |alert| alert.attack.clone()),
            lists(alerts, |alert| alert.controls.clone()),
            Arc::new(Float64Array::from_iter_values(alerts.iter().map(|alert| alert.risk))),
        ],
    )
}
