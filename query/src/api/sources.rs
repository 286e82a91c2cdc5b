//! `GET /api/v1/sources`: what is read, how far, and what could not be read.

use axum::Json;
use axum::extract::State;
use event::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Service;

/// One configured source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct SourceStatus {
    /// Configured name.
    pub name: String,
    /// Configured server.
    pub instance: String,
    /// Format, as configured or recognised.
    pub format: String,
    /// Paths it watches.
    pub paths: Vec<String>,
    /// Bytes read since the start.
    pub bytes: u64,
    /// Records read since the start.
    pub records: u64,
    /// Events since the start.
    pub events: u64,
    /// Records that could not be read since the start.
    pub rejects: u64,
    /// Time of the newest event.
    #[schema(value_type = Option<String>)]
    pub newest_event: Option<Timestamp>,
    /// What is wrong, if anything.
    pub problem: Option<String>,
}

/// How far the table is behind one partition of the bus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct PartitionLag {
    /// Name of the partition.
    pub partition: String,
    /// First offset that is not on the bus yet.
    pub end: u64,
    /// First offset that is not in the table yet.
    pub stored: u64,
    /// Records between the two: each is a batch of events.
    pub lag: u64,
    /// Who works on it, if the bus knows.
    pub worker: Option<String>,
}

/// The sources, and the bus between them and the table.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SourceList {
    sources: Vec<SourceStatus>,
    bus: Vec<PartitionLag>,
}

/// Lists sources.
#[utoipa::path(get, path = "/api/v1/sources", tag = "sources", security(("token" = [])),
    responses((status = 200, body = SourceList)))]
pub(super) async fn sources(State(service): State<Service>) -> Json<SourceList> {
    Json(SourceList { sources: (service.sources)(), bus: (service.lags)() })
}
