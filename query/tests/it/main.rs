//! The stage over a state and an empty lake, asked over HTTP as a script would ask it.

mod cases;
mod decisions;
mod shapes;
mod sql;

use std::sync::Arc;

use event::alert::{Detector, Explanation, Fact, Severity};
use event::vocabulary::{CaseChange, CauseFamily, Evidence};
use event::{Alert, Case, CaseCause, EventId, Timestamp};
use lake::{Lake, LakeSettings, Sharing};
use prometheus_client::registry::Registry;
use query::api::{Access, Probes, Readiness, Service, SourceList};
use query::{Answer, Engine, QueryError, QuerySettings, SqlQuery};
use serde_json::Value;
use state::{Scope, State};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

/// A running service, and what it recorded of those who asked.
struct Api {
    address: String,
    state: State,
    engine: Arc<Engine>,
    lake: Lake,
    accesses: Receiver<Access>,
    /// May read, and may decide as well.
    reader: String,
    analyst: String,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Api {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = State::open(&folder.path().join("state.sqlite")).await.expect("a state");
        let settings = LakeSettings::default();
        let (lake, _) = Lake::open(&folder.path().join("lake"), &settings, Sharing::Alone)
            .await
            .expect("a lake");
        let settings = QuerySettings { rows_max: 5_000, ..QuerySettings::default() };
        let engine = Engine::new(settings, folder.path(), Some(state.clone())).expect("an engine");
        let engine = Arc::new(engine);
        let (access, accesses) = tokio::sync::mpsc::channel(1_000);
        let viewed = lake.clone();
        let service = Service {
            engine: engine.clone(),
            state: state.clone(),
            view: Arc::new(move || viewed.view()),
            sources: Arc::new(SourceList::default),
            probes: Probes {
                readiness: Arc::new(|| Readiness { problems: Vec::new(), tasks: Vec::new() }),
                registry: Arc::new(Registry::default()),
            },
            access,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        tokio::spawn(service.serve(listener, stop.clone()));
        let token = |name: &'static str, scopes: &'static [Scope]| {
            let state = state.clone();
            async move {
                let new = state.create_token(name, scopes, None, Timestamp(0)).await;
                new.expect("a token").text
            }
        };
        let reader = token("reader", &[Scope::Read, Scope::Ingest]).await;
        let analyst = token("ann", &[Scope::Read, Scope::Write]).await;
        Self { address, state, engine, lake, accesses, reader, analyst, stop, _folder: folder }
    }

    /// Status and answer of a request by the analyst.
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.ask_as(&self.analyst, method, path, body).await
    }

    async fn ask_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.address));
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = request.body(body.map(|body| body.to_string()).unwrap_or_default());
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn sql(&self, sql: &str) -> Result<Answer, QueryError> {
        let query = SqlQuery { sql: sql.to_owned(), ..SqlQuery::default() };
        self.engine.run(&query, self.lake.view()).await
    }

    /// The first column of an answer, as text.
    async fn column(&self, sql: &str) -> Vec<String> {
        let answer = self.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let cells = query::output::cells(&answer.batches).expect("text");
        cells.into_iter().map(|row| row.into_iter().next().unwrap_or_default()).collect()
    }

    /// What was recorded since it was last asked.
    fn recorded(&mut self) -> Vec<Access> {
        std::iter::from_fn(|| self.accesses.try_recv().ok()).collect()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn second(seconds: i64) -> Timestamp {
    Timestamp(0).plus_seconds(seconds)
}

fn case_id(number: u64) -> EventId {
    EventId::of(&[b"case", &number.to_le_bytes()])
}

/// An event of the case with the number's last digit.
fn alert(number: u64, severity: Severity) -> Alert {
    Alert {
        id: EventId::of(&[b"alert", &number.to_le_bytes()]),
        case_id: case_id(number % 10),
        change: CaseChange::Extended,
        family: CauseFamily::Execution,
        cause: format!("program /opt/{number}.sh"),
        time: second(number as i64),
        first_time: second(number as i64),
        rule: format!("D{:02}", number % 3),
        title: "a program ran on the server".into(),
        severity,
        detector: Detector::Rule,
        identity: Some(format!("person{}", number % 2)),
        instance: "orders".into(),
        database: None,
        user: Some("app".into()),
        client: None,
        application: None,
        session: None,
        statement: Some("copy t from program '/opt/x.sh'".into()),
        fingerprint: None,
        evidence: Evidence::A,
        events: vec![EventId([7; 16])],
        event_count: 1,
        explanation: explanation(),
        attack: vec!["T1059.004".into()],
        controls: vec!["SOC 2 CC6.8".into()],
        risk: 40.0,
        models: vec!["prior 2026-11-26-1a2b3c4d".into()],
    }
}

fn case(number: u64, severity: Severity) -> Case {
    let cause = CaseCause {
        rule: "D01".into(),
        cause: format!("program /opt/{number}.sh"),
        severity,
        signals: 1,
        first: second(0),
        newest: second(number as i64),
    };
    Case {
        id: case_id(number),
        instance: "orders".into(),
        identity: Some(format!("person{}", number % 2)),
        lineage: "10.0.0.7 psql".into(),
        family: CauseFamily::Execution,
        rule: "D01".into(),
        title: "a program ran on the server".into(),
        severity,
        opened: second(0),
        updated: second(number as i64),
        signals: 1,
        causes: vec![cause],
        causes_total: 1,
        evidence: Evidence::A,
        events: vec![EventId([7; 16])],
        explanation: explanation(),
        attack: vec!["T1059.004".into()],
        controls: vec![],
        risk: 40.0,
        models: vec![],
    }
}

fn explanation() -> Explanation {
    let facts = vec![Fact::new("program", "/opt/x.sh")];
    Explanation { observed: facts.clone(), usual: facts, ..Explanation::default() }
}
