//! Routes, and the layers that every response passes.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension, Router,
    body::Bytes,
    error_handling::HandleErrorLayer,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderName, Method, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use control::{Bulkhead, Control, RESERVED_PLACES, Rates, RequestLimits};
use domain::{Error, Reason, error, limits};
use telemetry::{metric, trace};
use tokio_util::sync::CancellationToken;
use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer};
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    trace::TraceLayer,
};
use tracing::{Span, field};

use crate::{
    console::{self, ConsoleOptions},
    error::ApiError,
    install::{self, InstallOptions},
    middleware::{self as ours, Gate},
    openapi, operations, routes,
    v1::project_events::StreamStop,
};

/// Content type of the OpenAPI document.
const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Limits that a deployment may configure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time limit of one request.
    pub request_timeout: Duration,
    /// Maximum body size of a request that runs something, in bytes.
    pub max_execution_body_bytes: usize,
    /// Maximum total size of all bodies in memory, in bytes.
    pub body_budget_bytes: usize,
    /// Maximum number of concurrent requests; further requests are refused with 503.
    pub max_in_flight: usize,
    /// Time within which a body must arrive. Bodies that may name a million desktops are exempt.
    pub body_timeout: Duration,
    /// Requests per second of one principal; further requests are refused with 429.
    pub rate_per_second: NonZeroU32,
    /// Number of requests that one principal may send in a burst after idle time.
    pub rate_burst: NonZeroU32,
    /// Scripts and artefacts for the installation of agents.
    pub install: InstallOptions,
    /// Ends the event streams of projects, so that their clients reconnect elsewhere.
    pub stop: CancellationToken,
    /// The web console at `/console`; `None` switches it and its sessions off.
    pub console: Option<ConsoleOptions>,
}

impl Default for Options {
    fn default() -> Self {
        let RequestLimits { request_timeout, body_budget_bytes, max_in_flight, rate_per_second, rate_burst } =
            RequestLimits::default();
        Self {
            request_timeout,
            max_execution_body_bytes: limits::MAX_EXECUTION_BODY_BYTES,
            body_budget_bytes,
            max_in_flight,
            body_timeout: limits::BODY_TIMEOUT,
            rate_per_second,
            rate_burst,
            install: InstallOptions::default(),
            stop: CancellationToken::new(),
            console: Some(ConsoleOptions::default()),
        }
    }
}

/// Builds the router of the whole API.
pub fn router(control: Control, options: &Options) -> Router {
    let (documented, found) = routes::documented().split_for_parts();
    let document = openapi::finish(found);
    // Serialised once: anyone may read the document.
    let document_bytes = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let calls: HashMap<_, _> = openapi::operations(&document)
        .filter_map(|(method, path, operation_id)| Some(((method, path), operations::find(&operation_id)?)))
        .collect();
    let gate = Arc::new(Gate {
        control: control.clone(),
        has_sessions: options.console.is_some(),
        public_url: options.console.as_ref().and_then(|console| console.public_url.clone()),
        calls,
        rates: Rates::new(options.rate_per_second, options.rate_burst),
        bulkhead: Bulkhead::new(
            options.max_in_flight,
            options.body_budget_bytes,
            options.max_execution_body_bytes.max(limits::MAX_BODY_BYTES),
        ),
        body_timeout: options.body_timeout,
        max_execution_body_bytes: options.max_execution_body_bytes,
    });
    // Outermost first: request id, span, panic handler, overload handler, timeout.
    let around = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(TraceLayer::new_for_http().make_span_with(span).on_response(answered))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(HandleErrorLayer::new(|_| async { ApiError::overloaded() }))
        .layer(LoadShedLayer::new())
        // The bulkhead assigns slots later, after authentication.
        .layer(GlobalConcurrencyLimitLayer::new(options.max_in_flight.saturating_add(RESERVED_PLACES)))
        .layer(middleware::from_fn_with_state(options.request_timeout, in_time));
    let console = options.console.as_ref().map_or_else(Router::new, |console| {
        console::routes(control.clone(), console, options.body_timeout)
            .route_layer(middleware::from_fn(measured))
    });
    documented
        .route_layer(middleware::from_fn_with_state(gate, ours::check))
        .route_layer(middleware::from_fn(measured))
        .merge(console)
        // The gate has read the body within the limit of the call.
        .layer(DefaultBodyLimit::disable())
        .route("/openapi.json", get(async move || ([JSON], document_bytes.clone())))
        .route("/docs/errors.md", get(|| async { error::reference() }))
        .merge(install::router(options.install.clone()))
        .layer(Extension(StreamStop(options.stop.clone())))
        .fallback(|| async { ApiError::no_such_path() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(around)
        .with_state(control)
}

fn span(request: &Request) -> tracing::Span {
    let request_id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    let span = tracing::info_span!(
        target: trace::TARGET, parent: None, "request",
        otel.kind = "server", method = %request.method(), path = request.uri().path(),
        request_id, status = field::Empty, otel.status_code = field::Empty
    );
    trace::continues(&span, |name| request.headers().get(name)?.to_str().ok());
    span
}

/// Logs the status. At this point the body may still be streaming.
fn answered<B>(response: &axum::http::Response<B>, latency: Duration, span: &Span) {
    let status = response.status();
    span.record("status", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    tracing::debug!(status = status.as_u16(), ?latency, "answered");
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "a handler panicked");
    ApiError::from(Error::internal()).into_response()
}

/// Counts requests by route. Unknown paths create no metric series of their own.
async fn measured(method: Method, path: MatchedPath, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    // Spans are named by route: paths contain ids and would make every name unique.
    trace::rename(|| format!("{method} {}", path.as_str()));
    let response = next.run(request).await;
    let (method, path, status) = (method.as_str(), path.as_str(), response.status());
    metric::HTTP_REQUESTS.increment(1, &[method, path, status.as_str()]);
    metric::HTTP_REQUEST_SECONDS.observe_duration(begun.elapsed(), &[method, path]);
    response
}

async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = "the request exceeded its time limit; check its effect before you retry";
            ApiError::from(Error::new(Reason::DeadlineExceeded, message)).into_response()
        }
    }
}
