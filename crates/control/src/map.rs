//! The map of a task: one byte for each target, with a version from which changes continue.

use domain::{Error, ids::TaskId};
use store::map;

use crate::{Caller, Control, lookup, task_queries::check_task};

/// A task's map, or only its version if the caller has it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskMap {
    /// Position in the changes of the map.
    pub version: i64,
    /// Name of this state of the map. Two states with one name have the same bytes.
    pub tag: String,
    /// One code for each target, in the order of the plan; `None` if the caller has this state.
    pub bytes: Option<Vec<u8>>,
}

impl Control {
    /// Reads the map of a task, unless `is_known` accepts the name of its state.
    ///
    /// # Errors
    ///
    /// `TaskNotFound`, and those of lists: the map of a large task reads many rows.
    pub async fn task_map(
        &self,
        caller: &Caller,
        task_id: TaskId,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<TaskMap, Error> {
        check_task(caller, task_id)?;
        let project_id = caller.project_id();
        // A client that has the map takes no place among the lists.
        let mut connection = self.store.acquire().await?;
        let head = map::head(&mut connection, project_id, task_id).await?;
        drop(connection);
        let head = head.ok_or_else(|| lookup::no_task(task_id))?;
        if is_known(&tag(task_id, &head)) {
            return Ok(TaskMap { version: head.version, tag: tag(task_id, &head), bytes: None });
        }
        self.list(project_id, async |connection| {
            let head = map::head(connection, project_id, task_id).await?;
            let head = head.ok_or_else(|| lookup::no_task(task_id))?;
            let bytes = map::parts(connection, task_id).await?.bytes(head.size, head.status);
            Ok(TaskMap { version: head.version, tag: tag(task_id, &head), bytes: Some(bytes) })
        })
        .await
    }
}

/// Names the state of a map. The map of an ended task does not change any more, although its
/// version returns to 0 when its changes are deleted.
fn tag(task_id: TaskId, head: &map::MapHead) -> String {
    if head.status.is_ended() { format!("{task_id}-end") } else { format!("{task_id}-{}", head.version) }
}
