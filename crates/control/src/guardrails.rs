//! Guardrails of a project, which every new task must meet: submissions, previews and retries.

use domain::{Error, Reason, plan::Plan, policy::RolloutPolicy};
use store::{Connection, project_limit};

use crate::Caller;

/// Whether a plan must meet the guardrails of its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guardrails {
    /// A plan that breaks one is refused.
    Enforced,
    /// A preview of an incomplete request. Its submission is checked.
    Ignored,
}

/// Checks a planned task against the guardrails of the caller's project.
pub(crate) async fn check(
    connection: &mut Connection,
    caller: &Caller,
    plan: &Plan,
    policy: &RolloutPolicy,
) -> Result<(), Error> {
    check_over(connection, caller, plan, policy, 0).await
}

/// Checks the plan of a retry of a task with this number of targets.
pub(crate) async fn check_retry(
    connection: &mut Connection,
    caller: &Caller,
    plan: &Plan,
    policy: &RolloutPolicy,
    targets: u32,
) -> Result<(), Error> {
    check_over(connection, caller, plan, policy, targets).await.map_err(of_retry)
}

async fn check_over(
    connection: &mut Connection,
    caller: &Caller,
    plan: &Plan,
    policy: &RolloutPolicy,
    targets: u32,
) -> Result<(), Error> {
    let guardrails = project_limit::fetch(connection, caller.project_id()).await?.guardrails;
    if guardrails.is_empty() {
        return Ok(());
    }
    let has_reason = !caller.justification.reason().is_empty();
    guardrails.check_retry(&plan.waves, policy, has_reason, targets)
}

/// Completes the refusal of a retry. A retry keeps the waves and the policy of its task, so no
/// field of the request fixes them.
fn of_retry(error: Error) -> Error {
    if !error.reason.is_guardrail() || error.reason == Reason::ReasonRequired {
        return error;
    }
    Error {
        field: None,
        message: format!(
            "{}. A retry keeps the waves of its task: submit a new task on these desktops",
            error.message
        ),
        ..error
    }
}
