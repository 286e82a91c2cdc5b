//! `/api/openapi.json`: the contract of the service, made from its code.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{alerts, events, identities, probes, query, sources};

#[derive(OpenApi)]
#[openapi(
    info(title = "Querywatch", description = "open database activity monitoring"),
    paths(
        query::query, events::events, alerts::alerts, alerts::alert, identities::identities,
        sources::sources, probes::healthz, probes::readyz, probes::metrics
    ),
    modifiers(&Token)
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

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub(super) async fn open_api() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
