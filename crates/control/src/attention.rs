//! The first screen: the tasks that wait for a person, and how close the others are to a halt.

use std::collections::HashMap;

use domain::{
    Error, Timestamp,
    attention::{self, Attention, AttentionKind, CurrentWave, HALTED_SHOWN, TaskState},
    authz::{ALL, Action, Resource},
    limits::{MAX_ATTENTION_OPEN, MAX_ATTENTION_TASKS},
    wave::WaveStatus,
};
use store::{
    project_limit::{self, FreezeRow},
    straggler, task,
};

use crate::{Caller, Control, TaskProgress, task_queries::progress};

/// A reason why a task asks for attention, with the task.
#[derive(Debug, Clone)]
pub struct AttentionItem {
    /// The reason.
    pub attention: Attention,
    /// The task.
    pub task: TaskProgress,
}

/// Number of tasks by the reason for which they ask for attention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttentionCounts {
    /// Tasks whose next wave waits for an approval that the author asked for.
    pub approval: u32,
    /// Tasks whose next wave waits because the previous one gave no evidence.
    pub holding: u32,
    /// Tasks that the gate halted.
    pub halted: u32,
    /// Tasks of the frozen project.
    pub frozen: u32,
    /// Paused tasks.
    pub paused: u32,
    /// Targets past half of their deadline without a result.
    pub stragglers: u32,
    /// Tasks that have not ended.
    pub running: u32,
}

/// The tasks that wait for a person, and those that run.
#[derive(Debug, Clone)]
pub struct AttentionList {
    /// Time of the list.
    pub at: Timestamp,
    /// The freeze of the project; `None` if it is not frozen.
    pub freeze: Option<FreezeRow>,
    /// Number of tasks by reason.
    pub counts: AttentionCounts,
    /// The reasons, the most urgent first.
    pub items: Vec<AttentionItem>,
    /// Tasks that have not ended, the one with the fewest failures left first.
    pub running: Vec<TaskProgress>,
    /// Whether one of the lists is cut at its limit, or the project has more open tasks than are
    /// looked at.
    pub is_truncated: bool,
}

impl Control {
    /// Lists what waits for a person in a project, and what runs, in one call.
    pub async fn attention(&self, caller: &Caller) -> Result<AttentionList, Error> {
        caller.check(Action::ListTasks, [Resource::Task(ALL)])?;
        let (project_id, now) = (caller.project_id(), self.environment.now());
        self.list(project_id, async |connection| {
            let freeze = project_limit::freeze(connection, project_id).await?;
            let mut open = task::open(connection, project_id, None, MAX_ATTENTION_OPEN + 1).await?;
            let is_cut = len(&open) > MAX_ATTENTION_OPEN;
            open.truncate(usize::try_from(MAX_ATTENTION_OPEN).unwrap_or(usize::MAX));
            let ids: Vec<_> = open.iter().map(|task| task.task_id).collect();
            let stragglers = straggler::count_by_task(connection, &ids, now).await?;
            let halted =
                task::halted_since(connection, project_id, now - HALTED_SHOWN, MAX_ATTENTION_TASKS).await?;
            open.extend(halted);
            let tasks = progress(connection, open, now).await?;
            let mut list = sorted(tasks, &stragglers, freeze, now);
            list.is_truncated |= is_cut;
            Ok(list)
        })
        .await
    }
}

/// Sorts tasks into the lists of the first screen.
fn sorted(
    tasks: Vec<TaskProgress>,
    stragglers: &HashMap<domain::ids::TaskId, u32>,
    freeze: Option<FreezeRow>,
    now: Timestamp,
) -> AttentionList {
    let frozen_at = freeze.as_ref().map(|freeze| freeze.frozen_at);
    let (mut counts, mut items, mut running) = (AttentionCounts::default(), Vec::new(), Vec::new());
    for task in tasks {
        let late = stragglers.get(&task.task.task_id).copied().unwrap_or_default();
        for attention in attention::attention(&state(&task, late, frozen_at), now) {
            counts.add(&attention);
            items.push(AttentionItem { attention, task: task.clone() });
        }
        if !task.task.status.is_ended() {
            counts.running += 1;
            running.push(task);
        }
    }
    // Within a kind, the one that waits longest first.
    items.sort_by_key(|item| (item.attention.kind, item.attention.since.unwrap_or(now)));
    running.sort_by_key(|task| {
        let margin = task.margin.as_ref().filter(|margin| !margin.is_unreachable);
        margin.and_then(|margin| margin.left).unwrap_or(u32::MAX)
    });
    let most = usize::try_from(MAX_ATTENTION_TASKS).unwrap_or(usize::MAX);
    let is_truncated = items.len() > most || running.len() > most;
    items.truncate(most);
    running.truncate(most);
    AttentionList { at: now, freeze, counts, items, running, is_truncated }
}

fn state(task: &TaskProgress, stragglers: u32, frozen_at: Option<Timestamp>) -> TaskState<'_> {
    let current = task.waves.iter().position(|row| row.state.status != WaveStatus::Closed);
    let wave = current.and_then(|place| {
        let row = task.waves.get(place)?;
        let previous = place.checked_sub(1).and_then(|before| task.waves.get(before));
        Some(CurrentWave {
            wave: row.wave,
            status: row.state.status,
            size: row.state.size,
            opening: &row.opening,
            previous_closed_at: previous.and_then(|row| row.closed_at),
            closed_at: row.closed_at,
        })
    });
    let row = &task.task;
    TaskState {
        status: row.status,
        halt_reason: row.halt_reason.as_deref(),
        is_retried: !row.retried_by.is_empty(),
        paused_at: row.paused.as_ref().map(|(_, at)| *at),
        frozen_at: frozen_at.filter(|_| row.is_frozen),
        ended_at: row.ended_at,
        wave,
        stragglers,
    }
}

impl AttentionCounts {
    fn add(&mut self, attention: &Attention) {
        match attention.kind {
            AttentionKind::Approval => self.approval += 1,
            AttentionKind::Holding => self.holding += 1,
            AttentionKind::Halted => self.halted += 1,
            AttentionKind::Frozen => self.frozen += 1,
            AttentionKind::Paused => self.paused += 1,
            AttentionKind::Stragglers => self.stragglers += attention.targets.unwrap_or_default(),
        }
    }
}

fn len<T>(list: &[T]) -> i64 {
    i64::try_from(list.len()).unwrap_or(i64::MAX)
}
