//! The routes of all services, after the gate.

use std::sync::Arc;

use axum::middleware;
use control::{Bulkhead, Control, Rates, RequestLimits};
use domain::limits::{MAX_BODY_BYTES, MAX_MESSAGE_BYTES};
use proto::admin::{
    access_service_server::AccessServiceServer, audit_service_server::AuditServiceServer,
    certificate_service_server::CertificateServiceServer, desktop_service_server::DesktopServiceServer,
    enrolment_service_server::EnrolmentServiceServer, insight_service_server::InsightServiceServer,
    project_service_server::ProjectServiceServer, record_service_server::RecordServiceServer,
    script_service_server::ScriptServiceServer, task_service_server::TaskServiceServer,
    worker_service_server::WorkerServiceServer,
};
use tokio_util::sync::CancellationToken;
use tonic::service::{Interceptor, InterceptorLayer, Routes};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    auth::{self, Entrance, Gate},
    metrics,
    service::Service,
    status,
};

/// Full names of all services, for health checks.
pub const SERVICES: [&str; 11] = [
    "graywave.admin.v1.AccessService",
    "graywave.admin.v1.AuditService",
    "graywave.admin.v1.CertificateService",
    "graywave.admin.v1.DesktopService",
    "graywave.admin.v1.EnrolmentService",
    "graywave.admin.v1.InsightService",
    "graywave.admin.v1.ProjectService",
    "graywave.admin.v1.RecordService",
    "graywave.admin.v1.ScriptService",
    "graywave.admin.v1.TaskService",
    "graywave.admin.v1.WorkerService",
];

/// Services behind their gate, for one or more listeners, which share all limits. Peers without a
/// certificate share few places until they are authenticated.
#[derive(Debug, Clone)]
pub struct Gated(axum::Router);

impl Gated {
    /// Returns the routes for a listener. `guard` checks the peer's certificate and inserts its
    /// identity as a request extension.
    pub fn guarded(&self, guard: impl Interceptor + Clone + Send + Sync + 'static) -> Routes {
        let guarded = self
            .0
            .clone()
            .route_layer(InterceptorLayer::new(guard))
            .route_layer(middleware::map_response(async |response| status::detailed(response)))
            .route_layer(middleware::from_fn(metrics::check));
        Routes::from(guarded)
    }
}

/// Returns all services behind their gate.
///
/// Cancelling `stop` ends all streams, so that the server can stop.
pub fn gated(control: Control, limits: &RequestLimits, stop: CancellationToken) -> Gated {
    let gate = Arc::new(Gate {
        control: control.clone(),
        rates: Rates::new(limits.rate_per_second, limits.rate_burst),
        bulkhead: Bulkhead::new(limits.max_in_flight, limits.body_budget_bytes, MAX_MESSAGE_BYTES),
        entrance: Entrance::new(limits.max_in_flight),
        request_timeout: limits.request_timeout,
    });
    let service = Service { control, stop };
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
        .add_service(served!(AuditServiceServer, MAX_BODY_BYTES))
        .add_service(served!(CertificateServiceServer, MAX_BODY_BYTES));
    let gated = routes
        .into_axum_router()
        // Without this layer, a panic ends every call of the connection.
        .route_layer(CatchPanicLayer::custom(status::panicked))
        .route_layer(middleware::from_fn_with_state(gate, auth::check));
    Gated(gated)
}
