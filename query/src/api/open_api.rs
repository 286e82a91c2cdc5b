//! `/api/openapi.json`: the contract of the service, made from its code.

use axum::Json;
use axum::http::StatusCode;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::{alerts, cases, decisions, events, identities, probes, query, sources};

/// Media type of errors: RFC 9457.
const PROBLEM: &str = "application/problem+json";

#[derive(OpenApi)]
#[openapi(
    info(title = "Querywatch", description = "open database activity monitoring"),
    paths(
        query::query, events::events, alerts::alerts, alerts::alert, cases::cases, cases::case,
        cases::change, decisions::exceptions, decisions::add_exception,
        decisions::withdraw_exception, decisions::change_windows, decisions::add_change_window,
        decisions::withdraw_change_window, identities::identities, sources::sources,
        probes::healthz, probes::readyz, probes::metrics
    ),
    modifiers(&Token, &Answers)
)]
struct Document;

/// Says that a bearer token is wanted.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// What holds for every path: each answer is described, errors are problem details, and whoever
/// must show a token may be turned away.
struct Answers;

impl Modify for Answers {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                let answers = &mut operation.responses.responses;
                if path.starts_with("/api/v1/") {
                    for status in ["401", "403", "503"] {
                        answers.entry(status.to_owned()).or_insert_with(problem);
                    }
                }
                for (status, answer) in answers {
                    if let RefOr::T(answer) = answer {
                        complete(status, answer);
                    }
                }
            }
        }
    }
}

fn problem() -> RefOr<Response> {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    RefOr::T(ResponseBuilder::new().content(PROBLEM, content).build())
}

fn complete(status: &str, answer: &mut Response) {
    let code = StatusCode::from_bytes(status.as_bytes()).unwrap_or_default();
    if answer.description.is_empty() {
        answer.description = code.canonical_reason().unwrap_or("answer").to_lowercase();
    }
    if !code.is_success()
        && let Some(content) = answer.content.swap_remove("application/json")
    {
        answer.content.insert(PROBLEM.to_owned(), content);
    }
}

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub(super) async fn open_api() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
