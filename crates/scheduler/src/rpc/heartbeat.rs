//! Heartbeats and deregistration of workers.

use domain::{
    limits,
    schema::{self, SCHEMA_VERSION},
};
use proto::scheduler::{DeregisterRequest, DeregisterResponse, HeartbeatRequest, HeartbeatResponse};
use tonic::{Request, Response, Status};

use super::{context::Service, peer::called};

/// Stores a heartbeat. The response carries the worker's instructions.
pub(super) async fn handle(
    service: &Service,
    request: Request<HeartbeatRequest>,
) -> Result<Response<HeartbeatResponse>, Status> {
    let (caller, HeartbeatRequest { worker_id, address, capacity, draining, deny_list_version }) =
        called(request);
    let worker_id = caller.is(&worker_id)?;
    if capacity == 0 || capacity > limits::MAX_WORKER_CAPACITY {
        return Err(Status::invalid_argument(format!(
            "capacity {capacity} is out of range: 1 to {}",
            limits::MAX_WORKER_CAPACITY
        )));
    }
    let beat = service.scheduler.heartbeat(&worker_id, &address, capacity, draining, service.scheduler.now());
    let heard = service.done(beat).await?;
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
