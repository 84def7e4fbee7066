//! Records of a task, and single records with output.

use axum::{Json, extract::Path};
use control::{RecordFilter, RecordRow};
use domain::{
    Error, containment::Containment, limits::wave_number, outcome::Outcome, process::LeftProcess,
    record::LateResult,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    pagination::{self, PageQuery, RecordCursor},
    tasks::TaskPath,
    time,
};
use crate::{
    dto::{Project, RecordPath, RecordWord},
    error::ApiError,
    extract::{Authorized, Parameters},
};

/// One page of records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeRecords {
    records: Vec<NativeRecord>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// Result of one script on one target. `output` is present only in the detail.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeRecord {
    record_id: String,
    task_id: String,
    ordinal: u32,
    /// Position of the script in the task, from 0.
    script: u16,
    attempt: u16,
    wave: u16,
    desktop_id: String,
    computer_name: String,
    script_id: Option<String>,
    script_name: Option<String>,
    #[schema(value_type = RecordWord)]
    status: &'static str,
    /// SUCCESS, FAILED, TIMEOUT, UNDELIVERED, REJECTED, UNKNOWN, NOT_RETURNED, STOPPED or SKIPPED;
    /// `null` until
    /// the record ends.
    outcome: Option<&'static str>,
    /// 128 plus `signal` if a signal ended the script; `null` if the agent killed the script, or it
    /// never started.
    exit_code: Option<i32>,
    /// Number of the signal that ended the script.
    #[schema(minimum = 1, maximum = 64)]
    signal: Option<u8>,
    /// Absolute path of the program that ran the script; `null` if the script never started.
    interpreter: Option<String>,
    /// How the agent tracked the script's processes: CGROUP, JOB or MARK; `null` if the script
    /// never started.
    containment: Option<&'static str>,
    /// Processes that were alive after the end of the script, at most 16.
    left_processes: Vec<NativeLeftProcess>,
    /// Number of all these processes, named or not.
    left_processes_count: u32,
    reason: Option<String>,
    #[schema(format = DateTime)]
    start_time: Option<String>,
    #[schema(format = DateTime)]
    end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    /// Result that arrived after the outcome was decided to be UNKNOWN. It changes no count.
    #[serde(skip_serializing_if = "Option::is_none")]
    late_result: Option<NativeLateResult>,
}

/// Result of a script that arrived after its deadline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeLateResult {
    /// SUCCESS, FAILED, TIMEOUT, REJECTED, STOPPED or SKIPPED.
    outcome: &'static str,
    exit_code: Option<i32>,
    reason: Option<String>,
    #[schema(format = DateTime)]
    start_time: Option<String>,
    #[schema(format = DateTime)]
    end_time: String,
    /// Time at which the result arrived.
    #[schema(format = DateTime)]
    receive_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

impl From<LateResult> for NativeLateResult {
    fn from(late: LateResult) -> Self {
        Self {
            outcome: late.outcome.as_str(),
            exit_code: late.exit_code,
            reason: Some(late.reason).filter(|reason| !reason.is_empty()),
            start_time: late.started_at.map(time),
            end_time: time(late.ended_at),
            receive_time: time(late.received_at),
            output: Some(late.output),
        }
    }
}

/// A process that outlived its script.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeLeftProcess {
    pid: u32,
    /// Command line, at most 256 bytes.
    command: String,
    /// Name of its user, or the number of a user without a name.
    user: String,
    /// Whether the process was to be killed and survived.
    survived_kill: bool,
}

impl From<LeftProcess> for NativeLeftProcess {
    fn from(process: LeftProcess) -> Self {
        let LeftProcess { pid, command, user, survived_kill } = process;
        Self { pid, command, user, survived_kill }
    }
}

impl From<RecordRow> for NativeRecord {
    fn from(row: RecordRow) -> Self {
        let outcome = row.outcome().map(Outcome::as_str);
        let reason = row.shown_reason().map(str::to_owned);
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            record_id: row.record_id.to_string(),
            task_id: row.record_id.task_id.to_string(),
            ordinal: row.record_id.ordinal,
            script: row.record_id.script,
            attempt: row.record_id.attempt,
            wave: row.wave,
            desktop_id: row.desktop_id,
            computer_name: row.computer_name,
            script_id: row.script_id.map(|id| id.to_string()),
            script_name: given(row.script_name),
            status: row.status.status_and_result_code().0,
            outcome,
            exit_code: row.exit_code,
            signal: row.process.signal,
            interpreter: row.process.interpreter,
            containment: row.process.containment.map(Containment::as_str),
            left_processes: row.process.left_processes.into_iter().map(NativeLeftProcess::from).collect(),
            left_processes_count: row.process.left_processes_count,
            reason,
            start_time: row.started_at.map(time),
            end_time: row.ended_at.map(time),
            output: Some(row.output),
            late_result: row.late_result.map(NativeLateResult::from),
        }
    }
}

/// Filters of records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only records with this status.
    status: Option<RecordWord>,
    /// Only records of these desktops.
    desktop_id: Vec<String>,
    /// Only records of this wave, from 1.
    #[param(minimum = 1, maximum = 32767)]
    wave: Option<u16>,
}

impl ListQuery {
    pub(super) fn filter(self) -> Result<RecordFilter, Error> {
        Ok(RecordFilter {
            status: self.status.map(|word| word.as_str().to_owned()),
            desktop_ids: self.desktop_id,
            wave: self.wave.map(|wave| wave_number(wave.into())).transpose()?,
            ..RecordFilter::default()
        })
    }
}

impl NativeRecord {
    /// Converts a record of a list, which has no outputs.
    pub(super) fn without_output(row: RecordRow) -> Self {
        Self { output: None, ..row.into() }
    }
}

/// List a task's records in plan order.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/records", operation_id = "ListRecords", tag = "native",
    params(Project, TaskPath, PageQuery, ListQuery),
    responses((status = 200, description = "One page.", body = NativeRecords)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    Parameters(page): Parameters<PageQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<NativeRecords>, ApiError> {
    let (size, last) = page.read::<RecordCursor>()?;
    let after = last.map(|RecordCursor(ordinal, script)| (ordinal, script));
    let filter = RecordFilter { after, ..query.filter()? };
    let found = control.page_records(&caller, path.id()?, filter, size).await?;
    let next_page_token = pagination::next(&found, size, |row| {
        RecordCursor(row.record_id.ordinal, row.record_id.script).to_string()
    });
    let records = found.into_iter().map(NativeRecord::without_output);
    Ok(Json(NativeRecords { records: records.collect(), next_page_token }))
}

/// Show a record with its output.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/records/{record_id}", operation_id = "GetRecord", tag = "native",
    params(Project, RecordPath),
    responses((status = 200, description = "The record.", body = NativeRecord)),
)]
pub(crate) async fn show(
    Authorized { control, caller }: Authorized,
    Path(path): Path<RecordPath>,
) -> Result<Json<NativeRecord>, ApiError> {
    Ok(Json(NativeRecord::from(control.show_record(&caller, path.id()?).await?)))
}
