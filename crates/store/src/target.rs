//! Targets: written once with the plan, read by the cut.

use domain::{
    cut::Placed,
    ids::{DesktopId, ProjectId, TaskId},
};

use crate::{
    Connection, Error,
    values::{count, int2, int4, text_id},
};

/// Targets in one statement: large enough to amortise it, small enough to keep its memory flat.
const CHUNK: usize = 10_000;

/// Stores a wave's targets, in the order of the primary key.
pub async fn insert(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    first_ordinal: u32,
    desktop_ids: &[DesktopId],
) -> Result<(), Error> {
    let mut ordinal = int4(first_ordinal);
    for chunk in desktop_ids.chunks(CHUNK) {
        let ids: Vec<String> = chunk.iter().map(|id| id.as_str().to_owned()).collect();
        sqlx::query!(
            "INSERT INTO target (task_id, ordinal, desktop_id, wave)
             SELECT $1, $2 + (n - 1)::int4, desktop_id, $4
             FROM unnest($3::text[]) WITH ORDINALITY AS new (desktop_id, n)",
            task_id.0,
            ordinal,
            &ids,
            int2(wave),
        )
        .execute(&mut *connection)
        .await?;
        ordinal += int4(chunk.len());
    }
    Ok(())
}

struct Raw {
    ordinal: i32,
    desktop_id: String,
    worker_id: Option<String>,
}

impl TryFrom<Raw> for Placed {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self, Error> {
        Ok(Self {
            ordinal: count("target", raw.ordinal)?,
            desktop_id: text_id("target", raw.desktop_id)?,
            worker_id: raw.worker_id.map(|id| text_id("desktop", id)).transpose()?,
        })
    }
}

/// The next targets from an ordinal on, with the worker that holds each one's desktop. Draining workers get
/// nothing new while they wait for what runs.
pub async fn place(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_id: TaskId,
    first_ordinal: u32,
    number: u32,
) -> Result<Vec<Placed>, Error> {
    let rows = sqlx::query_as!(
        Raw,
        r#"SELECT t.ordinal, t.desktop_id, w.worker_id AS "worker_id?"
           FROM target t
           LEFT JOIN desktop d ON d.project_id = $1 AND d.desktop_id = t.desktop_id
           LEFT JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
           WHERE t.task_id = $2 AND t.ordinal >= $3 AND t.ordinal < $3 + $4
           ORDER BY t.ordinal"#,
        project_id.as_str(),
        task_id.0,
        int4(first_ordinal),
        int4(number),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Placed::try_from).collect()
}

/// Targets that are known by id, with the worker that holds each one's desktop now.
pub async fn place_again(
    connection: &mut Connection,
    project_id: &ProjectId,
    ordinals: &[u32],
    desktop_ids: &[DesktopId],
) -> Result<Vec<Placed>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let ids: Vec<String> = desktop_ids.iter().map(|id| id.as_str().to_owned()).collect();
    let rows = sqlx::query_as!(
        Raw,
        r#"SELECT t.ordinal AS "ordinal!", t.desktop_id AS "desktop_id!", w.worker_id AS "worker_id?"
           FROM unnest($2::int4[], $3::text[]) AS t (ordinal, desktop_id)
           LEFT JOIN desktop d ON d.project_id = $1 AND d.desktop_id = t.desktop_id
           LEFT JOIN worker w ON w.worker_id = d.worker_id AND NOT w.draining
           ORDER BY t.ordinal"#,
        project_id.as_str(),
        &ordinals,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Placed::try_from).collect()
}

/// The first desktops of several tasks in the order of their plans, `limit` of each; of the gray wave only, or
/// of all waves.
pub async fn desktop_ids(
    connection: &mut Connection,
    task_ids: &[TaskId],
    gray_only: bool,
    limit: i64,
) -> Result<Vec<(TaskId, String)>, Error> {
    let ids: Vec<uuid::Uuid> = task_ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT k.task_id AS "task_id!", t.desktop_id AS "desktop_id!"
           FROM unnest($1::uuid[]) AS k (task_id)
           CROSS JOIN LATERAL (
               SELECT desktop_id, ordinal FROM target
               WHERE target.task_id = k.task_id AND (NOT $2 OR wave = 1) ORDER BY ordinal LIMIT $3
           ) AS t
           ORDER BY k.task_id, t.ordinal"#,
        &ids,
        gray_only,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (TaskId(row.task_id), row.desktop_id)).collect())
}
