//! `graywave freeze` and `unfreeze`.

use clap::Args;
use proto::admin::{FreezeProjectRequest, UnfreezeProjectRequest};

use super::{CommonArgs, project_status::print};
use crate::{Error, actions::idempotency_key, client::repeated, reason_flags::ReasonFlags};

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
