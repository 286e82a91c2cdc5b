//! The HTTP service, asked as a script would ask it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::binary::{Process, Querywatch, path_text};
use crate::csvlog::{audited, line};

/// A running service.
pub struct Service {
    pub querywatch: Querywatch,
    process: Process,
    address: String,
    token: String,
    runtime: tokio::runtime::Runtime,
}

impl Service {
    /// Over a few events.
    fn start() -> Self {
        let querywatch = Querywatch::new();
        let log = querywatch.folder().join("log");
        std::fs::create_dir(&log).expect("a folder");
        let mut lines: String = (0..200).map(audited).collect();
        let attack = "AUDIT: SESSION,900,1,ROLE,ALTER ROLE,,,alter role app superuser,<not logged>";
        lines.push_str(&line(900, "mallory", attack));
        std::fs::write(log.join("a.csv"), lines).expect("written");
        // Every row waits in memory: what is asked here is answered before it is committed.
        let settings = querywatch.settings(&log, "[lake]\ncommit_seconds = 600\n");
        let service = Self::run(querywatch, &settings);
        service.wait_for(201);
        service
    }

    /// `run` with these settings, once it listens.
    pub fn run(querywatch: Querywatch, settings: &Path) -> Self {
        let mut child = querywatch.start(settings);
        let mut first = String::new();
        let errors = child.stderr.take().expect("piped");
        let mut errors = BufReader::new(errors);
        errors.read_line(&mut first).expect("the address");
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        let address = first.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("no address in `{first}`")).to_owned();
        let token = std::fs::read_to_string(querywatch.data().join("admin.token"));
        let token = token.expect("the first token").trim().to_owned();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        Self { querywatch, process: child, address, token, runtime }
    }

    /// Stops it cleanly; the data stays.
    pub fn stop(mut self) -> Querywatch {
        self.process.terminate();
        assert!(self.process.wait().expect("ended").success());
        self.querywatch
    }

    pub fn wait_for(&self, rows: i64) {
        let until = Instant::now() + Duration::from_secs(20);
        let query = json!({ "sql": "SELECT count(*) AS n FROM events WHERE engine = $1",
            "params": ["postgresql"] });
        loop {
            let (_, answer) = self.post("/api/v1/query", &query);
            if answer["rows"][0]["n"] == rows {
                return;
            }
            assert!(Instant::now() < until, "{rows} events did not arrive: {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<String>,
    ) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let client = reqwest::Client::new();
        let method = method.parse().expect("a method");
        let mut request = client.request(method, url);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        self.runtime.block_on(async {
            let response = request.send().await.expect("an answer");
            (response.status().as_u16(), response.text().await.expect("a body"))
        })
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        let (status, text) = self.request("GET", path, &self.token, None);
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, body)
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.request(method, path, &self.token, Some(body.to_string()));
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn ask(&self, sql: &str) -> (u16, Value) {
        self.post("/api/v1/query", &json!({ "sql": sql }))
    }
}

#[test]
fn the_service_answers_and_guards() {
    let service = Service::start();
    only_with_a_token(&service);
    questions_are_answered(&service);
    questions_that_sprawl_are_refused(&service);
    what_is_wrong_is_a_problem_document(&service);
    lists_have_pages(&service);
    nothing_can_be_changed_or_read_from_disk(&service);
    machines_are_served(&service);
    reads_are_events(&service);
}

fn only_with_a_token(service: &Service) {
    for token in ["", "qw_wrong", "Bearer"] {
        let (status, body) = service.request("GET", "/api/v1/events", token, None);
        assert_eq!(status, 401, "{body}");
        assert!(body.contains("about:blank"), "a problem document: {body}");
    }
    let data = service.querywatch.data();
    let data = path_text(&data);
    let new = service.querywatch.succeed(&["token", "create", "--data", data, "visitor"]);
    let (status, _) = service.request("GET", "/api/v1/alerts", new.trim(), None);
    assert_eq!(status, 200);
    service.querywatch.succeed(&["token", "revoke", "--data", data, "visitor"]);
    let (status, _) = service.request("GET", "/api/v1/alerts", new.trim(), None);
    assert_eq!(status, 401);
}

fn questions_are_answered(service: &Service) {
    let sql = "SELECT \"user\", count(*) AS n FROM events WHERE engine = 'postgresql' \
               GROUP BY 1 ORDER BY 2 DESC";
    let (status, answer) = service.ask(sql);
    assert_eq!((status, &answer["rows"][0]), (200, &json!({ "user": "app", "n": 200 })));
    let body = json!({ "sql": sql, "format": "csv" });
    let (status, csv) = service.post("/api/v1/query", &body);
    assert_eq!((status, csv.as_str()), (200, Some("user,n\napp,200\nmallory,1\n")));
    let body = json!({ "sql": "SELECT id FROM events", "limit": 3 });
    let (_, few) = service.post("/api/v1/query", &body);
    assert_eq!(few["rows"].as_array().map(Vec::len), Some(3));
    assert_eq!(few["truncated"], true);
    assert_eq!(few["rows"][0]["id"].as_str().map(str::len), Some(32));
    let (_, alerts) = service.ask("SELECT rule, identity FROM alerts WHERE rule = 'B01'");
    assert_eq!(alerts["rows"][0], json!({ "rule": "B01", "identity": "mallory" }));
}

fn questions_that_sprawl_are_refused(service: &Service) {
    let chains = [["1"; 5_000].join("+"), ["true"; 5_000].join(" or "), "not ".repeat(5_000)];
    for chain in chains.iter().map(|chain| format!("select {chain} true")) {
        let (status, answer) = service.ask(&chain);
        assert_eq!(status, 400, "{answer}");
        assert!(answer["detail"].as_str().is_some_and(|why| why.contains("800")), "{answer}");
    }
    // As deep as is allowed.
    let (status, answer) = service.ask(&format!("select {} as n", ["1"; 750].join("+")));
    assert_eq!((status, &answer["rows"][0]["n"]), (200, &json!(750)));
    let list = (0..5_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let (status, _) = service.ask(&format!("select 1 from events where position in ({list})"));
    assert_eq!(status, 200, "long lists are no chains");
    let (status, plan) = service.ask("explain select count(*) from events");
    assert_eq!(status, 200, "{plan}");
    // No column is needed to count, nor for a constant.
    let (_, counted) = service.ask("select count(*) as n from events");
    assert!(counted["rows"][0]["n"].as_i64() >= Some(201), "{counted}");
    let (_, ones) = service.ask("select 1 as one from events limit 2");
    assert_eq!(ones["rows"], json!([{ "one": 1 }, { "one": 1 }]));
}

fn what_is_wrong_is_a_problem_document(service: &Service) {
    for wrong in [
        "limit=abc",
        "limit=0",
        "limit=1001",
        "nope=1",
        "limit=1&limit=2",
        "action=bogus",
        "outcome=Failed",
        "fingerprint=zz",
        "from=yesterday",
    ] {
        let (status, problem) = service.get(&format!("/api/v1/events?{wrong}"));
        assert_eq!((status, &problem["status"]), (400, &json!(400)), "{wrong}: {problem}");
    }
    let (status, problem) = service.ask(&" ".repeat((1 << 20) + 1));
    assert_eq!((status, &problem["status"]), (413, &json!(413)), "{problem}");
    let (_, document) = service.get("/api/openapi.json");
    for (path, item) in document["paths"].as_object().expect("paths") {
        let operations = item.as_object().expect("operations").values();
        for (status, answer) in operations.flat_map(|o| o["responses"].as_object()).flatten() {
            assert!(answer["description"].is_string(), "{path} {status} is not described");
            let is_error = !status.starts_with('2') && answer["content"].is_object();
            assert!(
                !is_error || answer["content"]["application/problem+json"].is_object(),
                "{path} {status}: {answer}"
            );
        }
    }
    let query = &document["paths"]["/api/v1/events"]["get"]["responses"];
    assert!(query["401"].is_object() && query["403"].is_object(), "{query}");
}

fn lists_have_pages(service: &Service) {
    let mut seen = std::collections::BTreeSet::new();
    let mut path = "/api/v1/events?user=app&limit=70".to_owned();
    loop {
        let (status, page) = service.get(&path);
        assert_eq!(status, 200, "{page}");
        for event in page["events"].as_array().expect("events") {
            assert!(seen.insert(event["id"].to_string()), "an event on two pages");
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/events?user=app&limit=70&cursor={next}");
    }
    assert_eq!(seen.len(), 200);
    let (_, alerts) = service.get("/api/v1/alerts?severity_min=critical");
    let listed = alerts["alerts"].as_array().expect("alerts");
    let alert = listed.iter().find(|alert| alert["rule"] == "B01").expect("the attack's alert");
    let id = alert["id"].as_str().expect("an id");
    let (status, one) = service.get(&format!("/api/v1/alerts/{id}"));
    assert_eq!((status, &one["id"]), (200, &alert["id"]));
    let (_, identities) = service.get("/api/v1/identities");
    assert_eq!(identities["identities"][0]["identity"], "app", "{identities}");
    let (_, sources) = service.get("/api/v1/sources");
    assert_eq!(sources["sources"][0]["format"], "postgresql_csvlog", "{sources}");
    assert_eq!(sources["sources"][0]["events"], 201, "{sources}");
    let process = &sources["processes"][0];
    assert_eq!((&process["role"], &process["kafka"]), (&json!("all"), &Value::Null), "{sources}");
    assert!(process["detect"]["events"].as_u64() >= Some(201), "{sources}");
    assert_eq!(sources["sources"][0]["process"], process["name"], "{sources}");
}

fn nothing_can_be_changed_or_read_from_disk(service: &Service) {
    let refused = [
        "DELETE FROM events",
        "INSERT INTO events SELECT * FROM events",
        "DROP TABLE events",
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY events TO '/tmp/x.parquet'",
        "COPY (SELECT 1) TO '/tmp/x.csv' STORED AS CSV",
        "SET datafusion.execution.batch_size = 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'file:///etc/passwd'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/x.csv'",
        "PREPARE p AS SELECT 1",
        "SELECT generate_series(1, 1000000000)",
        "SELECT * FROM generate_series(1, 1000000000)",
        "SELECT * FROM range(1000000000)",
        "SELECT repeat('x', 1000000000)",
        "SELECT * FROM no_such_table",
        "SELECT 1; SELECT 2",
        "not even sql",
        "",
    ];
    for sql in refused {
        let (status, answer) = service.ask(sql);
        assert_eq!(status, 400, "`{sql}` was answered: {answer}");
        assert!(answer["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
    }
    let deep = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert_eq!(service.ask(&deep).0, 400);
    let long = format!("SELECT '{}'", "x".repeat(100_000));
    assert_eq!(service.ask(&long).0, 400);
    assert!(!std::path::Path::new("/tmp/x.parquet").exists());
    let (status, _) = service.post("/api/v1/query", &json!({ "sql": "SELECT 1", "typo": 1 }));
    assert_eq!(status, 400);
    assert_eq!(service.get("/api/v1/nothing").0, 404);
    assert_eq!(service.get("/api/v1/events?limit=0").0, 400);
    assert_eq!(service.get("/api/v1/events?cursor=x").0, 400);
}

fn machines_are_served(service: &Service) {
    for path in ["/healthz", "/readyz", "/metrics", "/api/openapi.json"] {
        let (status, body) = service.request("GET", path, "", None);
        assert_eq!(status, 200, "{path}: {body}");
    }
    let (_, metrics) = service.request("GET", "/metrics", "", None);
    assert!(metrics.contains("querywatch_source_events_total{source=\"orders\"} 201"), "{metrics}");
    assert!(metrics.contains("querywatch_state_cases{status=\"open\"}"), "{metrics}");
    let (_, document) = service.get("/api/openapi.json");
    let paths = document["paths"].as_object().expect("paths");
    for path in ["query", "events", "alerts", "identities", "sources"] {
        assert!(paths.contains_key(&format!("/api/v1/{path}")), "{path} is documented");
    }
    let schemas = &document["components"]["schemas"];
    let figures = &schemas["ProcessStatus"]["properties"];
    for figure in ["role", "problem", "forward", "kafka", "detect", "lake"] {
        assert!(!figures[figure].is_null(), "{figure} is documented");
    }
}

fn reads_are_events(service: &Service) {
    let sql = "SELECT \"user\", client_address, outcome, error FROM events \
               WHERE engine = 'querywatch' AND statement = 'DELETE FROM events'";
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let (_, answer) = service.ask(sql);
        let row = &answer["rows"][0];
        if row["user"] == "admin" {
            assert_eq!(
                (&row["client_address"], &row["outcome"]),
                (&json!("127.0.0.1"), &json!("failed"))
            );
            assert!(row["error"].as_str().is_some_and(|why| why.contains("only reads")), "{row}");
            return;
        }
        assert!(Instant::now() < until, "the read left no trace: {answer}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
