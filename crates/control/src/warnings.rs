//! Warnings about a task: in previews, and in the answer to its submission.

use domain::{
    Error,
    ids::{ProjectId, TaskId},
    policy::RolloutPolicy,
    script::ScriptType,
    warning::{self, Canaries, Warning},
};
use store::{
    Connection, script, target,
    task::{self, PinnedScript},
    wave,
};

use crate::{Caller, Control, lookup};

/// Returns the warnings about the scripts or the command of a task, and about the exit codes that
/// its rollout weighs.
pub(crate) async fn of_work(
    connection: &mut Connection,
    project_id: &ProjectId,
    scripts: &[PinnedScript],
    command: Option<(ScriptType, &str)>,
    policy: &RolloutPolicy,
) -> Result<Vec<Warning>, Error> {
    if let Some((command_type, content)) = command {
        let mut found = warning::of_scripts([(command_type, "", content)]);
        found.extend(warning::of_exit_codes([command_type], policy));
        return Ok(found);
    }
    let pinned = scripts.iter().filter_map(|pinned| pinned.script);
    let contents = script::contents(connection, project_id, pinned).await?;
    let scripts = contents.iter().map(|row| (row.script_type, row.name.as_str(), row.content.as_str()));
    let mut found = warning::of_scripts(scripts);
    found.extend(warning::of_exit_codes(contents.iter().map(|row| row.script_type), policy));
    let deleted = contents.iter().filter(|row| row.is_deleted);
    found.extend(warning::of_deleted(deleted.map(|row| row.name.as_str())));
    Ok(found)
}

impl Control {
    /// Returns the warnings about a task that the caller just submitted. They derive from the
    /// stored task and the present connections, so a repeated submission gets them again.
    pub async fn warnings_after(&self, caller: &Caller, task_id: TaskId) -> Result<Vec<Warning>, Error> {
        let mut connection = self.store.acquire().await?;
        let row = lookup::task(&mut connection, caller, task_id).await?;
        let scripts = task::pinned_scripts(&mut connection, &[task_id]).await?.remove(&task_id);
        let command = row.command.as_ref().map(|(command_type, content)| (*command_type, content.as_str()));
        let scripts = scripts.unwrap_or_default();
        let mut found = of_work(&mut connection, caller.project_id(), &scripts, command, &row.policy).await?;
        let waves = wave::list(&mut connection, &[task_id]).await?;
        let sizes: Vec<_> = waves.iter().map(|(_, row)| (row.state.size, row.state.fail_threshold)).collect();
        let total = sizes.first().map_or(0, |(size, _)| *size);
        let canaries = match row.gray {
            true => target::canaries(&mut connection, task_id, total).await?,
            false => Canaries::default(),
        };
        found.extend(warning::of_plan(&row.policy, &sizes, &canaries));
        Ok(found)
    }
}
