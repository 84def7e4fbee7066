//! What happened and why: explanations, groups of failures, what-if.

use axum::{Json, extract::Path};
use control::{FailureGroup as FailedAlike, Failures};
use domain::{
    Error, Reason,
    explain::Sentence,
    ids::TaskId,
    rollout::RolloutRequest,
    what_if::{Ending, WhatIf},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    pagination::{self, Largest, PageQuery},
    tasks::TaskPath,
    time,
};
use crate::{
    dto::{Project, Rollout},
    error::ApiError,
    extract::{Authorized, Body, Parameters},
};

/// Which desktop is explained.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// One desktop of the task; the task as a whole when it is left out.
    desktop_id: Option<String>,
}

/// What happened, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explanation {
    steps: Vec<Step>,
}

/// One thing that happened, or is so.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Step {
    /// When; `null` for what is so.
    #[schema(format = DateTime)]
    time: Option<String>,
    text: String,
}

impl From<Sentence> for Step {
    fn from(sentence: Sentence) -> Self {
        Self { time: sentence.at.map(time), text: sentence.text }
    }
}

/// Explain a task, or why one desktop of it did or did not run.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/explain", operation_id = "ExplainTask", tag = "native",
    params(Project, TaskPath, ExplainQuery),
    responses((status = 200, description = "In order, with times.", body = Explanation)),
)]
pub(crate) async fn explain(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    Parameters(query): Parameters<ExplainQuery>,
) -> Result<Json<Explanation>, ApiError> {
    let desktop_id = query.desktop_id.filter(|id| !id.is_empty());
    let told = control.explain(&caller, path.id()?, desktop_id.as_deref()).await?;
    Ok(Json(Explanation { steps: told.into_iter().map(Step::from).collect() }))
}

/// Failures that look alike, the largest group first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureGroups {
    /// Failed records, over all groups, those that are not shown too.
    records: u32,
    groups: Vec<FailureGroup>,
    /// `null` on the last page. While the task runs, groups grow from page to page.
    next_page_token: Option<String>,
}

/// Failed records that ended alike and whose output says the same, but for numbers, ids, paths, times and the like.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureGroup {
    /// Of the group; for the list of its members.
    fingerprint_id: String,
    outcome: &'static str,
    exit_code: Option<i32>,
    /// The end of what they printed, with what differs taken out.
    fingerprint: String,
    records: u32,
    /// Of a hundred failed records of the task.
    share_percent: f64,
    waves: Vec<WaveShare>,
    /// The record that was the first of them.
    sample_record_id: String,
    /// The end of what that one printed.
    sample: String,
    /// The first 100, in the order of the plan.
    desktop_ids: Vec<String>,
}

/// Records of a group in one wave.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaveShare {
    wave: u16,
    records: u32,
}

/// Group a task's failures by what they look like. Live: also while the task runs.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/failures", operation_id = "ListFailures", tag = "native",
    params(Project, TaskPath, PageQuery),
    responses((status = 200, description = "The groups.", body = FailureGroups)),
)]
pub(crate) async fn failures(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<FailureGroups>, ApiError> {
    let task_id = path.id()?;
    let (size, after) = query.read::<Largest>()?;
    let after = after.map(|last| (last.0, last.1));
    let found = control.list_failures(&caller, task_id, after, size).await?;
    let next_page_token = pagination::next(&found.groups, size, |(last, _)| {
        Largest(last.records, last.fingerprint_id).to_string()
    });
    let groups = found.groups.iter().map(|(group, desktop_ids)| failure_group(&found, group, desktop_ids));
    Ok(Json(FailureGroups { records: found.records, groups: groups.collect(), next_page_token }))
}

fn failure_group(found: &Failures, group: &FailedAlike, desktop_ids: &[String]) -> FailureGroup {
    let share = |&(wave, records): &(u16, u32)| WaveShare { wave, records };
    FailureGroup {
        fingerprint_id: group.fingerprint_id.to_string(),
        outcome: group.outcome.as_str(),
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

/// A group of failures in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct FailurePath {
    /// The task.
    task_id: String,
    /// The group's `fingerprint_id`.
    fingerprint_id: String,
}

/// One page of the desktops of a group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureMembers {
    members: Vec<FailureMember>,
    /// `null` on the last page.
    next_page_token: Option<String>,
}

/// A desktop with a failure of the group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureMember {
    /// Its place in the plan.
    ordinal: u32,
    desktop_id: String,
}

/// List the desktops of a group of failures, in the order of the plan.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/failures/{fingerprint_id}", operation_id = "ListFailureMembers",
    tag = "native", params(Project, FailurePath, PageQuery),
    responses((status = 200, description = "One page.", body = FailureMembers)),
)]
pub(crate) async fn members(
    Authorized { control, caller }: Authorized,
    Path(path): Path<FailurePath>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<FailureMembers>, ApiError> {
    let (size, after) = query.read()?;
    let task_id = TaskId::find(&path.task_id)?;
    let fingerprint_id = path
        .fingerprint_id
        .parse()
        .map_err(|_| Error::new(Reason::FailureGroupNotFound, "the task has no such group of failures"))?;
    let found = control.page_failure_members(&caller, task_id, fingerprint_id, after, size).await?;
    let next_page_token = pagination::next(&found, size, |(ordinal, _)| ordinal.to_string());
    let members = found.into_iter().map(|(ordinal, desktop_id)| FailureMember { ordinal, desktop_id });
    Ok(Json(FailureMembers { members: members.collect(), next_page_token }))
}

/// Another rollout for a task that has ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhatIfRequest {
    /// Thresholds, weights and waves count; the task's own waves are kept where it names none.
    rollout: Rollout,
}

/// Where the rollout would have come to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeWhatIf {
    /// HALTED; COMPLETED when all waves would have run; UNDECIDED when it comes to targets that never ran.
    ending: &'static str,
    /// Targets that would have been started at most.
    started: u32,
    /// Failures among the results that were read.
    failed: u32,
    /// When the result that halts it came in.
    #[schema(format = DateTime)]
    halt_time: Option<String>,
    /// The waves up to there.
    waves: Vec<WhatIfWave>,
}

/// A wave that would have been.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhatIfWave {
    wave: u16,
    size: u32,
    /// Results that were read of it.
    finished: u32,
    /// Those among them that count as failures.
    failed: u32,
    verdict: String,
}

impl From<WhatIf> for NativeWhatIf {
    fn from(found: WhatIf) -> Self {
        let wave = |wave: domain::what_if::ReplayedWave| WhatIfWave {
            wave: wave.wave,
            size: wave.size,
            finished: wave.finished,
            failed: wave.failed,
            verdict: wave.verdict,
        };
        Self {
            ending: match found.ending {
                Ending::Halted => "HALTED",
                Ending::Completed => "COMPLETED",
                Ending::Undecided => "UNDECIDED",
            },
            started: found.started,
            failed: found.failed,
            halt_time: found.halted_at.map(time),
            waves: found.waves.into_iter().map(wave).collect(),
        }
    }
}

/// Read a task's recorded results again under another rollout: where would it have stopped? Changes nothing.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/what-if", operation_id = "WhatIf", tag = "native",
    params(Project, TaskPath), request_body = WhatIfRequest,
    responses((status = 200, description = "What would have been.", body = NativeWhatIf)),
)]
pub(crate) async fn what_if(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    Body(request): Body<WhatIfRequest>,
) -> Result<Json<NativeWhatIf>, ApiError> {
    let found = control.what_if(&caller, path.id()?, RolloutRequest::from(request.rollout)).await?;
    Ok(Json(NativeWhatIf::from(found)))
}
