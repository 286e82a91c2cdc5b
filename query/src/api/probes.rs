//! Probes and metrics: for machines that look after machines.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use super::{Probes, Readiness, TaskStatus};

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "probes", responses((status = 200)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// A process that is not ready: what is wrong, and how each task is.
#[derive(Serialize)]
struct NotReady {
    #[serde(flatten)]
    problem: Problem,
    tasks: Vec<TaskStatus>,
}

/// The process can do its work. Lists its tasks.
#[utoipa::path(get, path = "/readyz", tag = "probes",
    responses((status = 200), (status = 503, body = Problem)))]
pub(super) async fn readyz(State(probes): State<Probes>) -> Response {
    let Readiness { problems, tasks } = (probes.readiness)();
    if problems.is_empty() {
        let lines = tasks.iter().map(|task| format!("{}: {}\n", task.name, task.state.name()));
        return format!("ready\n{}", lines.collect::<String>()).into_response();
    }
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, problems.join("; "));
    let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
    let answer = Json(NotReady { problem, tasks });
    (StatusCode::SERVICE_UNAVAILABLE, media_type, answer).into_response()
}

/// Counters in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "probes", responses((status = 200)))]
pub(super) async fn metrics(State(probes): State<Probes>) -> Result<Response, Problem> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &probes.registry)
        .map_err(|error| Problem::internal(&error))?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}
