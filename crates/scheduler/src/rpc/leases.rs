//! Lease renewals.

use domain::limits;
use proto::scheduler::{Lease, RenewRequest, RenewResponse};
use store::batch::LeaseKey;
use tonic::{Request, Response, Status};

use super::{
    context::Service,
    error::{invalid, too_many},
    peer::called,
};

/// Extends leases. The response lists the leases that the worker has lost.
pub(super) async fn renew(
    service: &Service,
    request: Request<RenewRequest>,
) -> Result<Response<RenewResponse>, Status> {
    let (caller, RenewRequest { worker_id, leases }) = called(request);
    if leases.len() > limits::MAX_LEASES_PER_RENEWAL {
        return Err(too_many("leases", limits::MAX_LEASES_PER_RENEWAL));
    }
    let worker_id = caller.is(&worker_id)?;
    let leases = leases
        .into_iter()
        .map(|lease| {
            Ok(LeaseKey {
                task_id: lease.task_id.parse().map_err(invalid)?,
                batch_id: lease.batch_id.parse().map_err(invalid)?,
                epoch: lease.epoch,
            })
        })
        .collect::<Result<Vec<_>, Status>>()?;
    let lost = service.done(service.scheduler.renew(&worker_id, &leases, service.scheduler.now())).await?;
    let lost = lost
        .into_iter()
        .map(|lease| Lease {
            task_id: lease.task_id.to_string(),
            batch_id: lease.batch_id.to_string(),
            epoch: lease.epoch,
        })
        .collect();
    Ok(Response::new(RenewResponse { lost, lease_ms: service.scheduler.config().lease_ms }))
}
