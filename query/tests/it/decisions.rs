//! Exceptions and change windows over HTTP: made, listed, withdrawn, by those who may.

use event::decision::DecisionKind;
use event::vocabulary::Action;
use serde_json::{Value, json};

use crate::Api;

fn exception(identity: &str) -> Value {
    json!({ "scope": { "identity": identity, "rule": "F0*" }, "reason": "nightly load" })
}

#[tokio::test]
async fn exceptions_are_made_listed_and_withdrawn() {
    let mut api = Api::start().await;
    let path = "/api/v1/exceptions";
    let hostile = "etl'; DROP TABLE decisions; --\u{202e}\0*";
    let (status, made) = api.ask("POST", path, Some(exception(hostile))).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["decision"]["author"], "ann");
    let inner = &made["decision"]["kind"]["exception"];
    assert_eq!(inner["scope"], json!({ "identity": hostile, "rule": "F0*" }));
    assert!(inner["expires"].is_string(), "a year if nothing is said: {made}");
    let (_, page) = api.ask("GET", path, None).await;
    assert_eq!((&page["decisions"][0], &page["next"]), (&made, &json!(null)));
    let id = made["decision"]["id"].as_str().expect("an id");
    let one = format!("{path}/{id}");
    assert_eq!(api.ask_as(&api.reader, "DELETE", &one, None).await.0, 403);
    assert_eq!(api.ask_as(&api.reader, "POST", path, Some(exception("a"))).await.0, 403);
    assert_eq!(api.ask("DELETE", &format!("/api/v1/change-windows/{id}"), None).await.0, 404);
    let (status, withdrawal) = api.ask("DELETE", &one, None).await;
    assert_eq!(status, 200, "{withdrawal}");
    assert_eq!(withdrawal["decision"]["kind"]["withdrawn"]["decision"], id);
    assert_eq!(api.ask("DELETE", &one, None).await.0, 409, "once");
    let (_, page) = api.ask("GET", &format!("{path}?active_at=2999-01-01"), None).await;
    assert_eq!(page["decisions"], json!([]));
    let (_, page) = api.ask("GET", path, None).await;
    assert!(page["decisions"][0]["withdrawn"].is_string(), "{page}");
    let waiting = api.state.unpublished_decisions(9).await.expect("read");
    let kinds: Vec<_> = waiting.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["exception", "withdrawn"], "both enter the stream, in their order");
    let writes = api.recorded().into_iter().filter(|it| it.action == Action::Write);
    let writes: Vec<_> = writes.map(|it| (it.command, it.caller, it.rows.is_ok())).collect();
    let expected = [
        ("POST", "ann", true),
        ("DELETE", "reader", false),
        ("POST", "reader", false),
        ("DELETE", "ann", false),
        ("DELETE", "ann", true),
        ("DELETE", "ann", false),
    ];
    assert_eq!(writes, expected.map(|(command, who, done)| (command, who.to_owned(), done)));
}

#[tokio::test]
async fn change_windows_are_announced() {
    let api = Api::start().await;
    let path = "/api/v1/change-windows";
    let window = |from: &str, until: &str| {
        json!({ "scope": { "instance": "orders" }, "from": from, "until": until,
            "reason": "release 7" })
    };
    let (status, made) =
        api.ask("POST", path, Some(window("2999-01-01T00:00:00+01:00", "2999-01-08"))).await;
    assert_eq!(status, 201, "{made}");
    let inner = &made["decision"]["kind"]["change_window"];
    assert_eq!(inner["from"], "2998-12-31T23:00:00.000000Z");
    let (_, page) = api.ask("GET", &format!("{path}?active_at=2999-01-02"), None).await;
    assert_eq!(page["decisions"].as_array().map(Vec::len), Some(1));
    let (_, page) = api.ask("GET", &format!("{path}?active_at=2999-01-09"), None).await;
    assert_eq!(page["decisions"], json!([]));
    let waiting = api.state.unpublished_decisions(9).await.expect("read");
    assert!(matches!(waiting[0].kind, DecisionKind::ChangeWindow(_)), "{waiting:?}");
    for (body, expected) in [
        (window("2999-01-01", "2999-03-01"), "longer than 31 days"),
        (window("2999-01-02", "2999-01-01"), "ends before it begins"),
        (window("1999-01-01", "1999-01-02"), "`until` is not after"),
        (window("soon", "2999-01-01"), "`from` is not RFC 3339"),
        (json!({ "scope": {}, "from": "x", "until": "y" }), "missing field `reason`"),
    ] {
        let (status, problem) = api.ask("POST", path, Some(body.clone())).await;
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(status == 400 && detail.contains(expected), "{body}: {problem}");
    }
    for (scope, expected) in [
        (json!({}), "the scope is empty"),
        (json!({ "identity": "**", "table": "*" }), "matches everything"),
        (json!({ "identty": "etl" }), "unknown field `identty`"),
        (json!({ "cause": "x".repeat(1_001) }), "`cause` has 1001 characters"),
    ] {
        let body = json!({ "scope": scope, "reason": "x" });
        let (status, problem) = api.ask("POST", "/api/v1/exceptions", Some(body)).await;
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(status == 400 && detail.contains(expected), "{scope}: {problem}");
    }
}
