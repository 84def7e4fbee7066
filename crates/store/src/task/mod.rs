//! Tasks, their pinned scripts, and the task list of a project.

mod find;
mod insert;
mod list;

use std::collections::HashMap;

use chrono::TimeDelta;
use domain::{
    Timestamp,
    deadline::Timeouts,
    ids::{ProjectId, ScriptId, TaskId},
    justification::Justification,
    plan::{Plan, PlannedWave},
    policy::RolloutPolicy,
    retry,
    script::{self, ScriptType, parameter::ParameterValues},
    task::TaskStatus,
};
use engine::TaskChange;
pub use engine::row::TaskFacts;
use sqlx::types::Json;

pub use find::{admissible, count_open, unended};
pub(crate) use find::{admitting, expired, not_released, not_suspended};
pub use insert::insert;
pub use list::{TaskFilter, TaskRow, fetch, halted_since, list, open, page};
use uuid::Uuid;

use crate::{
    Connection, Error,
    codec::{count, int2, int4, text_id, word},
    wave,
};

/// A script that a task pins, or the entry of its command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedScript {
    /// Id and revision of the script; `None` for a command.
    pub script: Option<(ScriptId, i32)>,
    /// Name at that revision; empty for a command.
    pub name: String,
    /// Values of its parameters.
    pub parameters: ParameterValues,
}

/// Reference from a retry to its original task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryOf {
    /// The original task.
    pub task_id: TaskId,
    /// Ordinal and script of a retried record; `None` if all unsuccessful targets are retried.
    pub record: Option<(u32, u16)>,
}

/// Selection of a task's desktops by a group instead of a list of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All or some desktops of a pool.
    Pool(String),
    /// All desktops with a tag, as the request contains it.
    Tag(String),
}

/// Group type of a pool in the API.
pub const POOL_GROUP: &str = "DESKTOP_POOL";

/// A task to insert.
#[derive(Debug, Clone)]
pub struct NewTask<'a> {
    /// Id of the task.
    pub task_id: TaskId,
    /// Project of the task.
    pub project_id: &'a ProjectId,
    /// Scripts to run, in order.
    pub scripts: &'a [PinnedScript],
    /// Command and its interpreter; `None` if the task runs scripts.
    pub command: Option<(ScriptType, &'a str)>,
    /// Timeouts of the accepted task.
    pub timeouts: Timeouts,
    /// Targets, waves and thresholds.
    pub plan: &'a Plan,
    /// First script to run, by ordinal; `None` if all targets begin with the first script.
    pub first_scripts: Option<&'a [u16]>,
    /// Attempt, from 1; one more than that of the original task.
    pub attempt: u16,
    /// Original task; `None` if this task is not a retry.
    pub retry_of: Option<RetryOf>,
    /// Group that selected the desktops; `None` for a list of ids.
    pub selection: Option<&'a Selection>,
    /// Rules that decide what counts as a failure, when to halt, and what follows.
    pub policy: &'a RolloutPolicy,
    /// Maximum number of targets in flight; `None` without a limit.
    pub max_concurrency: Option<u32>,
    /// Time after which no target starts; `None` without an expiry.
    pub expires_at: Option<Timestamp>,
    /// Principal that submitted the task.
    pub created_by: &'a str,
    /// Reason and ticket of the submission.
    pub justification: &'a Justification,
    /// Trace context of the submission in the format of `telemetry::trace`; `None` if it is not
    /// sampled.
    pub trace_context: Option<&'a str>,
    /// Time of acceptance.
    pub now: Timestamp,
}

/// Returns the SHA-256 over the scripts or the command of a task, in order, as their authors sent
/// them, and over the values of their parameters, if there are any.
pub async fn script_hash(
    connection: &mut Connection,
    project_id: &ProjectId,
    scripts: &[PinnedScript],
    command: Option<(ScriptType, &str)>,
) -> Result<Vec<u8>, Error> {
    if let Some((command_type, content)) = command {
        return Ok(script::sha256(command_type, content).to_vec());
    }
    let pinned = scripts.iter().filter_map(|pinned| pinned.script);
    let (ids, revisions): (Vec<Uuid>, Vec<i32>) =
        pinned.map(|(script_id, revision)| (script_id.0, revision)).unzip();
    let sha256 = sqlx::query_scalar!(
        r#"SELECT sha256(coalesce(string_agg(r.sha256, ''::bytea ORDER BY n.place), ''::bytea)) AS "sha256!"
           FROM unnest($2::uuid[], $3::int4[]) WITH ORDINALITY AS n (script_id, revision, place)
           JOIN script_revision r ON r.project_id = $1 AND r.script_id = n.script_id AND r.revision = n.revision"#,
        project_id.as_str(),
        &ids,
        &revisions,
    )
    .fetch_one(connection)
    .await?;
    let parameters: Vec<&ParameterValues> = scripts.iter().map(|pinned| &pinned.parameters).collect();
    Ok(script::parameter::hash_with(sha256, &parameters))
}

/// Reads a task's facts by its id alone: schedulers serve all projects.
pub async fn facts(connection: &mut Connection, task_id: TaskId) -> Result<Option<TaskFacts>, Error> {
    let row = sqlx::query!(
        r#"SELECT project_id, status, killing, script_count, attempt, execution_timeout_ms, delivery_timeout_ms, grace_ms,
                  retry_of IS NOT NULL AND script_count > 1 AS "resumes!", policy AS "policy: Json<RolloutPolicy>",
                  expires_at, paused_at IS NOT NULL AS "is_paused!", max_concurrency, trace_context,
                  EXISTS (SELECT FROM project_freeze f WHERE f.project_id = task.project_id) AS "is_frozen!",
                  EXISTS (SELECT FROM project_limit l WHERE l.project_id = task.project_id AND l.max_in_flight IS NOT NULL)
                      AS "has_project_limit!"
         FROM task WHERE task_id = $1"#,
        task_id.0
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(TaskFacts {
            project_id: text_id("task", row.project_id)?,
            status: word("task", &row.status)?,
            killing: row.killing,
            script_count: count("task", row.script_count)?,
            resumes: row.resumes,
            attempt: count("task", row.attempt)?,
            timeouts: Timeouts {
                execution: TimeDelta::milliseconds(row.execution_timeout_ms),
                delivery: TimeDelta::milliseconds(row.delivery_timeout_ms),
                grace: TimeDelta::milliseconds(row.grace_ms),
            },
            policy: row.policy.map(|policy| policy.0).unwrap_or_default(),
            expires_at: row.expires_at,
            is_paused: row.is_paused,
            is_frozen: row.is_frozen,
            max_concurrency: row.max_concurrency.map(|most| count("task", most)).transpose()?,
            has_project_limit: row.has_project_limit,
            trace_context: row.trace_context,
        })
    })
    .transpose()
}

/// One script with its content, as agents receive it.
#[derive(Debug, Clone)]
pub struct RunnableScript {
    /// Id of the script; `None` for a command.
    pub script_id: Option<ScriptId>,
    /// Interpreter type.
    pub script_type: ScriptType,
    /// Text to run: [`script::executable`] of the stored content.
    pub content: String,
    /// SHA-256 over type and this text.
    pub sha256: [u8; 32],
    /// Values of its parameters in the task.
    pub parameters: ParameterValues,
}

/// Reads the scripts or the command of a task, in order, at the pinned revisions.
pub async fn runnable(connection: &mut Connection, task_id: TaskId) -> Result<Vec<RunnableScript>, Error> {
    let rows = sqlx::query!(
        r#"SELECT ts.script_id AS "script_id?", coalesce(s.script_type, k.command_type) AS "script_type!",
                  coalesce(r.content, k.command) AS "content!",
                  ts.parameters AS "parameters: Json<ParameterValues>"
           FROM task k JOIN task_script ts USING (task_id)
           LEFT JOIN script s ON s.project_id = k.project_id AND s.script_id = ts.script_id
           LEFT JOIN script_revision r ON r.project_id = k.project_id AND r.script_id = ts.script_id
                AND r.revision = ts.revision
           WHERE k.task_id = $1 ORDER BY ts.script"#,
        task_id.0
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let script_type = word("script", &row.script_type)?;
            let content = script::executable(script_type, &row.content).into_owned();
            Ok(RunnableScript {
                script_id: row.script_id.map(ScriptId),
                script_type,
                sha256: script::sha256(script_type, &content),
                content,
                parameters: row.parameters.0,
            })
        })
        .collect()
}

/// Changes a task's row, unless the task has ended. The first change to RUNNING sets its start
/// time.
pub(crate) async fn apply(
    connection: &mut Connection,
    task_id: TaskId,
    change: &TaskChange,
    now: Timestamp,
) -> Result<(), Error> {
    if *change == TaskChange::default() {
        return Ok(());
    }
    let TaskChange { status, is_killed, pause, max_concurrency } = change;
    let (status, halt_reason) = status.clone().unzip();
    sqlx::query!(
        "UPDATE task SET status = coalesce($2, status), halt_reason = coalesce($3, halt_reason),
                started_at = CASE WHEN $2 = 'RUNNING' THEN coalesce(started_at, $4) ELSE started_at END,
                ended_at = CASE WHEN $5 THEN $4 END,
                killing = killing OR $6,
                paused_at = CASE WHEN $7 THEN CASE WHEN $8::text IS NULL THEN NULL ELSE $4 END ELSE paused_at END,
                paused_by = CASE WHEN $7 THEN $8 ELSE paused_by END,
                max_concurrency = CASE WHEN $9 THEN $10 ELSE max_concurrency END
         WHERE task_id = $1 AND ended_at IS NULL",
        task_id.0,
        status.map(TaskStatus::as_str),
        halt_reason.flatten(),
        now,
        status.is_some_and(TaskStatus::is_ended),
        is_killed,
        pause.is_some(),
        pause.as_ref().and_then(Option::as_deref),
        max_concurrency.is_some(),
        max_concurrency.flatten().map(int4),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the remaining work of an ended task.
pub(crate) async fn clear_work(connection: &mut Connection, task_id: TaskId) -> Result<(), Error> {
    // Deletes batches in the order of lease renewals.
    sqlx::query!(
        "DELETE FROM batch b USING (
             SELECT batch_id FROM batch WHERE task_id = $1 ORDER BY batch_id FOR UPDATE) AS all_of_it
         WHERE b.task_id = $1 AND b.batch_id = all_of_it.batch_id",
        task_id.0
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("DELETE FROM deferred_target WHERE task_id = $1", task_id.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("DELETE FROM awaited_return WHERE task_id = $1", task_id.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("DELETE FROM target_stop WHERE task_id = $1", task_id.0).execute(connection).await?;
    Ok(())
}

/// Reads the waves of a task's plan.
pub async fn planned_waves(connection: &mut Connection, task_id: TaskId) -> Result<Vec<PlannedWave>, Error> {
    let rows = wave::list(connection, &[task_id]).await?;
    let planned = rows.into_iter().map(|(_, row)| PlannedWave {
        wave: row.wave,
        first_ordinal: row.first_ordinal,
        size: row.state.size,
        fail_threshold: row.state.fail_threshold,
    });
    Ok(planned.collect())
}

/// Locks a task against concurrent retries. Returns false if retention has deleted it.
pub async fn lock_for_retry(connection: &mut Connection, task_id: TaskId) -> Result<bool, Error> {
    let locked = sqlx::query!("SELECT task_id FROM task WHERE task_id = $1 FOR UPDATE", task_id.0)
        .fetch_optional(connection)
        .await?;
    Ok(locked.is_some())
}

/// Reads the tasks that a task retries, the latest first: its original, the original of that one,
/// and so on, as far as retention has kept them. At most [`retry::MAX_ORIGINALS`].
pub async fn retried(connection: &mut Connection, task_id: TaskId) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        r#"WITH RECURSIVE original (task_id, step) AS (
               SELECT retry_of, 1::int4 FROM task WHERE task_id = $1 AND retry_of IS NOT NULL
               UNION ALL
               SELECT k.retry_of, o.step + 1 FROM original o JOIN task k ON k.task_id = o.task_id
               WHERE k.retry_of IS NOT NULL AND o.step < $2
           )
           SELECT task_id AS "task_id!" FROM original ORDER BY step"#,
        task_id.0,
        retry::MAX_ORIGINALS,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Returns the task that retries this task, or the record (ordinal, script) if one is given. A
/// retry of the whole task covers its records.
pub async fn successor(
    connection: &mut Connection,
    task_id: TaskId,
    record: Option<(u32, u16)>,
) -> Result<Option<TaskId>, Error> {
    let found = sqlx::query_scalar!(
        "SELECT task_id FROM task
         WHERE retry_of = $1 AND (retry_of_ordinal IS NULL OR retry_of_ordinal = $2 AND retry_of_script = $3) LIMIT 1",
        task_id.0,
        record.map(|(ordinal, _)| int4(ordinal)),
        record.map(|(_, script)| int2(script)),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(TaskId))
}

/// Reads the pinned scripts of tasks, by task, in order.
pub async fn pinned_scripts(
    connection: &mut Connection,
    task_ids: &[TaskId],
) -> Result<HashMap<TaskId, Vec<PinnedScript>>, Error> {
    let ids: Vec<Uuid> = task_ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT task_id, script_id, revision, name, parameters AS "parameters: Json<ParameterValues>"
           FROM task_script WHERE task_id = ANY($1) ORDER BY task_id, script"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    let mut scripts: HashMap<TaskId, Vec<PinnedScript>> = HashMap::new();
    for row in rows {
        scripts.entry(TaskId(row.task_id)).or_default().push(PinnedScript {
            script: row.script_id.map(ScriptId).zip(row.revision),
            name: row.name,
            parameters: row.parameters.0,
        });
    }
    Ok(scripts)
}
