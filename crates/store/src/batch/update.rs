//! Stores changes of batches.

use domain::{
    Timestamp,
    batching::Member,
    deadline::BUSY_WAIT,
    ids::{BatchId, TaskId},
};
use engine::{BatchChanges, StopMark, row::NewBatch};
use uuid::Uuid;

use super::started;
use crate::{
    Connection, Error,
    codec::{int2, int4},
};

/// Applies changes to a task's batches: existing rows first, then new ones.
pub(crate) async fn apply(
    connection: &mut Connection,
    task_id: TaskId,
    changes: &BatchChanges,
    now: Timestamp,
) -> Result<(), Error> {
    let BatchChanges { delete, keep, results, query_only, suspend_ready, release, stop, insert } = changes;
    if !delete.is_empty() {
        let ids = raw_ids(delete.iter());
        sqlx::query!("DELETE FROM batch WHERE task_id = $1 AND batch_id = ANY($2)", task_id.0, &ids)
            .execute(&mut *connection)
            .await?;
    }
    if matches!(stop, StopMark::All) && !results.is_empty() {
        lock_all(connection, task_id).await?;
    }
    for (batch_id, members) in keep {
        keep_members(connection, task_id, *batch_id, members).await?;
    }
    count_results(connection, task_id, results).await?;
    if !query_only.is_empty() {
        let ids = raw_ids(query_only.iter());
        sqlx::query!(
            "UPDATE batch SET query_only = true, suspended = false WHERE task_id = $1 AND batch_id = ANY($2)",
            task_id.0,
            &ids
        )
        .execute(&mut *connection)
        .await?;
    }
    if *suspend_ready {
        suspend(connection, task_id).await?;
    }
    if !release.is_empty() {
        sqlx::query!(
            "UPDATE batch b SET suspended = false, deliver_by = n.deliver_by, finish_by = n.finish_by,
                 -- A released target has its whole time again.
                 wait_until = greatest(b.wait_until, n.wait_until)
             FROM unnest($2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[])
                  AS n (batch_id, deliver_by, finish_by, wait_until)
             WHERE b.task_id = $1 AND b.batch_id = n.batch_id",
            task_id.0,
            &raw_ids(release.iter().map(|(batch_id, _)| batch_id)),
            &release.iter().map(|(_, deadlines)| deadlines.deliver_by).collect::<Vec<_>>(),
            &release.iter().map(|(_, deadlines)| deadlines.finish_by).collect::<Vec<_>>(),
            &release.iter().map(|(_, deadlines)| deadlines.deliver_by + BUSY_WAIT).collect::<Vec<_>>(),
        )
        .execute(&mut *connection)
        .await?;
    }
    mark(connection, task_id, *stop).await?;
    store(connection, task_id, insert, now).await
}

fn raw_ids<'a>(ids: impl Iterator<Item = &'a BatchId>) -> Vec<Uuid> {
    ids.map(|batch_id| batch_id.0).collect()
}

async fn keep_members(
    connection: &mut Connection,
    task_id: TaskId,
    batch_id: BatchId,
    members: &[Member],
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE batch SET ordinals = $3, desktop_ids = $4, agent_ids = $5 WHERE task_id = $1 AND batch_id = $2",
        task_id.0,
        batch_id.0,
        &members.iter().map(|member| int4(member.ordinal)).collect::<Vec<_>>(),
        &members.iter().map(|member| member.desktop_id.as_str().to_owned()).collect::<Vec<_>>(),
        &members.iter().map(|member| member.agent_id.clone()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds results in the order of lease renewals. Deletes the batches in which every target has a
/// record, or awaits the return of its desktop.
async fn count_results(
    connection: &mut Connection,
    task_id: TaskId,
    results: &[(BatchId, u32)],
) -> Result<(), Error> {
    if results.is_empty() {
        return Ok(());
    }
    let full = sqlx::query_scalar!(
        "UPDATE batch b SET reported = reported + n.number
         FROM (SELECT b.batch_id, n.number
               FROM batch b JOIN unnest($2::uuid[], $3::int4[]) AS n (batch_id, number) USING (batch_id)
               WHERE b.task_id = $1 ORDER BY b.batch_id FOR UPDATE OF b) AS n
         WHERE b.task_id = $1 AND b.batch_id = n.batch_id
         RETURNING CASE WHEN b.reported >= cardinality(b.ordinals) THEN b.batch_id END",
        task_id.0,
        &raw_ids(results.iter().map(|(batch_id, _)| batch_id)),
        &results.iter().map(|(_, number)| int4(*number)).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let full: Vec<Uuid> = full.into_iter().flatten().collect();
    if full.is_empty() {
        return Ok(());
    }
    // `LIMIT 1` makes the planner look records up by their keys, also with old statistics.
    sqlx::query!(
        "DELETE FROM batch b WHERE task_id = $1 AND batch_id = ANY($2) AND (
             SELECT bool_and(r.task_id IS NOT NULL OR a.task_id IS NOT NULL) FROM unnest(b.ordinals) AS n (ordinal)
             LEFT JOIN LATERAL (SELECT task_id FROM record WHERE task_id = $1 AND ordinal = n.ordinal LIMIT 1) AS r ON true
             LEFT JOIN LATERAL (SELECT task_id FROM awaited_return
                                WHERE task_id = $1 AND ordinal = n.ordinal AND NOT resumed LIMIT 1) AS a
                 ON true)",
        task_id.0,
        &full,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Suspends every ready batch in the order of lease renewals. Waits for leases of these batches
/// that are in progress.
async fn suspend(connection: &mut Connection, task_id: TaskId) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE batch b SET suspended = true
         FROM (SELECT batch_id FROM batch WHERE task_id = $1 AND status = 'READY' ORDER BY batch_id FOR UPDATE) AS ready
         WHERE b.task_id = $1 AND b.batch_id = ready.batch_id",
        task_id.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks every batch of a task in the order of lease renewals, before results lock some of them and
/// a stop of the task the rest.
async fn lock_all(connection: &mut Connection, task_id: TaskId) -> Result<(), Error> {
    sqlx::query!("SELECT batch_id FROM batch WHERE task_id = $1 ORDER BY batch_id FOR UPDATE", task_id.0)
        .fetch_all(connection)
        .await?;
    Ok(())
}

/// Number of passes. A lease in progress that splits a batch hides the new part from the first
/// pass, which waits for it. The second pass sees the part.
const PASSES: usize = 2;

/// Marks batches with stopped targets, in the order of lease renewals.
async fn mark(connection: &mut Connection, task_id: TaskId, stop: StopMark) -> Result<(), Error> {
    let ordinal = match stop {
        StopMark::Nothing => return Ok(()),
        StopMark::Target(ordinal) => Some(int4(ordinal)),
        StopMark::All => None,
    };
    for _ in 0..PASSES {
        sqlx::query!(
            "UPDATE batch b SET stop = true
             FROM (SELECT batch_id FROM batch WHERE task_id = $1 AND NOT stop AND ($2::int4 IS NULL OR $2 = ANY(ordinals))
                   ORDER BY batch_id FOR UPDATE) AS running
             WHERE b.task_id = $1 AND b.batch_id = running.batch_id",
            task_id.0,
            ordinal,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Inserts new batches in one statement.
async fn store(
    connection: &mut Connection,
    task_id: TaskId,
    batches: &[NewBatch],
    now: Timestamp,
) -> Result<(), Error> {
    if batches.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = batches.iter().map(|_| Uuid::now_v7()).collect();
    let flags = |of: fn(&NewBatch) -> bool| -> Vec<bool> { batches.iter().map(of).collect() };
    let members =
        || batches.iter().zip(&ids).flat_map(|(batch, id)| batch.members.iter().map(move |it| (id, it)));
    sqlx::query!(
        "INSERT INTO batch (task_id, batch_id, wave, worker_id, ordinals, desktop_ids, agent_ids, status, maybe_delivered,
                            query_only, suspended, stop, deliver_by, finish_by, created_at, worker_deaths, wait_until, started)
         SELECT $1, b.batch_id, b.wave, b.worker_id, m.ordinals, m.desktop_ids, m.agent_ids, 'READY', b.maybe_delivered,
                b.query_only, b.suspended, b.stop, b.deliver_by, b.finish_by, $2, b.worker_deaths, b.wait_until, b.started
         FROM unnest($3::uuid[], $4::int2[], $5::text[], $6::bool[], $7::bool[], $8::bool[], $9::bool[],
                     $10::timestamptz[], $11::timestamptz[], $12::int2[], $17::timestamptz[], $18::jsonb[])
                  WITH ORDINALITY
                  AS b (batch_id, wave, worker_id, maybe_delivered, query_only, suspended, stop, deliver_by, finish_by, worker_deaths,
                        wait_until, started, place)
         JOIN (SELECT batch_id, array_agg(ordinal ORDER BY ordinal) AS ordinals,
                      array_agg(desktop_id ORDER BY ordinal) AS desktop_ids,
                      array_agg(agent_id ORDER BY ordinal) AS agent_ids
               FROM unnest($13::uuid[], $14::int4[], $15::text[], $16::text[])
                    AS m (batch_id, ordinal, desktop_id, agent_id)
               GROUP BY batch_id) AS m USING (batch_id)
         ORDER BY b.place",
        task_id.0,
        now,
        &ids,
        &batches.iter().map(|batch| int2(batch.terms.wave)).collect::<Vec<_>>(),
        &batches.iter().map(|batch| batch.worker_id.as_str().to_owned()).collect::<Vec<_>>(),
        &flags(|batch| batch.terms.maybe_delivered),
        &flags(|batch| batch.query_only),
        &flags(|batch| batch.suspended),
        &flags(|batch| batch.stop),
        &batches.iter().map(|batch| batch.terms.deadlines.deliver_by).collect::<Vec<_>>(),
        &batches.iter().map(|batch| batch.terms.deadlines.finish_by).collect::<Vec<_>>(),
        &batches.iter().map(|batch| int2(batch.terms.worker_deaths)).collect::<Vec<_>>(),
        &members().map(|(id, _)| *id).collect::<Vec<_>>(),
        &members().map(|(_, member)| int4(member.ordinal)).collect::<Vec<_>>(),
        &members().map(|(_, member)| member.desktop_id.as_str().to_owned()).collect::<Vec<_>>(),
        &members().map(|(_, member)| member.agent_id.clone()).collect::<Vec<_>>(),
        &batches.iter().map(|batch| batch.terms.wait_until).collect::<Vec<_>>(),
        &batches.iter().map(|batch| serde_json::json!(started::by_ordinal(&batch.members))).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
