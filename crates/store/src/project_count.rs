//! Numbers of a project's rows by a word, maintained instead of counted.
//!
//! Triggers log each change in its own transaction, without a lock. A fold adds the log to the
//! numbers; a reader adds both, so that its answer is exact at any time.

use domain::{ids::ProjectId, task::TaskStatus};

use crate::{Connection, Error};

/// Arbitrary id of the advisory lock that allows one fold or check at a time.
const LOCK: i64 = 0x6772_6179_0004;
/// Number of changes that one fold takes at most.
const CHANGES_PER_FOLD: i64 = 50_000;

/// Counts the connected desktops of a project.
pub(crate) async fn connected_desktops(
    connection: &mut Connection,
    project_id: &ProjectId,
) -> Result<i64, Error> {
    number(connection, project_id, "DESKTOP", &["CONNECTED".to_owned()]).await
}

/// Counts the tasks of a project with these statuses.
pub(crate) async fn tasks(
    connection: &mut Connection,
    project_id: &ProjectId,
    statuses: &[TaskStatus],
) -> Result<i64, Error> {
    let words: Vec<String> = statuses.iter().map(|status| status.as_str().to_owned()).collect();
    number(connection, project_id, "TASK", &words).await
}

async fn number(
    connection: &mut Connection,
    project_id: &ProjectId,
    kind: &str,
    words: &[String],
) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT coalesce(sum(number), 0)::int8 AS "number!" FROM (
               SELECT number FROM project_count WHERE project_id = $1 AND kind = $2 AND word = ANY($3)
               UNION ALL
               SELECT number FROM project_count_change WHERE project_id = $1 AND kind = $2 AND word = ANY($3)) AS parts"#,
        project_id.as_str(),
        kind,
        words,
    )
    .fetch_one(connection)
    .await?)
}

/// Takes the lock of folds and checks until the end of the transaction. Returns false while another
/// process holds it.
pub(crate) async fn try_lock(connection: &mut Connection) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "is_mine!""#, LOCK)
        .fetch_one(connection)
        .await?)
}

/// Adds logged changes to the numbers. Returns true if more changes wait. Needs the lock.
pub(crate) async fn fold(connection: &mut Connection) -> Result<bool, Error> {
    let folded = sqlx::query_scalar!(
        r#"WITH folded AS (
               DELETE FROM project_count_change
               WHERE change_id IN (SELECT change_id FROM project_count_change ORDER BY change_id LIMIT $1)
               RETURNING project_id, kind, word, number),
           added AS (
               INSERT INTO project_count AS c (project_id, kind, word, number)
               SELECT project_id, kind, word, sum(number) FROM folded GROUP BY project_id, kind, word
               ON CONFLICT (project_id, kind, word) DO UPDATE SET number = c.number + excluded.number)
           SELECT count(*) AS "folded!" FROM folded"#,
        CHANGES_PER_FOLD,
    )
    .fetch_one(connection)
    .await?;
    Ok(folded == CHANGES_PER_FOLD)
}

/// Counts all rows and replaces the numbers that differ. Returns how many did. Needs the lock.
///
/// One statement sees one moment: the rows, and the log of exactly these rows.
pub(crate) async fn repair(connection: &mut Connection) -> Result<u64, Error> {
    let repaired = sqlx::query!(
        "WITH counted AS (
             SELECT project_id, 'TASK' AS kind, status AS word, count(*) AS number FROM task GROUP BY project_id, status
             UNION ALL
             SELECT project_id, 'DESKTOP', 'CONNECTED', count(*) FROM desktop WHERE worker_id IS NOT NULL
             GROUP BY project_id),
         waiting AS (
             SELECT project_id, kind, word, sum(number) AS number FROM project_count_change
             GROUP BY project_id, kind, word),
         actual AS (
             SELECT project_id, kind, word, coalesce(n.number, 0) - coalesce(w.number, 0) AS number
             FROM counted n FULL JOIN waiting w USING (project_id, kind, word)
             UNION
             -- A number without any row.
             SELECT project_id, kind, word, 0 FROM project_count c
             WHERE NOT EXISTS (SELECT FROM counted n WHERE (n.project_id, n.kind, n.word) = (c.project_id, c.kind, c.word))
               AND NOT EXISTS (SELECT FROM waiting w WHERE (w.project_id, w.kind, w.word) = (c.project_id, c.kind, c.word)))
         INSERT INTO project_count AS c (project_id, kind, word, number)
         SELECT a.project_id, a.kind, a.word, a.number
         FROM actual a LEFT JOIN project_count p USING (project_id, kind, word)
         WHERE a.number <> coalesce(p.number, 0)
         ON CONFLICT (project_id, kind, word) DO UPDATE SET number = excluded.number"
    )
    .execute(connection)
    .await?;
    Ok(repaired.rows_affected())
}
