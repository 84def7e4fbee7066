//! The worker service: list, drain and undrain workers.

use control::finished;
use domain::ids::WorkerId;
use proto::admin::{
    DrainWorkerRequest, DrainWorkerResponse, ListWorkersRequest, ListWorkersResponse, UndrainWorkerRequest,
    UndrainWorkerResponse, Worker, worker_service_server::WorkerService,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    convert::worker::worker,
    extract::{Principal, extract_principal},
    status::failed,
};

impl Service {
    async fn want_drain(
        &self,
        principal: Principal,
        worker_id: &str,
        wanted: bool,
    ) -> Result<Option<Worker>, Status> {
        let worker_id = WorkerId::find(worker_id).map_err(failed)?;
        let control = self.control.clone();
        let row = finished(async move {
            match principal {
                Principal::Caller(caller) => control.want_drain(&caller, &worker_id, wanted).await,
                Principal::Operator(operator) => control.want_drain_by(&operator, &worker_id, wanted).await,
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
        let found = match extract_principal(request)?.0 {
            Principal::Caller(caller) => self.control.list_workers(&caller).await,
            Principal::Operator(operator) => self.control.list_workers_by(&operator).await,
        };
        let workers = found.map_err(failed)?.into_iter().map(worker).collect();
        Ok(Response::new(ListWorkersResponse { workers }))
    }

    async fn drain_worker(
        &self,
        request: Request<DrainWorkerRequest>,
    ) -> Result<Response<DrainWorkerResponse>, Status> {
        let (who, message) = extract_principal(request)?;
        let worker = self.want_drain(who, &message.worker_id, true).await?;
        Ok(Response::new(DrainWorkerResponse { worker }))
    }

    async fn undrain_worker(
        &self,
        request: Request<UndrainWorkerRequest>,
    ) -> Result<Response<UndrainWorkerResponse>, Status> {
        let (who, message) = extract_principal(request)?;
        let worker = self.want_drain(who, &message.worker_id, false).await?;
        Ok(Response::new(UndrainWorkerResponse { worker }))
    }
}
