//! Output of a record while its script runs.

use axum::{Json, extract::Path};
use control::OutputRead;
use domain::live_output::check_offset;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    dto::{Project, RecordPath},
    error::ApiError,
    extract::{Authorized, Parameters},
};

/// Position in the output.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct OutputQuery {
    /// Position of the first byte: 0 for the whole output, else the last `next_offset`.
    #[param(maximum = 9_223_372_036_854_775_807_i64)]
    from: u64,
}

/// A part of the output of a record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeOutput {
    record_id: String,
    /// WAITING, REQUESTED, LIVE, UNSUPPORTED or ENDED. Nothing follows ENDED.
    state: &'static str,
    /// Position of `output`. Greater than `from` if the bytes between are lost: the script wrote
    /// faster than they could be sent.
    offset: u64,
    /// Standard output and standard error in the order of their writes. Invalid UTF-8 is replaced.
    output: String,
    /// Position after `output`; the next `from`.
    next_offset: u64,
    /// Whether the end of the output is missing here; the record has it.
    is_incomplete: bool,
}

/// Read the output of a record, also while its script runs.
///
/// Repeat the call about every second with `from` set to `next_offset`, until the state is ENDED.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/records/{record_id}/output", operation_id = "ReadOutput", tag = "native",
    params(Project, RecordPath, OutputQuery),
    responses((status = 200, description = "The output from `from` on, as far as it is known.", body = NativeOutput)),
)]
pub(crate) async fn read(
    Authorized { control, caller }: Authorized,
    Path(path): Path<RecordPath>,
    Parameters(query): Parameters<OutputQuery>,
) -> Result<Json<NativeOutput>, ApiError> {
    let record_id = path.id()?;
    check_offset("from", query.from)?;
    let OutputRead { state, part } = control.read_output(&caller, record_id, query.from).await?;
    Ok(Json(NativeOutput {
        record_id: record_id.to_string(),
        state: state.as_str(),
        offset: part.offset,
        output: part.text,
        next_offset: part.next_offset,
        is_incomplete: part.is_incomplete,
    }))
}
