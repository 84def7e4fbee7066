//! Exports of lists: all entries that a filter selects, as CSV or as JSON Lines.

use axum::{
    body::{Body, Bytes},
    extract::Path,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use control::{AgentAge, Caller, Control, DesktopFilter, RecordFilter, StreamPermit};
use domain::{
    Error, Reason,
    csv::{self, Cell},
    ids::{DesktopId, TaskId},
    limits::{EXPORT_ROWS_PER_READ, MAX_EXPORT_ROWS},
};
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};

use super::{
    desktops::{self, NativeDesktop},
    records::{self, NativeRecord},
    targets::Target,
    tasks::TaskPath,
};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Parameters},
};

/// Form of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// Comma-separated values with a header line. A text that begins like a formula gets a leading
    /// apostrophe.
    #[default]
    Csv,
    /// One JSON object in each line, as in the list.
    Jsonl,
}

/// Form of an export.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct FormQuery {
    /// Form of the export; default `csv`.
    #[param(inline)]
    format: Form,
}

/// Columns of a CSV file: keys of the entries as in the list.
type Columns = &'static [&'static str];

const TARGETS: Columns = &["ordinal", "desktop_id", "wave", "first_script"];
const RECORDS: Columns = &[
    "record_id",
    "task_id",
    "ordinal",
    "script",
    "attempt",
    "wave",
    "desktop_id",
    "computer_name",
    "script_id",
    "script_name",
    "status",
    "outcome",
    "exit_code",
    "signal",
    "reason",
    "start_time",
    "end_time",
    "interpreter",
    "containment",
    "left_processes_count",
];
const DESKTOPS: Columns = &[
    "desktop_id",
    "computer_name",
    "os_host_name",
    "os_type",
    "os_version",
    "containment",
    "ip_address",
    "desktop_pool_id",
    "availability_zone",
    "time_zone",
    "agent_version",
    "tags",
    "operator_tags",
    "status",
    "connected",
    "worker_id",
    "presence_time",
    "create_time",
    "retire_time",
    "retired_by",
];

/// A list that is read page by page.
trait Pages: Send + 'static {
    /// An entry of the list.
    type Entry: Serialize + Send;

    /// Reads the next page; an empty one after the end.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Self::Entry>, Error>> + Send;
}

/// The position in an export.
struct Export<P> {
    pages: P,
    form: Form,
    columns: Columns,
    rows: u64,
    _permits: (OwnedSemaphorePermit, StreamPermit),
}

impl<P: Pages> Export<P> {
    /// Formats a page. Counts its rows against the limit of an export.
    fn format(&mut self, entries: &[P::Entry]) -> Result<Bytes, Error> {
        self.rows += entries.len() as u64;
        if self.rows > MAX_EXPORT_ROWS {
            let message = format!("the export has more than {MAX_EXPORT_ROWS} rows: narrow it");
            return Err(Error::new(Reason::ListTooLong, message));
        }
        let mut text = String::new();
        for entry in entries {
            let value = serde_json::to_value(entry).map_err(|error| Error::internal().with_source(error))?;
            match self.form {
                Form::Csv => {
                    text.push_str(&csv::line(self.columns.iter().map(|column| cell(&value[*column]))))
                }
                Form::Jsonl => {
                    text.push_str(&value.to_string());
                    text.push('\n');
                }
            }
        }
        Ok(text.into())
    }
}

/// Converts a value of an entry to a cell. Lists and objects keep their JSON form.
fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Plain(String::new()),
        Value::Bool(_) | Value::Number(_) => Cell::Plain(value.to_string()),
        Value::String(text) => Cell::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => Cell::Text(value.to_string()),
    }
}

/// Answers with a whole list. Its first page is read before the answer begins, so that a refusal
/// has its status. A later failure breaks the connection off: a cut file must not look complete.
async fn answer<P: Pages>(
    name: &str,
    control: &Control,
    caller: &Caller,
    query: &FormQuery,
    columns: Columns,
    pages: P,
) -> Result<Response, ApiError> {
    let form = query.format;
    // A reader that stops to read keeps its places.
    let permits = (control.open_export(caller)?, control.open_stream(caller.project_id())?);
    let mut export = Export { pages, form, columns, rows: 0, _permits: permits };
    let first = export.pages.next().await?;
    let is_over = first.is_empty();
    let mut head = match form {
        Form::Csv => csv::line(columns.iter().map(|column| Cell::Plain((*column).to_owned()))).into_bytes(),
        Form::Jsonl => Vec::new(),
    };
    head.extend_from_slice(&export.format(&first)?);
    let state = (Some(Bytes::from(head)), (!is_over).then_some(export));
    let body = Body::from_stream(stream::unfold(state, next));
    let (kind, end) = match form {
        Form::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
        Form::Jsonl => ("application/jsonl", "jsonl"),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{end}\"")) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

type State<P> = (Option<Bytes>, Option<Export<P>>);

async fn next<P: Pages>((waiting, export): State<P>) -> Option<(Result<Bytes, Error>, State<P>)> {
    if let Some(bytes) = waiting {
        return Some((Ok(bytes), (None, export)));
    }
    let mut export = export?;
    let page = export.pages.next().await.and_then(|entries| match entries.as_slice() {
        [] => Ok(None),
        entries => export.format(entries).map(Some),
    });
    match page {
        Ok(None) => None,
        Ok(Some(bytes)) => Some((Ok(bytes), (None, Some(export)))),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "export ended by an error");
            Some((Err(error), (None, None)))
        }
    }
}

struct TargetPages {
    control: Control,
    caller: Caller,
    task_id: TaskId,
    after: Option<u32>,
}

impl Pages for TargetPages {
    type Entry = Target;

    async fn next(&mut self) -> Result<Vec<Target>, Error> {
        let Self { control, caller, task_id, after } = self;
        let found = control.page_targets(caller, *task_id, *after, EXPORT_ROWS_PER_READ).await?;
        *after = found.last().map_or(*after, |target| Some(target.ordinal));
        Ok(found.into_iter().map(Target::from).collect())
    }
}

struct RecordPages {
    control: Control,
    caller: Caller,
    task_id: TaskId,
    filter: RecordFilter,
}

impl Pages for RecordPages {
    type Entry = NativeRecord;

    async fn next(&mut self) -> Result<Vec<NativeRecord>, Error> {
        let Self { control, caller, task_id, filter } = self;
        let found = control.page_records(caller, *task_id, filter.clone(), EXPORT_ROWS_PER_READ).await?;
        if let Some(last) = found.last() {
            filter.after = Some((last.record_id.ordinal, last.record_id.script));
        }
        Ok(found.into_iter().map(NativeRecord::without_output).collect())
    }
}

struct DesktopPages {
    control: Control,
    caller: Caller,
    filter: DesktopFilter,
    age: Option<AgentAge>,
}

impl Pages for DesktopPages {
    type Entry = NativeDesktop;

    async fn next(&mut self) -> Result<Vec<NativeDesktop>, Error> {
        let Self { control, caller, filter, age } = self;
        let found = control.page_desktops(caller, filter, age.as_ref(), EXPORT_ROWS_PER_READ).await?;
        let last = found.last().map(|row| DesktopId::into_string(row.facts.desktop_id.clone()));
        filter.after = last.or_else(|| filter.after.take());
        Ok(found.into_iter().map(NativeDesktop::from).collect())
    }
}

/// Export a task's targets in plan order.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/exports/targets", operation_id = "ExportTargets",
    tag = "native", params(Project, TaskPath, FormQuery),
    responses((
        status = 200, description = "All targets.",
        content((String = "text/csv"), (String = "application/jsonl")),
    )),
)]
pub(crate) async fn targets(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    Parameters(form): Parameters<FormQuery>,
) -> Result<Response, ApiError> {
    let task_id = path.id()?;
    let pages = TargetPages { control: control.clone(), caller: caller.clone(), task_id, after: None };
    answer(&format!("targets-{task_id}"), &control, &caller, &form, TARGETS, pages).await
}

/// Export a task's records in plan order, without outputs.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/exports/records", operation_id = "ExportRecords",
    tag = "native", params(Project, TaskPath, records::ListQuery, FormQuery),
    responses((
        status = 200, description = "All records of the filter.",
        content((String = "text/csv"), (String = "application/jsonl")),
    )),
)]
pub(crate) async fn records(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    Parameters(query): Parameters<records::ListQuery>,
    Parameters(form): Parameters<FormQuery>,
) -> Result<Response, ApiError> {
    let task_id = path.id()?;
    let filter = query.filter()?;
    let pages = RecordPages { control: control.clone(), caller: caller.clone(), task_id, filter };
    answer(&format!("records-{task_id}"), &control, &caller, &form, RECORDS, pages).await
}

/// Export desktops by id. Retired desktops are included only on request.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/exports/desktops", operation_id = "ExportDesktops", tag = "native",
    params(Project, desktops::ListQuery, FormQuery),
    responses((
        status = 200, description = "All desktops of the filter.",
        content((String = "text/csv"), (String = "application/jsonl")),
    )),
)]
pub(crate) async fn all_desktops(
    Authorized { control, caller }: Authorized,
    Parameters(query): Parameters<desktops::ListQuery>,
    Parameters(form): Parameters<FormQuery>,
) -> Result<Response, ApiError> {
    let (filter, age) = query.filter()?;
    let pages = DesktopPages { control: control.clone(), caller: caller.clone(), filter, age };
    answer("desktops", &control, &caller, &form, DESKTOPS, pages).await
}
