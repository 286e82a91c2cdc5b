//! Cases: the latest telling of each, together with what people decided about it.

use event::decision::Disposition;
use event::{Case, EventId, Timestamp};
use sqlx::{QueryBuilder, Transaction};

use crate::alerts::PAGE_MAX;
use crate::filter::{CaseFilter, Cursor, push_after};
use crate::state::{Engine, State, StateError};
use crate::text::{cut, finite, folded, storable};
use crate::triage::{CaseStatus, Triage};

/// A case as it was told last, and what people decided about it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptCase {
    /// What detection told.
    pub case: Case,
    /// What people decided.
    pub triage: Triage,
}

/// Some cases, the most recently updated first.
#[derive(Clone, Debug, PartialEq)]
pub struct CasePage {
    /// The cases.
    pub cases: Vec<KeptCase>,
    /// Where the next page begins; none after the last page.
    pub next: Option<Cursor>,
}

/// Most characters of a case that searches look at.
const SEARCH_CHARACTERS_MAX: usize = 16_384;

const SELECT: &str = "SELECT id, body, status, owner, verdict, reason, note, decided_by, decided, \
     reopened FROM cases";

impl State {
    /// The most recently updated cases that pass the filter, after the cursor if there is one; at
    /// most `limit` and [`PAGE_MAX`]. A case that grows between two pages moves to the front, and
    /// may be missed by who is past that.
    pub async fn cases(
        &self,
        filter: &CaseFilter,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<CasePage, StateError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut query = QueryBuilder::<Engine>::new(SELECT);
        filter.push_where(&mut query);
        push_after(&mut query, "updated", after);
        query.push(" ORDER BY updated DESC, id DESC LIMIT ").push_bind(limit as i64 + 1);
        let mut cases = self.read_cases(query).await?;
        let more = cases.len() > limit;
        cases.truncate(limit);
        let last = cases.last().filter(|_| more);
        let next = last.map(|kept| Cursor { time: kept.case.updated, id: kept.case.id });
        Ok(CasePage { cases, next })
    }

    /// Cases that pass the filter in the order of their ids, after one of them; at most `limit`
    /// and [`PAGE_MAX`]. Whoever reads on until none is left has seen every case once, also one
    /// that grew meanwhile.
    pub async fn cases_by_id(
        &self,
        filter: &CaseFilter,
        limit: usize,
        after: Option<EventId>,
    ) -> Result<Vec<KeptCase>, StateError> {
        let mut query = QueryBuilder::<Engine>::new(SELECT);
        filter.push_where(&mut query);
        if let Some(after) = after {
            query.push(" AND id > ").push_bind(after.to_string());
        }
        query.push(" ORDER BY id LIMIT ").push_bind(limit.clamp(1, PAGE_MAX) as i64);
        self.read_cases(query).await
    }

    /// The case with this id. Its events are `alerts` of that case.
    pub async fn case(&self, id: EventId) -> Result<Option<KeptCase>, StateError> {
        let mut query = QueryBuilder::<Engine>::new(SELECT);
        query.push(" WHERE id = ").push_bind(id.to_string());
        Ok(self.read_cases(query).await?.pop())
    }

    async fn read_cases(
        &self,
        mut query: QueryBuilder<Engine>,
    ) -> Result<Vec<KeptCase>, StateError> {
        let rows: Vec<CaseRow> = query.build_query_as().fetch_all(self.reader()).await?;
        rows.into_iter().map(read_case).collect()
    }
}

/// Reads the case for who is about to change it.
pub(crate) async fn find_case(
    transaction: &mut Transaction<'static, Engine>,
    id: EventId,
) -> Result<Option<KeptCase>, StateError> {
    let mut query = QueryBuilder::<Engine>::new(SELECT);
    query.push(" WHERE id = ").push_bind(id.to_string());
    let row: Option<CaseRow> = query.build_query_as().fetch_optional(&mut **transaction).await?;
    row.map(read_case).transpose()
}

/// Keeps the telling unless a later one is there; decisions stay.
pub(crate) async fn upsert_case(
    transaction: &mut Transaction<'static, Engine>,
    case: &Case,
    now: Timestamp,
) -> Result<(), StateError> {
    let risk = finite(case.risk);
    let body = match risk == case.risk {
        true => serde_json::to_string(case),
        false => serde_json::to_string(&Case { risk, ..case.clone() }),
    };
    let body = body.map_err(|error| StateError::unreadable(case.id, &error))?;
    sqlx::query(
        "INSERT INTO cases (id, opened, updated, recorded, severity, identity, instance, family, \
         rule, signals, search, body, status) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'open') \
         ON CONFLICT (id) DO UPDATE SET opened = excluded.opened, updated = excluded.updated, \
         recorded = excluded.recorded, severity = excluded.severity, \
         identity = excluded.identity, instance = excluded.instance, family = excluded.family, \
         rule = excluded.rule, signals = excluded.signals, search = excluded.search, \
         body = excluded.body, \
         status = CASE WHEN cases.status = 'closed' AND excluded.severity > cases.severity \
             THEN 'open' ELSE cases.status END, \
         reopened = CASE WHEN cases.status = 'closed' AND excluded.severity > cases.severity \
             THEN excluded.recorded ELSE cases.reopened END \
         WHERE excluded.signals >= cases.signals",
    )
    .bind(case.id.to_string())
    .bind(case.opened.0)
    .bind(case.updated.0)
    .bind(now.0)
    .bind(case.severity as i64)
    .bind(case.identity.as_deref().map(storable))
    .bind(storable(&case.instance))
    .bind(case.family.as_str())
    .bind(storable(&case.rule))
    .bind(i64::try_from(case.signals).unwrap_or(i64::MAX))
    .bind(search_text(case))
    .bind(body)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn search_text(case: &Case) -> String {
    let always = [&case.rule, &case.title, &case.instance, &case.lineage];
    let causes = case.causes.iter().map(|cause| &cause.cause);
    let texts = always.into_iter().chain(&case.identity).chain(causes);
    let texts = texts.chain([&case.explanation.engineer]).map(String::as_str);
    folded(cut(&texts.collect::<Vec<_>>().join("\n"), SEARCH_CHARACTERS_MAX))
}

/// The columns of [`SELECT`], in its order.
type CaseRow = (
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
);

fn read_case(row: CaseRow) -> Result<KeptCase, StateError> {
    let (id, body, status, owner, verdict, reason, note, decided_by, decided, reopened) = row;
    let case = serde_json::from_str(&body)
        .map_err(|error| StateError::unreadable(id.parse().unwrap_or_default(), &error))?;
    let mut words = Disposition::ALL.iter().copied();
    let triage = Triage {
        // A word of a newer release still wants a person to look.
        status: status.parse().unwrap_or(CaseStatus::Open),
        owner,
        verdict: words.find(|word| verdict.as_deref() == Some(word.as_str())),
        reason,
        note,
        decided_by,
        decided: decided.map(Timestamp),
        reopened: reopened.map(Timestamp),
    };
    Ok(KeptCase { case, triage })
}
