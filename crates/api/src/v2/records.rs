//! ListScriptRecords, ShowScriptRecordDetail.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use control::{Control, RecordFilter, RecordRow};
use domain::{
    Error,
    ids::ProjectId,
    page::SCRIPT_LISTS,
    plan::execute_order,
    record::{RecordStatus, SKIPPED_REASON},
};
use serde::{Deserialize, Serialize};

use super::{non_empty, time};
use crate::{error::ApiError, query::Parameters};

/// The words of a record's status.
const STATUSES: [&str; 6] = ["WAITING", "RUNNING", "SUCCESS", "FAILED", "STOPPED", "SKIPPED"];

#[derive(Debug, Serialize)]
pub(crate) struct Records {
    count: i64,
    script_records: Vec<Record>,
}

/// A record; `output` only in the detail.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    id: String,
    script_id: Option<String>,
    script_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_type: Option<&'static str>,
    script_task_id: String,
    resource_id: String,
    resource_name: String,
    resource_type: &'static str,
    start_time: Option<String>,
    end_time: Option<String>,
    status: &'static str,
    execute_order: u8,
    result_code: Option<&'static str>,
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
        let (command_type, command_content) = row.command.unzip();
        let never_stored = matches!(row.status, RecordStatus::Ended(_)) && row.ended_at.is_none();
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
            reason: if never_stored { Some(SKIPPED_REASON.to_owned()) } else { non_empty(row.reason) },
            output: Some(row.output),
        }
    }
}

pub(crate) async fn list(
    State(control): State<Control>,
    Extension(project_id): Extension<ProjectId>,
    parameters: Parameters,
) -> Result<Json<Records>, ApiError> {
    let page = parameters.page(SCRIPT_LISTS)?;
    let Some(filter) = filter(&parameters)? else {
        return Ok(Json(Records { count: 0, script_records: Vec::new() }));
    };
    let (count, rows) = control.list_records(&project_id, &filter, page).await?;
    Ok(Json(Records { count, script_records: rows.into_iter().map(Record::listed).collect() }))
}

/// `None` when a filter names an id that cannot be ours: nothing matches.
fn filter(parameters: &Parameters) -> Result<Option<RecordFilter>, Error> {
    let desktop_ids = parameters.all("resource_id");
    let script_ids = parameters.id("script_id");
    let show_history = parameters.boolean("show_history")?.unwrap_or(false);
    if show_history && (desktop_ids.is_empty() || script_ids.is_none()) {
        return Err(Error::invalid("show_history=true requires resource_id and script_id"));
    }
    let status = parameters.one("status").map(str::to_owned);
    if let Some(word) = &status
        && !STATUSES.contains(&word.as_str())
    {
        return Err(Error::invalid(format!("status must be one of {}", STATUSES.join(", "))));
    }
    let task_id = match parameters.one("script_task_id").map(str::parse) {
        Some(Err(_)) => return Ok(None),
        Some(Ok(id)) => Some(id),
        None => None,
    };
    Ok(Some(RecordFilter {
        // Within one task every record is shown; across tasks the newest of each script on each desktop.
        latest_only: task_id.is_none() && !show_history,
        task_id,
        desktop_ids,
        script_ids,
        script_names: parameters.all("script_name"),
        status,
        is_first_order: parameters.boolean("is_first_order")?,
        runs_command: parameters.runs_command()?,
        from: parameters.time("execute_time_start")?,
        until: parameters.time("execute_time_end")?,
    }))
}

/// Path parameters of one record.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordPath {
    record_id: String,
}

pub(crate) async fn show(
    State(control): State<Control>,
    Extension(project_id): Extension<ProjectId>,
    Path(path): Path<RecordPath>,
) -> Result<Json<Record>, ApiError> {
    Ok(Json(Record::detailed(control.show_record(&project_id, path.record_id.parse()?).await?)))
}
