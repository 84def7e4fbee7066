//! Reports of live output.

use domain::{
    ids::{DesktopId, ProjectId},
    limits::{MAX_OUTPUT_REPORT_BYTES, MAX_OUTPUTS_PER_REPORT},
    live_output::Chunk,
    record::RecordId,
};
use proto::scheduler::{ReportOutputRequest, ReportOutputResponse, ReportedOutput};
use telemetry::metric;
use tonic::{Request, Response, Status};

use super::{authentic, context::Service, error::too_many, peer::called};
use crate::live_output::{Answer, OutputPart};

/// Stores the parts that are authentic and that a caller watches; drops the others.
pub(super) async fn handle(
    service: &Service,
    request: Request<ReportOutputRequest>,
) -> Result<Response<ReportOutputResponse>, Status> {
    let (caller, ReportOutputRequest { worker_id, outputs }) = called(request);
    caller.is(&worker_id)?;
    if outputs.len() > MAX_OUTPUTS_PER_REPORT {
        return Err(too_many("outputs", MAX_OUTPUTS_PER_REPORT));
    }
    let bytes: usize = outputs.iter().map(|output| output.content.len()).sum();
    if bytes > MAX_OUTPUT_REPORT_BYTES {
        return Err(too_many("bytes of output", MAX_OUTPUT_REPORT_BYTES));
    }
    let count = outputs.len();
    let outputs = authentic::keep_authentic(service, outputs).await?;
    let parts: Vec<OutputPart> = outputs.into_iter().filter_map(part).collect();
    metric::LIVE_OUTPUT_REFUSED.increment((count - parts.len()) as u64, &[]);
    let stored = service.done(service.scheduler.add_outputs(parts)).await?;
    metric::LIVE_OUTPUT_BYTES.increment(stored, &[]);
    Ok(Response::new(ReportOutputResponse {}))
}

/// Part of a report; `None` if it is malformed.
fn part(output: ReportedOutput) -> Option<OutputPart> {
    let ReportedOutput { task_id, ordinal, attempt, script, from_offset, offset, content, .. } = output;
    let record_id = RecordId {
        task_id: task_id.parse().ok()?,
        ordinal,
        script: script.try_into().ok()?,
        attempt: attempt.try_into().ok()?,
    };
    let desktop: (ProjectId, DesktopId) = (output.project_id.parse().ok()?, output.desktop_id.parse().ok()?);
    let answer = match output.is_unsupported {
        true => Answer::Unsupported,
        false => Answer::Output { chunk: Chunk { from_offset, offset, content }, is_last: output.is_last },
    };
    Some(OutputPart { record_id, desktop, answer })
}
