//! Why a task came to what it came to.

use control::{FailureGroup as FailedAlike, Failures};
use domain::{
    Error, Reason,
    ids::TaskId,
    what_if::{Ending, ReplayedWave},
};
use proto::{
    Word as _,
    admin::{
        ExplainStep, ExplainTaskRequest, ExplainTaskResponse, FailureGroup, FailureMember,
        ListFailureMembersRequest, ListFailureMembersResponse, ListFailuresRequest, ListFailuresResponse,
        Outcome, WaveShare, WhatIfEnding, WhatIfRequest, WhatIfResponse, WhatIfWave,
        insight_service_server::InsightService,
    },
    time,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    called::called,
    page::{self, Largest},
    rollout,
    status::{failed, within},
    values,
};

fn group(found: &Failures, group: &FailedAlike, desktop_ids: &[String]) -> FailureGroup {
    let share = |&(wave, records): &(u16, u32)| WaveShare { wave: wave.into(), records };
    FailureGroup {
        fingerprint_id: group.fingerprint_id.to_string(),
        outcome: Outcome::number(group.outcome.as_str()),
        exit_code: group.exit_code,
        fingerprint: group.fingerprint.clone(),
        records: group.records,
        share_percent: found.share_percent(group),
        waves: group.waves.iter().map(share).collect(),
        sample_record_id: found.sample_record_id(group).to_string(),
        sample: group.sample.clone(),
        desktop_ids: desktop_ids.to_vec(),
    }
}

fn wave(wave: ReplayedWave) -> WhatIfWave {
    WhatIfWave {
        wave: wave.wave.into(),
        size: wave.size,
        finished: wave.finished,
        failed: wave.failed,
        verdict: wave.verdict,
    }
}

#[tonic::async_trait]
impl InsightService for Service {
    async fn explain_task(
        &self,
        request: Request<ExplainTaskRequest>,
    ) -> Result<Response<ExplainTaskResponse>, Status> {
        let (caller, message) = called(request)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let desktop_id = values::filter("desktop_id", message.desktop_id).map_err(failed)?;
        let told = self.control.explain(&caller, task_id, desktop_id.as_deref()).await.map_err(failed)?;
        let steps = told.into_iter().map(|step| ExplainStep { time: time(step.at), text: step.text });
        Ok(Response::new(ExplainTaskResponse { steps: steps.collect() }))
    }

    async fn list_failures(
        &self,
        request: Request<ListFailuresRequest>,
    ) -> Result<Response<ListFailuresResponse>, Status> {
        let (caller, message) = called(request)?;
        let (size, after) = page::read::<Largest>(message.page_size, &message.page_token).map_err(failed)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let after = after.map(|last| (last.0, last.1));
        let found = self.control.list_failures(&caller, task_id, after, size).await.map_err(failed)?;
        let groups = found.groups.iter().map(|(one, desktop_ids)| group(&found, one, desktop_ids));
        // A number of ours that the message has as a text.
        let last = |it: &FailureGroup| Largest(it.records, it.fingerprint_id.parse().unwrap_or_default());
        let (groups, next_page_token) = page::of(groups, size, |it| last(it).to_string());
        Ok(Response::new(ListFailuresResponse { records: found.records, groups, next_page_token }))
    }

    async fn list_failure_members(
        &self,
        request: Request<ListFailureMembersRequest>,
    ) -> Result<Response<ListFailureMembersResponse>, Status> {
        let (caller, message) = called(request)?;
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
        let (caller, message) = called(request)?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let given =
            message.rollout.ok_or_else(|| failed(Error::required("rollout", "give the rollout to try")))?;
        let wanted = rollout::rollout(given).map_err(within("rollout"))?;
        let found = self.control.what_if(&caller, task_id, wanted).await.map_err(failed)?;
        let ending = match found.ending {
            Ending::Halted => WhatIfEnding::Halted,
            Ending::Completed => WhatIfEnding::Completed,
            Ending::Undecided => WhatIfEnding::Undecided,
        };
        Ok(Response::new(WhatIfResponse {
            ending: ending.into(),
            started: found.started,
            failed: found.failed,
            halt_time: time(found.halted_at),
            waves: found.waves.into_iter().map(wave).collect(),
        }))
    }
}
