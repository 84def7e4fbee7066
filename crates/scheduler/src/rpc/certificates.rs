//! RPCs for certificates, which workers call on behalf of desktops.

use std::time::Duration;

use domain::ids::{DesktopId, ProjectId};
use proto::{
    scheduler::{DesktopKey, EnrolRequest, EnrolResponse, RenewCertificateRequest, RenewCertificateResponse},
    types::IssuedCertificate,
};
use tonic::{Request, Response, Status};

use super::{context::Service, error::invalid, peer::called};
use crate::enrolment::AskedBy;

/// Time limit for issuing a certificate.
const ISSUED_WITHIN: Duration = Duration::from_secs(8);

/// Issues the first certificate of a desktop, for a token.
pub(super) async fn enrol(
    service: &Service,
    request: Request<EnrolRequest>,
) -> Result<Response<EnrolResponse>, Status> {
    let (caller, asked) = called(request);
    caller.is(&asked.worker_id)?;
    let desktop_id: DesktopId = asked.desktop_id.parse().map_err(invalid)?;
    let by =
        AskedBy { request: &asked.certificate_request, signature: &asked.signature, source: &asked.source };
    let work = service.scheduler.enrol(&asked.token_id, &desktop_id, by, service.scheduler.now());
    Ok(Response::new(EnrolResponse { certificate: issued(Box::pin(work)).await? }))
}

/// Issues the next certificate of a desktop, for its current one.
pub(super) async fn renew(
    service: &Service,
    request: Request<RenewCertificateRequest>,
) -> Result<Response<RenewCertificateResponse>, Status> {
    let (caller, asked) = called(request);
    caller.is(&asked.worker_id)?;
    let DesktopKey { project_id, desktop_id } = asked.desktop.unwrap_or_default();
    let project_id: ProjectId = project_id.parse().map_err(invalid)?;
    let desktop_id: DesktopId = desktop_id.parse().map_err(invalid)?;
    let by =
        AskedBy { request: &asked.certificate_request, signature: &asked.signature, source: &asked.source };
    let now = service.scheduler.now();
    let work = service.scheduler.renew_certificate(&project_id, &desktop_id, &asked.serial, by, now);
    Ok(Response::new(RenewCertificateResponse { certificate: issued(Box::pin(work)).await? }))
}

/// Waits for a certificate, at most [`ISSUED_WITHIN`].
async fn issued(
    work: impl Future<Output = Result<Vec<Vec<u8>>, domain::Error>>,
) -> Result<Option<IssuedCertificate>, Status> {
    let issued = tokio::time::timeout(ISSUED_WITHIN, work).await;
    let chain = issued.map_err(|_| Status::unavailable("the database does not answer; try again later"))?;
    Ok(Some(IssuedCertificate { chain: chain.map_err(refused)? }))
}

/// Status of a refused certificate. The cause goes to the log.
fn refused(error: domain::Error) -> Status {
    if let Some(cause) = &error.source {
        let cause: &dyn std::error::Error = &**cause;
        tracing::error!(error = cause, "issuing a certificate failed");
    }
    Status::new(proto::code(error.reason), error.to_string())
}
