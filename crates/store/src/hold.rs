//! Holds: of a task that a person paused, and of all tasks of a project that is frozen. What is held is not handed out, and
//! its time does not run.

use domain::{
    Timestamp, deadline,
    event::EventKind,
    ids::{ProjectId, TaskId},
    task::TaskStatus,
};

use crate::{
    Connection, Error,
    batch::{self, BatchTerms, Reclaimed},
    event::{self, NewEvent},
    notify::{self, Wake},
    project_limit,
    settle::settle_waiting,
    straggler,
    task::{self, TaskFacts},
    wave::{self, Live},
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
    let mut live = wave::lock(connection, task_id, &[]).await?;
    let Some(mut facts) = task::facts(connection, task_id).await? else { return Ok(Held::Done) };
    if facts.status.admits_no_more() {
        return Ok(Held::TooLate(facts.status));
    }
    if !std::mem::take(&mut facts.is_paused) {
        return Ok(Held::Done);
    }
    sqlx::query!("UPDATE task SET paused_at = NULL, paused_by = NULL WHERE task_id = $1", task_id.0)
        .execute(&mut *connection)
        .await?;
    event::insert(connection, task_id, NewEvent::by(EventKind::Resumed, actor, ""), now).await?;
    if !facts.is_frozen {
        release(connection, task_id, &facts, &mut live, now).await?;
    }
    Ok(Held::Done)
}

/// Who froze a project, and why, where it is news.
#[derive(Debug, Clone, Copy)]
pub struct Freeze<'a> {
    /// The principal.
    pub actor: &'a str,
    /// In that principal's words.
    pub reason: &'a str,
}

/// Holds all tasks of a project that was frozen before: the freeze must be committed, so that no admission that has not
/// seen it is still to come. Does nothing if it was unfrozen meanwhile; whoever unfreezes it now waits for this.
pub async fn hold_project(
    connection: &mut Connection,
    project_id: &ProjectId,
    news: Option<Freeze<'_>>,
    now: Timestamp,
) -> Result<(), Error> {
    if !project_limit::lock_freeze(connection, project_id).await? {
        return Ok(());
    }
    for task_id in open_tasks(connection, project_id).await? {
        if !hold_frozen(connection, task_id).await? {
            continue;
        }
        if let Some(Freeze { actor, reason }) = news {
            event::insert(connection, task_id, NewEvent::by(EventKind::Frozen, actor, reason), now).await?;
        }
    }
    Ok(())
}

/// Unfreezes a project and lets its tasks go on, those that are not paused; false when it was not frozen.
pub async fn release_project(
    connection: &mut Connection,
    project_id: &ProjectId,
    actor: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    if !project_limit::set_unfrozen(connection, project_id).await? {
        return Ok(false);
    }
    for task_id in open_tasks(connection, project_id).await? {
        let mut live = wave::lock(connection, task_id, &[]).await?;
        let Some(facts) = task::facts(connection, task_id).await? else { continue };
        event::insert(connection, task_id, NewEvent::by(EventKind::Unfrozen, actor, ""), now).await?;
        if !facts.is_paused {
            release(connection, task_id, &facts, &mut live, now).await?;
        }
    }
    Ok(true)
}

/// Tasks of frozen projects with something that is not held: whoever froze the project died before it was all done.
pub async fn unheld(connection: &mut Connection, limit: i64) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT k.task_id FROM project_freeze f JOIN task k USING (project_id)
         WHERE k.status IN ('WAITING', 'RUNNING')
           AND (EXISTS (SELECT FROM batch b WHERE b.task_id = k.task_id AND b.status = 'READY' AND NOT b.held)
                OR EXISTS (SELECT FROM straggler s WHERE s.task_id = k.task_id AND NOT s.held))
         LIMIT $1",
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Holds what is not held of a task whose project is frozen; false when there is nothing to hold, because it is not frozen or
/// the task admits no more: what is only asked for then must not wait for anybody.
pub async fn hold_frozen(connection: &mut Connection, task_id: TaskId) -> Result<bool, Error> {
    wave::lock(connection, task_id, &[]).await?;
    let facts = task::facts(connection, task_id).await?;
    if facts.is_none_or(|facts| !facts.is_frozen || facts.status.admits_no_more()) {
        return Ok(false);
    }
    hold(connection, task_id).await?;
    Ok(true)
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

/// Lets what was held be handed out again, with all of its delivery time. What is in a batch and has a window waits again:
/// the window may be closed by now. What may have been handed out in its window is asked for, and not started later.
async fn release(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    now: Timestamp,
) -> Result<(), Error> {
    let has_window = facts.policy.window.is_some();
    if has_window {
        let deadlines = deadline::of_target(now, &facts.timeouts, u32::from(facts.script_count));
        for Reclaimed { terms, members } in batch::take_held(connection, task_id).await? {
            let terms = BatchTerms { deadlines, ..terms };
            straggler::insert(connection, facts, live, &terms, None, &members).await?;
        }
    }
    let deliver_by = now + facts.timeouts.delivery;
    sqlx::query!(
        "UPDATE batch b SET held = false,
                deliver_by = CASE WHEN b.maybe_handed AND $3 THEN b.deliver_by ELSE greatest(b.deliver_by, $2) END,
                finish_by = b.finish_by + greatest($2 - b.deliver_by, interval '0')
         FROM (SELECT batch_id FROM batch WHERE task_id = $1 AND held ORDER BY batch_id FOR UPDATE) AS held
         WHERE b.task_id = $1 AND b.batch_id = held.batch_id",
        task_id.0,
        deliver_by,
        has_window,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE straggler SET held = false,
                deliver_by = CASE WHEN maybe_handed AND $3 THEN deliver_by ELSE greatest(deliver_by, $2) END,
                finish_by = finish_by + greatest($2 - deliver_by, interval '0')
         WHERE task_id = $1 AND held",
        task_id.0,
        deliver_by,
        has_window,
    )
    .execute(&mut *connection)
    .await?;
    settle_waiting(connection, task_id, facts, live, now).await?;
    for wake in [Wake::Cut, Wake::Ready, Wake::Presence] {
        notify::send(connection, wake).await?;
    }
    Ok(())
}

/// Tasks whose time is over, and that have not been stopped for it.
pub async fn expired(connection: &mut Connection, now: Timestamp, limit: i64) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT task_id FROM task
         WHERE expires_at <= $1 AND ended_at IS NULL AND status IN ('WAITING', 'RUNNING') ORDER BY expires_at LIMIT $2",
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}
