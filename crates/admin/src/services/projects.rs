//! The project service: projects, freezes and project limits.

use control::finished;
use domain::{Error, ids::ProjectId};
use proto::admin::{
    CreateProjectRequest, CreateProjectResponse, FreezeProjectRequest, FreezeProjectResponse,
    GetProjectRequest, GetProjectResponse, ListProjectsRequest, ListProjectsResponse, RevokeProjectRequest,
    RevokeProjectResponse, StopProjectRequest, StopProjectResponse, UnfreezeProjectRequest,
    UnfreezeProjectResponse, UnrevokeProjectRequest, UnrevokeProjectResponse, UpdateLimitsRequest,
    UpdateLimitsResponse, WatchProjectRequest, WatchProjectResponse, project_service_server::ProjectService,
};
use tonic::{Request, Response, Status};

use super::project_watch;
use crate::{
    Service,
    convert::{
        project::{freeze, limits, limits_change, project},
        task::stop_mode,
        value::masked,
    },
    extract::{extract, extract_idempotent, extract_operator, justified},
    page,
    status::{failed, within},
    streams::ResponseStream,
};

#[tonic::async_trait]
impl ProjectService for Service {
    type WatchProjectStream = ResponseStream<WatchProjectResponse>;

    async fn watch_project(
        &self,
        request: Request<WatchProjectRequest>,
    ) -> Result<Response<Self::WatchProjectStream>, Status> {
        project_watch::watch(self, request).await.map(Response::new)
    }

    async fn get_project(
        &self,
        request: Request<GetProjectRequest>,
    ) -> Result<Response<GetProjectResponse>, Status> {
        let (caller, _) = extract(request)?;
        let frozen = self.control.show_freeze(&caller).await.map_err(failed)?;
        let found = self.control.show_limits(&caller).await.map_err(failed)?;
        Ok(Response::new(GetProjectResponse {
            project_id: caller.project_id().to_string(),
            freeze: Some(freeze(frozen)),
            limits: Some(limits(found)),
        }))
    }

    async fn freeze_project(
        &self,
        request: Request<FreezeProjectRequest>,
    ) -> Result<Response<FreezeProjectResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let caller = justified(caller, &message.reason, &message.ticket).map_err(failed)?;
        let control = self.control.clone();
        let frozen = finished(async move {
            control.freeze(&caller).await?;
            control.freeze_after(&caller).await
        });
        let frozen = frozen.await.map_err(failed)?;
        Ok(Response::new(FreezeProjectResponse { freeze: Some(freeze(frozen)) }))
    }

    async fn unfreeze_project(
        &self,
        request: Request<UnfreezeProjectRequest>,
    ) -> Result<Response<UnfreezeProjectResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let caller = justified(caller, &message.reason, &message.ticket).map_err(failed)?;
        let control = self.control.clone();
        let frozen = finished(async move {
            control.unfreeze(&caller).await?;
            // Reads the current state: another operator may have frozen the project again.
            control.freeze_after(&caller).await
        });
        let frozen = frozen.await.map_err(failed)?;
        Ok(Response::new(UnfreezeProjectResponse { freeze: Some(freeze(frozen)) }))
    }

    async fn update_limits(
        &self,
        request: Request<UpdateLimitsRequest>,
    ) -> Result<Response<UpdateLimitsResponse>, Status> {
        let (caller, message) = extract(request)?;
        let wanted = message
            .limits
            .ok_or_else(|| failed(Error::required("limits", "the limits to change are required")))?;
        let fields = [
            ("max_in_flight", wanted.max_in_flight.is_some()),
            ("max_running_per_desktop", wanted.max_running_per_desktop.is_some()),
            ("audit_reads", wanted.audit_reads.is_some()),
            ("require_canary_above", wanted.require_canary_above.is_some()),
            ("require_threshold", wanted.require_threshold.is_some()),
            ("max_wave_percent", wanted.max_wave_percent.is_some()),
            ("require_reason", wanted.require_reason.is_some()),
            ("require_approval_above", wanted.require_approval_above.is_some()),
        ];
        let taken = masked(message.update_mask.as_ref(), &fields).map_err(failed)?;
        let change = limits_change(&wanted, taken);
        let control = self.control.clone();
        let changed = finished(async move { control.update_limits(&caller, change).await });
        let changed = changed.await.map_err(within("limits"))?;
        Ok(Response::new(UpdateLimitsResponse { limits: Some(limits(changed)) }))
    }

    async fn list_projects(
        &self,
        request: Request<ListProjectsRequest>,
    ) -> Result<Response<ListProjectsResponse>, Status> {
        let (operator, message) = extract_operator(request)?;
        let (size, after) =
            page::read::<ProjectId>(message.page_size, &message.page_token).map_err(failed)?;
        let found = self.control.page_projects(&operator, after.as_ref(), size).await.map_err(failed)?;
        let (projects, next_page_token) =
            page::of(found.into_iter().map(project), size, |it| it.project_id.clone());
        Ok(Response::new(ListProjectsResponse { projects, next_page_token }))
    }

    async fn create_project(
        &self,
        request: Request<CreateProjectRequest>,
    ) -> Result<Response<CreateProjectResponse>, Status> {
        let (operator, CreateProjectRequest { project_id, name }) = extract_operator(request)?;
        let project_id: ProjectId = project_id.parse().map_err(within("project_id"))?;
        let control = self.control.clone();
        let made = finished(async move { control.create_project_by(&operator, &project_id, &name).await });
        let project = Some(project(made.await.map_err(failed)?));
        Ok(Response::new(CreateProjectResponse { project }))
    }

    async fn revoke_project(
        &self,
        request: Request<RevokeProjectRequest>,
    ) -> Result<Response<RevokeProjectResponse>, Status> {
        let (operator, message) = extract_operator(request)?;
        let project_id = ProjectId::find(&message.project_id).map_err(failed)?;
        let control = self.control.clone();
        let revoked = finished(async move { control.revoke_project_by(&operator, &project_id).await });
        revoked.await.map_err(failed)?;
        Ok(Response::new(RevokeProjectResponse {}))
    }

    async fn unrevoke_project(
        &self,
        request: Request<UnrevokeProjectRequest>,
    ) -> Result<Response<UnrevokeProjectResponse>, Status> {
        let (operator, message) = extract_operator(request)?;
        let project_id = ProjectId::find(&message.project_id).map_err(failed)?;
        let control = self.control.clone();
        let accepted = finished(async move { control.unrevoke_project_by(&operator, &project_id).await });
        accepted.await.map_err(failed)?;
        Ok(Response::new(UnrevokeProjectResponse {}))
    }

    async fn stop_project(
        &self,
        request: Request<StopProjectRequest>,
    ) -> Result<Response<StopProjectResponse>, Status> {
        let (operator, message) = extract_operator(request)?;
        let project_id = ProjectId::find(&message.project_id).map_err(failed)?;
        let mode = stop_mode(message.mode).map_err(failed)?;
        let control = self.control.clone();
        let stopped = finished(async move { control.stop_project_by(&operator, &project_id, mode).await });
        let stopped_tasks = i32::try_from(stopped.await.map_err(failed)?).unwrap_or(i32::MAX);
        Ok(Response::new(StopProjectResponse { stopped_tasks }))
    }
}
