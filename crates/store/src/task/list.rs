//! Queries of tasks.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    deadline::Timeouts,
    ids::{IdPrefix, ProjectId, ScriptId, TaskId},
    page::Page,
    period::Period,
    policy::RolloutPolicy,
    script::ScriptType,
    task::TaskStatus,
};
use sqlx::{Postgres, QueryBuilder, types::Json};
use uuid::Uuid;

use super::{RetryOf, Selection};
use crate::{
    Connection, Error,
    codec::{count, push_period, text_id, word},
    project_count,
};

/// A task in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// Id of the task.
    pub task_id: TaskId,
    /// Project of the task.
    pub project_id: ProjectId,
    /// Status of the task.
    pub status: TaskStatus,
    /// Command and its interpreter; `None` if the task runs scripts.
    pub command: Option<(ScriptType, String)>,
    /// Number of targets.
    pub target_count: u32,
    /// Number of scripts that run on each target.
    pub script_count: u32,
    /// Whether wave 1 is a gray wave.
    pub gray: bool,
    /// SHA-256 of the plan.
    pub plan_hash: Vec<u8>,
    /// Reason of a halt or stop.
    pub halt_reason: Option<String>,
    /// Attempt, from 1; one more than that of the original task.
    pub attempt: u16,
    /// Original task; `None` if this task is not a retry.
    pub retry_of: Option<RetryOf>,
    /// Tasks that retry this task or single records of it.
    pub retried_by: Vec<TaskId>,
    /// Group that selected the desktops; `None` for a list of ids.
    pub selection: Option<Selection>,
    /// Principal that submitted the task.
    pub created_by: String,
    /// Reason of the submission; empty without one.
    pub submit_reason: String,
    /// Ticket of the submission; empty without one.
    pub ticket: String,
    /// Timeouts of the accepted task.
    pub timeouts: Timeouts,
    /// Rules that decide what counts as a failure, when to halt, and what follows.
    pub policy: RolloutPolicy,
    /// Maximum number of targets in flight; `None` without a limit.
    pub max_concurrency: Option<u32>,
    /// SHA-256 over its scripts or command; `None` for tasks from before this column existed.
    pub script_hash: Option<Vec<u8>>,
    /// Seed of the canary sample.
    pub plan_seed: u64,
    /// Time after which no target starts; `None` without an expiry.
    pub expires_at: Option<Timestamp>,
    /// Actor and time of the pause; `None` if the task is not paused.
    pub paused: Option<(String, Timestamp)>,
    /// Whether its project is frozen.
    pub is_frozen: bool,
    /// Time of acceptance.
    pub created_at: Timestamp,
    /// Time at which the first wave opened.
    pub started_at: Option<Timestamp>,
    /// Time at which the task ended.
    pub ended_at: Option<Timestamp>,
}

/// Filters of the list. All of them match exactly, except the reason.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Only tasks with these ids. A filter with no valid id matches nothing.
    pub task_ids: Option<Vec<TaskId>>,
    /// Only tasks that run this script.
    pub script_id: Option<ScriptId>,
    /// Only tasks that run a script with this name.
    pub script_name: Option<String>,
    /// Only tasks in one of these statuses.
    pub statuses: Option<Vec<TaskStatus>>,
    /// Only tasks that run a command (`true`) or scripts (`false`).
    pub runs_command: Option<bool>,
    /// Only tasks over desktops of one of these pools.
    pub pool_ids: Option<Vec<String>>,
    /// Only tasks with (`true`) or without (`false`) a pool.
    pub has_pool: Option<bool>,
    /// Only tasks whose reason contains this text, in any case of letters.
    pub reason: Option<String>,
    /// Only tasks with this ticket.
    pub ticket: Option<String>,
    /// Only tasks older than this one.
    pub before: Option<TaskId>,
    /// Only tasks whose id starts with these digits.
    pub id_prefix: Option<IdPrefix>,
    /// Only tasks that this principal submitted.
    pub created_by: Option<String>,
    /// Only tasks accepted from this time on, by the time in their ids.
    pub created_from: Option<Timestamp>,
    /// Only tasks accepted or started in this period. Both times stay as they are, so a task never
    /// leaves or joins the list of a period that is over.
    pub period: Period,
}

impl TaskFilter {
    /// Returns the selected statuses; `None` if anything but the status matters.
    fn of_status(&self) -> Option<&[TaskStatus]> {
        let Self { task_ids, script_id, script_name, statuses, runs_command, pool_ids, .. } = self;
        let Self { has_pool, reason, ticket, before, id_prefix, created_by, created_from, .. } = self;
        let is_of_status = task_ids.is_none()
            && script_id.is_none()
            && [script_name, reason, ticket, created_by].iter().all(|text| text.is_none())
            && runs_command.is_none()
            && has_pool.is_none()
            && pool_ids.is_none()
            && before.is_none()
            && id_prefix.is_none()
            && created_from.is_none()
            && self.period == Period::default();
        is_of_status.then(|| statuses.as_deref().unwrap_or(&TaskStatus::ALL))
    }
}

/// Lists one page of tasks, newest first, with the total number.
pub async fn list(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &TaskFilter,
    page: Page,
) -> Result<(i64, Vec<TaskRow>), Error> {
    let count = total(connection, project_id, filter).await?;
    if page.offset >= count {
        return Ok((count, Vec::new()));
    }
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

/// Counts the tasks that match a filter: from maintained numbers if only the status matters.
async fn total(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &TaskFilter,
) -> Result<i64, Error> {
    if let Some(statuses) = filter.of_status() {
        return project_count::tasks(connection, project_id, statuses).await;
    }
    let mut counting = QueryBuilder::<Postgres>::new("SELECT count(*) FROM task k WHERE k.project_id = ");
    push_filter(&mut counting, project_id, filter);
    Ok(counting.build_query_scalar().fetch_one(connection).await?)
}

/// Lists tasks, newest first, starting after `filter.before`.
pub async fn page(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &TaskFilter,
    limit: i64,
) -> Result<Vec<TaskRow>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT_TASK);
    query.push(" WHERE k.project_id = ");
    push_filter(&mut query, project_id, filter);
    query.push(" ORDER BY k.task_id DESC LIMIT ").push_bind(limit);
    let rows: Vec<Listed> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(TaskRow::try_from).collect()
}

/// Reads one task.
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

/// Lists the tasks of a project that have not ended, newest first. With `only`, these tasks alone,
/// whether they have ended or not.
pub async fn open(
    connection: &mut Connection,
    project_id: &ProjectId,
    only: Option<&[TaskId]>,
    limit: i64,
) -> Result<Vec<TaskRow>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT_TASK);
    query.push(" WHERE k.project_id = ").push_bind(project_id.as_str().to_owned());
    match only {
        Some(only) => {
            let ids: Vec<Uuid> = only.iter().map(|id| id.0).collect();
            query.push(" AND k.task_id = ANY(").push_bind(ids).push(")");
        }
        // Selects the partial index.
        None => {
            query.push(" AND k.ended_at IS NULL");
        }
    }
    query.push(" ORDER BY k.task_id DESC LIMIT ").push_bind(limit);
    let rows: Vec<Listed> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(TaskRow::try_from).collect()
}

/// Lists the tasks of a project that ended as HALTED from a time on and that no other task retries,
/// the latest first.
pub async fn halted_since(
    connection: &mut Connection,
    project_id: &ProjectId,
    since: Timestamp,
    limit: i64,
) -> Result<Vec<TaskRow>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT_TASK);
    query.push(" WHERE k.project_id = ").push_bind(project_id.as_str().to_owned());
    query.push(" AND k.status = 'HALTED' AND k.ended_at >= ").push_bind(since);
    query.push(" AND NOT EXISTS (SELECT FROM task retry WHERE retry.retry_of = k.task_id)");
    query.push(" ORDER BY k.ended_at DESC LIMIT ").push_bind(limit);
    let rows: Vec<Listed> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(TaskRow::try_from).collect()
}

const SELECT_TASK: &str =
    "SELECT k.task_id, k.project_id, k.status, k.command_type, k.command, k.target_count,
    k.script_count, k.gray, k.plan_hash, k.halt_reason, k.created_at, k.started_at, k.ended_at, k.attempt, k.retry_of,
    k.retry_of_ordinal, k.retry_of_script, k.resource_group_id, k.desktop_tag, k.created_by, k.submit_reason, k.ticket, k.execution_timeout_ms,
    k.delivery_timeout_ms, k.grace_ms, k.policy, k.max_concurrency, k.script_hash, k.plan_seed, k.expires_at,
    k.paused_by, k.paused_at, EXISTS (SELECT FROM project_freeze f WHERE f.project_id = k.project_id) AS is_frozen,
    ARRAY(SELECT later.task_id FROM task later WHERE later.retry_of = k.task_id ORDER BY 1) AS retried_by FROM task k";

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
    if let Some(pool_ids) = &filter.pool_ids {
        query.push(" AND k.resource_group_id = ANY(").push_bind(pool_ids.clone()).push(")");
    }
    if let Some(has_pool) = filter.has_pool {
        query.push(if has_pool {
            " AND k.resource_group_id IS NOT NULL"
        } else {
            " AND k.resource_group_id IS NULL"
        });
    }
    if let Some(reason) = &filter.reason {
        query.push(" AND position(lower(").push_bind(reason.clone()).push(") IN lower(k.submit_reason)) > 0");
    }
    if let Some(ticket) = &filter.ticket {
        // The second condition selects the partial index.
        query.push(" AND k.ticket = ").push_bind(ticket.clone()).push(" AND k.ticket <> ''");
    }
    if let Some(before) = filter.before {
        query.push(" AND k.task_id < ").push_bind(before.0);
    }
    if let Some(prefix) = filter.id_prefix {
        query.push(" AND k.task_id BETWEEN ").push_bind(prefix.first());
        query.push(" AND ").push_bind(prefix.last());
    }
    if let Some(created_by) = &filter.created_by {
        query.push(" AND k.created_by = ").push_bind(created_by.clone());
    }
    if let Some(from) = filter.created_from {
        query.push(" AND k.task_id >= ").push_bind(TaskId::first_at(from).0);
    }
    if filter.period != Period::default() {
        query.push(" AND (k.created_at");
        push_period(query, &filter.period);
        query.push(" OR k.started_at");
        push_period(query, &filter.period);
        query.push(")");
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
    attempt: i16,
    retry_of: Option<Uuid>,
    retry_of_ordinal: Option<i32>,
    retry_of_script: Option<i16>,
    resource_group_id: Option<String>,
    desktop_tag: Option<String>,
    created_by: String,
    submit_reason: String,
    ticket: String,
    execution_timeout_ms: i64,
    delivery_timeout_ms: i64,
    grace_ms: i64,
    policy: Option<Json<RolloutPolicy>>,
    max_concurrency: Option<i32>,
    script_hash: Option<Vec<u8>>,
    plan_seed: i64,
    expires_at: Option<Timestamp>,
    paused_by: Option<String>,
    paused_at: Option<Timestamp>,
    is_frozen: bool,
    retried_by: Vec<Uuid>,
}

impl Listed {
    fn retry_of(&self) -> Result<Option<RetryOf>, Error> {
        let Some(task_id) = self.retry_of else { return Ok(None) };
        let record = match self.retry_of_ordinal.zip(self.retry_of_script) {
            Some((ordinal, script)) => Some((count("task", ordinal)?, count("task", script)?)),
            None => None,
        };
        Ok(Some(RetryOf { task_id: TaskId(task_id), record }))
    }
}

impl TryFrom<Listed> for TaskRow {
    type Error = Error;

    fn try_from(row: Listed) -> Result<Self, Error> {
        let retry_of = row.retry_of()?;
        let command_type = row.command_type.map(|text| word("task", &text)).transpose()?;
        let pool = row.resource_group_id.map(Selection::Pool);
        Ok(Self {
            attempt: count("task", row.attempt)?,
            retry_of,
            retried_by: row.retried_by.into_iter().map(TaskId).collect(),
            selection: pool.or_else(|| row.desktop_tag.map(Selection::Tag)),
            created_by: row.created_by,
            submit_reason: row.submit_reason,
            ticket: row.ticket,
            timeouts: Timeouts {
                execution: TimeDelta::milliseconds(row.execution_timeout_ms),
                delivery: TimeDelta::milliseconds(row.delivery_timeout_ms),
                grace: TimeDelta::milliseconds(row.grace_ms),
            },
            policy: row.policy.map(|policy| policy.0).unwrap_or_default(),
            max_concurrency: row.max_concurrency.map(|most| count("task", most)).transpose()?,
            script_hash: row.script_hash,
            plan_seed: row.plan_seed.cast_unsigned(),
            expires_at: row.expires_at,
            paused: row.paused_by.zip(row.paused_at),
            is_frozen: row.is_frozen,
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
