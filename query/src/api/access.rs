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
    /// Path of the API.
    pub path: &'static str,
    /// The SQL, or the filters.
    pub question: String,
    /// Rows handed out; none if there was no answer.
    pub rows: Option<i64>,
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
        rows: Option<usize>,
    ) -> Result<(), Problem> {
        let access = Access {
            time: begun,
            caller: caller.0.clone(),
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
