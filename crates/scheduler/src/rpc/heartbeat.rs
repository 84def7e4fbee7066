//! Heartbeats and deregistration of workers.

use domain::{
    limits,
    schema::{self, SCHEMA_VERSION},
    version::{Compatibility, Link, Mismatch, PROGRAM, judge},
};
use proto::scheduler::{DeregisterRequest, DeregisterResponse, HeartbeatRequest, HeartbeatResponse};
use tonic::{Request, Response, Status};

use super::{context::Service, peer::called};

/// Stores a heartbeat. The response carries the worker's instructions.
pub(super) async fn handle(
    service: &Service,
    request: Request<HeartbeatRequest>,
) -> Result<Response<HeartbeatResponse>, Status> {
    let (caller, request) = called(request);
    let HeartbeatRequest { worker_id, address, capacity, draining, deny_list_version, program_version } =
        request;
    let worker_id = caller.is(&worker_id)?;
    let untested = check_version(&program_version, PROGRAM)?;
    if capacity == 0 || capacity > limits::MAX_WORKER_CAPACITY {
        return Err(Status::invalid_argument(format!(
            "capacity {capacity} is out of range: 1 to {}",
            limits::MAX_WORKER_CAPACITY
        )));
    }
    let beat = service.scheduler.heartbeat(&worker_id, &address, capacity, draining, service.scheduler.now());
    let heard = service.done(beat).await?;
    if let Some(mismatch) = untested.filter(|_| heard.is_new) {
        tracing::warn!(%worker_id, "an untested worker registers: {mismatch}");
    }
    let in_database = service.done(service.scheduler.store().for_liveness().schema()).await?;
    Ok(Response::new(HeartbeatResponse {
        schema_version: Some(schema::reported(in_database, SCHEMA_VERSION)),
        interval_ms: service.scheduler.config().heartbeat_ms,
        resync: heard.is_new,
        drain: heard.drain,
        time: service.scheduler.time(),
        revoked: service.to_end(&worker_id).await?,
        deny_list: service.deny_list(&service.scheduler.deny_lists.current(), deny_list_version),
    }))
}

/// Checks the version of a worker against that of this scheduler. Returns an untested pair. The
/// schema has its own check: domain::schema.
fn check_version(worker: &str, scheduler: &str) -> Result<Option<Mismatch>, Status> {
    match judge(Link::WorkerToScheduler, worker, scheduler) {
        Compatibility::Tested | Compatibility::Unknown => Ok(None),
        Compatibility::Untested(mismatch) => Ok(Some(mismatch)),
        Compatibility::Refused(mismatch) => Err(Status::failed_precondition(mismatch.to_string())),
    }
}

/// Deletes a worker that shuts down in order.
pub(super) async fn deregister(
    service: &Service,
    request: Request<DeregisterRequest>,
) -> Result<Response<DeregisterResponse>, Status> {
    let (caller, message) = called(request);
    let worker_id = caller.is(&message.worker_id)?;
    service.done(service.scheduler.forget_worker(&worker_id, None, service.scheduler.now())).await?;
    Ok(Response::new(DeregisterResponse {}))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn workers_of_neighbouring_minor_versions_register() {
        for worker in ["1.4.2", "1.3.0", ""] {
            assert_eq!(check_version(worker, "1.4.2").unwrap(), None, "{worker}");
        }
        assert!(check_version("1.5.0", "1.4.2").unwrap().is_some(), "the scheduler should be upgraded first");
        let refused = check_version("1.6.0", "1.4.2").unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("upgrade the schedulers before the workers"));
    }
}
