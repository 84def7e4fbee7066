//! The task service: submit, inspect and change tasks.

use control::{ApprovedVersion, Caller, Control, Guardrails, TaskFilter, TaskProgress, finished};
use domain::{Error, Reason, ids::TaskId, submission::TaskOrRecord, warning::Warning};
use proto::admin::{
    ApproveWaveRequest, ApproveWaveResponse, GetTaskRequest, GetTaskResponse, ListTargetsRequest,
    ListTargetsResponse, ListTasksRequest, ListTasksResponse, PauseTaskRequest, PauseTaskResponse,
    PreviewTaskRequest, PreviewTaskResponse, ResumeTaskRequest, ResumeTaskResponse, RetryTaskRequest,
    RetryTaskResponse, SetConcurrencyRequest, SetConcurrencyResponse, StopTaskRequest, StopTaskResponse,
    SubmitTaskRequest, SubmitTaskResponse, Task, TaskSpec, WatchTaskRequest, WatchTaskResponse,
    task_service_server::TaskService,
};
use tonic::{Request, Response, Status};

use super::watch;
use crate::{
    Service,
    convert::{
        preview, task, task_spec,
        value::{filter, id_prefix, moment},
    },
    extract::{extract, extract_idempotent, justified},
    page,
    status::{failed, within},
    streams::ResponseStream,
};

impl Service {
    /// Completes a change and returns the task afterwards.
    async fn task_of<W>(
        &self,
        caller: Caller,
        change: impl FnOnce(Control, Caller) -> W + Send + 'static,
    ) -> Result<TaskProgress, Error>
    where
        W: Future<Output = Result<TaskId, Error>> + Send + 'static,
    {
        let control = self.control.clone();
        finished(async move {
            let task_id = change(control.clone(), caller.clone()).await?;
            control.task_after(&caller, task_id).await
        })
        .await
    }

    /// Completes the submission of a task, and returns the task and the warnings about it.
    async fn submission_of<W>(
        &self,
        caller: Caller,
        change: impl FnOnce(Control, Caller) -> W + Send + 'static,
    ) -> Result<(TaskProgress, Vec<Warning>), Error>
    where
        W: Future<Output = Result<TaskId, Error>> + Send + 'static,
    {
        let control = self.control.clone();
        finished(async move {
            let task_id = change(control.clone(), caller.clone()).await?;
            let warnings = control.warnings_after(&caller, task_id).await?;
            Ok((control.task_after(&caller, task_id).await?, warnings))
        })
        .await
    }
}

fn shown(found: Result<TaskProgress, Error>) -> Result<Option<Task>, Status> {
    found.map(task::task).map(Some).map_err(failed)
}

/// Adds the reason and the ticket of a specification to the caller.
fn of_spec(caller: Caller, spec: Option<&TaskSpec>) -> Result<Caller, Error> {
    spec.map_or(Ok(caller.clone()), |spec| justified(caller, &spec.reason, &spec.ticket))
}

/// Parses the target of a command: a task or a record.
fn aim(task_id: &str, record_id: &str) -> Result<TaskOrRecord, Status> {
    let given = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    TaskOrRecord::new(given(task_id).as_deref(), given(record_id).as_deref()).map_err(failed)
}

#[tonic::async_trait]
impl TaskService for Service {
    async fn submit_task(
        &self,
        request: Request<SubmitTaskRequest>,
    ) -> Result<Response<SubmitTaskResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let inside = within("task");
        let caller = of_spec(caller, message.task.as_ref()).map_err(inside)?;
        let wanted = task_spec::request(message.task).map_err(inside)?;
        let made = self
            .submission_of(caller, |control, caller| async move { control.submit(&caller, wanted).await });
        let (progress, warnings) = made.await.map_err(inside)?;
        let (task, warnings) = (Some(task::task(progress)), preview::warnings(warnings));
        Ok(Response::new(SubmitTaskResponse { task, warnings }))
    }

    async fn preview_task(
        &self,
        request: Request<PreviewTaskRequest>,
    ) -> Result<Response<PreviewTaskResponse>, Status> {
        let (caller, message) = extract(request)?;
        let inside = within("task");
        let caller = of_spec(caller, message.task.as_ref()).map_err(inside)?;
        let wanted = task_spec::request(message.task).map_err(inside)?;
        let guardrails = if message.without_guardrails { Guardrails::Ignored } else { Guardrails::Enforced };
        let preview = self.control.preview(&caller, wanted, guardrails).await.map_err(inside)?;
        Ok(Response::new(preview::response(preview, message.with_desktop_ids)))
    }

    async fn get_task(&self, request: Request<GetTaskRequest>) -> Result<Response<GetTaskResponse>, Status> {
        let (caller, message) = extract(request)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let task = shown(self.control.show_task(&caller, task_id).await)?;
        Ok(Response::new(GetTaskResponse { task }))
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, before) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let reason = filter("reason", message.reason.clone()).map_err(failed)?;
        let ticket = filter("ticket", message.ticket.clone()).map_err(failed)?;
        let filter = TaskFilter {
            before,
            statuses: task::statuses(&message).map_err(failed)?,
            reason,
            ticket,
            id_prefix: id_prefix("task_id_prefix", &message.task_id_prefix).map_err(failed)?,
            created_by: message.mine.then(|| caller.identity.principal.clone()),
            created_from: moment("create_time_from", message.create_time_from).map_err(failed)?,
            ..TaskFilter::default()
        };
        let found = self.control.page_tasks(&caller, &filter, size).await.map_err(failed)?;
        let (tasks, next_page_token) =
            page::of(found.into_iter().map(task::task), size, |it| it.task_id.clone());
        Ok(Response::new(ListTasksResponse { tasks, next_page_token }))
    }

    type WatchTaskStream = ResponseStream<WatchTaskResponse>;

    async fn watch_task(
        &self,
        request: Request<WatchTaskRequest>,
    ) -> Result<Response<Self::WatchTaskStream>, Status> {
        watch::watch(self, request).await.map(Response::new)
    }

    async fn pause_task(
        &self,
        request: Request<PauseTaskRequest>,
    ) -> Result<Response<PauseTaskResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let caller = justified(caller, &message.reason, &message.ticket).map_err(failed)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let changed = self.task_of(caller, move |control, caller| async move {
            control.pause(&caller, task_id).await.map(|()| task_id)
        });
        Ok(Response::new(PauseTaskResponse { task: shown(changed.await)? }))
    }

    async fn resume_task(
        &self,
        request: Request<ResumeTaskRequest>,
    ) -> Result<Response<ResumeTaskResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let caller = justified(caller, &message.reason, &message.ticket).map_err(failed)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let changed = self.task_of(caller, move |control, caller| async move {
            control.resume(&caller, task_id).await.map(|()| task_id)
        });
        Ok(Response::new(ResumeTaskResponse { task: shown(changed.await)? }))
    }

    async fn approve_wave(
        &self,
        request: Request<ApproveWaveRequest>,
    ) -> Result<Response<ApproveWaveResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let caller = justified(caller, &message.reason, &message.ticket).map_err(failed)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        // A number outside the range of waves names no wave.
        let wave = u16::try_from(message.wave)
            .map_err(|_| failed(Error::new(Reason::WaveNotFound, "the task has no such wave")))?;
        let given = |hash: String| Some(hash).filter(|hash| !hash.is_empty());
        let hold = task::hold(message.hold).map_err(failed)?;
        let seen = ApprovedVersion {
            plan_hash: given(message.plan_hash),
            script_hash: given(message.script_hash),
            hold,
        };
        let changed = self.task_of(caller, move |control, caller| async move {
            control.approve(&caller, task_id, wave, &seen).await.map(|()| task_id)
        });
        Ok(Response::new(ApproveWaveResponse { task: shown(changed.await)? }))
    }

    async fn stop_task(
        &self,
        request: Request<StopTaskRequest>,
    ) -> Result<Response<StopTaskResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let caller = justified(caller, &message.reason, &message.ticket).map_err(failed)?;
        let aim = aim(&message.task_id, &message.record_id)?;
        let mode = task::stop_mode(message.mode).map_err(failed)?;
        let changed = self.task_of(caller, move |control, caller| async move {
            control.stop(&caller, aim, mode).await.map(|()| aim.task_id())
        });
        Ok(Response::new(StopTaskResponse { task: shown(changed.await)? }))
    }

    async fn retry_task(
        &self,
        request: Request<RetryTaskRequest>,
    ) -> Result<Response<RetryTaskResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let caller = justified(caller, &message.reason, &message.ticket).map_err(failed)?;
        let aim = aim(&message.task_id, &message.record_id)?;
        let made = self
            .submission_of(caller, move |control, caller| async move { control.retry(&caller, aim).await });
        let (progress, warnings) = made.await.map_err(failed)?;
        let (task, warnings) = (Some(task::task(progress)), preview::warnings(warnings));
        Ok(Response::new(RetryTaskResponse { task, warnings }))
    }

    async fn set_concurrency(
        &self,
        request: Request<SetConcurrencyRequest>,
    ) -> Result<Response<SetConcurrencyResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let changed = self.task_of(caller, move |control, caller| async move {
            control.set_concurrency(&caller, task_id, message.max_concurrency).await.map(|()| task_id)
        });
        Ok(Response::new(SetConcurrencyResponse { task: shown(changed.await)? }))
    }

    async fn list_targets(
        &self,
        request: Request<ListTargetsRequest>,
    ) -> Result<Response<ListTargetsResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, after) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let found = self.control.page_targets(&caller, task_id, after, size).await.map_err(failed)?;
        let (targets, next_page_token) =
            page::of(found.into_iter().map(task::target), size, |it| it.ordinal.to_string());
        Ok(Response::new(ListTargetsResponse { targets, next_page_token }))
    }
}
