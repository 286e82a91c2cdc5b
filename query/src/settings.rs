//! Settings of the query service.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// `[query]`: where the service listens and how much one query may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuerySettings {
    /// Address and port of the HTTP service.
    pub address: SocketAddr,
    /// Most rows of one answer.
    pub rows_max: usize,
    /// Longest time a query may take, in seconds.
    pub timeout_seconds: u64,
    /// Memory that all queries share, in bytes; more is spilled to disk.
    pub memory_bytes: usize,
    /// Disk that spilling may take, in bytes.
    pub spill_bytes: u64,
    /// Queries answered at once; more of them wait.
    pub queries_max: usize,
    /// Longest SQL text, in bytes.
    pub sql_bytes_max: usize,
    /// Most operators and keywords in one SQL text: planning takes their square.
    pub operators_max: usize,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8_420)),
            rows_max: 10_000,
            timeout_seconds: 30,
            memory_bytes: 256 << 20,
            spill_bytes: 1 << 30,
            queries_max: 4,
            sql_bytes_max: 64 << 10,
            operators_max: 800,
        }
    }
}
