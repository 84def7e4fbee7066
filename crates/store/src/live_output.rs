//! Output of running scripts: who reads it, how far it was received, and its parts.

use domain::{
    Timestamp,
    ids::{DesktopId, ProjectId, WorkerId},
    limits::{MAX_LIVE_CHUNK_BYTES, MAX_LIVE_OUTPUT_BYTES},
    live_output::{Chunk, OutputState},
    record::RecordId,
};

use crate::{
    Connection, Error,
    codec::{count, int2, int4, text_id, word},
};

/// A read of the output of a running script by a caller.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// Record of the script.
    pub record_id: RecordId,
    /// Project of the task.
    pub project_id: &'a ProjectId,
    /// Desktop that runs the script.
    pub desktop_id: &'a str,
    /// Name of the caller.
    pub principal: &'a str,
    /// Position from which on the caller reads.
    pub from_offset: u64,
    /// End of the watch, unless it is refreshed.
    pub expires_at: Timestamp,
}

/// Live output of a script, without its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feed {
    /// Position of the first byte that is missing.
    pub received_until: u64,
    /// Length of the whole output; `None` until the script has ended.
    pub end_offset: Option<u64>,
    /// Last answer of the desktop.
    pub state: OutputState,
}

/// Running script whose output is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Record of the script.
    pub record_id: RecordId,
    /// Project of the desktop.
    pub project_id: ProjectId,
    /// Desktop that runs the script.
    pub desktop_id: DesktopId,
    /// Position of the first byte that is missing.
    pub received_until: u64,
}

/// Returns the number of unexpired watches of a project, and of one of its callers.
pub async fn count_watches(
    connection: &mut Connection,
    project_id: &ProjectId,
    principal: &str,
    now: Timestamp,
) -> Result<(i64, i64), Error> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "of_project!", count(*) FILTER (WHERE principal = $2) AS "of_caller!"
           FROM output_watch WHERE project_id = $1 AND expires_at > $3"#,
        project_id.as_str(),
        principal,
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok((row.of_project, row.of_caller))
}

/// Returns the end of a caller's watch; `None` if the caller does not watch.
pub async fn watch_expiry(
    connection: &mut Connection,
    record_id: RecordId,
    principal: &str,
) -> Result<Option<Timestamp>, Error> {
    let (task_id, ordinal, script) = key(record_id);
    Ok(sqlx::query_scalar!(
        "SELECT expires_at FROM output_watch
         WHERE task_id = $1 AND ordinal = $2 AND script = $3 AND principal = $4",
        task_id,
        ordinal,
        script,
        principal,
    )
    .fetch_optional(connection)
    .await?)
}

/// Begins or prolongs a watch. A feed that began later than the caller reads begins again.
pub async fn watch(connection: &mut Connection, watch: &Watch<'_>) -> Result<(), Error> {
    let (task_id, ordinal, script) = key(watch.record_id);
    let from = offset(watch.from_offset);
    sqlx::query!(
        "INSERT INTO output_watch (task_id, ordinal, script, principal, project_id, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (task_id, ordinal, script, principal) DO UPDATE SET expires_at = excluded.expires_at",
        task_id,
        ordinal,
        script,
        watch.principal,
        watch.project_id.as_str(),
        watch.expires_at,
    )
    .execute(&mut *connection)
    .await?;
    let begun = sqlx::query_scalar!(
        r#"INSERT INTO output_feed AS f (task_id, ordinal, script, attempt, project_id, desktop_id,
               begin_offset, received_until, watched_until)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)
           ON CONFLICT (task_id, ordinal, script) DO UPDATE SET
               watched_until = greatest(f.watched_until, excluded.watched_until),
               received_until = CASE WHEN f.begin_offset > $7 THEN $7 ELSE f.received_until END,
               end_offset = CASE WHEN f.begin_offset > $7 THEN NULL ELSE f.end_offset END,
               begin_offset = least(f.begin_offset, $7)
           RETURNING received_until = $7 AND begin_offset = $7 AS "begun!""#,
        task_id,
        ordinal,
        script,
        int2(watch.record_id.attempt),
        watch.project_id.as_str(),
        watch.desktop_id,
        from,
        watch.expires_at,
    )
    .fetch_one(&mut *connection)
    .await?;
    if begun {
        sqlx::query!(
            "DELETE FROM output_chunk WHERE task_id = $1 AND ordinal = $2 AND script = $3",
            task_id,
            ordinal,
            script,
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// Reads the feed of a script; `None` without one.
pub async fn feed(connection: &mut Connection, record_id: RecordId) -> Result<Option<Feed>, Error> {
    let (task_id, ordinal, script) = key(record_id);
    let row = sqlx::query!(
        "SELECT received_until, end_offset, state FROM output_feed
         WHERE task_id = $1 AND ordinal = $2 AND script = $3",
        task_id,
        ordinal,
        script,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Feed {
            received_until: count("output_feed", row.received_until)?,
            end_offset: row.end_offset.map(|end| count("output_feed", end)).transpose()?,
            state: match row.state {
                Some(state) => word("output_feed", &state)?,
                None => OutputState::Requested,
            },
        })
    })
    .transpose()
}

/// Reads at most `limit` parts that end after an offset, in their order.
pub async fn chunks(
    connection: &mut Connection,
    record_id: RecordId,
    from_offset: u64,
    limit: i64,
) -> Result<Vec<Chunk>, Error> {
    let (task_id, ordinal, script) = key(record_id);
    let rows = sqlx::query!(
        "SELECT content_offset, content FROM output_chunk
         WHERE task_id = $1 AND ordinal = $2 AND script = $3
           AND content_offset > $6 AND content_offset + length(content) > $4
         ORDER BY content_offset LIMIT $5",
        task_id,
        ordinal,
        script,
        offset(from_offset),
        limit,
        // No part is longer, so the index skips the earlier ones.
        offset(from_offset) - offset(MAX_LIVE_CHUNK_BYTES as u64),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let offset = count("output_chunk", row.content_offset)?;
            Ok(Chunk { from_offset: offset, offset, content: row.content })
        })
        .collect()
}

/// Lists at most `limit` watched scripts of the desktops that are connected to a worker, without
/// those whose agent has no live output.
pub async fn of_worker(
    connection: &mut Connection,
    worker_id: &WorkerId,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Watched>, Error> {
    let rows = sqlx::query!(
        "SELECT f.task_id, f.ordinal, f.script, f.attempt, f.project_id, f.desktop_id, f.received_until
         FROM output_feed f JOIN desktop d USING (project_id, desktop_id)
         WHERE d.worker_id = $1 AND f.watched_until > $2 AND f.end_offset IS NULL
           AND f.state IS DISTINCT FROM 'UNSUPPORTED'
         LIMIT $3",
        worker_id.as_str(),
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Watched {
                record_id: RecordId {
                    task_id: domain::ids::TaskId(row.task_id),
                    ordinal: count("output_feed", row.ordinal)?,
                    script: count("output_feed", row.script)?,
                    attempt: count("output_feed", row.attempt)?,
                },
                project_id: text_id("output_feed", row.project_id)?,
                desktop_id: text_id("output_feed", row.desktop_id)?,
                received_until: count("output_feed", row.received_until)?,
            })
        })
        .collect()
}

/// Locks the feed of a script on a desktop. Returns the position of the first missing byte; `None`
/// if the script has no feed, another desktop runs it, or its output has ended.
pub async fn lock(
    connection: &mut Connection,
    record_id: RecordId,
    (project_id, desktop_id): (&ProjectId, &DesktopId),
) -> Result<Option<u64>, Error> {
    let (task_id, ordinal, script) = key(record_id);
    let received_until = sqlx::query_scalar!(
        "SELECT received_until FROM output_feed
         WHERE task_id = $1 AND ordinal = $2 AND script = $3 AND attempt = $4 AND project_id = $5
           AND desktop_id = $6 AND end_offset IS NULL
         FOR UPDATE",
        task_id,
        ordinal,
        script,
        int2(record_id.attempt),
        project_id.as_str(),
        desktop_id.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    received_until.map(|offset| count("output_feed", offset)).transpose()
}

/// Adds a part to a locked feed, and deletes the oldest parts beyond the maximum size.
pub async fn add(
    connection: &mut Connection,
    record_id: RecordId,
    chunk: &Chunk,
    is_last: bool,
) -> Result<(), Error> {
    let (task_id, ordinal, script) = key(record_id);
    let end = offset(chunk.end());
    sqlx::query!(
        "UPDATE output_feed SET received_until = $4, state = 'LIVE', end_offset = $5
         WHERE task_id = $1 AND ordinal = $2 AND script = $3",
        task_id,
        ordinal,
        script,
        end,
        is_last.then_some(end),
    )
    .execute(&mut *connection)
    .await?;
    if chunk.content.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO output_chunk (task_id, ordinal, script, content_offset, content)
         VALUES ($1, $2, $3, $4, $5)",
        task_id,
        ordinal,
        script,
        offset(chunk.offset),
        &chunk.content,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM output_chunk WHERE task_id = $1 AND ordinal = $2 AND script = $3 AND content_offset < $4",
        task_id,
        ordinal,
        script,
        end.saturating_sub(offset(MAX_LIVE_OUTPUT_BYTES)),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Records that the agent of a script's desktop has no live output.
pub async fn set_unsupported(
    connection: &mut Connection,
    record_id: RecordId,
    (project_id, desktop_id): (&ProjectId, &DesktopId),
) -> Result<(), Error> {
    let (task_id, ordinal, script) = key(record_id);
    sqlx::query!(
        "UPDATE output_feed SET state = 'UNSUPPORTED'
         WHERE task_id = $1 AND ordinal = $2 AND script = $3 AND project_id = $4 AND desktop_id = $5
           AND state IS NULL",
        task_id,
        ordinal,
        script,
        project_id.as_str(),
        desktop_id.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes expired watches, and feeds with their parts that were last watched before `unwatched`.
pub async fn sweep(connection: &mut Connection, now: Timestamp, unwatched: Timestamp) -> Result<(), Error> {
    sqlx::query!("DELETE FROM output_watch WHERE expires_at < $1", now).execute(&mut *connection).await?;
    sqlx::query!(
        "WITH gone AS (
             DELETE FROM output_feed WHERE watched_until < $1 RETURNING task_id, ordinal, script
         )
         DELETE FROM output_chunk c USING gone g
         WHERE c.task_id = g.task_id AND c.ordinal = g.ordinal AND c.script = g.script",
        unwatched,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn key(record_id: RecordId) -> (uuid::Uuid, i32, i16) {
    (record_id.task_id.0, int4(record_id.ordinal), int2(record_id.script))
}

/// Offset as stored. Greater ones than any output has are cut.
fn offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
