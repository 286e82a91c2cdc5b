//! `POST /api/v1/query`: SQL in, rows out.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use datafusion::common::ScalarValue;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Service;
use super::auth::Caller;
use super::page::{moment, now};
use super::problem::Problem;
use crate::output::Output;
use crate::{Answer, SqlQuery};

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryRequest {
    /// SQL over `events`, `rejects`, `alerts` and `cases`; reads only.
    sql: String,
    /// Values of `$1`, `$2`, …: texts, numbers, truth values, null.
    #[serde(default)]
    params: Vec<Value>,
    /// Events and rejects at this time or later only; RFC 3339.
    from: Option<String>,
    /// Events and rejects before this time only; RFC 3339.
    to: Option<String>,
    /// Most rows.
    limit: Option<usize>,
    /// How the rows are written; JSON if not named.
    format: Option<Output>,
}

/// Answers SQL.
#[utoipa::path(post, path = "/api/v1/query", request_body = QueryRequest, tag = "query",
    security(("token" = [])),
    responses(
        (status = 200, description = "the rows; JSON: columns, rows, truncated, statistics"),
        (status = 400, description = "the SQL or a value is wrong", body = Problem),
        (status = 401, description = "no living token", body = Problem),
        (status = 408, description = "it took too long", body = Problem),
        (status = 422, description = "it needs too much memory", body = Problem)))]
pub(super) async fn query(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let begun = now();
    let body = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let request: QueryRequest = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body is no query: {error}")))?;
    let query = SqlQuery {
        parameters: request.params.iter().map(parameter).collect::<Result<_, _>>()?,
        from: moment("from", request.from.as_ref())?,
        to: moment("to", request.to.as_ref())?,
        limit: request.limit,
        sql: request.sql,
    };
    let answer = service.engine.run(&query, (service.view)()).await;
    let rows = answer.as_ref().map(Answer::rows).map_err(ToString::to_string);
    service.record(&caller, "/api/v1/query", query.sql, begun, rows).await?;
    respond(&answer?, request.format.unwrap_or(Output::Json))
}

fn parameter(value: &Value) -> Result<ScalarValue, Problem> {
    match value {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(truth) => Ok((*truth).into()),
        Value::String(text) => Ok(text.as_str().into()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Ok(whole.into()),
            None => Ok(number.as_f64().into()),
        },
        _ => Err(Problem::bad_request("`params` takes texts, numbers, truth values and null")),
    }
}

fn respond(answer: &Answer, output: Output) -> Result<Response, Problem> {
    let mut rows = Vec::new();
    output.write(&answer.schema, &answer.batches, &mut rows)?;
    if output == Output::Json {
        rows = wrapped(answer, &rows)?;
    }
    let headers = [
        (header::CONTENT_TYPE.as_str(), output.media_type()),
        ("x-truncated", if answer.truncated { "true" } else { "false" }),
    ];
    Ok((headers, rows).into_response())
}

/// Columns and statistics around the rows, which are JSON already.
fn wrapped(answer: &Answer, rows: &[u8]) -> Result<Vec<u8>, Problem> {
    let columns: Vec<Value> = answer
        .schema
        .fields()
        .iter()
        .map(|field| json!({ "name": field.name(), "type": field.data_type().to_string() }))
        .collect();
    let rows: &[u8] = if rows.is_empty() { b"[]" } else { rows };
    let rows: &serde_json::value::RawValue =
        serde_json::from_slice(rows).map_err(|error| Problem::internal(&error))?;
    let whole = Wrapped {
        columns,
        rows,
        truncated: answer.truncated,
        statistics: json!({
            "rows": answer.rows(),
            "elapsed_us": u64::try_from(answer.elapsed.as_micros()).unwrap_or(u64::MAX),
        }),
    };
    serde_json::to_vec(&whole).map_err(|error| Problem::internal(&error))
}

#[derive(serde::Serialize)]
struct Wrapped<'a> {
    columns: Vec<Value>,
    rows: &'a serde_json::value::RawValue,
    truncated: bool,
    statistics: Value,
}
