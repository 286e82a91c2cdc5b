//! Who read audit data, and how: every such read is an audit event of its own.

use std::time::Duration;

use axum::http::StatusCode;
use event::Timestamp;
use tokio::sync::mpsc::error::SendTimeoutError;

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

/// How long an answer waits to be recorded.
const PATIENCE: Duration = Duration::from_secs(5);

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
        let sent = self.access.send_timeout(access, PATIENCE).await;
        sent.map_err(|error| {
            let detail = match error {
                SendTimeoutError::Timeout(_) => {
                    "reads cannot be recorded now, so none is answered; /readyz says why"
                }
                SendTimeoutError::Closed(_) => "the service is stopping",
            };
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        })
    }
}
