//! The newest record of each script on each desktop, as bits of tasks: a projection off the path of
//! execution.
//!
//! A trigger queues each task with its acceptance (`unprojected_task`). The projection sets all
//! bits of the task, and clears those of earlier tasks with the same script on the same desktop.
//! The outcome of a record plays no part, so that nothing has to be written when a target ends.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use domain::{
    Timestamp,
    ids::{ProjectId, TaskId},
    newest::{Search, TARGETS_PER_LOOKUP, TARGETS_PER_PART, search, slices},
};
use sqlx::{AssertSqlSafe, Connection as _};
use uuid::Uuid;

use crate::{
    Connection, Error,
    codec::{count, text_id},
};

/// First part of the advisory lock of a project's projection, an arbitrary number.
const LOCK: i32 = 0x6772_6179;
/// Number of tasks that one reader projects at most.
const TASKS_PER_READ: i64 = 100;
/// Number of targets that one reader projects at most. More of them are left to the loop.
const TARGETS_PER_READ: i64 = 2_000;
/// Time after which one reader begins no further task.
const READ_WITHIN: Duration = Duration::from_secs(1);
/// Time limits of a reader's statements: it answers without the waiting tasks rather than late.
const READ_LIMITS: &str =
    "SELECT set_config('lock_timeout', '200ms', true), set_config('statement_timeout', '1s', true)";

/// Tasks whose records the lists over tasks do not show yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Number of tasks.
    pub tasks: u64,
    /// Since when the first of them waits; `None` without one.
    pub waits_since: Option<Timestamp>,
}

/// Reads the backlog of all projects.
pub async fn backlog(connection: &mut Connection) -> Result<Backlog, Error> {
    let row =
        sqlx::query!(r#"SELECT count(*) AS "tasks!", min(waits_since) AS waits_since FROM unprojected_task"#)
            .fetch_one(connection)
            .await?;
    Ok(Backlog { tasks: count("unprojected_task", row.tasks)?, waits_since: row.waits_since })
}

/// Lists projects with a backlog. Tasks whose next attempt is later do not count.
pub(crate) async fn projects(
    connection: &mut Connection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<ProjectId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT DISTINCT project_id FROM unprojected_task WHERE retry_at IS NULL OR retry_at <= $1 LIMIT $2",
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    ids.into_iter().map(|id| text_id("unprojected_task", id)).collect()
}

/// Returns the next task of a project to project: the oldest one that has not failed, or else one
/// that failed and is due again.
pub(crate) async fn next(
    connection: &mut Connection,
    project_id: &ProjectId,
    now: Timestamp,
) -> Result<Option<TaskId>, Error> {
    let id = sqlx::query_scalar!(
        r#"SELECT task_id AS "task_id!" FROM (
               (SELECT task_id, 0 AS rank FROM unprojected_task WHERE project_id = $1 AND retry_at IS NULL
                ORDER BY task_id LIMIT 1)
               UNION ALL
               (SELECT task_id, 1 FROM unprojected_task WHERE project_id = $1 AND retry_at <= $2
                ORDER BY retry_at LIMIT 1)) AS waiting
           ORDER BY rank LIMIT 1"#,
        project_id.as_str(),
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(id.map(TaskId))
}

/// Postpones a task whose projection failed. The other tasks of its project go first.
pub(crate) async fn postpone(
    connection: &mut Connection,
    task_id: TaskId,
    retry_at: Timestamp,
) -> Result<(), Error> {
    sqlx::query!("UPDATE unprojected_task SET retry_at = $2 WHERE task_id = $1", task_id.0, retry_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Projects a task in its own transaction. Returns false if another process projects tasks of the
/// project.
pub(crate) async fn project_task(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_id: TaskId,
) -> Result<bool, Error> {
    let mut tx = connection.begin().await?;
    if !try_lock(&mut tx, project_id.as_str()).await? {
        return Ok(false);
    }
    project(&mut tx, project_id, task_id).await?;
    tx.commit().await?;
    Ok(true)
}

/// Projects small waiting tasks of a project before a list: so a list shows a small task from its
/// acceptance on, except behind many of them. Work that takes long is left to the loop.
pub(crate) async fn catch_up(connection: &mut Connection, project_id: &ProjectId) -> Result<(), Error> {
    let is_waiting = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM unprojected_task u JOIN task k USING (task_id)
               WHERE u.project_id = $1 AND retry_at IS NULL AND target_count <= $2::int8) AS "is_waiting!""#,
        project_id.as_str(),
        TARGETS_PER_READ,
    );
    if !is_waiting.fetch_one(&mut *connection).await? {
        return Ok(());
    }
    let mut tx = connection.begin().await?;
    match project_small(&mut tx, project_id).await {
        Ok(()) => Ok(tx.commit().await?),
        Err(error) if error.is_of_transaction() => Ok(tx.rollback().await?),
        Err(error) => Err(error),
    }
}

/// Projects waiting tasks of a project, oldest first, until the number of targets of one reader is
/// reached. Needs a transaction of its own, because its time limits stay until the end.
async fn project_small(connection: &mut Connection, project_id: &ProjectId) -> Result<(), Error> {
    sqlx::query(READ_LIMITS).execute(&mut *connection).await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1, hashtext($2))", LOCK, project_id.as_str())
        .execute(&mut *connection)
        .await?;
    let ids = sqlx::query_scalar!(
        r#"SELECT task_id AS "task_id!" FROM (
               SELECT task_id, sum(target_count) OVER (ORDER BY task_id) AS until FROM (
                   SELECT task_id, target_count FROM unprojected_task u JOIN task k USING (task_id)
                   WHERE u.project_id = $1 AND retry_at IS NULL AND target_count <= $2::int8
                   ORDER BY task_id LIMIT $3) AS small) AS waiting
           WHERE until <= $2::int8 ORDER BY task_id"#,
        project_id.as_str(),
        TARGETS_PER_READ,
        TASKS_PER_READ,
    )
    .fetch_all(&mut *connection)
    .await?;
    let began = Instant::now();
    for task_id in ids {
        if began.elapsed() > READ_WITHIN {
            break;
        }
        project(connection, project_id, TaskId(task_id)).await?;
    }
    Ok(())
}

async fn try_lock(connection: &mut Connection, project_id: &str) -> Result<bool, Error> {
    let is_mine = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock($1, hashtext($2)) AS "is_mine!""#,
        LOCK,
        project_id
    );
    Ok(is_mine.fetch_one(connection).await?)
}

/// Takes the locks of the projections of these tasks' projects until the end of the transaction, in
/// one order.
pub(crate) async fn lock_projects(connection: &mut Connection, task_ids: &[Uuid]) -> Result<(), Error> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock($1, key) FROM (
             SELECT DISTINCT hashtext(project_id) AS key FROM task WHERE task_id = ANY($2) ORDER BY key) AS keys",
        LOCK,
        task_ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Queues tasks again, because their bits may be wrong.
pub(crate) async fn queue(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_ids: &[TaskId],
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO unprojected_task (task_id, project_id, waits_since)
         SELECT task_id, project_id, $3 FROM task WHERE project_id = $1 AND task_id = ANY($2)
         ON CONFLICT (task_id) DO NOTHING",
        project_id.as_str(),
        &task_ids.iter().map(|id| id.0).collect::<Vec<_>>(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the bits of a task, and clears the bits that it makes wrong. Works in any order of tasks,
/// and again. Needs the lock of the project.
async fn project(connection: &mut Connection, project_id: &ProjectId, task_id: TaskId) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO newest_record (project_id, task_id, part, newest)
         SELECT k.project_id, k.task_id, part,
                repeat('1', least($2, k.target_count - part * $2) * k.script_count)::varbit
         FROM task k, generate_series(0, (k.target_count - 1) / $2) AS part WHERE k.task_id = $1
         ON CONFLICT (project_id, task_id, part) DO UPDATE SET newest = excluded.newest",
        task_id.0,
        TARGETS_PER_PART,
    )
    .execute(&mut *connection)
    .await?;
    clear_shared(connection, project_id, task_id).await?;
    sqlx::query!("DELETE FROM unprojected_task WHERE task_id = $1", task_id.0).execute(connection).await?;
    Ok(())
}

/// The bits to clear in one part of a task: 1 for each of them.
type Mask = (Uuid, i32, String);

/// Clears the bits of records that a later one replaces: of earlier tasks by this one, and of this
/// task by later ones. Slices bound the work of one statement, so that none of them times out.
async fn clear_shared(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_id: TaskId,
) -> Result<(), Error> {
    let own = sqlx::query_scalar!("SELECT target_count FROM task WHERE task_id = $1", task_id.0)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(own) = own else { return Ok(()) };
    let (pairs, others) = match search(own.into(), None) {
        Some(_) => (Vec::new(), None),
        None => {
            let pairs = pairs(connection, project_id, task_id).await?;
            let others = pairs.iter().map(|(_, target_count)| i64::from(*target_count)).sum();
            (pairs, Some(others))
        }
    };
    match search(own.into(), others) {
        Some(Search::ByTask) => {
            for slice in slices(&pairs) {
                let ids: Vec<Uuid> = slice.iter().map(|(task_id, _)| *task_id).collect();
                let masks = shared(connection, project_id, task_id, 0..own, Some(&ids)).await?;
                clear(connection, project_id, &masks).await?;
            }
        }
        Some(Search::ByDesktop) | None => {
            let mut from = 0;
            while from < own {
                let until = own.min(from.saturating_add(TARGETS_PER_LOOKUP));
                let masks = shared(connection, project_id, task_id, from..until, None).await?;
                clear(connection, project_id, &masks).await?;
                from = until;
            }
        }
    }
    Ok(())
}

/// Finds the bits to clear for some targets of a task: by all targets of other tasks, or by a
/// lookup of each desktop without them.
async fn shared(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_id: TaskId,
    ordinals: Range<i32>,
    others: Option<&[Uuid]>,
) -> Result<Vec<Mask>, Error> {
    let targets = if others.is_some() {
        "unnest($3::uuid[]) AS p (task_id) CROSS JOIN LATERAL (
             SELECT o.task_id, o.ordinal, o.desktop_id FROM target o WHERE o.task_id = p.task_id OFFSET 0) AS o
         JOIN target t ON t.desktop_id = o.desktop_id"
    } else {
        "target t CROSS JOIN LATERAL (
             SELECT o.task_id, o.ordinal FROM target o
             WHERE o.desktop_id = t.desktop_id AND o.task_id <> $1 AND $3::uuid[] IS NULL OFFSET 0) AS o"
    };
    // The laterals fix the order of the joins. All other joins hash: statistics of a new task are
    // always wrong, and a nested loop over them would be quadratic.
    sqlx::query("SET LOCAL enable_nestloop = off").execute(&mut *connection).await?;
    let masks: Vec<Mask> = sqlx::query_as(AssertSqlSafe(format!(
        "WITH shared AS MATERIALIZED (
             SELECT o.task_id, o.ordinal AS other_ordinal, t.ordinal FROM {targets}
             WHERE t.task_id = $1 AND t.ordinal >= $4 AND t.ordinal < $5),
         -- The scripts that each of the other tasks has in common with this one, by the place in
         -- the earlier of both.
         common AS MATERIALIZED (
             SELECT o.task_id, s.script, s.script_count, s.is_earlier,
                    repeat('0', {TARGETS_PER_PART} * s.script_count)::varbit AS zeros
             FROM (SELECT DISTINCT task_id FROM shared) AS o CROSS JOIN LATERAL (
                 SELECT CASE WHEN o.task_id < $1 THEN os.script ELSE ns.script END AS script,
                        CASE WHEN o.task_id < $1 THEN k.script_count ELSE own.script_count END AS script_count,
                        o.task_id < $1 AS is_earlier
                 FROM task_script os JOIN task_script ns ON ns.script_id = os.script_id AND ns.task_id = $1
                 JOIN task k ON k.task_id = os.task_id AND k.project_id = $2
                 JOIN task own ON own.task_id = ns.task_id
                 WHERE os.task_id = o.task_id OFFSET 0) AS s),
         replaced AS (
             SELECT CASE WHEN c.is_earlier THEN c.task_id ELSE $1 END AS task_id,
                    CASE WHEN c.is_earlier THEN s.other_ordinal ELSE s.ordinal END AS ordinal,
                    c.script, c.script_count, c.zeros
             FROM shared s JOIN common c ON c.task_id = s.task_id)
         SELECT task_id, ordinal / {TARGETS_PER_PART},
                bit_or(set_bit(zeros, ordinal % {TARGETS_PER_PART} * script_count + script, 1))::text
         FROM replaced GROUP BY 1, 2"
    )))
    .bind(task_id.0)
    .bind(project_id.as_str())
    .bind(others)
    .bind(ordinals.start)
    .bind(ordinals.end)
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query("SET LOCAL enable_nestloop = on").execute(connection).await?;
    Ok(masks)
}

/// Finds the tasks that share a script with this one, with their numbers of targets: the later
/// ones, and the earlier ones with bits.
async fn pairs(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_id: TaskId,
) -> Result<Vec<(Uuid, i32)>, Error> {
    let rows = sqlx::query!(
        "SELECT DISTINCT o.task_id, k.target_count
         FROM task_script n JOIN task_script o ON o.script_id = n.script_id AND o.task_id <> n.task_id
         JOIN task k ON k.task_id = o.task_id AND k.project_id = $2
         WHERE n.task_id = $1
           AND (o.task_id > $1
                OR EXISTS (SELECT FROM newest_record r WHERE r.project_id = $2 AND r.task_id = o.task_id))",
        task_id.0,
        project_id.as_str(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.task_id, row.target_count)).collect())
}

/// Clears the bits of masks, and deletes parts without a bit.
async fn clear(connection: &mut Connection, project_id: &ProjectId, masks: &[Mask]) -> Result<(), Error> {
    if masks.is_empty() {
        return Ok(());
    }
    let task_ids: Vec<Uuid> = masks.iter().map(|mask| mask.0).collect();
    let parts: Vec<i32> = masks.iter().map(|mask| mask.1).collect();
    let texts: Vec<String> = masks.iter().map(|mask| mask.2.clone()).collect();
    sqlx::query!(
        "UPDATE newest_record r SET newest = r.newest & ~substring(m.mask::varbit FROM 1 FOR length(r.newest))
         FROM unnest($2::uuid[], $3::int4[], $4::text[]) AS m (task_id, part, mask)
         WHERE r.project_id = $1 AND r.task_id = m.task_id AND r.part = m.part",
        project_id.as_str(),
        &task_ids,
        &parts,
        &texts,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM newest_record r USING unnest($2::uuid[], $3::int4[]) AS m (task_id, part)
         WHERE r.project_id = $1 AND r.task_id = m.task_id AND r.part = m.part AND r.records = 0",
        project_id.as_str(),
        &task_ids,
        &parts,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the bits of tasks that are about to be deleted. Earlier tasks that shared a script with
/// them are queued: their records may become the newest again. Needs the locks of the projects.
pub(crate) async fn delete(connection: &mut Connection, task_ids: &[Uuid]) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO unprojected_task (task_id, project_id, waits_since)
         SELECT DISTINCT o.task_id, k.project_id, k.created_at
         FROM task k JOIN task_script n USING (task_id)
         JOIN task_script o ON o.script_id = n.script_id AND o.task_id < n.task_id AND o.task_id <> ALL ($1)
         JOIN task e ON e.task_id = o.task_id AND e.project_id = k.project_id
         WHERE k.task_id = ANY($1)
           -- A waiting task has no bits yet, but those that it replaces may be cleared already.
           AND (EXISTS (SELECT FROM newest_record r WHERE r.project_id = k.project_id AND r.task_id = k.task_id)
                OR EXISTS (SELECT FROM unprojected_task u WHERE u.task_id = k.task_id))
         ON CONFLICT (task_id) DO NOTHING",
        task_ids
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM newest_record r USING task k
         WHERE k.task_id = ANY($1) AND r.project_id = k.project_id AND r.task_id = k.task_id",
        task_ids
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("DELETE FROM unprojected_task WHERE task_id = ANY($1)", task_ids)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes the bits of a project without a task. Returns the number of parts; 0 while another
/// process projects tasks of the project.
pub(crate) async fn delete_orphans(connection: &mut Connection, project_id: &str) -> Result<u64, Error> {
    let mut tx = connection.begin().await?;
    if !try_lock(&mut tx, project_id).await? {
        return Ok(0);
    }
    let deleted = sqlx::query!(
        "DELETE FROM newest_record r
         WHERE r.project_id = $1 AND NOT EXISTS (SELECT FROM task k WHERE k.task_id = r.task_id)",
        project_id
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}

/// Returns an id between those of the oldest and the newest task, at this share of 65,535 of the
/// way; `None` without a task.
pub(crate) async fn id_between(connection: &mut Connection, share: u16) -> Result<Option<Uuid>, Error> {
    let row = sqlx::query!(
        "SELECT (SELECT task_id FROM task ORDER BY task_id LIMIT 1) AS oldest,
                (SELECT task_id FROM task ORDER BY task_id DESC LIMIT 1) AS newest"
    )
    .fetch_one(connection)
    .await?;
    Ok(row.oldest.zip(row.newest).map(|(oldest, newest)| {
        let [oldest, newest] = [oldest, newest].map(|id| id.as_u128());
        Uuid::from_u128(oldest + (newest - oldest) / u128::from(u16::MAX) * u128::from(share))
    }))
}

/// Compares the bits of one part with the targets. Returns the task if they differ and no task of
/// its project waits. `from` chooses the task: the first one from there on; `share` of
/// 65,536 chooses its part.
pub(crate) async fn check(
    connection: &mut Connection,
    from: Uuid,
    share: u16,
) -> Result<Option<(ProjectId, TaskId)>, Error> {
    let differing = sqlx::query!(
        r#"WITH chosen AS MATERIALIZED (
               SELECT task_id, project_id, script_count, target_count,
                      ((target_count - 1) / $3 + 1) * $2 / 65536 AS part
               FROM task WHERE task_id >= $1 ORDER BY task_id LIMIT 1),
           actual AS (
               SELECT string_agg(CASE WHEN ts.script_id IS NOT NULL AND EXISTS (
                          SELECT FROM target later JOIN task_script ls ON ls.task_id = later.task_id
                              AND ls.script_id = ts.script_id
                          JOIN task lk ON lk.task_id = later.task_id AND lk.project_id = c.project_id
                          WHERE later.desktop_id = t.desktop_id AND later.task_id > c.task_id) THEN '0' ELSE '1' END,
                      '' ORDER BY t.ordinal, ts.script) AS bits
               FROM chosen c JOIN target t ON t.task_id = c.task_id
                   AND t.ordinal >= c.part * $3 AND t.ordinal < (c.part + 1) * $3
               JOIN task_script ts ON ts.task_id = c.task_id)
           SELECT c.task_id, c.project_id FROM chosen c CROSS JOIN actual a
           LEFT JOIN newest_record r ON r.project_id = c.project_id AND r.task_id = c.task_id AND r.part = c.part
           WHERE coalesce(r.newest::text, repeat('0', length(a.bits))) <> a.bits
             AND NOT EXISTS (SELECT FROM unprojected_task u WHERE u.project_id = c.project_id)"#,
        from,
        i32::from(share),
        TARGETS_PER_PART,
    )
    .fetch_optional(connection)
    .await?;
    differing.map(|row| Ok((text_id("task", row.project_id)?, TaskId(row.task_id)))).transpose()
}
