//! Who read audit data or decided about it, and how: each is an audit event of its own.

use std::time::Duration;

use axum::http::StatusCode;
use event::Timestamp;
use event::vocabulary::Action;
use state::Scope;
use tokio::sync::mpsc::error::SendTimeoutError;

use super::Service;
use super::auth::Caller;
use super::page::now;
use super::problem::Problem;

/// One read of audit data, or one decision about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// When it was asked.
    pub time: Timestamp,
    /// `read`, or `write` for a decision.
    pub action: Action,
    /// `QUERY` for a read; the HTTP method of a decision.
    pub command: &'static str,
    /// Name of the token that asked.
    pub caller: String,
    /// Where from.
    pub client_address: String,
    /// Its port.
    pub client_port: u16,
    /// Path of the API.
    pub path: &'static str,
    /// The SQL, the filters, or what was to be changed.
    pub query: String,
    /// Rows handed out or changed, or why not.
    pub rows: Result<i64, String>,
    /// How long it took, in microseconds.
    pub duration_us: i64,
}

/// What somebody wants to change.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// HTTP method.
    pub(super) command: &'static str,
    /// Path of the API.
    pub(super) path: &'static str,
    /// What is to be changed, for the record; cut at [`QUERY_CHARACTERS_MAX`].
    pub(super) query: String,
}

/// How long an answer waits to be recorded.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most characters that are recorded of a change: refused ones may be as long as a body.
const QUERY_CHARACTERS_MAX: usize = 8_192;

impl Service {
    /// Records a read before it is answered: an answer that leaves no trace is not given.
    pub(super) async fn record(
        &self,
        caller: &Caller,
        path: &'static str,
        query: String,
        begun: Timestamp,
        rows: Result<usize, String>,
    ) -> Result<(), Problem> {
        let change = Change { command: "QUERY", path, query };
        let access = access(caller, Action::Read, change, begun, rows);
        let sent = self.access.send_timeout(access, PATIENCE).await;
        sent.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => unrecorded(),
            SendTimeoutError::Closed(_) => stopping(),
        })
    }

    /// Changes something for a caller with the scope `write`, and records that, whatever comes of
    /// it and whether or not the caller still waits. What cannot be recorded is not done.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        caller: Caller,
        change: Change,
        work: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let begun = now();
        let reserving = self.access.clone().reserve_owned();
        let permit = match tokio::time::timeout(PATIENCE, reserving).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(stopping()),
            Err(_) => return Err(unrecorded()),
        };
        let working = tokio::spawn(async move {
            let done = match caller.allows(Scope::Write) {
                Ok(()) => work.await,
                Err(refusal) => Err(refusal),
            };
            let rows = done.as_ref().map(|_| 1).map_err(|problem| problem.detail().to_owned());
            let query = change.query.chars().take(QUERY_CHARACTERS_MAX).collect();
            let change = Change { query, ..change };
            permit.send(access(&caller, Action::Write, change, begun, rows));
            done
        });
        working.await.unwrap_or_else(|error| Err(Problem::internal(&error)))
    }
}

fn access(
    caller: &Caller,
    action: Action,
    change: Change,
    begun: Timestamp,
    rows: Result<usize, String>,
) -> Access {
    Access {
        time: begun,
        action,
        command: change.command,
        caller: caller.name.clone(),
        client_address: caller.address.ip().to_string(),
        client_port: caller.address.port(),
        path: change.path,
        query: change.query,
        rows: rows.map(|rows| rows as i64),
        duration_us: now().0.saturating_sub(begun.0),
    }
}

fn unrecorded() -> Problem {
    let detail = "requests cannot be recorded now, so none is answered; /readyz says why";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

fn stopping() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping")
}
