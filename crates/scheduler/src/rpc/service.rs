//! gRPC service of the scheduler.

use domain::limits;
use mtls::Signer;
use proto::scheduler::{
    DeregisterRequest, DeregisterResponse, EnrolRequest, EnrolResponse, HeartbeatRequest, HeartbeatResponse,
    PullRequest, PullResponse, RenewCertificateRequest, RenewCertificateResponse, RenewRequest,
    RenewResponse, ReportOutputRequest, ReportOutputResponse, ReportRequest, ReportResponse,
    UpdatePresenceRequest, UpdatePresenceResponse, WatchStopsRequest,
    scheduler_service_server::{SchedulerService, SchedulerServiceServer},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{certificates, context::Service, heartbeat, leases, live_output, presence, pull, report, stops};
use crate::{Scheduler, Wakes};

/// Creates the service over a scheduler. With a signer, pull responses are signed. When `stop` is
/// cancelled, waiting pulls are answered, so that the server can shut down.
pub fn service(
    scheduler: Scheduler,
    wakes: Wakes,
    signer: Option<Signer>,
    stop: CancellationToken,
) -> SchedulerServiceServer<impl SchedulerService> {
    SchedulerServiceServer::new(Service { scheduler, wakes, signer, stop })
        .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(limits::MAX_MESSAGE_BYTES)
}

#[tonic::async_trait]
impl SchedulerService for Service {
    type WatchStopsStream = stops::StopsStream;

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        heartbeat::handle(self, request).await
    }

    async fn update_presence(
        &self,
        request: Request<UpdatePresenceRequest>,
    ) -> Result<Response<UpdatePresenceResponse>, Status> {
        presence::handle(self, request).await
    }

    async fn pull(&self, request: Request<PullRequest>) -> Result<Response<PullResponse>, Status> {
        pull::handle(self, request).await
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        report::handle(self, request).await
    }

    async fn report_output(
        &self,
        request: Request<ReportOutputRequest>,
    ) -> Result<Response<ReportOutputResponse>, Status> {
        live_output::handle(self, request).await
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        leases::renew(self, request).await
    }

    async fn watch_stops(
        &self,
        request: Request<WatchStopsRequest>,
    ) -> Result<Response<Self::WatchStopsStream>, Status> {
        stops::handle(self, request)
    }

    async fn deregister(
        &self,
        request: Request<DeregisterRequest>,
    ) -> Result<Response<DeregisterResponse>, Status> {
        heartbeat::deregister(self, request).await
    }

    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        certificates::enrol(self, request).await
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        certificates::renew(self, request).await
    }
}
