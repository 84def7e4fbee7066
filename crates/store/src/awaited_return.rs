//! Awaited returns (table `awaited_return`): targets with stored results whose desktop still has to
//! come back.

use domain::{
    Timestamp,
    containment::Containment,
    ids::{DesktopId, ProjectId, TaskId},
    outcome::Outcome,
    process::{LeftProcess, ProcessReport},
    return_condition::ReturnCondition,
};
use engine::{
    AwaitedChanges, DueTimes, Duty, DutyKind,
    row::{AwaitedReturn, AwaitedRow, NewRecord},
};
use serde::{Deserialize, Serialize};

use crate::{
    Connection, Error,
    codec::{count, int2, int4, text_id},
    duty::find_duties,
    presence::RawPresence,
};

/// A result in column `records`. Its place is the place of its script.
#[derive(Debug, Serialize, Deserialize)]
struct StoredResult {
    outcome: Outcome,
    exit_code: Option<i32>,
    started_at: Option<Timestamp>,
    ended_at: Timestamp,
    output: String,
    reason: String,
    interpreter: Option<String>,
    signal: Option<u8>,
    containment: Option<String>,
    left_processes: Vec<LeftProcess>,
    left_processes_count: u32,
}

impl StoredResult {
    fn of(record: &NewRecord) -> Self {
        let process = record.process.clone();
        Self {
            outcome: record.outcome,
            exit_code: record.exit_code,
            started_at: record.started_at,
            ended_at: record.ended_at,
            output: record.output.clone(),
            reason: record.reason.clone(),
            interpreter: process.interpreter,
            signal: process.signal,
            containment: process.containment.map(|word| word.as_str().to_owned()),
            left_processes: process.left_processes,
            left_processes_count: process.left_processes_count,
        }
    }

    fn record(self, ordinal: u32, desktop_id: DesktopId, script: u16) -> NewRecord {
        NewRecord {
            ordinal,
            desktop_id,
            script,
            outcome: self.outcome,
            exit_code: self.exit_code,
            started_at: self.started_at,
            ended_at: self.ended_at,
            output: self.output,
            reason: self.reason,
            process: ProcessReport {
                interpreter: self.interpreter,
                signal: self.signal,
                containment: self.containment.and_then(|word| word.parse::<Containment>().ok()),
                left_processes: self.left_processes,
                left_processes_count: self.left_processes_count,
            },
            fingerprint_id: None,
        }
    }
}

/// Finds awaited returns whose desktop is back, or whose deadline has passed. Only candidates:
/// [`AwaitedRow::state`] decides under the locks.
pub(crate) async fn due(
    connection: &mut Connection,
    times: DueTimes,
    limit: i64,
) -> Result<Vec<Duty>, Error> {
    find_duties!(
        DutyKind::AwaitedReturn,
        connection,
        r#"SELECT task_id, NULL::uuid AS batch_id, array_agg(ordinal ORDER BY ordinal) AS "ordinals!" FROM (
               SELECT a.task_id, a.ordinal
               FROM awaited_return a LEFT JOIN desktop d USING (project_id, desktop_id)
               WHERE NOT a.resumed AND (a.return_by <= $1
                  OR d.worker_id IS NOT NULL AND (a.agent_version IS NULL OR d.agent_version = a.agent_version)
                     AND (a.boot_id IS NULL OR a.boot_id <> '' AND d.boot_id NOT IN ('', a.boot_id)))
               ORDER BY row_number() OVER (PARTITION BY a.task_id ORDER BY a.return_by, a.ordinal), random()
               LIMIT $2) AS found
           GROUP BY task_id"#,
        times.observed_until,
        limit,
    )
}

/// Reads awaited returns by ordinal, each with the presence of its desktop.
pub(crate) async fn fetch(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[u32],
) -> Result<Vec<AwaitedRow>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let rows = sqlx::query!(
        r#"SELECT a.ordinal, a.desktop_id, a.agent_id AS reported_by, a.wave, a.boot_id AS before, a.agent_version AS wanted,
                  a.return_by, a.records, a.resumed, w.worker_id AS "worker_id?", w.draining AS "draining?",
                  d.time_zone AS "time_zone?", d.agent_id AS "agent_id?", d.boot_id AS "boot_id?",
                  d.agent_version AS "agent_version?", d.presence_at AS "changed_at?", d.full_until AS "full_until?",
                  d.retired_at IS NOT NULL AS is_retired, d.revoked_at IS NOT NULL AS is_revoked
           FROM awaited_return a
           LEFT JOIN desktop d ON d.project_id = a.project_id AND d.desktop_id = a.desktop_id
           LEFT JOIN worker w ON w.worker_id = d.worker_id
           WHERE a.task_id = $1 AND a.ordinal = ANY($2) ORDER BY a.ordinal"#,
        task_id.0,
        &ordinals,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let ordinal: u32 = count("awaited_return", row.ordinal)?;
            let desktop_id: DesktopId = text_id("awaited_return", row.desktop_id)?;
            let stored: Vec<StoredResult> = serde_json::from_value(row.records)
                .map_err(|error| Error::corrupt("awaited_return", error))?;
            let records = (0..).zip(stored);
            Ok(AwaitedRow {
                awaited: AwaitedReturn {
                    ordinal,
                    agent_id: row.reported_by,
                    wave: count("awaited_return", row.wave)?,
                    condition: ReturnCondition { another_boot_than: row.before, agent_version: row.wanted },
                    return_by: row.return_by,
                    records: records
                        .map(|(script, result)| result.record(ordinal, desktop_id.clone(), script))
                        .collect(),
                    desktop_id,
                },
                is_resumed: row.resumed,
                presence: RawPresence {
                    worker_id: row.worker_id,
                    draining: row.draining,
                    time_zone: row.time_zone,
                    agent_id: row.agent_id,
                    boot_id: row.boot_id,
                    agent_version: row.agent_version,
                    changed_at: row.changed_at,
                    full_until: row.full_until,
                    is_retired: row.is_retired,
                    is_revoked: row.is_revoked,
                    has_backlog: None,
                }
                .presence()?,
            })
        })
        .collect()
}

/// Applies changes to a task's awaited returns under the waves' locks: deletions first.
pub(crate) async fn apply(
    connection: &mut Connection,
    task_id: TaskId,
    project_id: &ProjectId,
    changes: &AwaitedChanges,
) -> Result<(), Error> {
    let AwaitedChanges { delete, resume, insert } = changes;
    if !delete.is_empty() {
        let ordinals: Vec<i32> = delete.iter().map(|&ordinal| int4(ordinal)).collect();
        sqlx::query!(
            "DELETE FROM awaited_return WHERE task_id = $1 AND ordinal = ANY($2)",
            task_id.0,
            &ordinals
        )
        .execute(&mut *connection)
        .await?;
    }
    if !resume.is_empty() {
        let ordinals: Vec<i32> = resume.iter().map(|&ordinal| int4(ordinal)).collect();
        sqlx::query!(
            "UPDATE awaited_return SET resumed = true WHERE task_id = $1 AND ordinal = ANY($2)",
            task_id.0,
            &ordinals
        )
        .execute(&mut *connection)
        .await?;
    }
    if insert.is_empty() {
        return Ok(());
    }
    let results = |new: &AwaitedReturn| {
        let results: Vec<StoredResult> = new.records.iter().map(StoredResult::of).collect();
        serde_json::to_value(results).map_err(|error| Error::corrupt("awaited_return", error))
    };
    let optional = |of: fn(&ReturnCondition) -> &Option<String>| -> Vec<Option<String>> {
        insert.iter().map(|new| of(&new.condition).clone()).collect()
    };
    sqlx::query!(
        "INSERT INTO awaited_return (task_id, ordinal, project_id, desktop_id, agent_id, wave, boot_id, agent_version,
                                     return_by, results, records)
         SELECT $1, ordinal, $2, desktop_id, agent_id, wave, boot_id, agent_version, return_by, results, records
         FROM unnest($3::int4[], $4::text[], $5::text[], $6::int2[], $7::text[], $8::text[], $9::timestamptz[],
                     $10::int2[], $11::jsonb[])
              AS n (ordinal, desktop_id, agent_id, wave, boot_id, agent_version, return_by, results, records)",
        task_id.0,
        project_id.as_str(),
        &insert.iter().map(|new| int4(new.ordinal)).collect::<Vec<_>>(),
        &insert.iter().map(|new| new.desktop_id.as_str().to_owned()).collect::<Vec<_>>(),
        &insert.iter().map(|new| new.agent_id.clone()).collect::<Vec<_>>(),
        &insert.iter().map(|new| int2(new.wave)).collect::<Vec<_>>(),
        &optional(|condition| &condition.another_boot_than) as &[Option<String>],
        &optional(|condition| &condition.agent_version) as &[Option<String>],
        &insert.iter().map(|new| new.return_by).collect::<Vec<_>>(),
        &insert.iter().map(|new| int2(new.results())).collect::<Vec<_>>(),
        &insert.iter().map(results).collect::<Result<Vec<_>, _>>()?,
    )
    .execute(connection)
    .await?;
    Ok(())
}
