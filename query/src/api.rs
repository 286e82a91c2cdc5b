//! The HTTP service: what analysts, scripts and probes ask.
//!
//! Everything under `/api/v1` wants a bearer token; probes, metrics and the OpenAPI document do
//! not, they show no audit data.

mod access;
mod alerts;
mod auth;
mod cases;
mod decisions;
mod events;
mod identities;
mod open_api;
mod page;
mod probes;
mod problem;
mod processes;
mod query;
mod shapes;
mod sources;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use lake::LakeView;
use prometheus_client::registry::Registry;
use state::State;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::Engine;

pub use access::Access;
pub use open_api::document;
pub use processes::{
    ConsumerLag, DetectStatus, ForwardStatus, KafkaStatus, LakeStatus, ProcessStatus, Readiness,
    TaskState, TaskStatus,
};
pub use sources::{PartitionLag, SourceList, SourceStatus};

/// Longest request body, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Most requests under way at once; more are told to come back.
const REQUESTS_MAX: usize = 256;

/// How long requests may go on after the service was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What the service answers from. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    /// Answers SQL.
    pub engine: Arc<Engine>,
    /// Cases, alerts, decisions and tokens.
    pub state: State,
    /// The lake at this moment.
    pub view: Arc<dyn Fn() -> LakeView + Send + Sync>,
    /// The sources, the bus and the processes at this moment.
    pub sources: Arc<dyn Fn() -> SourceList + Send + Sync>,
    /// What needs no token.
    pub probes: Probes,
    /// Told of every read of audit data and every decision about it.
    pub access: tokio::sync::mpsc::Sender<Access>,
}

/// What machines that look after machines ask: all that a part without an API answers. Cheap to
/// clone.
#[derive(Clone)]
pub struct Probes {
    /// Whether the process can do its work, and how each of its tasks is.
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
}

impl FromRef<Service> for Probes {
    fn from_ref(service: &Service) -> Self {
        service.probes.clone()
    }
}

impl Probes {
    /// Serves nothing but these until `stop` is cancelled.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let router = probe_routes().fallback(problem::no_such_route).with_state(self);
        serve(router, listener, stop).await
    }
}

fn probe_routes<S: Clone + Send + Sync + 'static>() -> Router<S>
where
    Probes: FromRef<S>,
{
    Router::new()
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
}

impl Service {
    /// Every route.
    pub fn router(self) -> Router {
        let guarded = Router::new()
            .route("/query", post(query::query))
            .route("/events", get(events::events))
            .route("/alerts", get(alerts::alerts))
            .route("/alerts/{id}", get(alerts::alert))
            .route("/cases", get(cases::cases))
            .route("/cases/{id}", get(cases::case).patch(cases::change))
            .route("/exceptions", get(decisions::exceptions).post(decisions::add_exception))
            .route("/exceptions/{id}", delete(decisions::withdraw_exception))
            .route(
                "/change-windows",
                get(decisions::change_windows).post(decisions::add_change_window),
            )
            .route("/change-windows/{id}", delete(decisions::withdraw_change_window))
            .route("/identities", get(identities::identities))
            .route("/sources", get(sources::sources))
            .fallback(problem::no_such_route)
            .method_not_allowed_fallback(problem::no_such_method)
            .layer(middleware::from_fn_with_state(self.clone(), auth::require_token));
        let turns = Arc::new(Semaphore::new(REQUESTS_MAX));
        Router::new()
            .nest("/api/v1", guarded)
            .route("/api/openapi.json", get(open_api::open_api))
            .merge(probe_routes())
            .fallback(problem::no_such_route)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(CatchPanicLayer::custom(problem::panicked))
            .layer(middleware::from_fn_with_state(turns, shed))
            .layer(fixed_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .layer(fixed_header(header::CACHE_CONTROL, "no-store"))
            .with_state(self)
    }

    /// Serves until `stop` is cancelled, then lets requests under way finish for a short while.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        serve(self.router(), listener, stop).await
    }
}

async fn serve(
    router: Router,
    listener: TcpListener,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let stopped = stop.clone();
    let serving = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move { stopped.cancelled().await });
    tokio::select! {
        ended = serving.into_future() => ended,
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

fn fixed_header(
    name: header::HeaderName,
    value: &'static str,
) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// Answers at once that there is too much to do, rather than late or never.
async fn shed(
    axum::extract::State(turns): axum::extract::State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_turn) = turns.try_acquire() else {
        let detail = "too many requests are under way; try again in a moment";
        return problem::Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    };
    next.run(request).await
}
