//! Failure groups: counted together with the records, and readable while the task runs.

use std::collections::{HashMap, HashSet};

use domain::{ids::TaskId, outcome::Outcome};
use engine::FailureCount;

use crate::{
    Connection, Error,
    codec::{count, int2, int4, word},
};

/// Reads the ids of the fingerprints of a task's failures.
pub(crate) async fn fingerprint_ids(
    connection: &mut Connection,
    task_id: TaskId,
) -> Result<HashSet<i64>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT DISTINCT fingerprint_id FROM failure_group WHERE task_id = $1",
        task_id.0
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().collect())
}

/// Adds new failures to the groups of their waves. Call under the waves' locks.
pub(crate) async fn add(
    connection: &mut Connection,
    task_id: TaskId,
    failures: &[FailureCount],
) -> Result<(), Error> {
    if failures.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO failure_group (task_id, fingerprint_id, wave, outcome, exit_code, fingerprint, records, sample_ordinal,
                                    sample_script, sample)
         SELECT $1, fingerprint_id, wave, outcome::outcome, exit_code, fingerprint, records, ordinal, script, sample
         FROM unnest($2::int8[], $3::int2[], $4::text[], $5::int4[], $6::text[], $7::int4[], $8::int4[], $9::int2[],
                     $10::text[])
              AS new (fingerprint_id, wave, outcome, exit_code, fingerprint, records, ordinal, script, sample)
         ON CONFLICT (task_id, fingerprint_id, wave) DO UPDATE SET records = failure_group.records + excluded.records",
        task_id.0,
        &failures.iter().map(|failure| failure.fingerprint.id).collect::<Vec<_>>(),
        &failures.iter().map(|failure| int2(failure.wave)).collect::<Vec<_>>(),
        &failures.iter().map(|failure| failure.outcome.as_str().to_owned()).collect::<Vec<_>>(),
        &failures.iter().map(|failure| failure.exit_code).collect::<Vec<_>>() as &[Option<i32>],
        &failures.iter().map(|failure| failure.fingerprint.text.clone()).collect::<Vec<_>>(),
        &failures.iter().map(|failure| int4(failure.records)).collect::<Vec<_>>(),
        &failures.iter().map(|failure| int4(failure.sample_record.0)).collect::<Vec<_>>(),
        &failures.iter().map(|failure| int2(failure.sample_record.1)).collect::<Vec<_>>(),
        &failures.iter().map(|failure| failure.sample.clone()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A group of failures with the same fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroup {
    /// Id of the shared fingerprint.
    pub fingerprint_id: i64,
    /// Outcome of the members.
    pub outcome: Outcome,
    /// Exit code of the members; `None` if the agents killed their scripts, or they
    /// never started.
    pub exit_code: Option<i32>,
    /// Normalised lines of their output that say what went wrong.
    pub fingerprint: String,
    /// Number of records.
    pub records: u32,
    /// Number of records per wave.
    pub waves: Vec<(u16, u32)>,
    /// Ordinal and script of the first record.
    pub sample_record: (u32, u16),
    /// Output of the first record up to the last of these lines; empty without one.
    pub sample: String,
}

/// Lists at most `limit` groups of a task, the largest first, starting after a group with the given
/// number of records.
pub async fn list(
    connection: &mut Connection,
    task_id: TaskId,
    after: Option<(u32, i64)>,
    limit: i64,
) -> Result<Vec<FailureGroup>, Error> {
    let (records, fingerprint_id) = after.unzip();
    let rows = sqlx::query!(
        r#"SELECT f.fingerprint_id, f.wave, f.outcome::text AS "outcome!", f.exit_code, f.fingerprint, f.records,
                  f.sample_ordinal, f.sample_script, f.sample
           FROM failure_group f
           JOIN (SELECT fingerprint_id, sum(records) AS records FROM failure_group WHERE task_id = $1
                 GROUP BY fingerprint_id
                 HAVING $3::int8 IS NULL OR sum(records) < $3 OR sum(records) = $3 AND fingerprint_id > $4
                 ORDER BY 2 DESC, 1 LIMIT $2) AS largest USING (fingerprint_id)
           WHERE f.task_id = $1 ORDER BY largest.records DESC, f.fingerprint_id, f.wave"#,
        task_id.0,
        limit,
        records.map(i64::from),
        fingerprint_id,
    )
    .fetch_all(connection)
    .await?;
    let mut groups: Vec<FailureGroup> = Vec::new();
    for row in rows {
        let (wave, records) = (count("failure_group", row.wave)?, count("failure_group", row.records)?);
        if let Some(group) = groups.last_mut().filter(|group| group.fingerprint_id == row.fingerprint_id) {
            group.records += records;
            group.waves.push((wave, records));
            continue;
        }
        groups.push(FailureGroup {
            fingerprint_id: row.fingerprint_id,
            outcome: word("failure_group", &row.outcome)?,
            exit_code: row.exit_code,
            fingerprint: row.fingerprint,
            records,
            waves: vec![(wave, records)],
            sample_record: (
                count("failure_group", row.sample_ordinal)?,
                count("failure_group", row.sample_script)?,
            ),
            sample: row.sample,
        });
    }
    Ok(groups)
}

/// Returns whether a task has this group.
pub async fn exists(
    connection: &mut Connection,
    task_id: TaskId,
    fingerprint_id: i64,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM failure_group WHERE task_id = $1 AND fingerprint_id = $2) AS "exists!""#,
        task_id.0,
        fingerprint_id,
    )
    .fetch_one(connection)
    .await?)
}

/// Returns the number of failed records of a task, over all groups.
pub async fn total(connection: &mut Connection, task_id: TaskId) -> Result<u32, Error> {
    let total = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(records), 0) AS "total!" FROM failure_group WHERE task_id = $1"#,
        task_id.0,
    )
    .fetch_one(connection)
    .await?;
    count("failure_group", total)
}

/// Returns the first desktops of each group, in the order of the plan.
pub async fn first_members(
    connection: &mut Connection,
    task_id: TaskId,
    groups: &[FailureGroup],
    limit: i64,
) -> Result<HashMap<i64, Vec<String>>, Error> {
    let fingerprint_ids: Vec<i64> = groups.iter().map(|group| group.fingerprint_id).collect();
    let rows = sqlx::query!(
        r#"SELECT g.fingerprint_id AS "fingerprint_id!", m.desktop_id
           FROM unnest($2::int8[]) AS g (fingerprint_id)
           CROSS JOIN LATERAL (
               SELECT DISTINCT r.ordinal FROM record r
               WHERE r.task_id = $1 AND r.fingerprint_id = g.fingerprint_id ORDER BY r.ordinal LIMIT $3) AS first
           JOIN target m ON m.task_id = $1 AND m.ordinal = first.ordinal
           ORDER BY g.fingerprint_id, m.ordinal"#,
        task_id.0,
        &fingerprint_ids,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<i64, Vec<String>> = HashMap::new();
    for row in rows {
        found.entry(row.fingerprint_id).or_default().push(row.desktop_id);
    }
    Ok(found)
}

/// Lists desktops of a group in the order of the plan, each with its ordinal, starting after an
/// ordinal.
pub async fn members(
    connection: &mut Connection,
    task_id: TaskId,
    fingerprint_id: i64,
    after: Option<u32>,
    limit: i64,
) -> Result<Vec<(u32, String)>, Error> {
    let rows = sqlx::query!(
        "SELECT DISTINCT t.ordinal, t.desktop_id
         FROM record r JOIN target t ON t.task_id = r.task_id AND t.ordinal = r.ordinal
         WHERE r.task_id = $1 AND r.fingerprint_id = $2 AND ($3::int4 IS NULL OR r.ordinal > $3)
         ORDER BY t.ordinal LIMIT $4",
        task_id.0,
        fingerprint_id,
        after.map(int4),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((count("target", row.ordinal)?, row.desktop_id))).collect()
}
