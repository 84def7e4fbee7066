//! Records: written once, when their target ends. Lists combine them with records derived from
//! targets that have not ended.

mod insert;
mod list;
mod newest;
mod of_task;

use domain::{
    Timestamp,
    ids::{DesktopId, ProjectId, ScriptId, TaskId},
    outcome::Outcome,
    period::Period,
    process::{LeftProcess, ProcessReport},
    record::{LateResult, RecordId, RecordStatus, SKIPPED_REASON, UnendedState},
    script::ScriptType,
    task::TaskStatus,
    what_if::Finished,
};
use sqlx::{Postgres, QueryBuilder, types::Json};
use uuid::Uuid;

pub(crate) use insert::{add_late, insert};
pub use list::{catch_up, list};

use crate::{
    Connection, Error,
    codec::{count, int2, int4, push_period, text_id, word},
};

/// Returns the results of a task's targets in the order of the plan, each from the script that
/// decided it.
pub async fn finished(connection: &mut Connection, task_id: TaskId) -> Result<Vec<Finished>, Error> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (ordinal) ordinal, outcome::text AS "outcome!", exit_code,
                  max(ended_at) OVER (PARTITION BY ordinal) AS "ended_at!"
           FROM record WHERE task_id = $1
           ORDER BY ordinal, outcome = 'SUCCESS', script"#,
        task_id.0
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Finished {
                ordinal: count("record", row.ordinal)?,
                outcome: word("record", &row.outcome)?,
                exit_code: row.exit_code,
                ended_at: row.ended_at,
            })
        })
        .collect()
}

/// A record in a list: stored, or derived from the whereabouts of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Id of the record.
    pub record_id: RecordId,
    /// Id of the script; `None` if the task runs a command.
    pub script_id: Option<ScriptId>,
    /// Name of the script at the pinned revision.
    pub script_name: String,
    /// Command and its interpreter; `None` if the task runs scripts.
    pub command: Option<(ScriptType, String)>,
    /// Id of the desktop.
    pub desktop_id: String,
    /// Computer name of the desktop.
    pub computer_name: String,
    /// Wave of the target.
    pub wave: u16,
    /// Whether wave 1 of its task is a gray wave.
    pub gray: bool,
    /// Status of the record.
    pub status: RecordStatus,
    /// Exit code; `None` if the agent killed the script, or it never started or has not ended.
    pub exit_code: Option<i32>,
    /// Start time by the agent's clock; `None` if the script has not started.
    pub started_at: Option<Timestamp>,
    /// End time; `None` if the record is not stored.
    pub ended_at: Option<Timestamp>,
    /// Reason of the outcome; empty for a success.
    pub reason: String,
    /// Captured output; only in [`fetch`], and in a [`page`] that requests it.
    pub output: String,
    /// Facts about the process of the script.
    pub process: ProcessReport,
    /// Result that arrived after the outcome was decided to be UNKNOWN. Its output is empty where
    /// `output` is.
    pub late_result: Option<LateResult>,
}

impl RecordRow {
    /// Returns the outcome; `None` until the script has ended.
    pub const fn outcome(&self) -> Option<Outcome> {
        match self.status {
            RecordStatus::Ended(outcome) => Some(outcome),
            RecordStatus::Waiting | RecordStatus::Running => None,
        }
    }

    /// Returns the reason of the outcome, if known. A record that was never stored has a fixed
    /// reason.
    pub fn shown_reason(&self) -> Option<&str> {
        if self.outcome().is_some() && self.ended_at.is_none() {
            return Some(SKIPPED_REASON);
        }
        Some(self.reason.as_str()).filter(|reason| !reason.is_empty())
    }
}

/// Filters of the list. All of them match exactly. Several values of one filter are alternatives.
#[derive(Debug, Clone, Default)]
pub struct RecordFilter {
    /// Only records of this task.
    pub task_id: Option<TaskId>,
    /// Only records of these desktops; empty for all.
    pub desktop_ids: Vec<String>,
    /// Only records of these scripts.
    pub script_ids: Option<Vec<ScriptId>>,
    /// Only records of scripts with these names; empty for all.
    pub script_names: Vec<String>,
    /// Only records with this status word of the API.
    pub status: Option<String>,
    /// Only records of tasks over desktops of one of these pools; empty for all.
    pub pool_ids: Vec<String>,
    /// Only records of the gray wave (`true`), or only of other waves (`false`).
    pub is_first_order: Option<bool>,
    /// Only records of tasks that run a command (`true`) or scripts (`false`).
    pub runs_command: Option<bool>,
    /// Only records started in this period. For a record without a start, the time of acceptance
    /// counts.
    pub period: Period,
    /// Only the newest record of each script on each desktop; only for a [`list`]. With an end of
    /// the period, tasks accepted later do not count.
    pub latest_only: bool,
    /// Only records of this wave.
    pub wave: Option<u16>,
    /// Only records after this ordinal and script in the order of the plan.
    pub after: Option<(u32, u16)>,
    /// Whether to include outputs; only for a [`page`].
    pub with_output: bool,
}

/// Lists records in the order of their task's plan, starting after `filter.after`.
pub async fn page(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &RecordFilter,
    limit: i64,
) -> Result<Vec<RecordRow>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT_RECORD);
    let (output, late_result) =
        if filter.with_output { ("coalesce(r.output, '')", "r.late_result") } else { ("''", WITHOUT_OUTPUT) };
    query.push(format!(
        ", {STARTED_AT} AS started_at, {PLACE} AS place, {output} AS output, {late_result} AS late_result"
    ));
    push_from(&mut query);
    query.push(" WHERE k.project_id = ").push_bind(project_id.as_str().to_owned());
    push_filter(&mut query, filter);
    query.push(" ORDER BY t.ordinal, ts.script LIMIT ").push_bind(limit);
    let rows: Vec<Listed> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(RecordRow::try_from).collect()
}

/// Reads one record with its output.
pub async fn fetch(
    connection: &mut Connection,
    project_id: &ProjectId,
    record_id: RecordId,
) -> Result<Option<RecordRow>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT_RECORD);
    query.push(format!(
        ", {STARTED_AT} AS started_at, {PLACE} AS place, coalesce(r.output, '') AS output, r.late_result"
    ));
    push_from(&mut query);
    query.push(" WHERE k.project_id = ").push_bind(project_id.as_str().to_owned());
    query.push(" AND k.task_id = ").push_bind(record_id.task_id.0);
    query.push(" AND k.attempt = ").push_bind(int2(record_id.attempt));
    query.push(" AND t.ordinal = ").push_bind(i64::from(record_id.ordinal));
    query.push(" AND ts.script = ").push_bind(i32::from(record_id.script));
    let row: Option<Listed> = query.build_query_as().fetch_optional(connection).await?;
    row.map(RecordRow::try_from).transpose()
}

/// Whereabouts of a target without a record, as the words of [`unended_state_word`].
const PLACE: &str = "CASE WHEN ts.script < t.first_script THEN 'done_earlier' WHEN b.status = 'LEASED' OR a.task_id IS NOT NULL THEN 'leased' WHEN b.status = 'READY' OR s.task_id IS NOT NULL \
                     THEN 'queued' WHEN x.script = ts.script THEN 'stopped' WHEN x.script < ts.script \
                     THEN 'behind_stopped' ELSE 'nowhere' END";

/// Late result of a record, for a list without outputs.
const WITHOUT_OUTPUT: &str = "r.late_result || '{\"output\": \"\"}'";

/// Start of a record: stored, or reported by its worker while the script runs.
const STARTED_AT: &str = "CASE WHEN r.outcome IS NOT NULL THEN r.started_at
                               WHEN b.status = 'LEASED' AND (b.started->0)::int4 = ts.script
                                   THEN to_timestamp((b.started->1)::float8 / 1000) END";

const SELECT_RECORD: &str =
    "SELECT k.task_id, t.ordinal, ts.script, k.attempt, ts.script_id, ts.name, k.command_type, k.command,
    t.desktop_id, coalesce(d.computer_name, '') AS computer_name, t.wave, k.gray, k.status AS task_status,
    r.outcome::text AS outcome, r.exit_code, r.ended_at, coalesce(r.reason, '') AS reason,
    r.interpreter, r.signal, r.containment, r.left_processes, r.left_processes_count";

/// Looks up the batch of each target. A page visits few rows. Ended targets need no lookup.
const BATCH_OF_EACH: &str = " LEFT JOIN LATERAL (
    SELECT b.status, b.started->(t.ordinal::text) AS started FROM batch b
    WHERE r.outcome IS NULL AND k.ended_at IS NULL AND b.task_id = k.task_id AND t.ordinal = ANY(b.ordinals)
    LIMIT 1) AS b ON true";

/// Joins everything that a shown record consists of to its task, target and script.
const SHOWN_JOINS: [&str; 4] = [STORED, UNENDED, BATCH_OF_EACH, DESKTOP];

/// The stored record.
const STORED: &str =
    " LEFT JOIN record r ON r.task_id = k.task_id AND r.ordinal = t.ordinal AND r.script = ts.script
      AND r.attempt = k.attempt";

/// What is stored of targets that have not ended, without their batches.
const UNENDED: &str = " LEFT JOIN deferred_target s ON s.task_id = k.task_id AND s.ordinal = t.ordinal
      LEFT JOIN target_stop x ON x.task_id = k.task_id AND x.ordinal = t.ordinal
      LEFT JOIN awaited_return a ON a.task_id = k.task_id AND a.ordinal = t.ordinal AND NOT a.resumed";

const DESKTOP: &str = " LEFT JOIN desktop d ON d.project_id = k.project_id AND d.desktop_id = t.desktop_id";

/// Reads from all targets and scripts of tasks.
fn push_from(query: &mut QueryBuilder<Postgres>) {
    query.push(
        " FROM task k JOIN target t ON t.task_id = k.task_id JOIN task_script ts ON ts.task_id = k.task_id",
    );
    SHOWN_JOINS.iter().for_each(|join| {
        query.push(join);
    });
}

/// Selects the records whose keys the common table expression `page` has, in the order of a list.
/// `more_columns` is empty, or begins with a comma.
fn push_shown(query: &mut QueryBuilder<Postgres>, more_columns: &str) {
    query.push(SELECT_RECORD);
    query.push(format!(
        ", {STARTED_AT} AS started_at, {PLACE} AS place, '' AS output, {WITHOUT_OUTPUT} AS late_result{more_columns}
         FROM page m JOIN task k ON k.task_id = m.task_id
         JOIN target t ON t.task_id = m.task_id AND t.ordinal = m.ordinal
         JOIN task_script ts ON ts.task_id = m.task_id AND ts.script = m.script"
    ));
    for join in SHOWN_JOINS {
        query.push(join);
    }
    query.push(" ORDER BY k.task_id DESC, t.ordinal, ts.script");
}

/// Pushes the conditions of a filter, each with AND.
fn push_filter(query: &mut QueryBuilder<Postgres>, filter: &RecordFilter) {
    if let Some(task_id) = filter.task_id {
        query.push(" AND k.task_id = ").push_bind(task_id.0);
    }
    push_desktops(query, filter);
    push_scripts(query, filter);
    push_of_task(query, filter);
    if let Some(status) = &filter.status {
        query.push(format!(" AND coalesce(r.outcome::text, {PLACE} || '/' || k.status) = ANY("));
        query.push_bind(combinations(status)).push(")");
    }
    if let Some(is_first_order) = filter.is_first_order {
        query.push(if is_first_order {
            " AND k.gray AND t.wave = 1"
        } else {
            " AND NOT (k.gray AND t.wave = 1)"
        });
    }
    if let Some(wave) = filter.wave {
        query.push(" AND t.wave = ").push_bind(int2(wave));
    }
    if let Some((ordinal, script)) = filter.after {
        // The first condition uses the index; the second one spans two tables.
        query.push(" AND t.ordinal >= ").push_bind(int4(ordinal));
        query.push(" AND (t.ordinal, ts.script) > (").push_bind(int4(ordinal)).push(", ");
        query.push_bind(int2(script)).push(")");
    }
    if filter.period != Period::default() {
        query.push(format!(" AND coalesce({STARTED_AT}, k.created_at)"));
        push_period(query, &filter.period);
    }
}

fn push_desktops(query: &mut QueryBuilder<Postgres>, filter: &RecordFilter) {
    if !filter.desktop_ids.is_empty() {
        query.push(" AND t.desktop_id = ANY(").push_bind(filter.desktop_ids.clone()).push(")");
    }
}

/// Pushes the conditions on the script alone.
fn push_scripts(query: &mut QueryBuilder<Postgres>, filter: &RecordFilter) {
    if let Some(script_ids) = &filter.script_ids {
        let ids: Vec<Uuid> = script_ids.iter().map(|id| id.0).collect();
        query.push(" AND ts.script_id = ANY(").push_bind(ids).push(")");
    }
    if !filter.script_names.is_empty() {
        query.push(" AND ts.name = ANY(").push_bind(filter.script_names.clone()).push(")");
    }
}

/// Pushes the conditions on the task alone, but for its id.
fn push_of_task(query: &mut QueryBuilder<Postgres>, filter: &RecordFilter) {
    if !filter.pool_ids.is_empty() {
        query.push(" AND k.resource_group_id = ANY(").push_bind(filter.pool_ids.clone()).push(")");
    }
    if let Some(runs_command) = filter.runs_command {
        query.push(if runs_command { " AND k.command IS NOT NULL" } else { " AND k.command IS NULL" });
    }
}

const UNENDED_STATES: [UnendedState; 6] = [
    UnendedState::Nowhere,
    UnendedState::Queued,
    UnendedState::Leased,
    UnendedState::Stopped,
    UnendedState::BehindStopped,
    UnendedState::DoneEarlier,
];

const fn unended_state_word(place: UnendedState) -> &'static str {
    match place {
        UnendedState::Nowhere => "nowhere",
        UnendedState::Queued => "queued",
        UnendedState::Leased => "leased",
        UnendedState::Stopped => "stopped",
        UnendedState::BehindStopped => "behind_stopped",
        UnendedState::DoneEarlier => "done_earlier",
    }
}

/// Returns every outcome, and every combination of place and task status, to which the rule gives
/// this status word. The rule therefore exists once, although the filter runs in the database.
fn combinations(status: &str) -> Vec<String> {
    let is_meant = |found: RecordStatus| found.status_and_result_code().0 == status;
    let stored = Outcome::ALL.into_iter().filter(|&outcome| is_meant(RecordStatus::Ended(outcome)));
    let mut found: Vec<String> = stored.map(|outcome| outcome.to_string()).collect();
    for place in UNENDED_STATES {
        for task in TaskStatus::ALL {
            if is_meant(RecordStatus::of(None, place, task)) {
                found.push(format!("{}/{task}", unended_state_word(place)));
            }
        }
    }
    found
}

#[derive(sqlx::FromRow)]
struct Listed {
    task_id: Uuid,
    ordinal: i32,
    script: i16,
    attempt: i16,
    script_id: Option<Uuid>,
    name: String,
    command_type: Option<String>,
    command: Option<String>,
    desktop_id: String,
    computer_name: String,
    wave: i16,
    gray: bool,
    task_status: String,
    outcome: Option<String>,
    place: String,
    exit_code: Option<i32>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    reason: String,
    interpreter: Option<String>,
    signal: Option<i16>,
    containment: Option<String>,
    left_processes: Option<Json<Vec<LeftProcess>>>,
    left_processes_count: Option<i32>,
    output: String,
    late_result: Option<Json<LateResult>>,
}

impl TryFrom<Listed> for RecordRow {
    type Error = Error;

    fn try_from(row: Listed) -> Result<Self, Error> {
        let outcome = row.outcome.map(|text| word("record", &text)).transpose()?;
        let place = UNENDED_STATES
            .into_iter()
            .find(|&place| unended_state_word(place) == row.place)
            .ok_or_else(|| Error::corrupt("record", &row.place))?;
        let command_type = row.command_type.map(|text| word("task", &text)).transpose()?;
        Ok(Self {
            record_id: RecordId {
                task_id: TaskId(row.task_id),
                ordinal: count("target", row.ordinal)?,
                script: count("task_script", row.script)?,
                attempt: count("task", row.attempt)?,
            },
            script_id: row.script_id.map(ScriptId),
            script_name: row.name,
            command: command_type.zip(row.command),
            desktop_id: text_id::<DesktopId>("target", row.desktop_id)?.into_string(),
            computer_name: row.computer_name,
            wave: count("target", row.wave)?,
            gray: row.gray,
            status: RecordStatus::of(outcome, place, word("task", &row.task_status)?),
            exit_code: row.exit_code,
            started_at: row.started_at,
            ended_at: row.ended_at,
            reason: row.reason,
            output: row.output,
            process: ProcessReport {
                interpreter: row.interpreter,
                signal: row.signal.map(|number| count("record", number)).transpose()?,
                containment: row.containment.map(|text| word("record", &text)).transpose()?,
                left_processes: row.left_processes.map(|named| named.0).unwrap_or_default(),
                left_processes_count: count("record", row.left_processes_count.unwrap_or_default())?,
            },
            late_result: row.late_result.map(|late| late.0),
        })
    }
}
