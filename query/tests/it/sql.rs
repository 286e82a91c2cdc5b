//! The tables `alerts` and `cases`: whole, however many there are; conditions and limits go down
//! to the state and change no answer.

use event::alert::Severity;
use event::{Alert, Case};
use state::{CaseStatus, TriageChange};

use crate::{Api, alert, case, case_id, second};

const ROWS: u64 = 2_500;

async fn api_with_rows() -> Api {
    let api = Api::start().await;
    let severities = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    let severity = |number: u64| severities[number as usize % 4];
    let mut alerts: Vec<Alert> = (0..ROWS).map(|n| alert(n, severity(n))).collect();
    let mut cases: Vec<Case> = (0..ROWS).map(|n| case(n, severity(n))).collect();
    alerts[7].identity = Some("o'brien\0".into());
    alerts[8].identity = Some("o'brien\u{fffd}".into());
    cases[7].rule = "' OR TRUE --".into();
    cases[9].identity = None;
    api.state.record(&alerts, &cases, |_| vec![], second(9)).await.expect("recorded");
    let closed = TriageChange { status: Some(CaseStatus::Closed), ..TriageChange::default() };
    for number in [1, 5, 2_001] {
        api.state.decide(case_id(number), &closed, "ann", second(10)).await.expect("decided");
    }
    api
}

/// A condition, and the same so that it cannot go down.
const CONDITIONS: &[(&str, &str, &str)] = &[
    ("alerts", "severity = 'critical'", "severity || '' = 'critical'"),
    ("alerts", "severity IN ('high', 'low')", "severity || '' IN ('high', 'low')"),
    ("alerts", "severity IN ('high', 'huge')", "severity || '' IN ('high', 'huge')"),
    ("alerts", "severity = 'huge'", "severity || '' = 'huge'"),
    ("alerts", "severity = 'high' AND severity = 'low'", "false"),
    ("alerts", "severity > 'high'", "severity || '' > 'high'"),
    ("alerts", "rule = 'D01'", "rule || '' = 'D01'"),
    ("alerts", "rule = 'D01' AND rule = 'D02'", "false"),
    ("alerts", "rule = 'D01' OR rule = 'D02'", "rule || '' IN ('D01', 'D02')"),
    ("alerts", "rule = 'D01' OR instance = 'orders'", "instance || '' = 'orders'"),
    ("alerts", "rule <> 'D01'", "rule || '' <> 'D01'"),
    ("alerts", "identity = 'person1'", "identity || '' = 'person1'"),
    ("alerts", "identity = 'o''brien\u{fffd}'", "identity || '' = 'o''brien\u{fffd}'"),
    ("alerts", "identity IS NULL", "identity || '' IS NULL"),
    ("alerts", "identity IN ('person1', NULL)", "identity || '' = 'person1'"),
    ("alerts", "family = 'execution'", "family || '' = 'execution'"),
    ("alerts", "family = 'impact'", "family || '' = 'impact'"),
    (
        "alerts",
        "time >= '1970-01-01T00:00:10Z' AND time < '1970-01-01T00:20:00Z'",
        "event_count = 1 AND to_unixtime(time) >= 10 AND to_unixtime(time) < 1200",
    ),
    (
        "alerts",
        "time > '1970-01-01T00:00:10Z' AND '1970-01-01T00:20:00Z' >= time \
         AND time > '1970-01-01T00:00:05Z' AND severity = 'high'",
        "to_unixtime(time) > 10 AND to_unixtime(time) <= 1200 AND severity || '' = 'high'",
    ),
    ("cases", "status = 'closed'", "status || '' = 'closed'"),
    ("cases", "status IN ('open', 'closed') AND severity = 'low'", "severity || '' = 'low'"),
    ("cases", "NOT (status = 'open')", "status || '' <> 'open'"),
    ("cases", "rule = ''' OR TRUE --'", "rule || '' = ''' OR TRUE --'"),
    ("cases", "identity = 'person1'", "identity || '' = 'person1'"),
    ("cases", "identity <> 'person1'", "identity || '' <> 'person1'"),
    ("cases", "updated < '1970-01-01T00:00:10Z'", "to_unixtime(updated) < 10"),
    ("cases", "opened < '1970-01-01T00:00:10Z'", "to_unixtime(opened) < 10"),
    ("cases", "instance = 'orders' AND family = 'execution'", "true"),
];

#[tokio::test]
async fn conditions_change_no_answer_and_nothing_is_cut() {
    let api = api_with_rows().await;
    for table in ["alerts", "cases"] {
        let all = api.column(&format!("SELECT count(DISTINCT id) FROM {table}")).await;
        assert_eq!(all, [ROWS.to_string()], "{table}");
        let rows = api.sql(&format!("SELECT * FROM {table}")).await.expect("an answer");
        assert_eq!((rows.rows() as u64, rows.truncated), (ROWS, false), "{table}");
    }
    for (table, pushed, kept) in CONDITIONS {
        let ids = async |condition: &str| {
            api.column(&format!("SELECT id FROM {table} WHERE {condition} ORDER BY id")).await
        };
        let (found, expected) = (ids(pushed).await, ids(kept).await);
        assert_eq!(found.len(), expected.len(), "{table} WHERE {pushed}");
        assert_eq!(found, expected, "{table} WHERE {pushed}");
        let limited = format!("SELECT id FROM {table} WHERE {pushed} LIMIT 3");
        let limited = api.column(&limited).await;
        assert_eq!(limited.len(), expected.len().min(3), "{table} WHERE {pushed} LIMIT 3");
        assert!(limited.iter().all(|id| expected.contains(id)), "{table} WHERE {pushed} LIMIT 3");
    }
}

#[tokio::test]
async fn conditions_limits_and_order_go_down() {
    let api = api_with_rows().await;
    let plan = async |sql: &str| {
        let answer = api.sql(&format!("EXPLAIN {sql}")).await.expect("a plan");
        let cells = query::output::cells(&answer.batches).expect("text");
        cells.into_iter().flatten().collect::<Vec<_>>().join("\n")
    };
    for (sql, absent) in [
        ("SELECT id FROM alerts WHERE severity = 'critical' AND rule = 'D01'", "FilterExec"),
        ("SELECT id FROM cases WHERE status = 'open' AND identity = 'ann'", "FilterExec"),
        ("SELECT id FROM alerts WHERE time > '2026-01-01T00:00:00Z'", "FilterExec"),
        ("SELECT id, time FROM alerts ORDER BY time DESC LIMIT 5", "SortExec"),
        ("SELECT * FROM alerts WHERE rule = 'D01' ORDER BY time DESC, id DESC LIMIT 5", "SortExec"),
    ] {
        let plan = plan(sql).await;
        assert!(plan.contains("StreamingTableExec") && !plan.contains(absent), "{sql}\n{plan}");
    }
    let newest =
        api.column("SELECT event_count, time FROM alerts ORDER BY time DESC LIMIT 2").await;
    assert_eq!(newest.len(), 2);
    let newest = "SELECT cause FROM alerts WHERE rule = 'D01' ORDER BY time DESC LIMIT 2";
    assert_eq!(api.column(newest).await, ["program /opt/2497.sh", "program /opt/2494.sh"]);
    let oldest = "SELECT cause FROM alerts ORDER BY time LIMIT 1";
    assert_eq!(api.column(oldest).await, ["program /opt/0.sh"]);
    let joined = format!(
        "SELECT count(*) FROM cases JOIN alerts ON alerts.case_id = cases.id \
         WHERE cases.id = '{}'",
        case_id(3)
    );
    assert_eq!(api.column(&joined).await, ["250"]);
    let causes = "SELECT causes[1], verdict, models FROM cases WHERE rule = ''' OR TRUE --'";
    assert_eq!(api.column(causes).await, ["D01 program /opt/7.sh"]);
}
