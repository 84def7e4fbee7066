//! Insight into tasks: explanations, failure groups and what-if replays.

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

/// Subject of an explanation.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// Desktop of the task to explain; if omitted, the task as a whole.
    desktop_id: Option<String>,
}

/// Explanation in chronological order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explanation {
    steps: Vec<Step>,
}

/// One step of an explanation: an event, or a fact about the current state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Step {
    /// Time of the event; `null` for a fact about the current state.
    #[schema(format = DateTime)]
    time: Option<String>,
    text: String,
}

impl From<Sentence> for Step {
    fn from(sentence: Sentence) -> Self {
        Self { time: sentence.at.map(time), text: sentence.text }
    }
}

/// Explain a task's result, or why a desktop did or did not run.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/explain", operation_id = "ExplainTask", tag = "native",
    params(Project, TaskPath, ExplainQuery),
    responses((status = 200, description = "The explanation in chronological order.", body = Explanation)),
)]
pub(crate) async fn explain(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    Parameters(query): Parameters<ExplainQuery>,
) -> Result<Json<Explanation>, ApiError> {
    let desktop_id = query.desktop_id.filter(|id| !id.is_empty());
    let sentences = control.explain(&caller, path.id()?, desktop_id.as_deref()).await?;
    Ok(Json(Explanation { steps: sentences.into_iter().map(Step::from).collect() }))
}

/// Groups of similar failures, largest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureGroups {
    /// Number of failed records in all groups, including groups on other pages.
    records: u32,
    groups: Vec<FailureGroup>,
    /// Token of the next page; `null` on the last page. Groups may grow between pages while the
    /// task runs.
    next_page_token: Option<String>,
}

/// Failed records with the same outcome and the same output, ignoring numbers, ids, paths and
/// times.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureGroup {
    /// Id of the group, for the list of its members.
    fingerprint_id: String,
    outcome: &'static str,
    exit_code: Option<i32>,
    /// Lines of the output that say what went wrong, with variable parts replaced.
    fingerprint: String,
    records: u32,
    /// Percentage of the task's failed records.
    share_percent: f64,
    waves: Vec<WaveShare>,
    /// First failed record of the group.
    sample_record_id: String,
    /// Output of the first failed record up to the last of these lines; empty without one.
    sample: String,
    /// Ids of the first 100 desktops, in plan order.
    desktop_ids: Vec<String>,
}

/// Number of records of a group in one wave.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaveShare {
    wave: u16,
    records: u32,
}

/// Group a task's failures by fingerprint. Works while the task runs.
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

/// Path parameters with a task id and the id of a failure group.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct FailurePath {
    /// Task id.
    task_id: String,
    /// `fingerprint_id` of the group.
    fingerprint_id: String,
}

/// One page of the desktops of a failure group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureMembers {
    members: Vec<FailureMember>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// A desktop with a failure of the group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureMember {
    /// Position in the plan, from 0.
    ordinal: u32,
    desktop_id: String,
}

/// List the desktops of a failure group in plan order.
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
    let fingerprint_id = path.fingerprint_id.parse().map_err(|_| {
        Error::new(Reason::FailureGroupNotFound, "the task has no failure group with this id")
    })?;
    let found = control.page_failure_members(&caller, task_id, fingerprint_id, after, size).await?;
    let next_page_token = pagination::next(&found, size, |(ordinal, _)| ordinal.to_string());
    let members = found.into_iter().map(|(ordinal, desktop_id)| FailureMember { ordinal, desktop_id });
    Ok(Json(FailureMembers { members: members.collect(), next_page_token }))
}

/// Alternative rollout settings for an ended task.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhatIfRequest {
    /// Thresholds, weights and waves to apply. Without `waves`, the task's own waves apply.
    rollout: Rollout,
}

/// Result of a replay.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeWhatIf {
    /// HALTED; COMPLETED if all waves would have run; UNDECIDED if a wave needs targets that never
    /// ran.
    ending: &'static str,
    /// Maximum number of targets that would have started.
    started: u32,
    /// Number of failures among the replayed results.
    failed: u32,
    /// Time of the result that would have halted the rollout; `null` unless HALTED.
    #[schema(format = DateTime)]
    halt_time: Option<String>,
    /// Waves up to the end of the replay.
    waves: Vec<WhatIfWave>,
}

/// A replayed wave.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhatIfWave {
    wave: u16,
    size: u32,
    /// Number of replayed results.
    finished: u32,
    /// Number of replayed results that count as failures.
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
                Ending::Held => "HELD",
            },
            started: found.started,
            failed: found.failed,
            halt_time: found.halted_at.map(time),
            waves: found.waves.into_iter().map(wave).collect(),
        }
    }
}

/// Replay the results of an ended task under other rollout settings. Changes nothing.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/what-if", operation_id = "WhatIf", tag = "native",
    params(Project, TaskPath), request_body = WhatIfRequest,
    responses((status = 200, description = "The result of the replay.", body = NativeWhatIf)),
)]
pub(crate) async fn what_if(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    Body(request): Body<WhatIfRequest>,
) -> Result<Json<NativeWhatIf>, ApiError> {
    let found = control.what_if(&caller, path.id()?, RolloutRequest::from(request.rollout)).await?;
    Ok(Json(NativeWhatIf::from(found)))
}
