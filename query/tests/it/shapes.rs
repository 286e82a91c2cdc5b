//! The OpenAPI document describes what is really answered, field by field.

use std::collections::BTreeSet;

use event::alert::Severity;
use serde_json::{Value, json};

use crate::{Api, alert, case, case_id, second};

/// The schema of that name.
fn schema<'a>(document: &'a Value, name: &str) -> &'a Value {
    let schema = &document["components"]["schemas"][name];
    assert!(schema["properties"].is_object(), "{name} is not described: {schema}");
    schema
}

fn keys(object: &Value) -> BTreeSet<&str> {
    let object = object.as_object().unwrap_or_else(|| panic!("{object}"));
    object.keys().map(String::as_str).collect()
}

/// Holds an answer against its schema, and what it refers to against theirs.
fn hold(document: &Value, name: &str, answer: &Value) {
    let described = schema(document, name);
    let properties = &described["properties"];
    let (known, found) = (keys(properties), keys(answer));
    let unknown: Vec<_> = found.difference(&known).collect();
    assert!(unknown.is_empty(), "{name} does not describe {unknown:?}");
    let required = described["required"].as_array().into_iter().flatten();
    for field in required.filter_map(Value::as_str) {
        assert!(found.contains(field), "{name} promises `{field}`: {answer}");
    }
    for (field, value) in answer.as_object().expect("an object") {
        let property = &properties[field];
        let inner = property["$ref"].as_str().or(property["items"]["$ref"].as_str());
        let inner = inner.and_then(|path| path.rsplit('/').next());
        match (inner, value) {
            (Some(inner), Value::Array(items)) => {
                assert!(!items.is_empty(), "{name}.{field} is empty: nothing is proven");
                items.iter().for_each(|item| hold(document, inner, item));
            }
            (Some(inner), value) => hold(document, inner, value),
            (None, value) => {
                let kind = match value {
                    Value::Null => "null",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Bool(_) => "boolean",
                    Value::Number(number) if number.is_f64() => "number",
                    Value::Number(_) => "integer",
                    Value::Object(_) => panic!("{name}.{field} is a bare object"),
                };
                let types = &property["type"];
                let fits =
                    types == kind || types.as_array().is_some_and(|it| it.contains(&json!(kind)));
                assert!(fits, "{name}.{field} is {kind}, described as {types}");
            }
        }
    }
}

#[tokio::test]
async fn answers_are_as_described() {
    let api = Api::start().await;
    let (alerts, cases) = ([alert(3, Severity::High)], [case(3, Severity::High)]);
    let channels = |_: &event::Alert| vec!["soc".to_owned()];
    api.state.record(&alerts, &cases, channels, second(9)).await.expect("recorded");
    let path = format!("/api/v1/cases/{}", case_id(3));
    let verdict = json!({ "verdict": "true", "reason": "seen", "note": "x" });
    let (status, changed) = api.ask("PATCH", &path, Some(verdict)).await;
    assert_eq!(status, 200, "{changed}");
    let scope = json!({ "instance": "a", "identity": "b", "network": "c", "table": "d",
        "rule": "e", "cause": "f" });
    let exception = json!({ "scope": scope, "reason": "x" });
    let (status, exception) = api.ask("POST", "/api/v1/exceptions", Some(exception)).await;
    assert_eq!(status, 201, "{exception}");
    let window = json!({ "scope": scope, "from": "2999-01-01", "until": "2999-01-02",
        "reason": "x" });
    let (status, window) = api.ask("POST", "/api/v1/change-windows", Some(window)).await;
    assert_eq!(status, 201, "{window}");
    let id = window["decision"]["id"].as_str().expect("an id");
    let path_of_window = format!("/api/v1/change-windows/{id}");
    let (_, withdrawal) = api.ask("DELETE", &path_of_window, None).await;
    let (_, document) = api.ask("GET", "/api/openapi.json", None).await;
    hold(&document, "Case", &changed);
    hold(&document, "CaseDetail", &api.ask("GET", &path, None).await.1);
    hold(&document, "CasePage", &api.ask("GET", "/api/v1/cases", None).await.1);
    hold(&document, "AlertPage", &api.ask("GET", "/api/v1/alerts", None).await.1);
    hold(&document, "DecisionPage", &api.ask("GET", "/api/v1/exceptions", None).await.1);
    for view in [&exception, &window, &withdrawal] {
        hold(&document, "DecisionView", view);
    }
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(document["components"]["schemas"][name].is_object(), "{name} leads nowhere");
    }
    for path in ["cases", "cases/{id}", "exceptions", "exceptions/{id}", "change-windows"] {
        let item = &document["paths"][format!("/api/v1/{path}")];
        for (method, operation) in item.as_object().unwrap_or_else(|| panic!("{path}")) {
            assert!(operation["responses"]["403"].is_object(), "{method} {path}");
        }
    }
}
