//! Bearer tokens: who asks, and whether they may.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use state::Scope;

use super::Service;
use super::problem::Problem;

/// Who asks, and from where. Put into the request for those who answer it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The token's name.
    pub(super) name: String,
    /// The other end of the connection.
    pub(super) address: SocketAddr,
}

/// Lets a request pass that carries a living token with the scope `read`.
pub(super) async fn require_token(
    State(service): State<Service>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let text = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(text) = text.and_then(bearer) else {
        let detail = "send `Authorization: Bearer qw_…`; `querywatch token create` makes one";
        return Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    };
    let token = match service.state.verify_token(text, super::page::now()).await {
        Ok(Some(token)) => token,
        Ok(None) => {
            let detail = "the token is unknown, expired or revoked";
            return Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
        }
        Err(error) => return Problem::from(error).into_response(),
    };
    if !token.allows(Scope::Read) {
        let detail = format!("the token `{}` has no scope `read`", token.name);
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    request.extensions_mut().insert(Caller { name: token.name, address });
    next.run(request).await
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
