//! The table `cases`: what belongs together, with what people decided about it.

use std::sync::{Arc, LazyLock};

use arrow_array::{Float64Array, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use event::decision::Disposition;
use event::vocabulary::CauseFamily;
use event::{CaseCause, EventId};
use state::{CaseFilter, CaseStatus, KeptCase, State};

use crate::condition::{Condition, Exactness};
use crate::state_columns::{
    SEVERITIES, any_word, earlier, later, list_field, lists, moment_field, moments, one_text,
    one_word, text_field, texts,
};
use crate::state_table::{RowsError, StateRows};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let number = |name| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        moment_field("opened"),
        moment_field("updated"),
        text_field("severity"),
        text_field("status"),
        text_field("owner"),
        text_field("verdict"),
        text_field("identity"),
        text_field("instance"),
        text_field("lineage"),
        text_field("family"),
        text_field("rule"),
        text_field("title"),
        number("signals"),
        list_field("causes"),
        number("causes_total"),
        list_field("events"),
        text_field("engineer"),
        text_field("manager"),
        list_field("attack"),
        list_field("controls"),
        Field::new("risk", DataType::Float64, true),
        list_field("models"),
    ]))
});

/// Cases that pass a filter, after one of them. They come in the order of their ids, so that one
/// that grows while it is read is neither missed nor seen twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct CaseRows {
    filter: CaseFilter,
    after: Option<EventId>,
}

#[async_trait::async_trait]
impl StateRows for CaseRows {
    const DESCENDING: &'static [&'static str] = &[];

    fn schema() -> &'static SchemaRef {
        &SCHEMA
    }

    fn narrow(&mut self, condition: &Condition<'_>) -> Exactness {
        let filter = &mut self.filter;
        match condition {
            Condition::From("updated", moment) => later(&mut filter.from, *moment),
            Condition::Before("updated", moment) => earlier(&mut filter.to, *moment),
            Condition::OneOf("severity", words) => {
                any_word(&mut filter.severities, words, SEVERITIES, |it| it.as_str())
            }
            Condition::OneOf("status", words) => {
                any_word(&mut filter.statuses, words, CaseStatus::ALL, CaseStatus::as_str)
            }
            Condition::OneOf("family", words) => {
                one_word(&mut filter.family, words, CauseFamily::ALL, CauseFamily::as_str)
            }
            Condition::OneOf("rule", texts) => one_text(&mut filter.rule, texts),
            Condition::OneOf("identity", texts) => one_text(&mut filter.identity, texts),
            Condition::OneOf("instance", texts) => one_text(&mut filter.instance, texts),
            _ => Exactness::Ignored,
        }
    }

    async fn next(&mut self, state: &State, most: usize) -> Result<Option<RecordBatch>, RowsError> {
        let cases = state.cases_by_id(&self.filter, most, self.after).await?;
        let Some(last) = cases.last() else { return Ok(None) };
        self.after = Some(last.case.id);
        Ok(Some(columns(&cases)?))
    }
}

fn columns(cases: &[KeptCase]) -> Result<RecordBatch, ArrowError> {
    let text = |value: fn(&KeptCase) -> &String| texts(cases, |it| Some(value(it).clone()));
    let word = |value: fn(&KeptCase) -> &'static str| texts(cases, |it| Some(value(it).to_owned()));
    let number = |value: fn(&KeptCase) -> u64| -> Arc<Int64Array> {
        let numbers = cases.iter().map(|it| i64::try_from(value(it)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(numbers))
    };
    RecordBatch::try_new(
        SCHEMA.clone(),
        vec![
            texts(cases, |kept| Some(kept.case.id.to_string())),
            moments(cases, |kept| kept.case.opened),
            moments(cases, |kept| kept.case.updated),
            word(|kept| kept.case.severity.as_str()),
            word(|kept| kept.triage.status.as_str()),
            texts(cases, |kept| kept.triage.owner.clone()),
            texts(cases, |kept| {
                kept.triage.verdict.map(Disposition::as_str).map(ToOwned::to_owned)
            }),
            texts(cases, |kept| kept.case.identity.clone()),
            text(|kept| &kept.case.instance),
            text(|kept| &kept.case.lineage),
            word(|kept| kept.case.family.as_str()),
            text(|kept| &kept.case.rule),
            text(|kept| &kept.case.title),
            number(|kept| kept.case.signals),
            lists(cases, |kept| kept.case.causes.iter().map(shown).collect()),
            number(|kept| kept.case.causes_total),
            lists(cases, |kept| kept.case.events.iter().map(ToString::to_string).collect()),
            text(|kept| &kept.case.explanation.engineer),
            text(|kept| &kept.case.explanation.manager),
            lists(cases, |kept| kept.case.attack.clone()),
            lists(cases, |kept| kept.case.controls.clone()),
            Arc::new(Float64Array::from_iter_values(cases.iter().map(|kept| kept.case.risk))),
            lists(cases, |kept| kept.case.models.clone()),
        ],
    )
}

/// The rule, and what tells the act from others of the rule.
fn shown(cause: &CaseCause) -> String {
    match cause.cause.as_str() {
        "" => cause.rule.clone(),
        act => format!("{} {act}", cause.rule),
    }
}
