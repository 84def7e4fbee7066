//! Guardrails of a project, which every new task must meet: submissions, previews and retries.

use domain::{Error, Reason, plan::Plan, policy::RolloutPolicy};
use store::{Connection, project_limit};

use crate::Caller;

/// Checks a planned task against the guardrails of the caller's project.
pub(crate) async fn check(
    connection: &mut Connection,
    caller: &Caller,
    plan: &Plan,
    policy: &RolloutPolicy,
) -> Result<(), Error> {
    let guardrails = project_limit::fetch(connection, caller.project_id()).await?.guardrails;
    if guardrails.is_empty() {
        return Ok(());
    }
    guardrails.check(&plan.waves, policy, !caller.justification.reason().is_empty())
}

/// Completes the refusal of a retry. A retry keeps the waves and the policy of its task, so no
/// field of the request fixes them.
pub(crate) fn of_retry(error: Error) -> Error {
    match error.reason {
        Reason::CanaryRequired
        | Reason::ThresholdRequired
        | Reason::WaveTooLarge
        | Reason::ApprovalRequired => Error {
            field: None,
            message: format!(
                "{}. A retry keeps the waves of its task: submit a new task on these desktops",
                error.message
            ),
            ..error
        },
        _ => error,
    }
}
