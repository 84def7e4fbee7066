//! `graywave freeze` and `unfreeze`.

use clap::Args;
use proto::admin::{
    Freeze, FreezeProjectRequest, GetProjectRequest, GetProjectResponse, UnfreezeProjectRequest,
};

use super::{CommonArgs, limits};
use crate::{
    Error,
    actions::idempotency_key,
    args::ReasonFlags,
    client::{Session, repeated},
    format::{fact, facts, justification, time},
    output::Console,
};

/// Arguments of `graywave freeze`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
New tasks are accepted and wait. Running scripts continue; `graywave stop TASK` kills them.

Example:
  graywave freeze --reason 'change freeze until Monday'")]
pub struct FreezeArgs {
    #[command(flatten)]
    reason: ReasonFlags,
    #[command(flatten)]
    common: CommonArgs,
}

/// Arguments of `graywave unfreeze`.
#[derive(Debug, Clone, Args)]
pub struct UnfreezeArgs {
    #[command(flatten)]
    reason: ReasonFlags,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn freeze(arguments: FreezeArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let ReasonFlags { reason, ticket } = arguments.reason;
    let request = FreezeProjectRequest { reason, ticket, idempotency_key: idempotency_key() };
    let frozen = repeated(async || session.projects().freeze_project(request.clone()).await).await;
    let frozen = frozen.map_err(|status| Error::of("cannot freeze the project", &status))?.into_inner();
    if frozen.freeze.is_some_and(|freeze| freeze.reason != request.reason) {
        console.say("already frozen; the reason of the first freeze stays");
    }
    print(&session, &mut console).await
}

pub(super) async fn unfreeze(arguments: UnfreezeArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let ReasonFlags { reason, ticket } = arguments.reason;
    let request = UnfreezeProjectRequest { reason, ticket, idempotency_key: idempotency_key() };
    let unfrozen = repeated(async || session.projects().unfreeze_project(request.clone()).await).await;
    unfrozen.map_err(|status| Error::of("cannot unfreeze the project", &status))?;
    print(&session, &mut console).await
}

/// Reads the current state of the project.
pub(super) async fn get(session: &Session) -> Result<GetProjectResponse, Error> {
    let project = session.projects().get_project(GetProjectRequest {}).await;
    Ok(project.map_err(|status| Error::of("cannot show the project", &status))?.into_inner())
}

/// Prints the current state of the project.
pub(super) async fn print(session: &Session, console: &mut Console) -> Result<(), Error> {
    let project = get(session).await?;
    console.show(&project, &project.project_id, |_, _| text(&project))
}

fn text(project: &GetProjectResponse) -> String {
    let limits = project.limits.unwrap_or_default();
    let number = |it: Option<i64>| it.map_or_else(|| "unlimited".to_owned(), |it| it.to_string());
    let guardrails = limits::guardrails(&limits);
    facts(&[
        fact("project", &project.project_id),
        fact("frozen", project.freeze.as_ref().map_or_else(|| "no".to_owned(), frozen)),
        fact("in flight", number(limits.max_in_flight)),
        fact("per desktop", number(limits.max_running_per_desktop)),
        fact("audit reads", if limits.audit_reads() { "yes" } else { "no" }),
        fact("guardrails", if guardrails.is_empty() { "none".to_owned() } else { guardrails.join(", ") }),
    ])
}

fn frozen(freeze: &Freeze) -> String {
    if !freeze.frozen {
        return "no".to_owned();
    }
    let since = format!("since {} by {}", time(freeze.freeze_time.as_ref()), freeze.frozen_by);
    let why = justification(&freeze.reason, &freeze.ticket);
    if why.is_empty() { since } else { format!("{since}: {why}") }
}
