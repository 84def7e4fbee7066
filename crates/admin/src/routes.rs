//! The routes of all services, behind the gate.

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

/// The full names of all services, for health checks.
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

/// What a deployment may change.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long one call may take; a client may ask for less. A stream lasts longer.
    pub request_timeout: Duration,
    /// Bytes that all messages under way which may be large may have together.
    pub body_budget_bytes: usize,
    /// Calls under way at once; more are refused.
    pub max_in_flight: usize,
    /// Calls that one principal may make each second; more are refused.
    pub rate_per_second: NonZeroU32,
    /// Calls that one principal may make at once after a pause.
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

/// All services, for callers that `guard` lets pass. It puts who a caller is by its certificate
/// among the extensions of a request. At `stop` streams end, so that the server can.
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
        // Else all calls of a connection would end with the one that panics.
        .route_layer(CatchPanicLayer::custom(status::panicked))
        .route_layer(middleware::from_fn_with_state(gate, auth::check))
        .route_layer(InterceptorLayer::new(guard))
        .route_layer(middleware::map_response(async |response| status::detailed(response)))
        .route_layer(middleware::from_fn(metrics::check));
    Routes::from(guarded)
}
