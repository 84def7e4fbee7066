//! Tasks, their pinned scripts, and the project's list of them.

use std::collections::HashMap;

use chrono::TimeDelta;
use domain::{
    Timestamp,
    deadline::Timeouts,
    ids::{ProjectId, ScriptId, TaskId},
    page::Page,
    plan::Plan,
    script::ScriptType,
    task::TaskStatus,
};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    Connection, Error, target,
    values::{count, int2, int4, text_id, word},
    wave,
};

/// A script as a task pins it; `None` for the command of a task that runs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedScript {
    /// Which script, at which revision.
    pub script: Option<(ScriptId, i32)>,
    /// Its name at that revision; empty for a command.
    pub name: String,
}

/// A task about to be stored.
#[derive(Debug, Clone)]
pub struct NewTask<'a> {
    /// Its id.
    pub task_id: TaskId,
    /// Whose it is.
    pub project_id: &'a ProjectId,
    /// What runs, in order.
    pub scripts: &'a [PinnedScript],
    /// The command and what runs it, instead of scripts.
    pub command: Option<(ScriptType, &'a str)>,
    /// The limits it was accepted with.
    pub timeouts: Timeouts,
    /// Who runs when.
    pub plan: &'a Plan,
    /// When it was accepted.
    pub now: Timestamp,
}

/// Stores a task with its scripts, waves and targets. Nothing of it is there before the caller commits.
pub async fn insert(connection: &mut Connection, task: &NewTask<'_>) -> Result<(), Error> {
    let picks = serde_json::to_value(&task.plan.picks).map_err(|error| Error::corrupt("task", error))?;
    sqlx::query!(
        "INSERT INTO task (task_id, project_id, status, resource_type, command_type, command, attempt, target_count,
                           script_count, execution_timeout_ms, delivery_timeout_ms, grace_ms, gray, plan_seed,
                           plan_hash, plan_picks, created_at)
         VALUES ($1, $2, $3, 'DESKTOP', $4, $5, 1, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        task.task_id.0,
        task.project_id.as_str(),
        TaskStatus::Waiting.as_str(),
        task.command.map(|(command_type, _)| command_type.as_str()),
        task.command.map(|(_, command)| command),
        int4(task.plan.order.len()),
        int2(task.scripts.len()),
        task.timeouts.execution.num_milliseconds(),
        task.timeouts.delivery.num_milliseconds(),
        task.timeouts.grace.num_milliseconds(),
        task.plan.gray,
        task.plan.seed.cast_signed(),
        &task.plan.hash[..],
        picks,
        task.now,
    )
    .execute(&mut *connection)
    .await?;
    insert_scripts(connection, task).await?;
    wave::insert(connection, task.task_id, &task.plan.waves).await?;
    for wave in &task.plan.waves {
        let first = wave.first_ordinal as usize;
        let members = &task.plan.order[first..first + wave.size as usize];
        target::insert(connection, task.task_id, wave.wave, wave.first_ordinal, members).await?;
    }
    Ok(())
}

async fn insert_scripts(connection: &mut Connection, task: &NewTask<'_>) -> Result<(), Error> {
    for (place, pinned) in task.scripts.iter().enumerate() {
        sqlx::query!(
            "INSERT INTO task_script (task_id, script, script_id, revision, name) VALUES ($1, $2, $3, $4, $5)",
            task.task_id.0,
            int2(place),
            pinned.script.map(|(script_id, _)| script_id.0),
            pinned.script.map(|(_, revision)| revision),
            pinned.name,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// What the scheduler needs to know of a task; all but the status never changes.
#[derive(Debug, Clone)]
pub struct TaskFacts {
    /// Whose it is.
    pub project_id: ProjectId,
    /// Where it is.
    pub status: TaskStatus,
    /// Scripts that run on each target.
    pub script_count: u16,
    /// Of all its records.
    pub attempt: u16,
    /// The limits it was accepted with.
    pub timeouts: Timeouts,
}

/// A task's facts, by its id alone: for schedulers, who work for all projects.
pub async fn facts(connection: &mut Connection, task_id: TaskId) -> Result<Option<TaskFacts>, Error> {
    let row = sqlx::query!(
        "SELECT project_id, status, script_count, attempt, execution_timeout_ms, delivery_timeout_ms, grace_ms
         FROM task WHERE task_id = $1",
        task_id.0
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(TaskFacts {
            project_id: text_id("task", row.project_id)?,
            status: word("task", &row.status)?,
            script_count: count("task", row.script_count)?,
            attempt: count("task", row.attempt)?,
            timeouts: Timeouts {
                execution: TimeDelta::milliseconds(row.execution_timeout_ms),
                delivery: TimeDelta::milliseconds(row.delivery_timeout_ms),
                grace: TimeDelta::milliseconds(row.grace_ms),
            },
        })
    })
    .transpose()
}

/// One script with its content, as it is handed to agents.
#[derive(Debug, Clone)]
pub struct RunnableScript {
    /// `None` for a command.
    pub script_id: Option<ScriptId>,
    /// What runs it.
    pub script_type: ScriptType,
    /// What runs.
    pub content: String,
}

/// What a task runs, in order, at the revisions it pinned.
pub async fn runnable(connection: &mut Connection, task_id: TaskId) -> Result<Vec<RunnableScript>, Error> {
    let rows = sqlx::query!(
        r#"SELECT ts.script_id AS "script_id?", coalesce(s.script_type, k.command_type) AS "script_type!",
                  coalesce(r.content, k.command) AS "content!"
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
            Ok(RunnableScript {
                script_id: row.script_id.map(ScriptId),
                script_type: word("script", &row.script_type)?,
                content: row.content,
            })
        })
        .collect()
}

/// Tasks that have not ended and may have something to cut: a first wave to open, or an open wave whose cursor is
/// not at its end.
pub async fn to_cut(connection: &mut Connection, limit: i64) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT k.task_id FROM task k
           WHERE k.status IN ('WAITING', 'RUNNING', 'HALTING')
             AND (k.status = 'WAITING' OR EXISTS (
                 SELECT FROM wave w WHERE w.task_id = k.task_id AND w.status = 'OPEN' AND w.cursor < w.size))
           ORDER BY k.task_id LIMIT $1"#,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Moves a task on that has not ended. Its first RUNNING is its start.
pub async fn set_status(
    connection: &mut Connection,
    task_id: TaskId,
    status: TaskStatus,
    halt_reason: Option<&str>,
    now: Timestamp,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE task SET status = $2, halt_reason = coalesce($3, halt_reason),
                started_at = CASE WHEN $2 = 'RUNNING' THEN coalesce(started_at, $5) ELSE started_at END,
                ended_at = CASE WHEN $4 THEN $5 END
         WHERE task_id = $1 AND ended_at IS NULL",
        task_id.0,
        status.as_str(),
        halt_reason,
        status.is_ended(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A task as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// Its id.
    pub task_id: TaskId,
    /// Whose it is.
    pub project_id: ProjectId,
    /// Where it is.
    pub status: TaskStatus,
    /// The command and what runs it, instead of scripts.
    pub command: Option<(ScriptType, String)>,
    /// Desktops.
    pub target_count: u32,
    /// Scripts that run on each.
    pub script_count: u32,
    /// Whether wave 1 is a gray wave.
    pub gray: bool,
    /// SHA-256 of the plan.
    pub plan_hash: Vec<u8>,
    /// Why the gate halted it.
    pub halt_reason: Option<String>,
    /// Accepted.
    pub created_at: Timestamp,
    /// First wave opened.
    pub started_at: Option<Timestamp>,
    /// Ended.
    pub ended_at: Option<Timestamp>,
}

/// Filters of the list; all exact.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Only these; an id that is none matches nothing.
    pub task_ids: Option<Vec<TaskId>>,
    /// Only tasks that run this script.
    pub script_id: Option<ScriptId>,
    /// Only tasks that run a script of this name.
    pub script_name: Option<String>,
    /// Only tasks in one of these states.
    pub statuses: Option<Vec<TaskStatus>>,
    /// Only tasks that run a command, or only those that run scripts.
    pub runs_command: Option<bool>,
    /// Accepted at this moment or later.
    pub from: Option<Timestamp>,
    /// Accepted at this moment or earlier.
    pub until: Option<Timestamp>,
}

/// One page of tasks, newest first, and how many there are in all.
pub async fn list(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &TaskFilter,
    page: Page,
) -> Result<(i64, Vec<TaskRow>), Error> {
    let mut counting = QueryBuilder::<Postgres>::new("SELECT count(*) FROM task k WHERE k.project_id = ");
    push_filter(&mut counting, project_id, filter);
    let count: i64 = counting.build_query_scalar().fetch_one(&mut *connection).await?;

    let mut listing = QueryBuilder::<Postgres>::new(SELECT_TASK);
    listing.push(" WHERE k.project_id = ");
    push_filter(&mut listing, project_id, filter);
    listing
        .push(" ORDER BY k.task_id DESC OFFSET ")
        .push_bind(page.offset)
        .push(" LIMIT ")
        .push_bind(page.limit);
    let rows: Vec<Listed> = listing.build_query_as().fetch_all(connection).await?;
    Ok((count, rows.into_iter().map(TaskRow::try_from).collect::<Result<_, _>>()?))
}

/// One task.
pub async fn fetch(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_id: TaskId,
) -> Result<Option<TaskRow>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT_TASK);
    query.push(" WHERE k.task_id = ").push_bind(task_id.0);
    query.push(" AND k.project_id = ").push_bind(project_id.as_str().to_owned());
    let row: Option<Listed> = query.build_query_as().fetch_optional(connection).await?;
    row.map(TaskRow::try_from).transpose()
}

const SELECT_TASK: &str =
    "SELECT k.task_id, k.project_id, k.status, k.command_type, k.command, k.target_count,
    k.script_count, k.gray, k.plan_hash, k.halt_reason, k.created_at, k.started_at, k.ended_at FROM task k";

fn push_filter(query: &mut QueryBuilder<Postgres>, project_id: &ProjectId, filter: &TaskFilter) {
    query.push_bind(project_id.as_str().to_owned());
    if let Some(task_ids) = &filter.task_ids {
        let ids: Vec<Uuid> = task_ids.iter().map(|id| id.0).collect();
        query.push(" AND k.task_id = ANY(").push_bind(ids).push(")");
    }
    if let Some(script_id) = filter.script_id {
        query.push(" AND EXISTS (SELECT FROM task_script s WHERE s.task_id = k.task_id AND s.script_id = ");
        query.push_bind(script_id.0).push(")");
    }
    if let Some(name) = &filter.script_name {
        query.push(" AND EXISTS (SELECT FROM task_script s WHERE s.task_id = k.task_id AND s.name = ");
        query.push_bind(name.clone()).push(")");
    }
    if let Some(statuses) = &filter.statuses {
        let words: Vec<String> = statuses.iter().map(|status| status.as_str().to_owned()).collect();
        query.push(" AND k.status = ANY(").push_bind(words).push(")");
    }
    if let Some(runs_command) = filter.runs_command {
        query.push(if runs_command { " AND k.command IS NOT NULL" } else { " AND k.command IS NULL" });
    }
    if let Some(from) = filter.from {
        query.push(" AND k.created_at >= ").push_bind(from);
    }
    if let Some(until) = filter.until {
        query.push(" AND k.created_at <= ").push_bind(until);
    }
}

#[derive(sqlx::FromRow)]
struct Listed {
    task_id: Uuid,
    project_id: String,
    status: String,
    command_type: Option<String>,
    command: Option<String>,
    target_count: i32,
    script_count: i16,
    gray: bool,
    plan_hash: Vec<u8>,
    halt_reason: Option<String>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

impl TryFrom<Listed> for TaskRow {
    type Error = Error;

    fn try_from(row: Listed) -> Result<Self, Error> {
        let command_type = row.command_type.map(|text| word("task", &text)).transpose()?;
        Ok(Self {
            task_id: TaskId(row.task_id),
            project_id: text_id("task", row.project_id)?,
            status: word("task", &row.status)?,
            command: command_type.zip(row.command),
            target_count: count("task", row.target_count)?,
            script_count: count("task", row.script_count)?,
            gray: row.gray,
            plan_hash: row.plan_hash,
            halt_reason: row.halt_reason,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
        })
    }
}

/// The scripts that tasks pin, by task, in order.
pub async fn pinned_scripts(
    connection: &mut Connection,
    task_ids: &[TaskId],
) -> Result<HashMap<TaskId, Vec<PinnedScript>>, Error> {
    let ids: Vec<Uuid> = task_ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "SELECT task_id, script_id, revision, name FROM task_script WHERE task_id = ANY($1) ORDER BY task_id, script",
        &ids
    )
    .fetch_all(connection)
    .await?;
    let mut scripts: HashMap<TaskId, Vec<PinnedScript>> = HashMap::new();
    for row in rows {
        scripts
            .entry(TaskId(row.task_id))
            .or_default()
            .push(PinnedScript { script: row.script_id.map(ScriptId).zip(row.revision), name: row.name });
    }
    Ok(scripts)
}
