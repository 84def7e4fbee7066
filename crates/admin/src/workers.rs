//! Workers.

use control::{Caller, Operator, WorkerRow, finished};
use domain::ids::WorkerId;
use proto::{
    admin::{
        DrainWorkerRequest, DrainWorkerResponse, ListWorkersRequest, ListWorkersResponse,
        UndrainWorkerRequest, UndrainWorkerResponse, Worker, worker_service_server::WorkerService,
    },
    time,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    called::{called, operated},
    status::failed,
    values::text,
};

fn worker(row: WorkerRow) -> Worker {
    Worker {
        worker_id: row.worker_id.into_string(),
        address: row.address,
        capacity: row.capacity,
        draining: row.draining,
        drain_requested: row.drain_requested_by.is_some(),
        drain_requested_by: text(row.drain_requested_by),
        desktops: row.desktops,
        last_heartbeat_time: time(Some(row.last_heartbeat_at)),
    }
}

/// Workers serve every project: a caller of one may be allowed to look after them, and an operator of the cluster is.
enum Who {
    Caller(Caller),
    Operator(Operator),
}

fn who<T>(request: Request<T>) -> Result<(Who, T), Status> {
    if request.extensions().get::<Operator>().is_some() {
        return operated(request).map(|(operator, message)| (Who::Operator(operator), message));
    }
    called(request).map(|(caller, message)| (Who::Caller(caller), message))
}

impl Service {
    async fn want_drain(&self, who: Who, worker_id: &str, wanted: bool) -> Result<Option<Worker>, Status> {
        let worker_id = WorkerId::find(worker_id).map_err(failed)?;
        let control = self.control.clone();
        let row = finished(async move {
            match who {
                Who::Caller(caller) => control.want_drain(&caller, &worker_id, wanted).await,
                Who::Operator(operator) => control.want_drain_by(&operator, &worker_id, wanted).await,
            }
        });
        Ok(Some(worker(row.await.map_err(failed)?)))
    }
}

#[tonic::async_trait]
impl WorkerService for Service {
    async fn list_workers(
        &self,
        request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let found = match who(request)?.0 {
            Who::Caller(caller) => self.control.list_workers(&caller).await,
            Who::Operator(operator) => self.control.list_workers_by(&operator).await,
        };
        let workers = found.map_err(failed)?.into_iter().map(worker).collect();
        Ok(Response::new(ListWorkersResponse { workers }))
    }

    async fn drain_worker(
        &self,
        request: Request<DrainWorkerRequest>,
    ) -> Result<Response<DrainWorkerResponse>, Status> {
        let (who, message) = who(request)?;
        let worker = self.want_drain(who, &message.worker_id, true).await?;
        Ok(Response::new(DrainWorkerResponse { worker }))
    }

    async fn undrain_worker(
        &self,
        request: Request<UndrainWorkerRequest>,
    ) -> Result<Response<UndrainWorkerResponse>, Status> {
        let (who, message) = who(request)?;
        let worker = self.want_drain(who, &message.worker_id, false).await?;
        Ok(Response::new(UndrainWorkerResponse { worker }))
    }
}
