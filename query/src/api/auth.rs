//! Bearer tokens: who asks, and whether they may.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use state::{Scope, Token};

use super::Service;
use super::problem::Problem;

/// Who asks, and from where. Put into the request for those who answer it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The token's name.
    pub(super) name: String,
    /// What it is good for.
    scopes: Vec<Scope>,
    /// The other end of the connection.
    pub(super) address: SocketAddr,
}

impl Caller {
    /// Whether the token has the scope, or a refusal.
    pub(super) fn allows(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin) {
            return Ok(());
        }
        let detail = format!("the token `{}` has no scope `{}`", self.name, scope.as_str());
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }
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
    let Token { name, scopes, .. } = token;
    let caller = Caller { name, scopes, address };
    if let Err(refusal) = caller.allows(Scope::Read) {
        return refusal.into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
