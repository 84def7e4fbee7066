//! The first screen: what waits for a person, and what runs.

use axum::Json;
use control::{AttentionCounts, AttentionItem, AttentionList};
use serde::Serialize;
use utoipa::ToSchema;

use super::{summary::TaskSummary, time};
use crate::{dto::Project, error::ApiError, extract::Authorized};

/// Tasks that wait for a person, and tasks that run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeAttention {
    #[schema(format = DateTime)]
    time: String,
    /// The freeze of the project; `null` if it is not frozen.
    frozen: Option<AttentionFreeze>,
    counts: NativeCounts,
    /// Reasons for which tasks wait, the most urgent first; at most 200.
    items: Vec<NativeAttentionItem>,
    /// Tasks that have not ended, the one with the fewest failures left first; at most 200.
    running: Vec<TaskSummary>,
    /// Whether a list is cut at its limit.
    truncated: bool,
}

/// Freeze of the project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttentionFreeze {
    #[schema(format = DateTime)]
    time: String,
    by: String,
    reason: String,
}

/// Number of tasks by reason; of `stragglers`, the number of targets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeCounts {
    approval: u32,
    holding: u32,
    halted: u32,
    frozen: u32,
    paused: u32,
    stragglers: u32,
    running: u32,
}

/// A reason for which a task waits for a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeAttentionItem {
    /// HALTED, HOLDING, APPROVAL, STRAGGLERS, FROZEN or PAUSED.
    kind: &'static str,
    #[schema(format = DateTime)]
    since: Option<String>,
    /// Time at which the task stops without a person; `null` if it does not.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// The wave that waits; `null` if the whole task does.
    wave: Option<u16>,
    /// Number of desktops concerned; `null` if the whole task is.
    targets: Option<u32>,
    sentence: String,
    task: TaskSummary,
}

impl From<AttentionCounts> for NativeCounts {
    fn from(counts: AttentionCounts) -> Self {
        let AttentionCounts { approval, holding, halted, frozen, paused, stragglers, running } = counts;
        Self { approval, holding, halted, frozen, paused, stragglers, running }
    }
}

impl From<AttentionItem> for NativeAttentionItem {
    fn from(item: AttentionItem) -> Self {
        let AttentionItem { attention, task } = item;
        Self {
            kind: attention.kind.as_str(),
            since: attention.since.map(time),
            until: attention.until.map(time),
            wave: attention.wave,
            targets: attention.targets,
            sentence: attention.sentence,
            task: TaskSummary::from(task),
        }
    }
}

impl From<AttentionList> for NativeAttention {
    fn from(list: AttentionList) -> Self {
        Self {
            time: time(list.at),
            frozen: list.freeze.map(|freeze| AttentionFreeze {
                time: time(freeze.frozen_at),
                by: freeze.frozen_by,
                reason: freeze.reason,
            }),
            counts: list.counts.into(),
            items: list.items.into_iter().map(NativeAttentionItem::from).collect(),
            running: list.running.into_iter().map(TaskSummary::from).collect(),
            truncated: list.is_truncated,
        }
    }
}

/// Show what waits for a person, and how close the running tasks are to a halt.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/attention", operation_id = "GetAttention", tag = "native",
    params(Project),
    responses((status = 200, description = "Tasks that wait, and tasks that run.", body = NativeAttention)),
)]
pub(crate) async fn show(
    Authorized { control, caller }: Authorized,
) -> Result<Json<NativeAttention>, ApiError> {
    Ok(Json(NativeAttention::from(control.attention(&caller).await?)))
}
