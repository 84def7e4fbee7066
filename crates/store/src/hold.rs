//! Holds: of a task that a person paused, and of all tasks of a project that is frozen. What is held is not handed out, and
//! its time does not run.

use domain::{
    Timestamp,
    event::EventKind,
    ids::{ProjectId, TaskId},
    task::TaskStatus,
};

use crate::{
    Connection, Error,
    event::{self, NewEvent},
    notify::{self, Wake},
    project_limit,
    task::{self, TaskFacts},
    wave,
};

/// What became of a pause or a resumption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It was done, or was so already.
    Done,
    /// The task admits no more, so there is nothing to hold.
    TooLate(TaskStatus),
}

/// Pauses a task: from the caller's commit on nothing of it is admitted or handed out. What a worker has goes on.
pub async fn pause(
    connection: &mut Connection,
    task_id: TaskId,
    actor: &str,
    now: Timestamp,
) -> Result<Held, Error> {
    wave::lock(connection, task_id, &[]).await?;
    let Some(facts) = task::facts(connection, task_id).await? else { return Ok(Held::Done) };
    if facts.status.admits_no_more() {
        return Ok(Held::TooLate(facts.status));
    }
    if facts.is_paused {
        return Ok(Held::Done);
    }
    sqlx::query!("UPDATE task SET paused_at = $2, paused_by = $3 WHERE task_id = $1", task_id.0, now, actor)
        .execute(&mut *connection)
        .await?;
    hold(connection, task_id).await?;
    event::insert(connection, task_id, NewEvent::by(EventKind::Paused, actor, ""), now).await?;
    Ok(Held::Done)
}

/// Lets a paused task go on. What waited has all of its delivery time again.
pub async fn resume(
    connection: &mut Connection,
    task_id: TaskId,
    actor: &str,
    now: Timestamp,
) -> Result<Held, Error> {
    wave::lock(connection, task_id, &[]).await?;
    let Some(facts) = task::facts(connection, task_id).await? else { return Ok(Held::Done) };
    if facts.status.admits_no_more() {
        return Ok(Held::TooLate(facts.status));
    }
    if !facts.is_paused {
        return Ok(Held::Done);
    }
    sqlx::query!("UPDATE task SET paused_at = NULL, paused_by = NULL WHERE task_id = $1", task_id.0)
        .execute(&mut *connection)
        .await?;
    event::insert(connection, task_id, NewEvent::by(EventKind::Resumed, actor, ""), now).await?;
    if !facts.is_frozen {
        release(connection, task_id, &facts, now).await?;
    }
    Ok(Held::Done)
}

/// Holds all tasks of a project that was frozen before: the freeze must be committed, so that no admission that has not
/// seen it is still to come.
pub async fn hold_project(
    connection: &mut Connection,
    project_id: &ProjectId,
    actor: &str,
    reason: &str,
    now: Timestamp,
) -> Result<(), Error> {
    for task_id in open_tasks(connection, project_id).await? {
        wave::lock(connection, task_id, &[]).await?;
        hold(connection, task_id).await?;
        event::insert(connection, task_id, NewEvent::by(EventKind::Frozen, actor, reason), now).await?;
    }
    Ok(())
}

/// Unfreezes a project and lets its tasks go on, those that are not paused.
pub async fn release_project(
    connection: &mut Connection,
    project_id: &ProjectId,
    actor: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let tasks = open_tasks(connection, project_id).await?;
    project_limit::set_unfrozen(connection, project_id).await?;
    for task_id in tasks {
        wave::lock(connection, task_id, &[]).await?;
        let Some(facts) = task::facts(connection, task_id).await? else { continue };
        event::insert(connection, task_id, NewEvent::by(EventKind::Unfrozen, actor, ""), now).await?;
        if !facts.is_paused {
            release(connection, task_id, &facts, now).await?;
        }
    }
    Ok(())
}

/// In the order in which they are locked.
async fn open_tasks(connection: &mut Connection, project_id: &ProjectId) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT task_id FROM task WHERE project_id = $1 AND status IN ('WAITING', 'RUNNING') ORDER BY task_id",
        project_id.as_str()
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

async fn hold(connection: &mut Connection, task_id: TaskId) -> Result<(), Error> {
    // In the order in which leases are renewed. A lease that is just taking one of them is waited for.
    sqlx::query!(
        "UPDATE batch b SET held = true
         FROM (SELECT batch_id FROM batch WHERE task_id = $1 AND status = 'READY' ORDER BY batch_id FOR UPDATE) AS ready
         WHERE b.task_id = $1 AND b.batch_id = ready.batch_id",
        task_id.0
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("UPDATE straggler SET held = true WHERE task_id = $1 AND NOT held", task_id.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Lets what was held be handed out again. What certainly never was has all of its delivery time again; the deadlines of
/// what may have been are those of its start.
async fn release(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    now: Timestamp,
) -> Result<(), Error> {
    let deliver_by = now + facts.timeouts.delivery;
    sqlx::query!(
        "UPDATE batch b SET held = false,
             deliver_by = CASE WHEN b.maybe_handed THEN b.deliver_by ELSE greatest(b.deliver_by, $2) END,
             finish_by = b.finish_by
                 + CASE WHEN b.maybe_handed THEN interval '0' ELSE greatest($2 - b.deliver_by, interval '0') END
         FROM (SELECT batch_id FROM batch WHERE task_id = $1 AND held ORDER BY batch_id FOR UPDATE) AS held
         WHERE b.task_id = $1 AND b.batch_id = held.batch_id",
        task_id.0,
        deliver_by,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE straggler SET held = false,
             deliver_by = CASE WHEN maybe_handed THEN deliver_by ELSE greatest(deliver_by, $2) END,
             finish_by = finish_by
                 + CASE WHEN maybe_handed THEN interval '0' ELSE greatest($2 - deliver_by, interval '0') END
         WHERE task_id = $1 AND held",
        task_id.0,
        deliver_by,
    )
    .execute(&mut *connection)
    .await?;
    for wake in [Wake::Cut, Wake::Ready, Wake::Presence] {
        notify::send(connection, wake).await?;
    }
    Ok(())
}

/// Tasks whose time is over, and that have not been stopped for it.
pub async fn expired(connection: &mut Connection, now: Timestamp, limit: i64) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT task_id FROM task WHERE expires_at <= $1 AND status IN ('WAITING', 'RUNNING') ORDER BY expires_at LIMIT $2",
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}
