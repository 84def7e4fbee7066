//! The service.

use control::{Control, Credentials, TOKEN_HEADER, TaskProgress, WaveRow};
use domain::{
    Error, ErrorKind,
    ids::{ProjectId, TaskId},
    outcome::Outcome,
};
use proto::{
    admin::{
        GetTaskRequest, GetTaskResponse, ListWorkersRequest, ListWorkersResponse, Task, Wave, Worker,
        admin_service_server::{AdminService, AdminServiceServer},
    },
    unix_ms,
};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::status::failed;

/// The service over the use cases, for callers with one of the tokens.
pub fn service(control: Control, credentials: Credentials) -> AdminServiceServer<impl AdminService> {
    AdminServiceServer::new(Service { control, credentials })
}

#[derive(Debug)]
struct Service {
    control: Control,
    credentials: Credentials,
}

impl Service {
    fn authenticate(&self, metadata: &MetadataMap) -> Result<ProjectId, Status> {
        let given = metadata
            .get(TOKEN_HEADER)
            .ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "x-auth-token is missing in the metadata"))
            .map_err(failed)?;
        self.credentials.check_token(given.as_bytes()).map_err(failed)
    }
}

#[tonic::async_trait]
impl AdminService for Service {
    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<GetTaskResponse>, Status> {
        let project_id = self.authenticate(request.metadata())?;
        let task_id: TaskId = request.into_inner().task_id.parse().map_err(failed)?;
        let progress = self.control.task_progress(&project_id, task_id).await.map_err(failed)?;
        Ok(Response::new(GetTaskResponse { task: Some(task(progress)) }))
    }

    async fn list_workers(
        &self,
        request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        self.authenticate(request.metadata())?;
        let workers = self.control.list_workers().await.map_err(failed)?;
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
    let TaskProgress { task, waves } = progress;
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
        failed: row.state.tally.failed(),
        fail_threshold: row.state.fail_threshold,
        verdict_reason: row.verdict_reason.unwrap_or_default(),
    }
}
