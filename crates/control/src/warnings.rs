//! Warnings about a task: in previews, and in the answer to its submission.

use domain::{
    Error,
    ids::{ProjectId, TaskId},
    script::ScriptType,
    warning::{self, Warning},
};
use store::{
    Connection, script,
    task::{self, PinnedScript},
};

use crate::{Caller, Control, lookup};

/// Returns the warnings about the scripts or the command of a task.
pub(crate) async fn of_work(
    connection: &mut Connection,
    project_id: &ProjectId,
    scripts: &[PinnedScript],
    command: Option<(ScriptType, &str)>,
) -> Result<Vec<Warning>, Error> {
    if let Some((command_type, content)) = command {
        return Ok(warning::of_scripts([(command_type, "", content)]));
    }
    let pinned = scripts.iter().filter_map(|pinned| pinned.script);
    let contents = script::contents(connection, project_id, pinned).await?;
    let scripts = contents.iter().map(|row| (row.script_type, row.name.as_str(), row.content.as_str()));
    Ok(warning::of_scripts(scripts))
}

impl Control {
    /// Returns the warnings about a task that the caller just submitted. They derive from the
    /// stored task, so a repeated submission gets the same ones.
    pub async fn warnings_after(&self, caller: &Caller, task_id: TaskId) -> Result<Vec<Warning>, Error> {
        let mut connection = self.store.acquire().await?;
        let row = lookup::task(&mut connection, caller, task_id).await?;
        let scripts = task::pinned_scripts(&mut connection, &[task_id]).await?.remove(&task_id);
        let command = row.command.as_ref().map(|(command_type, content)| (*command_type, content.as_str()));
        of_work(&mut connection, caller.project_id(), &scripts.unwrap_or_default(), command).await
    }
}
