//! Requests for the plan of a task.

use proto::admin::{PreviewTaskRequest, PreviewTaskResponse, TaskSpec};

use crate::{Error, client::Session, field_flags::Overrides};

/// The command that previews a plan, for the error of a refusal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Attempt of the command, like "cannot preview the task".
    pub(super) doing: &'static str,
    /// Flags of the command that set other fields than the table says.
    pub(super) flags: &'static Overrides,
}

/// Previews the plan of a task; nothing is saved or started.
pub(super) async fn ask(
    session: &Session,
    task: &TaskSpec,
    with_desktop_ids: bool,
    asked: Asked,
) -> Result<PreviewTaskResponse, Error> {
    let request =
        PreviewTaskRequest { task: Some(task.clone()), with_desktop_ids, ..PreviewTaskRequest::default() };
    send(session, request, asked).await
}

/// Plans an incomplete task, to which thresholds may be added. The guardrails of the project are
/// checked with the complete task.
pub(super) async fn draft(
    session: &Session,
    task: &TaskSpec,
    asked: Asked,
) -> Result<PreviewTaskResponse, Error> {
    let request = PreviewTaskRequest {
        task: Some(task.clone()),
        without_guardrails: true,
        ..PreviewTaskRequest::default()
    };
    send(session, request, asked).await
}

async fn send(
    session: &Session,
    request: PreviewTaskRequest,
    asked: Asked,
) -> Result<PreviewTaskResponse, Error> {
    let plan = session.tasks().preview_task(request).await;
    Ok(plan.map_err(|status| Error::with_flags(asked.doing, &status, asked.flags))?.into_inner())
}
