//! Stores changes of deferred targets.

use domain::{
    Timestamp,
    deadline::{BUSY_WAIT, Deadlines},
    ids::{ProjectId, TaskId},
};
use engine::{DeferredChanges, row::NewDeferred};

use crate::{
    Connection, Error,
    codec::{int2, int4},
};

/// Applies changes to a task's deferred targets under the waves' locks: existing rows first, then
/// new ones.
pub(crate) async fn apply(
    connection: &mut Connection,
    task_id: TaskId,
    project_id: &ProjectId,
    changes: &DeferredChanges,
) -> Result<(), Error> {
    let DeferredChanges { delete, withdraw, suspend, release, set_deadlines, insert } = changes;
    if !delete.is_empty() {
        let ordinals: Vec<i32> = delete.iter().map(|&ordinal| int4(ordinal)).collect();
        sqlx::query!(
            "DELETE FROM deferred_target WHERE task_id = $1 AND ordinal = ANY($2)",
            task_id.0,
            &ordinals
        )
        .execute(&mut *connection)
        .await?;
    }
    if !withdraw.is_empty() {
        withdraw_waves(connection, task_id, withdraw).await?;
    }
    if *suspend {
        sqlx::query!(
            "UPDATE deferred_target SET suspended = true WHERE task_id = $1 AND NOT suspended",
            task_id.0
        )
        .execute(&mut *connection)
        .await?;
    }
    set(connection, task_id, release, false).await?;
    set(connection, task_id, set_deadlines, true).await?;
    store(connection, task_id, project_id, insert).await
}

/// Deletes undelivered targets. The remaining ones are only queried, so their suspension ends.
async fn withdraw_waves(connection: &mut Connection, task_id: TaskId, waves: &[u16]) -> Result<(), Error> {
    let waves: Vec<i16> = waves.iter().map(|&wave| int2(wave)).collect();
    sqlx::query!(
        "DELETE FROM deferred_target WHERE task_id = $1 AND wave = ANY($2) AND NOT maybe_delivered",
        task_id.0,
        &waves,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE deferred_target SET suspended = false WHERE task_id = $1 AND wave = ANY($2) AND suspended",
        task_id.0,
        &waves,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets deadlines. This ends a suspension unless `keeps_hold`.
async fn set(
    connection: &mut Connection,
    task_id: TaskId,
    deadlines: &[(u32, Deadlines)],
    keeps_hold: bool,
) -> Result<(), Error> {
    if deadlines.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE deferred_target s SET suspended = suspended AND $5, deliver_by = n.deliver_by, finish_by = n.finish_by,
             -- A released target has its whole time again.
             wait_until = CASE WHEN $5 THEN s.wait_until ELSE greatest(s.wait_until, n.wait_until) END
         FROM unnest($2::int4[], $3::timestamptz[], $4::timestamptz[], $6::timestamptz[])
              AS n (ordinal, deliver_by, finish_by, wait_until)
         WHERE s.task_id = $1 AND s.ordinal = n.ordinal",
        task_id.0,
        &deadlines.iter().map(|(ordinal, _)| int4(*ordinal)).collect::<Vec<_>>(),
        &deadlines.iter().map(|(_, deadlines)| deadlines.deliver_by).collect::<Vec<_>>(),
        &deadlines.iter().map(|(_, deadlines)| deadlines.finish_by).collect::<Vec<_>>(),
        keeps_hold,
        &deadlines.iter().map(|(_, deadlines)| deadlines.deliver_by + BUSY_WAIT).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn store(
    connection: &mut Connection,
    task_id: TaskId,
    project_id: &ProjectId,
    deferred: &[NewDeferred],
) -> Result<(), Error> {
    if deferred.is_empty() {
        return Ok(());
    }
    let flags = |of: fn(&NewDeferred) -> bool| -> Vec<bool> { deferred.iter().map(of).collect() };
    let times = |of: fn(&NewDeferred) -> Timestamp| -> Vec<Timestamp> { deferred.iter().map(of).collect() };
    let started = || deferred.iter().map(|new| new.member.started);
    sqlx::query!(
        "INSERT INTO deferred_target (task_id, ordinal, project_id, desktop_id, agent_id, wave, maybe_delivered, worker_deaths, deliver_by,
                                finish_by, suspended, not_before, wait_until, started_script, started_at)
         SELECT $1, ordinal, $2, desktop_id, agent_id, wave, maybe_delivered, worker_deaths, deliver_by, finish_by, suspended, not_before,
                wait_until, started_script, started_at
         FROM unnest($3::int4[], $4::text[], $5::text[], $6::int2[], $7::bool[], $8::int2[], $9::timestamptz[],
                     $10::timestamptz[], $11::bool[], $12::timestamptz[], $13::timestamptz[], $14::int2[], $15::timestamptz[])
              AS n (ordinal, desktop_id, agent_id, wave, maybe_delivered, worker_deaths, deliver_by, finish_by, suspended, not_before,
                    wait_until, started_script, started_at)",
        task_id.0,
        project_id.as_str(),
        &deferred.iter().map(|new| int4(new.member.ordinal)).collect::<Vec<_>>(),
        &deferred.iter().map(|new| new.member.desktop_id.as_str().to_owned()).collect::<Vec<_>>(),
        &deferred.iter().map(|new| new.member.agent_id.clone()).collect::<Vec<_>>(),
        &deferred.iter().map(|new| int2(new.terms.wave)).collect::<Vec<_>>(),
        &flags(|new| new.terms.maybe_delivered),
        &deferred.iter().map(|new| int2(new.terms.worker_deaths)).collect::<Vec<_>>(),
        &times(|new| new.terms.deadlines.deliver_by),
        &times(|new| new.terms.deadlines.finish_by),
        &flags(|new| new.suspended),
        &deferred.iter().map(|new| new.not_before).collect::<Vec<_>>() as &[Option<Timestamp>],
        &times(|new| new.terms.wait_until),
        &started().map(|it| it.map(|it| int2(it.script))).collect::<Vec<_>>() as &[Option<i16>],
        &started().map(|it| it.map(|it| it.at)).collect::<Vec<_>>() as &[Option<Timestamp>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
