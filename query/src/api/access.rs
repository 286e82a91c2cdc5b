//! Who read audit data, and how: every such read is an audit event of its own.

use axum::http::StatusCode;
use event::Timestamp;

use super::Service;
use super::auth::Caller;
use super::page::now;
use super::problem::Problem;

/// One read of audit data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// When it was asked.
    pub time: Timestamp,
    /// Name of the token that asked.
    pub caller: String,
    /// Where from.
    pub client_address: String,
    /// Its port.
    pub client_port: u16,
    /// Path of the API.
    pub path: &'static str,
    /// The SQL, or the filters.
    pub question: String,
    /// Rows handed out, or why there was no answer.
    pub rows: Result<i64, String>,
    /// How long it took, in microseconds.
    pub duration_us: i64,
}

impl Service {
    /// Records a read before it is answered: an answer that leaves no trace is not given.
    pub(super) async fn record(
        &self,
        caller: &Caller,
        path: &'static str,
        question: String,
        begun: Timestamp,
        rows: Result<usize, String>,
    ) -> Result<(), Problem> {
        let access = Access {
            time: begun,
            caller: caller.name.clone(),
            client_address: caller.address.ip().to_string(),
            client_port: caller.address.port(),
            path,
            question,
            rows: rows.map(|rows| rows as i64),
            duration_us: now().0.saturating_sub(begun.0),
        };
        self.access
            .send(access)
            .await
            .map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping"))
    }
}
