//! ListScriptRecords and ShowScriptRecordDetail.

use axum::{Json, extract::Path};
use control::{RecordFilter, RecordRow};
use domain::{Error, page::SCRIPT_LISTS, period::Period, plan::execute_order};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::time;
use crate::{
    dto::{LimitQuery, OffsetQuery, Project, RecordPath, RecordWord, ScriptType, non_empty},
    error::ApiError,
    extract::{Authorized, Parameters, TaskType, query},
};

/// One page of records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Records {
    /// Total number of matching records.
    count: i64,
    script_records: Vec<Record>,
}

/// A record. `output` is present only in the detail.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Record {
    id: String,
    script_id: Option<String>,
    script_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ScriptType>)]
    command_type: Option<&'static str>,
    script_task_id: String,
    resource_id: String,
    resource_name: String,
    resource_type: &'static str,
    #[schema(format = DateTime)]
    start_time: Option<String>,
    #[schema(format = DateTime)]
    end_time: Option<String>,
    #[schema(value_type = RecordWord)]
    status: &'static str,
    /// Gray phase of the target: 0 without a gray rule, 1 in the gray wave, 2 after it.
    #[schema(maximum = 2)]
    execute_order: u8,
    /// Kind of the failure: EXIT_CODE, TIMEOUT, UNDELIVERED, REJECTED, UNKNOWN or NOT_RETURNED.
    result_code: Option<&'static str>,
    /// Description of the failure.
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

impl Record {
    fn listed(row: RecordRow) -> Self {
        Self { output: None, ..Self::detailed(row) }
    }

    fn detailed(row: RecordRow) -> Self {
        let (status, result_code) = row.status.status_and_result_code();
        let reason = row.shown_reason().map(str::to_owned);
        let (command_type, command_content) = row.command.unzip();
        Self {
            id: row.record_id.to_string(),
            script_id: row.script_id.map(|id| id.to_string()),
            script_name: non_empty(row.script_name),
            command_content,
            command_type: command_type.map(domain::script::ScriptType::as_str),
            script_task_id: row.record_id.task_id.to_string(),
            resource_id: row.desktop_id,
            resource_name: row.computer_name,
            resource_type: "DESKTOP",
            start_time: row.started_at.map(time),
            end_time: row.ended_at.map(time),
            status,
            execute_order: execute_order(row.gray, row.wave),
            result_code,
            reason,
            output: Some(row.output),
        }
    }
}

/// Filters of records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only records of these desktops.
    resource_id: Vec<String>,
    /// Only records of tasks over desktops of these pools.
    resource_group_id: Vec<String>,
    /// Only records of these scripts.
    script_id: Vec<String>,
    /// Only records of scripts with exactly these names.
    script_name: Vec<String>,
    /// Only records of this task.
    script_task_id: Option<String>,
    /// Only records with this status.
    status: Option<RecordWord>,
    /// Only records in the gray wave, or only records outside of it.
    is_first_order: Option<bool>,
    /// Only records of tasks that run scripts, or only of tasks that run a command.
    task_type: Option<TaskType>,
    /// Show all records of a script on a desktop, not only the newest. Requires `resource_id` and
    /// `script_id`.
    show_history: Option<bool>,
    /// Only records started at or after this time. Records not started yet count by the creation
    /// of their task. A time without a fraction stands for its whole second.
    #[param(format = DateTime)]
    execute_time_start: Option<String>,
    /// Only records started at or before this time. Records not started yet count by the creation
    /// of their task. A time without a fraction stands for its whole second.
    #[param(format = DateTime)]
    execute_time_end: Option<String>,
}

/// List the records of a task, or the newest record of each script on each desktop.
#[utoipa::path(
    get, path = "/v2/{project_id}/script-execution-records", operation_id = "ListScriptRecords", tag = "tasks",
    params(Project, OffsetQuery, LimitQuery, ListQuery),
    responses((status = 200, description = "One page.", body = Records)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(offset): Parameters<OffsetQuery>,
    Parameters(LimitQuery { limit }): Parameters<LimitQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Records>, ApiError> {
    let page = offset.page(SCRIPT_LISTS, limit)?;
    let Some(filter) = query.filter()? else {
        return Ok(Json(Records { count: 0, script_records: Vec::new() }));
    };
    let (count, rows) = control.list_records(&caller, &filter, page).await?;
    Ok(Json(Records { count, script_records: rows.into_iter().map(Record::listed).collect() }))
}

impl ListQuery {
    /// Builds the filter; `None` if it contains a malformed id, which matches nothing.
    fn filter(self) -> Result<Option<RecordFilter>, Error> {
        let period = Period::parse(
            ("execute_time_start", self.execute_time_start.as_deref()),
            ("execute_time_end", self.execute_time_end.as_deref()),
        )?;
        let desktop_ids = query::texts(self.resource_id);
        let script_ids = query::ids(self.script_id);
        let show_history = self.show_history.unwrap_or(false);
        if show_history && (desktop_ids.is_empty() || script_ids.is_none()) {
            return Err(Error::invalid("show_history", "true requires resource_id and script_id"));
        }
        let task_id = match query::text(self.script_task_id).as_deref().map(str::parse) {
            Some(Err(_)) => return Ok(None),
            Some(Ok(id)) => Some(id),
            None => None,
        };
        Ok(Some(RecordFilter {
            // Within a task all records are shown; across tasks only the newest of each script and
            // desktop.
            latest_only: task_id.is_none() && !show_history,
            task_id,
            desktop_ids,
            script_ids,
            script_names: query::texts(self.script_name),
            status: self.status.map(|word| word.as_str().to_owned()),
            pool_ids: query::texts(self.resource_group_id),
            is_first_order: self.is_first_order,
            runs_command: self.task_type.map(TaskType::runs_command),
            period,
            ..RecordFilter::default()
        }))
    }
}

/// Show a record with its output.
#[utoipa::path(
    get, path = "/v2/{project_id}/script-execution-records/{record_id}", operation_id = "ShowScriptRecordDetail",
    tag = "tasks", params(Project, RecordPath),
    responses((status = 200, description = "The record.", body = Record)),
)]
pub(crate) async fn show(
    Authorized { control, caller }: Authorized,
    Path(path): Path<RecordPath>,
) -> Result<Json<Record>, ApiError> {
    Ok(Json(Record::detailed(control.show_record(&caller, path.id()?).await?)))
}
