//! Submit: a returned task id means that the task, its plan and its targets are committed.

use std::collections::HashMap;

use domain::{
    Error, Timestamp,
    deadline::Timeouts,
    ids::{DesktopId, ProjectId, ScriptId, TaskId},
    plan::{Candidate, plan},
    submission::{ExecutionRequest, Work},
};
use store::{
    Connection, desktop,
    notify::{self, Wake},
    script,
    task::{self, NewTask, PinnedScript},
};

use crate::Control;

impl Control {
    /// Checks, plans and stores an execution, and wakes the schedulers with the commit.
    pub async fn submit(&self, project_id: &ProjectId, request: ExecutionRequest) -> Result<TaskId, Error> {
        let submission = request.check()?;
        let timeouts = Timeouts {
            execution: submission.execution_timeout.unwrap_or(self.defaults.execution_timeout),
            delivery: self.defaults.delivery_timeout,
            grace: self.defaults.result_grace,
        };
        let mut tx = self.store.begin().await?;
        let (scripts, command) = match &submission.work {
            Work::Scripts(ids) => (pin(&mut tx, project_id, ids).await?, None),
            Work::Command { command_type, content } => (
                vec![PinnedScript { script: None, name: String::new() }],
                Some((*command_type, content.as_str())),
            ),
        };
        let candidates = candidates(&mut tx, project_id, &submission.desktop_ids).await?;
        let plan = plan(candidates, submission.gray.as_ref(), self.clock.seed())?;
        let task_id = TaskId(self.clock.id());
        let now: Timestamp = self.clock.now();
        let task = NewTask { task_id, project_id, scripts: &scripts, command, timeouts, plan: &plan, now };
        task::insert(&mut tx, &task).await?;
        notify::send(&mut tx, Wake::Cut).await?;
        self.store.commit(tx).await?;
        tracing::info!(
            %task_id, %project_id, targets = plan.order.len(), waves = plan.waves.len(), "task accepted"
        );
        Ok(task_id)
    }
}

/// The current revision of each script, in the order asked for.
async fn pin(
    connection: &mut Connection,
    project_id: &ProjectId,
    script_ids: &[ScriptId],
) -> Result<Vec<PinnedScript>, Error> {
    let current = script::current(connection, project_id, script_ids).await?;
    let mut by_id: HashMap<ScriptId, _> = current.into_iter().map(|row| (row.script_id, row)).collect();
    script_ids
        .iter()
        .map(|script_id| {
            let row = by_id
                .remove(script_id)
                .ok_or_else(|| Error::not_found(format!("script {script_id} does not exist")))?;
            Ok(PinnedScript { script: Some((*script_id, row.revision)), name: row.body.name })
        })
        .collect()
}

/// What the plan needs of each desktop, in the order asked for; an unknown one refuses the whole task.
async fn candidates(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_ids: &[DesktopId],
) -> Result<Vec<Candidate>, Error> {
    const NAMED: usize = 10;
    let known = desktop::candidates(connection, project_id, desktop_ids).await?;
    let mut by_id: HashMap<DesktopId, Candidate> =
        known.into_iter().map(|candidate| (candidate.desktop_id.clone(), candidate)).collect();
    let mut unknown = Vec::new();
    let mut found = Vec::with_capacity(desktop_ids.len());
    for desktop_id in desktop_ids {
        match by_id.remove(desktop_id) {
            Some(candidate) => found.push(candidate),
            None => unknown.push(desktop_id.as_str()),
        }
    }
    if unknown.is_empty() {
        return Ok(found);
    }
    let named = unknown.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more =
        if unknown.len() > NAMED { format!(" and {} more", unknown.len() - NAMED) } else { String::new() };
    Err(Error::not_found(format!("resource_ids names desktops that do not exist: {named}{more}")))
}
