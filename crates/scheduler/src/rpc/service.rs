//! The gRPC service of the scheduler.

use std::time::Duration;

use domain::{
    ids::{DesktopId, ProjectId, WorkerId},
    limits,
};
use mtls::Signer;
use proto::scheduler::{
    DeregisterRequest, DeregisterResponse, DesktopKey, EnrolRequest, EnrolResponse, HeartbeatRequest,
    HeartbeatResponse, PullRequest, PullResponse, RenewCertificateRequest, RenewCertificateResponse,
    RenewRequest, RenewResponse, ReportRequest, ReportResponse, RevokedConnection, UpdatePresenceRequest,
    UpdatePresenceResponse, WatchStopsRequest,
    scheduler_service_server::{SchedulerService, SchedulerServiceServer},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{certificates, error::failed, heartbeat, leases, presence, pull, report, stops};
use crate::{Scheduler, Wakes};

/// A waiting pull, or a stream of stops, looks again this often, in case a notification or a message was lost.
pub(super) const LOOKS_AGAIN: Duration = Duration::from_secs(1);

/// The service over a scheduler; with a signer, what it hands out is signed. At `stop`, waiting pulls are answered, so that
/// the server can end.
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

#[derive(Debug)]
pub(super) struct Service {
    pub(super) scheduler: Scheduler,
    pub(super) wakes: Wakes,
    pub(super) signer: Option<Signer>,
    pub(super) stop: CancellationToken,
}

impl Service {
    /// The database's answer. A pull may wait for long, and so would a call to a database that is gone.
    pub(super) async fn done<T>(
        &self,
        work: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<T, Status> {
        self.scheduler.store().unless_silent(work).await.map_err(failed)
    }

    /// The connections that a worker must end.
    pub(super) async fn to_end(&self, worker_id: &WorkerId) -> Result<Vec<RevokedConnection>, Status> {
        let found = self.done(self.scheduler.to_end(worker_id)).await?;
        Ok(found
            .into_iter()
            .map(|revoked| RevokedConnection {
                desktop: Some(desktop_key(&revoked.project_id, &revoked.desktop_id)),
                serial: revoked.serial,
            })
            .collect())
    }
}

pub(super) fn desktop_key(project_id: &ProjectId, desktop_id: &DesktopId) -> DesktopKey {
    DesktopKey { project_id: project_id.to_string(), desktop_id: desktop_id.to_string() }
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
