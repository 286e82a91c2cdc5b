//! Cases over HTTP: listed, shown whole, decided by those who may, and every request recorded.

use event::alert::Severity;
use event::decision::DecisionKind;
use event::vocabulary::Action;
use serde_json::{Value, json};
use state::CaseStatus;

use crate::{Api, alert, case, case_id, second};

async fn api_with_cases() -> Api {
    let api = Api::start().await;
    let severities = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    let cases: Vec<_> = (0..).zip(severities).map(|(n, severity)| case(n, severity)).collect();
    let alerts: Vec<_> = (0..24).map(|number| alert(number, Severity::High)).collect();
    let channels = |_: &event::Alert| vec!["soc".to_owned()];
    api.state.record(&alerts, &cases, channels, second(99)).await.expect("recorded");
    api
}

fn ids(page: &Value) -> Vec<String> {
    let cases = page["cases"].as_array().unwrap_or_else(|| panic!("{page}"));
    cases.iter().map(|case| case["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn listed_by_filter_and_page() {
    let mut api = api_with_cases().await;
    let closed = state::TriageChange { status: Some(CaseStatus::Closed), ..Default::default() };
    api.state.decide(case_id(3), &closed, "ann", second(100)).await.expect("decided");
    let all = [3, 2, 1, 0].map(|number| case_id(number).to_string());
    for (filter, expected) in [
        ("", &all[..]),
        ("?severity_min=high", &all[..2]),
        ("?status=closed", &all[..1]),
        ("?status=open&identity=person0", &[all[1].clone(), all[3].clone()]),
        ("?instance=orders&family=execution&rule=D01", &all[..]),
        ("?family=impact", &[]),
        ("?from=1970-01-01T00:00:01Z&to=1970-01-01T00:00:03Z", &all[1..3]),
        ("?text=%2FOPT%2F2.SH", &all[1..2]),
        ("?text=%25", &[]),
        ("?identity=%27%20OR%20TRUE%20--", &[]),
    ] {
        let (status, page) = api.ask("GET", &format!("/api/v1/cases{filter}"), None).await;
        assert_eq!((status, ids(&page)), (200, expected.to_vec()), "{filter}: {page}");
    }
    let (mut path, mut seen) = ("/api/v1/cases?limit=3".to_owned(), Vec::new());
    loop {
        let (_, page) = api.ask("GET", &path, None).await;
        seen.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/cases?limit=3&cursor={next}");
    }
    assert_eq!(seen, all);
    for wrong in ["severity_min=bad", "status=done", "family=x", "limit=0", "cursor=x", "nope=1"] {
        let (status, problem) = api.ask("GET", &format!("/api/v1/cases?{wrong}"), None).await;
        assert_eq!((status, &problem["status"]), (400, &json!(400)), "{wrong}: {problem}");
    }
    let recorded = api.recorded();
    assert_eq!(recorded.len(), 12, "each that was answered");
    assert!(recorded.iter().all(|it| it.action == Action::Read && it.caller == "ann"));
}

#[tokio::test]
async fn shown_with_events_deliveries_and_verdicts() {
    let api = api_with_cases().await;
    let path = format!("/api/v1/cases/{}", case_id(3));
    let (status, shown) = api.ask("GET", &path, None).await;
    assert_eq!(status, 200, "{shown}");
    assert_eq!(shown["case"]["causes"][0]["cause"], "program /opt/3.sh");
    assert_eq!(
        (&shown["case"]["status"], &shown["case"]["verdict"]),
        (&json!("open"), &json!(null))
    );
    let events = shown["events"].as_array().expect("events");
    let rules: Vec<_> = events.iter().map(|it| it["alert"]["cause"].as_str()).collect();
    assert_eq!(
        rules,
        [23, 13, 3].map(|n| format!("program /opt/{n}.sh")).each_ref().map(|it| Some(&**it))
    );
    assert_eq!(events[0]["deliveries"][0]["channel"], "soc");
    assert_eq!(events[0]["deliveries"][0]["status"], "pending");
    let (_, page) = api.ask("GET", &format!("/api/v1/alerts?case={}", case_id(3)), None).await;
    assert_eq!(page["alerts"].as_array().map(Vec::len), Some(3), "{page}");
    for (path, expected) in [
        (format!("/api/v1/cases/{}", case_id(9)), 404),
        ("/api/v1/cases/'--".to_owned(), 400),
        ("/api/v1/alerts?case=1".to_owned(), 400),
    ] {
        assert_eq!(api.ask("GET", &path, None).await.0, expected, "{path}");
    }
}

#[tokio::test]
async fn decided_by_those_who_may_and_recorded_whatever_comes_of_it() {
    let mut api = api_with_cases().await;
    let path = format!("/api/v1/cases/{}", case_id(3));
    let close = json!({ "status": "closed" });
    let (status, problem) = api.ask_as(&api.reader, "PATCH", &path, Some(close.clone())).await;
    assert_eq!(status, 403, "{problem}");
    assert_eq!(problem["detail"], "the token `reader` has no scope `write`");
    for (body, expected) in [
        (json!({ "verdict": "benign" }), "needs a `reason`"),
        (json!({ "reason": "why" }), "belong to a verdict"),
        (json!({ "verdict": "fine", "reason": "x" }), "true, benign or false"),
        (json!({ "verdict": "benign", "reason": " " }), "`reason` is empty"),
        (json!({ "verdict": "benign", "reason": "x".repeat(1_001) }), "the limit is 1000"),
        (json!({ "verdict": "benign", "reason": "x", "cause": "other" }), "no such rule and cause"),
        (json!({ "status": "done" }), "choose open, acknowledged or closed"),
        (json!({ "owner": "" }), "printable"),
        (json!({ "severity": "low" }), "unknown field `severity`"),
        (json!({}), "nothing is changed"),
        (json!("closed"), "the body"),
    ] {
        let (status, problem) = api.ask("PATCH", &path, Some(body.clone())).await;
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(status == 400 && detail.contains(expected), "{body}: {problem}");
    }
    let missing = format!("/api/v1/cases/{}", case_id(9));
    assert_eq!(api.ask("PATCH", &missing, Some(close)).await.0, 404);
    let kept = api.state.case(case_id(3)).await.expect("read").expect("there");
    assert_eq!(kept.triage.decided, None, "what is refused changes nothing");
    let recorded = api.recorded();
    assert_eq!(recorded.len(), 13);
    assert!(recorded.iter().all(|it| it.action == Action::Write && it.rows.is_err()));
    assert_eq!((recorded[0].caller.as_str(), recorded[0].command), ("reader", "PATCH"));

    let note = "'; DROP TABLE cases; --\n\u{202e}<script>\0";
    let decided = json!({ "status": "closed", "owner": "ann", "note": note, "verdict": "benign",
        "reason": "announced", "cause": "program /opt/3.sh" });
    let (status, now) = api.ask("PATCH", &path, Some(decided)).await;
    assert_eq!(status, 200, "{now}");
    assert_eq!((&now["status"], &now["decided_by"]), (&json!("closed"), &json!("ann")));
    assert_eq!((&now["verdict"], &now["owner"]), (&json!("benign"), &json!("ann")));
    assert_eq!(now["note"], note.replace('\0', "\u{fffd}"));
    let waiting = api.state.unpublished_decisions(9).await.expect("read");
    assert_eq!(waiting[0].author, "ann");
    let DecisionKind::Verdict(verdict) = &waiting[0].kind else { panic!("{waiting:?}") };
    assert_eq!(verdict.causes, ["program /opt/3.sh"]);
    let (_, shown) = api.ask("GET", &path, None).await;
    assert_eq!(shown["decisions"][0]["kind"]["verdict"]["reason"], "announced");
    let (_, freed) = api.ask("PATCH", &path, Some(json!({ "owner": null }))).await;
    assert_eq!((&freed["owner"], &freed["status"]), (&json!(null), &json!("closed")));
    let recorded = api.recorded();
    assert_eq!((recorded[0].rows.clone(), recorded[0].action), (Ok(1), Action::Write));
    assert!(recorded[0].query.contains("announced"), "{}", recorded[0].query);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let mut api = api_with_cases().await;
    api.accesses.close();
    let path = format!("/api/v1/cases/{}", case_id(3));
    let (status, _) = api.ask("PATCH", &path, Some(json!({ "status": "closed" }))).await;
    assert_eq!(status, 503);
    let kept = api.state.case(case_id(3)).await.expect("read").expect("there");
    assert_eq!(kept.triage.status, CaseStatus::Open);
}
