//! Probes and metrics: for machines that look after machines.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Probes;
use super::problem::Problem;

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "probes", responses((status = 200)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The process can do its work.
#[utoipa::path(get, path = "/readyz", tag = "probes",
    responses((status = 200), (status = 503, body = Problem)))]
pub(super) async fn readyz(State(probes): State<Probes>) -> Response {
    match (probes.hindrance)() {
        None => "ready\n".into_response(),
        Some(hindrance) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, hindrance).into_response(),
    }
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
