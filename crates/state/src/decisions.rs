//! Decisions that enter the stream: kept for people, and an outbox that takes them to the bus in
//! the order in which they were made.

use event::decision::{DecisionError, DecisionKind, HELD_MAX};
use event::{Decision, EventId, Timestamp};
use sqlx::{QueryBuilder, Transaction};

use crate::alerts::PAGE_MAX;
use crate::filter::{Cursor, push_after};
use crate::state::{Engine, State, StateError};
use crate::text::storable;

/// A decision and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDecision {
    /// The decision.
    pub decision: Decision,
    /// When it was withdrawn.
    pub withdrawn: Option<Timestamp>,
    /// Whether it is on the bus.
    pub published: bool,
}

/// Which decisions a page shows; an empty filter shows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    /// Of this kind: `exception`, `verdict`, `change_window` or `withdrawn`.
    pub kind: Option<&'static str>,
    /// That hold at this time.
    pub active_at: Option<Timestamp>,
    /// About this case.
    pub case: Option<EventId>,
}

/// Some decisions, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionPage {
    /// The decisions.
    pub decisions: Vec<KeptDecision>,
    /// Where the next page begins; none after the last page.
    pub next: Option<Cursor>,
}

/// Why a decision was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// Its content is wrong.
    #[error(transparent)]
    Decision(#[from] DecisionError),
    /// What it withdraws does not hold.
    #[error("there is no decision {0} that could be withdrawn; it may have been withdrawn already")]
    NotHeld(EventId),
    /// A verdict on what is not in the case.
    #[error("the case has no such rule and cause; take them from its `causes`")]
    NoSuchCause,
    /// A change of nothing.
    #[error("nothing is changed; give status, owner, note or verdict")]
    Nothing,
    /// The owner is not a name.
    #[error("`owner` is 1 to 200 printable characters")]
    Owner,
    /// The note is too long.
    #[error("`note` has more than 4000 characters; shorten it")]
    Note,
    /// Detection looks at every one for every signal.
    #[error("{HELD_MAX} exceptions and change windows hold already; withdraw some, or widen one")]
    TooMany,
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<sqlx::Error> for DecideError {
    fn from(error: sqlx::Error) -> Self {
        Self::State(error.into())
    }
}

impl State {
    /// Keeps a decision, to be published; one that is known changes nothing. Whether it is new.
    /// One that withdraws another ends it.
    pub async fn add_decision(&self, decision: &Decision) -> Result<bool, DecideError> {
        decision.check()?;
        let mut transaction = self.begin().await?;
        let is_new = insert_decision(&mut transaction, decision).await?;
        transaction.commit().await?;
        Ok(is_new)
    }

    /// Decisions that are not on the bus yet, in the order in which they were made; at most
    /// `limit` and [`PAGE_MAX`].
    pub async fn unpublished_decisions(&self, limit: usize) -> Result<Vec<Decision>, StateError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT id, body FROM decisions WHERE published = 0 ORDER BY sequence LIMIT $1",
        )
        .bind(limit.min(PAGE_MAX) as i64)
        .fetch_all(self.reader())
        .await?;
        rows.iter().map(|(id, body)| read_decision(id, body)).collect()
    }

    /// These are on the bus, durable.
    pub async fn published(&self, ids: &[EventId]) -> Result<(), StateError> {
        let mut transaction = self.begin().await?;
        for id in ids {
            sqlx::query("UPDATE decisions SET published = 1 WHERE id = $1")
                .bind(id.to_string())
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The decision with this id.
    pub async fn decision(&self, id: EventId) -> Result<Option<KeptDecision>, StateError> {
        let row: Option<DecisionRow> =
            sqlx::query_as("SELECT id, body, withdrawn, published FROM decisions WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(self.reader())
                .await?;
        row.as_ref().map(kept_decision).transpose()
    }

    /// The newest decisions that pass the filter, after the cursor if there is one; at most
    /// `limit` and [`PAGE_MAX`].
    pub async fn list_decisions(
        &self,
        filter: &DecisionFilter,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<DecisionPage, StateError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut query = QueryBuilder::<Engine>::new(
            "SELECT id, body, withdrawn, published FROM decisions WHERE TRUE",
        );
        if let Some(kind) = filter.kind {
            query.push(" AND kind = ").push_bind(kind);
        }
        if let Some(time) = filter.active_at {
            query.push(" AND begins <= ").push_bind(time.0);
            query.push(" AND (expires IS NULL OR expires > ").push_bind(time.0);
            query.push(") AND (withdrawn IS NULL OR withdrawn > ").push_bind(time.0).push(")");
        }
        if let Some(case) = filter.case {
            query.push(" AND case_id = ").push_bind(case.to_string());
        }
        push_after(&mut query, "created", after);
        query.push(" ORDER BY created DESC, id DESC LIMIT ").push_bind(limit as i64 + 1);
        let rows: Vec<DecisionRow> = query.build_query_as().fetch_all(self.reader()).await?;
        let more = rows.len() > limit;
        let read = rows.iter().take(limit).map(kept_decision);
        let decisions = read.collect::<Result<Vec<_>, StateError>>()?;
        let last = decisions.last().filter(|_| more).map(|kept| &kept.decision);
        let next = last.map(|decision| Cursor { time: decision.time, id: decision.id });
        Ok(DecisionPage { decisions, next })
    }

    /// Forgets up to `limit` decisions from before a time that are on the bus and no longer hold:
    /// verdicts and withdrawals, what has expired or was withdrawn before it. Returns how many.
    pub async fn forget_decisions(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<u64, StateError> {
        let forgotten = sqlx::query(
            "DELETE FROM decisions WHERE id IN ( \
                 SELECT id FROM decisions WHERE published = 1 AND created < $1 \
                 AND (kind IN ('verdict', 'withdrawn') OR expires < $1 OR withdrawn < $1) \
                 ORDER BY sequence LIMIT $2)",
        )
        .bind(before.0)
        .bind(limit.min(PAGE_MAX) as i64)
        .execute(self.writer())
        .await?;
        Ok(forgotten.rows_affected())
    }
}

/// Whether the decision, which was checked, is new.
pub(crate) async fn insert_decision(
    transaction: &mut Transaction<'static, Engine>,
    decision: &Decision,
) -> Result<bool, DecideError> {
    let id = decision.id.to_string();
    let known: Option<i64> = sqlx::query_scalar("SELECT sequence FROM decisions WHERE id = $1")
        .bind(&id)
        .fetch_optional(&mut **transaction)
        .await?;
    if known.is_some() {
        return Ok(false);
    }
    let (mut begins, mut expires, mut case_id) = (decision.time, None, None);
    match &decision.kind {
        DecisionKind::Exception(exception) => {
            refuse_more(transaction, decision.time).await?;
            expires = exception.expires;
        }
        DecisionKind::ChangeWindow(window) => {
            refuse_more(transaction, decision.time).await?;
            (begins, expires) = (window.from, Some(window.until));
        }
        DecisionKind::Verdict(verdict) => case_id = Some(verdict.case_id.to_string()),
        DecisionKind::Withdrawn { decision: earlier } => {
            withdraw(transaction, *earlier, decision.time).await?;
        }
    }
    let body = serde_json::to_string(decision)
        .map_err(|error| StateError::unreadable(decision.id, &error))?;
    sqlx::query(
        "INSERT INTO decisions (id, sequence, kind, author, created, begins, expires, case_id, \
         published, body) SELECT $1, COALESCE(MAX(sequence), 0) + 1, $2, $3, $4, $5, $6, $7, 0, $8 \
         FROM decisions",
    )
    .bind(&id)
    .bind(decision.kind.as_str())
    .bind(storable(&decision.author))
    .bind(decision.time.0)
    .bind(begins.0)
    .bind(expires.map(|time| time.0))
    .bind(case_id)
    .bind(body)
    .execute(&mut **transaction)
    .await?;
    Ok(true)
}

async fn refuse_more(
    transaction: &mut Transaction<'static, Engine>,
    now: Timestamp,
) -> Result<(), DecideError> {
    let held: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM decisions WHERE kind IN ('exception', 'change_window') \
         AND withdrawn IS NULL AND (expires IS NULL OR expires > $1)",
    )
    .bind(now.0)
    .fetch_one(&mut **transaction)
    .await?;
    if held >= HELD_MAX as i64 { Err(DecideError::TooMany) } else { Ok(()) }
}

async fn withdraw(
    transaction: &mut Transaction<'static, Engine>,
    earlier: EventId,
    now: Timestamp,
) -> Result<(), DecideError> {
    let ended = sqlx::query(
        "UPDATE decisions SET withdrawn = $1 \
         WHERE id = $2 AND withdrawn IS NULL AND kind <> 'withdrawn'",
    )
    .bind(now.0)
    .bind(earlier.to_string())
    .execute(&mut **transaction)
    .await?;
    if ended.rows_affected() == 0 { Err(DecideError::NotHeld(earlier)) } else { Ok(()) }
}

/// Id, body, when it was withdrawn, whether it is published.
type DecisionRow = (String, String, Option<i64>, i64);

fn kept_decision(
    (id, body, withdrawn, published): &DecisionRow,
) -> Result<KeptDecision, StateError> {
    let decision = read_decision(id, body)?;
    Ok(KeptDecision { decision, withdrawn: withdrawn.map(Timestamp), published: *published != 0 })
}

fn read_decision(id: &str, body: &str) -> Result<Decision, StateError> {
    serde_json::from_str(body)
        .map_err(|error| StateError::unreadable(id.parse().unwrap_or_default(), &error))
}
