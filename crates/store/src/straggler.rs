//! Stragglers: targets of an open wave whose desktop was not reachable when their place came.

use domain::{
    Timestamp,
    cut::{Member, Placed},
    deadline::Deadlines,
    ids::{ProjectId, TaskId},
};
use uuid::Uuid;

use crate::{
    Connection, Error,
    batch::BatchTerms,
    values::{count, int2, int4, text_id},
};

/// Stores stragglers. One that is there already stays as it is.
pub async fn insert(
    connection: &mut Connection,
    project_id: &ProjectId,
    terms: &BatchTerms,
    members: &[Member],
) -> Result<(), Error> {
    let ordinals: Vec<i32> = members.iter().map(|member| int4(member.ordinal)).collect();
    let desktop_ids: Vec<String> =
        members.iter().map(|member| member.desktop_id.as_str().to_owned()).collect();
    sqlx::query!(
        "INSERT INTO straggler (task_id, ordinal, project_id, desktop_id, wave, maybe_handed, deliver_by, finish_by)
         SELECT $1, ordinal, $2, desktop_id, $3, $4, $5, $6
         FROM unnest($7::int4[], $8::text[]) AS m (ordinal, desktop_id)
         ON CONFLICT (task_id, ordinal) DO NOTHING",
        terms.task_id.0,
        project_id.as_str(),
        int2(terms.wave),
        terms.maybe_handed,
        terms.deadlines.deliver_by,
        terms.deadlines.finish_by,
        &ordinals,
        &desktop_ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Tasks with stragglers whose desktop is connected now, each with those ordinals; at most `limit` stragglers.
pub async fn reachable(connection: &mut Connection, limit: i64) -> Result<Vec<(TaskId, Vec<u32>)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT task_id, array_agg(ordinal) AS "ordinals!" FROM (
               SELECT s.task_id, s.ordinal FROM straggler s
               JOIN desktop d USING (project_id, desktop_id)
               JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
               LIMIT $1) AS found
           GROUP BY task_id"#,
        limit
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
    deliver_by: Timestamp,
    finish_by: Timestamp,
    worker_id: Option<String>,
}

impl Raw {
    fn taken(self, task_id: TaskId) -> Result<Taken, Error> {
        Ok(Taken {
            terms: BatchTerms {
                task_id,
                wave: count("straggler", self.wave)?,
                deadlines: Deadlines { deliver_by: self.deliver_by, finish_by: self.finish_by },
                maybe_handed: self.maybe_handed,
            },
            placed: Placed {
                ordinal: count("straggler", self.ordinal)?,
                desktop_id: text_id("straggler", self.desktop_id)?,
                worker_id: self.worker_id.map(|id| text_id("worker", id)).transpose()?,
            },
        })
    }
}

/// Takes those of the given stragglers out whose desktop is connected, under the waves' locks.
pub async fn take_reachable(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[u32],
) -> Result<Vec<Taken>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let rows = sqlx::query_as!(
        Raw,
        r#"DELETE FROM straggler s USING desktop d, worker w
         WHERE s.task_id = $1 AND s.ordinal = ANY($2)
           AND d.project_id = s.project_id AND d.desktop_id = s.desktop_id
           AND w.worker_id = d.worker_id AND NOT w.draining
         RETURNING s.ordinal, s.desktop_id, s.wave, s.maybe_handed, s.deliver_by, s.finish_by,
                   w.worker_id AS "worker_id?""#,
        task_id.0,
        &ordinals,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| row.taken(task_id)).collect()
}

/// Tasks with stragglers past their deadline, each with those ordinals; at most `limit` stragglers.
pub async fn overdue(
    connection: &mut Connection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<(TaskId, Vec<u32>)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT task_id, array_agg(ordinal) AS "ordinals!" FROM (
               SELECT task_id, ordinal FROM straggler
               WHERE deliver_by <= $1 AND (NOT maybe_handed OR finish_by <= $1) LIMIT $2) AS found
           GROUP BY task_id"#,
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    by_task(rows.into_iter().map(|row| (row.task_id, row.ordinals)))
}

/// Takes those of the given stragglers out that are past their deadline, under the waves' locks.
pub async fn take_overdue(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[u32],
    now: Timestamp,
) -> Result<Vec<Taken>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let rows = sqlx::query_as!(
        Raw,
        "DELETE FROM straggler
         WHERE task_id = $1 AND ordinal = ANY($2) AND deliver_by <= $3 AND (NOT maybe_handed OR finish_by <= $3)
         RETURNING ordinal, desktop_id, wave, maybe_handed, deliver_by, finish_by, NULL::text AS worker_id",
        task_id.0,
        &ordinals,
        now,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| row.taken(task_id)).collect()
}

/// Takes stragglers out that have a result by now.
pub async fn delete(connection: &mut Connection, task_id: TaskId, ordinals: &[u32]) -> Result<(), Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    sqlx::query!("DELETE FROM straggler WHERE task_id = $1 AND ordinal = ANY($2)", task_id.0, &ordinals)
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes one straggler out that was certainly never handed out; true when there was one.
pub async fn take_unhanded(
    connection: &mut Connection,
    task_id: TaskId,
    ordinal: u32,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "DELETE FROM straggler WHERE task_id = $1 AND ordinal = $2 AND NOT maybe_handed",
        task_id.0,
        int4(ordinal)
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Withdraws the stragglers of a wave that is cut short that were certainly never handed out; returns how many.
pub async fn withdraw(connection: &mut Connection, task_id: TaskId, wave: u16) -> Result<u32, Error> {
    let done = sqlx::query!(
        "DELETE FROM straggler WHERE task_id = $1 AND wave = $2 AND NOT maybe_handed",
        task_id.0,
        int2(wave),
    )
    .execute(connection)
    .await?;
    Ok(u32::try_from(done.rows_affected()).unwrap_or(u32::MAX))
}

/// Deletes what is left of a task that ended.
pub async fn delete_of_task(connection: &mut Connection, task_id: TaskId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM straggler WHERE task_id = $1", task_id.0).execute(connection).await?;
    Ok(())
}
