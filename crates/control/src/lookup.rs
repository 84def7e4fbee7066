//! Lookups of tasks and records in the caller's own project.

use domain::{
    Error, Reason,
    authz::{Action, Resource},
    ids::TaskId,
    record::RecordId,
};
use store::{
    Connection,
    record::{self, RecordRow},
    task::{self, TaskRow},
};

use crate::Caller;

/// Finds a task of the caller's project.
pub(crate) async fn task(
    connection: &mut Connection,
    caller: &Caller,
    task_id: TaskId,
) -> Result<TaskRow, Error> {
    let found = task::fetch(connection, caller.project_id(), task_id).await?;
    found.ok_or_else(|| no_task(task_id))
}

/// Error for a task that never existed or was deleted.
pub(crate) fn no_task(task_id: TaskId) -> Error {
    Error::new(Reason::TaskNotFound, format!("task {task_id} does not exist"))
}

/// Finds a record of the caller's project.
pub(crate) async fn record(
    connection: &mut Connection,
    caller: &Caller,
    record_id: RecordId,
) -> Result<RecordRow, Error> {
    let found = record::fetch(connection, caller.project_id(), record_id).await?;
    found.ok_or_else(|| Error::new(Reason::RecordNotFound, format!("record {record_id} does not exist")))
}

/// Finds a task of the caller's project and checks the caller's right to it.
pub(crate) async fn find_task(
    connection: &mut Connection,
    caller: &Caller,
    action: Action,
    task_id: TaskId,
) -> Result<TaskRow, Error> {
    caller.check(action, [Resource::Task(&task_id.to_string())])?;
    task(connection, caller, task_id).await
}
