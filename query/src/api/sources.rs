//! `GET /api/v1/sources`: what is read, by whom, how far, and what could not be read.

use axum::Json;
use axum::extract::State;
use event::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ProcessStatus, Service};

/// One configured source. It travels between processes: what is added has a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// What is wrong, if anything; with the source, or because its process is silent.
    pub problem: Option<String>,
    /// Name of the process that reads it.
    pub process: String,
    /// Machine of that process.
    pub host: String,
    /// When that process was last heard of.
    #[schema(value_type = Option<String>)]
    pub reported: Option<Timestamp>,
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

/// The sources of all processes, the bus between them and the table, and the processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct SourceList {
    /// Sources, process by process.
    pub sources: Vec<SourceStatus>,
    /// How far the table is behind the bus.
    pub bus: Vec<PartitionLag>,
    /// Every process that was heard of in the last hour and has not stopped in good order.
    pub processes: Vec<ProcessStatus>,
}

/// Lists sources, and who reads, judges and stores.
#[utoipa::path(get, path = "/api/v1/sources", tag = "sources", security(("token" = [])),
    responses((status = 200, body = SourceList)))]
pub(super) async fn sources(State(service): State<Service>) -> Json<SourceList> {
    Json((service.sources)())
}
