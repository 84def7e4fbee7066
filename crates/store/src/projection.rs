//! The work behind fast lists, off the path of execution: maintained numbers, marks of desktops,
//! and the newest records.

use domain::{Timestamp, ids::ProjectId};
use sqlx::Connection as _;

pub use crate::newest_record::{Backlog, backlog};
use crate::{Connection, Error, desktop, newest_record, project_count};

/// Number of projects that one statement finds.
const PROJECTS_AT_ONCE: i64 = 1_000;

/// Folds logged changes of tasks and desktops into the maintained numbers. Returns true if more
/// changes wait. Does nothing while another process folds.
pub async fn fold(connection: &mut Connection) -> Result<bool, Error> {
    let mut tx = connection.begin().await?;
    if !project_count::try_lock(&mut tx).await? {
        return Ok(false);
    }
    let is_more = project_count::fold(&mut tx).await?;
    for project_id in desktop::changed_projects(&mut tx, PROJECTS_AT_ONCE).await? {
        desktop::fold(&mut tx, &project_id).await?;
    }
    tx.commit().await?;
    Ok(is_more)
}

/// Lists projects with tasks whose records are not projected.
pub async fn waiting_projects(connection: &mut Connection) -> Result<Vec<ProjectId>, Error> {
    newest_record::projects(connection, PROJECTS_AT_ONCE).await
}

/// Projects the records of the oldest waiting task of a project, in its own transaction. Returns
/// false if no task waits, or another process is at work.
pub async fn project_next(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    newest_record::project_next(connection, project_id).await
}

/// Compares the maintained numbers with the rows, and repairs them. Returns the number of wrong
/// ones; `None` while another process folds.
pub async fn repair_counts(connection: &mut Connection) -> Result<Option<u64>, Error> {
    let mut tx = connection.begin().await?;
    if !project_count::try_lock(&mut tx).await? {
        return Ok(None);
    }
    let mut wrong = project_count::repair(&mut tx).await?;
    let projects =
        sqlx::query_scalar!("SELECT project_id FROM project ORDER BY project_id").fetch_all(&mut *tx).await?;
    for project_id in projects {
        wrong += u64::from(desktop::repair(&mut tx, &project_id).await?);
    }
    tx.commit().await?;
    Ok(Some(wrong))
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
