//! The work behind fast lists, off the path of execution: maintained numbers, marks of desktops,
//! and the newest records.

use domain::{
    Timestamp,
    ids::{ProjectId, TaskId},
};
use sqlx::Connection as _;

pub use crate::newest_record::{Backlog, backlog};
use crate::{Connection, Error, desktop, newest_record, project_count};

/// Number of projects that one statement finds.
const PROJECTS_AT_ONCE: i64 = 1_000;

/// Folds logged changes of tasks and of connected desktops into the maintained numbers. Returns
/// true if more changes wait. Does nothing while another process folds.
pub async fn fold_counts(connection: &mut Connection) -> Result<bool, Error> {
    let mut tx = connection.begin().await?;
    if !project_count::try_lock(&mut tx).await? {
        return Ok(false);
    }
    let is_more = project_count::fold(&mut tx).await?;
    tx.commit().await?;
    Ok(is_more)
}

/// Lists projects with desktops whose logged changes are not folded.
pub async fn changed_projects(connection: &mut Connection) -> Result<Vec<String>, Error> {
    desktop::changed_projects(connection, PROJECTS_AT_ONCE).await
}

/// Folds logged changes of a project's desktops into its marks, in a separate transaction. Does
/// nothing while another process folds.
pub async fn fold_desktops(connection: &mut Connection, project_id: &str) -> Result<(), Error> {
    let mut tx = connection.begin().await?;
    if !project_count::try_lock(&mut tx).await? {
        return Ok(());
    }
    desktop::fold(&mut tx, project_id).await?;
    Ok(tx.commit().await?)
}

/// Lists projects with tasks whose records are not projected. Postponed tasks do not count.
pub async fn waiting_projects(connection: &mut Connection, now: Timestamp) -> Result<Vec<ProjectId>, Error> {
    newest_record::projects(connection, now, PROJECTS_AT_ONCE).await
}

/// Returns the next task of a project to project; `None` if no task waits, or all are postponed.
pub async fn next_task(
    connection: &mut Connection,
    project_id: &ProjectId,
    now: Timestamp,
) -> Result<Option<TaskId>, Error> {
    newest_record::next(connection, project_id, now).await
}

/// Projects the records of a task in a separate transaction. Returns false if another process
/// projects tasks of the project.
pub async fn project_task(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_id: TaskId,
) -> Result<bool, Error> {
    newest_record::project_task(connection, project_id, task_id).await
}

/// Postpones a task whose projection failed, so that it keeps no other task waiting.
pub async fn postpone(
    connection: &mut Connection,
    task_id: TaskId,
    retry_at: Timestamp,
) -> Result<(), Error> {
    newest_record::postpone(connection, task_id, retry_at).await
}

/// Compares the maintained numbers of all projects with the rows, and repairs them. Returns the
/// number of wrong ones; `None` while another process folds.
pub async fn repair_counts(connection: &mut Connection) -> Result<Option<u64>, Error> {
    let mut tx = connection.begin().await?;
    if !project_count::try_lock(&mut tx).await? {
        return Ok(None);
    }
    let wrong = project_count::repair(&mut tx).await?;
    tx.commit().await?;
    Ok(Some(wrong))
}

/// Lists all projects.
pub async fn projects(connection: &mut Connection) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!("SELECT project_id FROM project ORDER BY project_id")
        .fetch_all(connection)
        .await?)
}

/// Compares the marks of a project with its desktops, and repairs them, in a separate transaction.
/// Returns whether one was wrong; `None` while another process folds.
pub async fn repair_marks(connection: &mut Connection, project_id: &str) -> Result<Option<bool>, Error> {
    let mut tx = connection.begin().await?;
    if !project_count::try_lock(&mut tx).await? {
        return Ok(None);
    }
    let is_wrong = desktop::repair(&mut tx, project_id).await?;
    tx.commit().await?;
    Ok(Some(is_wrong))
}

/// Deletes newest records of a project without a task, in a separate transaction. Returns the
/// number of parts; 0 while another process projects tasks of the project.
pub async fn delete_orphans(connection: &mut Connection, project_id: &str) -> Result<u64, Error> {
    newest_record::delete_orphans(connection, project_id).await
}

/// Compares the newest records of a part of a task with the targets, and queues the task for a
/// repair if they differ. Returns whether they do.
///
/// The shares of the whole range of a number choose the task by the time of its acceptance, and its
/// part.
pub async fn check_part(
    connection: &mut Connection,
    of_time: u16,
    of_parts: u16,
    now: Timestamp,
) -> Result<bool, Error> {
    let Some(from) = newest_record::id_between(connection, of_time).await? else { return Ok(false) };
    let Some((project_id, task_id)) = newest_record::check(connection, from, of_parts).await? else {
        return Ok(false);
    };
    newest_record::queue(connection, &project_id, &[task_id], now).await?;
    Ok(true)
}
