//! The service.

use control::{Caller, Control, TOKEN_HEADER, TaskProgress, WaveRow};
use domain::{Error, ErrorKind, ids::TaskId, outcome::Outcome};
use proto::{
    admin::{
        GetTaskRequest, GetTaskResponse, ListWorkersRequest, ListWorkersResponse, Task, Wave, Worker,
        admin_service_server::{AdminService, AdminServiceServer},
    },
    unix_ms,
};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::status::failed;

/// The service over the use cases, for callers with a token.
pub fn service(control: Control) -> AdminServiceServer<impl AdminService> {
    AdminServiceServer::new(Service { control })
}

#[derive(Debug)]
struct Service {
    control: Control,
}

impl Service {
    /// Who calls; what they may is asked by the use cases.
    async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let metadata: &MetadataMap = request.metadata();
        let given = metadata
            .get(TOKEN_HEADER)
            .ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "x-auth-token is missing in the metadata"))
            .map_err(failed)?;
        let identity = self.control.authenticate_token(given.as_bytes()).await.map_err(failed)?;
        let source = request.remote_addr().map(|address| address.ip().to_string()).unwrap_or_default();
        let request_id = metadata.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        Ok(Caller { identity, source, request_id: request_id.to_owned(), idempotency: None })
    }
}

#[tonic::async_trait]
impl AdminService for Service {
    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<GetTaskResponse>, Status> {
        let caller = self.caller(&request).await?;
        let task_id: TaskId = request.into_inner().task_id.parse().map_err(failed)?;
        let progress = self.control.show_task(&caller, task_id).await.map_err(failed)?;
        Ok(Response::new(GetTaskResponse { task: Some(task(progress)) }))
    }

    async fn list_workers(
        &self,
        request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let caller = self.caller(&request).await?;
        let workers = self.control.list_workers(&caller).await.map_err(failed)?;
        let workers = workers
            .into_iter()
            .map(|worker| Worker {
                worker_id: worker.worker_id.into_string(),
                address: worker.address,
                capacity: worker.capacity,
                draining: worker.draining,
                heard_at_unix_ms: unix_ms(Some(worker.heard_at)),
                desktops: worker.desktops,
            })
            .collect();
        Ok(Response::new(ListWorkersResponse { workers }))
    }
}

fn task(progress: TaskProgress) -> Task {
    let TaskProgress { task, waves, .. } = progress;
    Task {
        task_id: task.task_id.to_string(),
        project_id: task.project_id.into_string(),
        status: task.status.to_string(),
        target_count: task.target_count,
        waves: waves.into_iter().map(wave).collect(),
        halt_reason: task.halt_reason.unwrap_or_default(),
        plan_hash: task.plan_hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn wave(row: WaveRow) -> Wave {
    Wave {
        wave: u32::from(row.wave),
        status: row.state.status.to_string(),
        size: row.state.size,
        admitted: row.state.admitted,
        success: row.state.tally.get(Outcome::Success),
        failed: row.state.failed,
        fail_threshold: row.state.fail_threshold.map(|threshold| threshold.to_string()).unwrap_or_default(),
        verdict_reason: row.verdict_reason.unwrap_or_default(),
    }
}
