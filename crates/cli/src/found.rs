//! The task that is meant.

use proto::admin::{GetTaskRequest, ListTasksRequest, Task};

use crate::{
    Failure,
    connect::{Session, repeated},
};

/// The newest task.
pub(crate) const LATEST: &str = "latest";

/// The id of the newest task.
pub(crate) async fn latest(session: &Session) -> Result<String, Failure> {
    let newest = newest(session, 1).await?;
    let task = newest.into_iter().next();
    task.map(|task| task.task_id)
        .ok_or_else(|| Failure::refused("there is no task yet").try_next("graywave run"))
}

/// So many tasks, the newest first.
pub(crate) async fn newest(session: &Session, page_size: i32) -> Result<Vec<Task>, Failure> {
    let request = ListTasksRequest { page_size, ..ListTasksRequest::default() };
    let answer = session.tasks().list_tasks(request).await;
    Ok(answer.map_err(|status| Failure::of("cannot list tasks", &status))?.into_inner().tasks)
}

/// A task as it stands.
pub(crate) async fn task(session: &Session, task_id: &str) -> Result<Task, Failure> {
    let request = GetTaskRequest { task_id: task_id.to_owned() };
    let answer = repeated(async || session.tasks().get_task(request.clone()).await).await;
    let answer = answer.map_err(|status| Failure::of(&format!("cannot show task {task_id}"), &status))?;
    Ok(answer.into_inner().task.unwrap_or_default())
}
