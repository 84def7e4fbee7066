//! The routes of all services, after the gate.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::middleware;
use control::{Bulkhead, Control, RESERVED_PLACES, Rates};
use domain::limits::{MAX_BODY_BYTES, MAX_MESSAGE_BYTES, MAX_STREAMS};
use proto::admin::{
    access_service_server::AccessServiceServer, audit_service_server::AuditServiceServer,
    desktop_service_server::DesktopServiceServer, enrolment_service_server::EnrolmentServiceServer,
    insight_service_server::InsightServiceServer, project_service_server::ProjectServiceServer,
    record_service_server::RecordServiceServer, script_service_server::ScriptServiceServer,
    task_service_server::TaskServiceServer, worker_service_server::WorkerServiceServer,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::{Interceptor, InterceptorLayer, Routes};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    auth::{self, Gate},
    metrics,
    service::Service,
    status,
};

/// Full names of all services, for health checks.
pub const SERVICES: [&str; 10] = [
    "graywave.admin.v1.AccessService",
    "graywave.admin.v1.AuditService",
    "graywave.admin.v1.DesktopService",
    "graywave.admin.v1.EnrolmentService",
    "graywave.admin.v1.InsightService",
    "graywave.admin.v1.ProjectService",
    "graywave.admin.v1.RecordService",
    "graywave.admin.v1.ScriptService",
    "graywave.admin.v1.TaskService",
    "graywave.admin.v1.WorkerService",
];

/// Settings of the admin service.
#[derive(Debug, Clone)]
pub struct Options {
    /// Maximum duration of a unary call. A client may set a shorter deadline. Streams last longer.
    pub request_timeout: Duration,
    /// Maximum total bytes of all large requests in progress.
    pub body_budget_bytes: usize,
    /// Maximum number of calls in progress. Further calls are refused.
    pub max_in_flight: usize,
    /// Maximum number of calls per second of one principal. Further calls are refused.
    pub rate_per_second: NonZeroU32,
    /// Maximum burst of calls of one principal.
    pub rate_burst: NonZeroU32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            body_budget_bytes: 512 << 20,
            max_in_flight: 1_000,
            rate_per_second: NonZeroU32::MIN.saturating_add(499),
            rate_burst: NonZeroU32::MIN.saturating_add(999),
        }
    }
}

/// Returns the routes of all services. `guard` checks the peer's certificate and inserts its
/// identity as a request extension.
///
/// Cancelling `stop` ends all streams, so that the server can stop.
pub fn routes(
    control: Control,
    options: &Options,
    guard: impl Interceptor + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) -> Routes {
    let gate = Arc::new(Gate {
        control: control.clone(),
        rates: Rates::new(options.rate_per_second, options.rate_burst),
        bulkhead: Bulkhead::new(options.max_in_flight, options.body_budget_bytes, MAX_MESSAGE_BYTES),
        in_flight: Semaphore::new(
            options.max_in_flight.saturating_add(RESERVED_PLACES).min(Semaphore::MAX_PERMITS),
        ),
        request_timeout: options.request_timeout,
    });
    let service = Service { control, streams: Arc::new(Semaphore::new(MAX_STREAMS)), stop };
    macro_rules! served {
        ($server:ident, $max_bytes:expr) => {
            $server::new(service.clone())
                .max_decoding_message_size($max_bytes)
                .max_encoding_message_size(MAX_MESSAGE_BYTES)
        };
    }
    let routes = Routes::default()
        .add_service(served!(TaskServiceServer, MAX_MESSAGE_BYTES))
        .add_service(served!(InsightServiceServer, MAX_BODY_BYTES))
        .add_service(served!(RecordServiceServer, MAX_BODY_BYTES))
        .add_service(served!(ProjectServiceServer, MAX_BODY_BYTES))
        .add_service(served!(WorkerServiceServer, MAX_BODY_BYTES))
        .add_service(served!(DesktopServiceServer, MAX_BODY_BYTES))
        .add_service(served!(EnrolmentServiceServer, MAX_BODY_BYTES))
        .add_service(served!(ScriptServiceServer, MAX_BODY_BYTES))
        .add_service(served!(AccessServiceServer, MAX_BODY_BYTES))
        .add_service(served!(AuditServiceServer, MAX_BODY_BYTES));
    let guarded = routes
        .into_axum_router()
        // Without this layer, a panic ends every call of the connection.
        .route_layer(CatchPanicLayer::custom(status::panicked))
        .route_layer(middleware::from_fn_with_state(gate, auth::check))
        .route_layer(InterceptorLayer::new(guard))
        .route_layer(middleware::map_response(async |response| status::detailed(response)))
        .route_layer(middleware::from_fn(metrics::check));
    Routes::from(guarded)
}
