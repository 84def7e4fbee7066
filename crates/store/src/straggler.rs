//! Stragglers: targets whose desktop was not reachable, or whose window was closed, when their place came; of the current
//! wave, or of one that was closed on a quorum.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::{
    Timestamp,
    cut::{Member, Placed},
    deadline::{Deadlines, HAND_OUT},
    ids::TaskId,
    suspect,
};
use uuid::Uuid;

use crate::{
    Connection, Error,
    batch::BatchTerms,
    task::TaskFacts,
    values::{count, int2, int4, text_id},
    wave::Live,
};

/// In this time a desktop has gone from one worker to another.
const RECONNECTS: TimeDelta = TimeDelta::seconds(30);

/// Stores stragglers, under the waves' locks. One that is there already stays as it is. They are held if their task is, and
/// wait for their window if that opens later.
pub async fn insert(
    connection: &mut Connection,
    facts: &TaskFacts,
    live: &mut Live,
    terms: &BatchTerms,
    not_before: Option<Timestamp>,
    members: &[Member],
) -> Result<(), Error> {
    let ordinals: Vec<i32> = members.iter().map(|member| int4(member.ordinal)).collect();
    let desktop_ids: Vec<String> =
        members.iter().map(|member| member.desktop_id.as_str().to_owned()).collect();
    let agent_ids: Vec<String> = members.iter().map(|member| member.agent_id.clone()).collect();
    let done = sqlx::query!(
        "INSERT INTO straggler (task_id, ordinal, project_id, desktop_id, wave, maybe_handed, deliver_by, finish_by, held,
                                not_before, losses, agent_id)
         SELECT $1, ordinal, $2, desktop_id, $3, $4, $5, $6, $9, $10, $11, agent_id
         FROM unnest($7::int4[], $8::text[], $12::text[]) AS m (ordinal, desktop_id, agent_id)
         ON CONFLICT (task_id, ordinal) DO NOTHING",
        terms.task_id.0,
        facts.project_id.as_str(),
        int2(terms.wave),
        terms.maybe_handed,
        terms.deadlines.deliver_by,
        terms.deadlines.finish_by,
        &ordinals,
        &desktop_ids,
        facts.is_held(),
        not_before,
        int2(terms.losses),
        &agent_ids,
    )
    .execute(&mut *connection)
    .await?;
    if !terms.maybe_handed {
        let number = u32::try_from(done.rows_affected()).unwrap_or(u32::MAX);
        live.wait(terms.wave, number);
        change_waiting(connection, terms.task_id, &[(terms.wave, i64::from(number))]).await?;
    }
    Ok(())
}

/// Changes how many targets of waves wait for their desktops.
async fn change_waiting(
    connection: &mut Connection,
    task_id: TaskId,
    changes: &[(u16, i64)],
) -> Result<(), Error> {
    for &(wave, number) in changes.iter().filter(|(_, number)| *number != 0) {
        sqlx::query!(
            "UPDATE wave SET waiting = waiting + $3 WHERE task_id = $1 AND wave = $2",
            task_id.0,
            int2(wave),
            i32::try_from(number).unwrap_or(i32::MAX),
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Those of the waves and numbers that were certainly never handed out wait no more.
async fn wait_no_more(
    connection: &mut Connection,
    task_id: TaskId,
    live: &mut Live,
    unhanded: impl Iterator<Item = u16>,
) -> Result<(), Error> {
    let mut by_wave: BTreeMap<u16, u32> = BTreeMap::new();
    unhanded.for_each(|wave| *by_wave.entry(wave).or_default() += 1);
    for (&wave, &number) in &by_wave {
        live.wait_no_more(wave, number);
    }
    let changes: Vec<(u16, i64)> =
        by_wave.into_iter().map(|(wave, number)| (wave, -i64::from(number))).collect();
    change_waiting(connection, task_id, &changes).await
}

/// Stragglers that were taken out of their table. Those that were certainly never handed out wait no more.
async fn taken_out(
    connection: &mut Connection,
    task_id: TaskId,
    live: &mut Live,
    rows: Vec<Raw>,
) -> Result<Vec<Taken>, Error> {
    let taken = rows.into_iter().map(|row| row.taken(task_id)).collect::<Result<Vec<_>, _>>()?;
    let unhanded = taken.iter().filter(|taken| !taken.terms.maybe_handed).map(|taken| taken.terms.wave);
    wait_no_more(connection, task_id, live, unhanded).await?;
    Ok(taken)
}

/// Tasks with stragglers that may be handed out now because their desktop is connected, and was so before their deadline;
/// each with those ordinals; at most `limit` stragglers.
pub async fn reachable(
    connection: &mut Connection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<(TaskId, Vec<u32>)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT task_id, array_agg(ordinal) AS "ordinals!" FROM (
               SELECT s.task_id, s.ordinal FROM straggler s
               JOIN desktop d USING (project_id, desktop_id)
               JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
               WHERE NOT s.held AND (s.not_before IS NULL OR s.not_before <= $2)
                 AND (s.maybe_handed OR d.presence_at < s.deliver_by) AND s.losses < $3
               LIMIT $1) AS found
           GROUP BY task_id"#,
        limit,
        now,
        int2(suspect::ISOLATED_AFTER),
    )
    .fetch_all(connection)
    .await?;
    by_task(rows.into_iter().map(|row| (row.task_id, row.ordinals)))
}

fn by_task(rows: impl Iterator<Item = (Uuid, Vec<i32>)>) -> Result<Vec<(TaskId, Vec<u32>)>, Error> {
    rows.map(|(task_id, ordinals)| {
        let ordinals =
            ordinals.iter().map(|&ordinal| count("straggler", ordinal)).collect::<Result<_, _>>()?;
        Ok((TaskId(task_id), ordinals))
    })
    .collect()
}

/// A straggler taken out of its table.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What its cut said of it.
    pub terms: BatchTerms,
    /// With the worker that holds its desktop now.
    pub placed: Placed,
}

struct Raw {
    ordinal: i32,
    desktop_id: String,
    wave: i16,
    maybe_handed: bool,
    losses: i16,
    deliver_by: Timestamp,
    finish_by: Timestamp,
    /// Of the agent that may have started it.
    handed_to: String,
    worker_id: Option<String>,
    time_zone: Option<String>,
    agent_id: Option<String>,
}

impl Raw {
    fn taken(self, task_id: TaskId) -> Result<Taken, Error> {
        Ok(Taken {
            terms: BatchTerms {
                task_id,
                wave: count("straggler", self.wave)?,
                deadlines: Deadlines { deliver_by: self.deliver_by, finish_by: self.finish_by },
                maybe_handed: self.maybe_handed,
                losses: count("straggler", self.losses)?,
            },
            placed: Placed {
                ordinal: count("straggler", self.ordinal)?,
                desktop_id: text_id("straggler", self.desktop_id)?,
                worker_id: self.worker_id.map(|id| text_id("worker", id)).transpose()?,
                time_zone: self.time_zone.unwrap_or_default(),
                agent_id: self.agent_id.unwrap_or_default(),
                handed_to: self.maybe_handed.then_some(self.handed_to),
            },
        })
    }
}

/// Takes stragglers out that may be handed out now because their desktop is connected, under the waves' locks. Of a wave,
/// in the order of the plan and at most `room` of those that hold no place yet.
pub async fn take_reachable(
    connection: &mut Connection,
    task_id: TaskId,
    live: &mut Live,
    wave: u16,
    room: u32,
    now: Timestamp,
) -> Result<Vec<Taken>, Error> {
    let rows = sqlx::query_as!(
        Raw,
        r#"DELETE FROM straggler s USING (
             SELECT c.ordinal, w.worker_id, d.time_zone, d.agent_id
             FROM (
                 SELECT s.ordinal, s.project_id, s.desktop_id, s.maybe_handed,
                        row_number() OVER (PARTITION BY s.maybe_handed ORDER BY s.ordinal) AS place
                 FROM straggler s
                 JOIN desktop d USING (project_id, desktop_id)
                 JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
                 WHERE s.task_id = $1 AND s.wave = $2 AND NOT s.held AND (s.not_before IS NULL OR s.not_before <= $4)
                   AND (s.maybe_handed OR d.presence_at < s.deliver_by) AND s.losses < $5
             ) AS c
             JOIN desktop d USING (project_id, desktop_id)
             JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
             WHERE c.maybe_handed OR c.place <= $3
         ) AS now_there
         WHERE s.task_id = $1 AND s.ordinal = now_there.ordinal
         RETURNING s.ordinal, s.desktop_id, s.wave, s.maybe_handed, s.losses, s.deliver_by, s.finish_by,
                   s.agent_id AS handed_to, now_there.worker_id AS "worker_id?", now_there.time_zone AS "time_zone?",
                   now_there.agent_id AS "agent_id?""#,
        task_id.0,
        int2(wave),
        i64::from(room),
        now,
        int2(suspect::ISOLATED_AFTER),
    )
    .fetch_all(&mut *connection)
    .await?;
    taken_out(connection, task_id, live, rows).await
}

/// Tasks with stragglers past their deadline, but for those that are held; each with those ordinals; at most `limit`
/// stragglers. Results are missed only up to `heard`.
pub async fn overdue(
    connection: &mut Connection,
    now: Timestamp,
    heard: Timestamp,
    limit: i64,
) -> Result<Vec<(TaskId, Vec<u32>)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT task_id, array_agg(ordinal) AS "ordinals!" FROM (
               SELECT task_id, ordinal FROM straggler
               WHERE deliver_by <= $1 AND NOT held AND (NOT maybe_handed OR finish_by <= $2)
               LIMIT $3) AS found
           GROUP BY task_id"#,
        now,
        heard,
        limit,
    )
    .fetch_all(connection)
    .await?;
    by_task(rows.into_iter().map(|row| (row.task_id, row.ordinals)))
}

/// Tasks with stragglers that only wait for a place and whose deadline is near; each with those ordinals; at most `limit`
/// stragglers.
pub async fn nearly_overdue(
    connection: &mut Connection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<(TaskId, Vec<u32>)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT task_id, array_agg(ordinal) AS "ordinals!" FROM (
               SELECT s.task_id, s.ordinal FROM straggler s JOIN desktop d USING (project_id, desktop_id)
               WHERE s.deliver_by <= $1 AND NOT s.maybe_handed AND NOT s.held
                 AND (s.not_before IS NULL OR s.not_before <= $2)
                 AND d.worker_id IS NOT NULL AND d.presence_at < s.deliver_by
               LIMIT $3) AS found
           GROUP BY task_id"#,
        now + RECONNECTS,
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    by_task(rows.into_iter().map(|row| (row.task_id, row.ordinals)))
}

/// Puts the deadline of those of the given stragglers off that only wait for a place, under the waves' locks: their desktop
/// was there before it, and is there. It is done a while before, so that a desktop that just then goes from one worker to
/// another is not too late.
pub async fn put_off(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[u32],
    now: Timestamp,
) -> Result<(), Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    sqlx::query!(
        "UPDATE straggler s SET deliver_by = $5, finish_by = s.finish_by + ($5 - s.deliver_by)
         FROM desktop d
         WHERE s.task_id = $1 AND s.ordinal = ANY($2) AND s.deliver_by <= $4 AND NOT s.maybe_handed AND NOT s.held
           AND (s.not_before IS NULL OR s.not_before <= $3)
           AND d.project_id = s.project_id AND d.desktop_id = s.desktop_id
           AND d.worker_id IS NOT NULL AND d.presence_at < s.deliver_by",
        task_id.0,
        &ordinals,
        now,
        now + RECONNECTS,
        now + HAND_OUT,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes those of the given stragglers out that are past their deadline, under the waves' locks.
pub async fn take_overdue(
    connection: &mut Connection,
    task_id: TaskId,
    live: &mut Live,
    ordinals: &[u32],
    now: Timestamp,
    heard: Timestamp,
) -> Result<Vec<Taken>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let rows = sqlx::query_as!(
        Raw,
        "DELETE FROM straggler
         WHERE task_id = $1 AND ordinal = ANY($2) AND deliver_by <= $3 AND NOT held AND (NOT maybe_handed OR finish_by <= $4)
         RETURNING ordinal, desktop_id, wave, maybe_handed, losses, deliver_by, finish_by, agent_id AS handed_to,
                   NULL::text AS worker_id, NULL::text AS time_zone, NULL::text AS agent_id",
        task_id.0,
        &ordinals,
        now,
        heard,
    )
    .fetch_all(&mut *connection)
    .await?;
    taken_out(connection, task_id, live, rows).await
}

/// Takes stragglers out that have a result by now, under the waves' locks.
pub async fn delete(
    connection: &mut Connection,
    task_id: TaskId,
    live: &mut Live,
    ordinals: &[u32],
) -> Result<(), Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let rows = sqlx::query!(
        "DELETE FROM straggler WHERE task_id = $1 AND ordinal = ANY($2) RETURNING wave, maybe_handed",
        task_id.0,
        &ordinals
    )
    .fetch_all(&mut *connection)
    .await?;
    let waves = rows.iter().filter(|row| !row.maybe_handed).map(|row| count("straggler", row.wave));
    let waves = waves.collect::<Result<Vec<u16>, _>>()?;
    wait_no_more(connection, task_id, live, waves.into_iter()).await
}

/// Takes one straggler out that was certainly never handed out, under its wave's lock; true when there was one.
pub async fn take_unhanded(
    connection: &mut Connection,
    task_id: TaskId,
    live: &mut Live,
    ordinal: u32,
) -> Result<bool, Error> {
    let wave = sqlx::query_scalar!(
        "DELETE FROM straggler WHERE task_id = $1 AND ordinal = $2 AND NOT maybe_handed RETURNING wave",
        task_id.0,
        int4(ordinal)
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(wave) = wave else { return Ok(false) };
    wait_no_more(connection, task_id, live, std::iter::once(count("straggler", wave)?)).await?;
    Ok(true)
}

/// Withdraws the stragglers of a wave of a task that is cut short that were certainly never handed out; returns how many.
/// The others are only asked what became of them, so nothing holds them.
pub async fn withdraw(connection: &mut Connection, task_id: TaskId, wave: u16) -> Result<u32, Error> {
    sqlx::query!(
        "UPDATE straggler SET held = false WHERE task_id = $1 AND wave = $2 AND held AND maybe_handed",
        task_id.0,
        int2(wave),
    )
    .execute(&mut *connection)
    .await?;
    let done = sqlx::query!(
        "DELETE FROM straggler WHERE task_id = $1 AND wave = $2 AND NOT maybe_handed",
        task_id.0,
        int2(wave),
    )
    .execute(&mut *connection)
    .await?;
    let number = u32::try_from(done.rows_affected()).unwrap_or(u32::MAX);
    change_waiting(connection, task_id, &[(wave, -i64::from(number))]).await?;
    Ok(number)
}

/// Deletes what is left of a task that ended.
pub async fn delete_of_task(connection: &mut Connection, task_id: TaskId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM straggler WHERE task_id = $1", task_id.0).execute(connection).await?;
    Ok(())
}
