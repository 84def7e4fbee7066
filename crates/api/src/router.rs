//! The routes, and what every answer goes through.

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::HeaderName,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use control::{Control, Credentials};
use domain::{Error, ErrorKind, limits};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    trace::TraceLayer,
};

use crate::{auth, error::ApiError, v2};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a deployment may change.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who may call.
    pub credentials: Credentials,
    /// How long one request may take.
    pub request_timeout: Duration,
}

/// The whole API.
pub fn router(control: Control, options: &Options) -> Router {
    let gatekeeper = auth::Gatekeeper { credentials: options.credentials.clone(), control: control.clone() };
    let project = Router::new()
        .route("/scripts", post(v2::scripts::create).get(v2::scripts::list))
        .route(
            "/scripts/{script_id}",
            get(v2::scripts::show).put(v2::scripts::update).delete(v2::scripts::delete),
        )
        .route(
            "/script-executions",
            post(v2::executions::execute).layer(DefaultBodyLimit::max(limits::MAX_EXECUTION_BODY_BYTES)),
        )
        .route("/script-execution-tasks", get(v2::tasks::list))
        .route("/script-execution-records", get(v2::records::list))
        .route("/script-execution-records/{record_id}", get(v2::records::show))
        .route("/desktops", get(v2::desktops::list))
        .route_layer(middleware::from_fn_with_state(gatekeeper, auth::check))
        .layer(DefaultBodyLimit::max(limits::MAX_BODY_BYTES));
    // From the outside in: an id for the request, a span with it, panics and slowness turned into answers.
    let around = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(options.request_timeout, in_time));
    Router::new()
        .nest("/v2/{project_id}", project)
        .fallback(|| async { ApiError::no_such_path() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(around)
        .with_state(control)
}

fn span(request: &Request) -> tracing::Span {
    let request_id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    tracing::info_span!("request", method = %request.method(), path = request.uri().path(), request_id)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "a handler panicked");
    ApiError::from(Error::new(ErrorKind::Internal, "the operation failed inside")).into_response()
}

async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = "the operation took too long; look whether it was done before you repeat it";
            ApiError::from(Error::new(ErrorKind::Unavailable, message)).into_response()
        }
    }
}
