//! Lookups of tasks.

use proto::admin::{GetTaskRequest, ListTasksRequest, Task};

use super::{Session, repeated};
use crate::Error;

/// Lists the newest tasks, at most `page_size` of them, newest first.
pub(crate) async fn newest_tasks(session: &Session, page_size: i32) -> Result<Vec<Task>, Error> {
    tasks_of(session, ListTasksRequest { page_size, ..ListTasksRequest::default() }).await
}

/// Lists one page of tasks.
pub(crate) async fn tasks_of(session: &Session, request: ListTasksRequest) -> Result<Vec<Task>, Error> {
    let answer = session.tasks().list_tasks(request).await;
    Ok(answer.map_err(|status| Error::of("cannot list tasks", &status))?.into_inner().tasks)
}

/// Reads the current state of a task.
pub(crate) async fn get_task(session: &Session, task_id: &str) -> Result<Task, Error> {
    let request = GetTaskRequest { task_id: task_id.to_owned() };
    let answer = repeated(async || session.tasks().get_task(request.clone()).await).await;
    let answer = answer.map_err(|status| Error::of(&format!("cannot show task {task_id}"), &status))?;
    Ok(answer.into_inner().task.unwrap_or_default())
}
