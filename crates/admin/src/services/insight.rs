//! The insight service: explanations, groups of failures, and what-if replays.

use domain::{Error, Reason, ids::TaskId, what_if::Ending};
use proto::{
    admin::{
        ExplainStep, ExplainTaskRequest, ExplainTaskResponse, FailureGroup, FailureMember,
        GetAttentionRequest, GetAttentionResponse, GetTaskMapRequest, GetTaskMapResponse,
        ListFailureMembersRequest, ListFailureMembersResponse, ListFailuresRequest, ListFailuresResponse,
        WhatIfEnding, WhatIfRequest, WhatIfResponse, insight_service_server::InsightService,
    },
    time,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    convert::{
        insight::{attention, group, wave},
        task_spec, value,
    },
    extract::extract,
    page::{self, Largest},
    status::{failed, within},
};

#[tonic::async_trait]
impl InsightService for Service {
    async fn explain_task(
        &self,
        request: Request<ExplainTaskRequest>,
    ) -> Result<Response<ExplainTaskResponse>, Status> {
        let (caller, message) = extract(request)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let desktop_id = value::filter("desktop_id", message.desktop_id).map_err(failed)?;
        let sentences =
            self.control.explain(&caller, task_id, desktop_id.as_deref()).await.map_err(failed)?;
        let steps = sentences.into_iter().map(|step| ExplainStep { time: time(step.at), text: step.text });
        Ok(Response::new(ExplainTaskResponse { steps: steps.collect() }))
    }

    async fn list_failures(
        &self,
        request: Request<ListFailuresRequest>,
    ) -> Result<Response<ListFailuresResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, after) = page::read::<Largest>(message.page_size, &message.page_token).map_err(failed)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let after = after.map(|last| (last.0, last.1));
        let found = self.control.list_failures(&caller, task_id, after, size).await.map_err(failed)?;
        let groups = found.groups.iter().map(|(one, desktop_ids)| group(&found, one, desktop_ids));
        // The message has the numeric id as text.
        let last = |it: &FailureGroup| Largest(it.records, it.fingerprint_id.parse().unwrap_or_default());
        let (groups, next_page_token) = page::of(groups, size, |it| last(it).to_string());
        Ok(Response::new(ListFailuresResponse { records: found.records, groups, next_page_token }))
    }

    async fn list_failure_members(
        &self,
        request: Request<ListFailureMembersRequest>,
    ) -> Result<Response<ListFailureMembersResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, after) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let missing =
            |_| failed(Error::new(Reason::FailureGroupNotFound, "the task has no such group of failures"));
        let fingerprint_id = message.fingerprint_id.parse().map_err(missing)?;
        let found = self.control.page_failure_members(&caller, task_id, fingerprint_id, after, size);
        let found = found.await.map_err(failed)?;
        let members = found.into_iter().map(|(ordinal, desktop_id)| FailureMember { ordinal, desktop_id });
        let (members, next_page_token) = page::of(members, size, |it| it.ordinal.to_string());
        Ok(Response::new(ListFailureMembersResponse { members, next_page_token }))
    }

    async fn what_if(&self, request: Request<WhatIfRequest>) -> Result<Response<WhatIfResponse>, Status> {
        let (caller, message) = extract(request)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let given = message
            .rollout
            .ok_or_else(|| failed(Error::required("rollout", "the rollout to replay is required")))?;
        let wanted = task_spec::rollout(given).map_err(within("rollout"))?;
        let found = self.control.what_if(&caller, task_id, wanted).await.map_err(failed)?;
        let ending = match found.ending {
            Ending::Halted => WhatIfEnding::Halted,
            Ending::Completed => WhatIfEnding::Completed,
            Ending::Undecided => WhatIfEnding::Undecided,
            Ending::Held => WhatIfEnding::Held,
        };
        Ok(Response::new(WhatIfResponse {
            ending: ending.into(),
            started: found.started,
            failed: found.failed,
            halt_time: time(found.halted_at),
            waves: found.waves.into_iter().map(wave).collect(),
        }))
    }

    async fn get_task_map(
        &self,
        request: Request<GetTaskMapRequest>,
    ) -> Result<Response<GetTaskMapResponse>, Status> {
        let (caller, message) = extract(request)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let map = self.control.task_map(&caller, task_id, |tag| tag == message.known_tag).await;
        let map = map.map_err(failed)?;
        let codes = map.bytes.unwrap_or_default();
        Ok(Response::new(GetTaskMapResponse { codes, version: map.version, tag: map.tag }))
    }

    async fn get_attention(
        &self,
        request: Request<GetAttentionRequest>,
    ) -> Result<Response<GetAttentionResponse>, Status> {
        let (caller, _) = extract(request)?;
        let list = self.control.attention(&caller).await.map_err(failed)?;
        Ok(Response::new(attention(list)))
    }
}
