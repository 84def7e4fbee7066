//! `graywave freeze`, `unfreeze` and `limits`: settings for all tasks of the project.

use clap::Args;
use domain::limits::{MAX_PROJECT_IN_FLIGHT, MAX_RUNNING_PER_DESKTOP};
use prost_types::FieldMask;
use proto::admin::{
    Freeze, FreezeProjectRequest, GetProjectRequest, GetProjectResponse, Limits, UnfreezeProjectRequest,
    UpdateLimitsRequest,
};

use super::CommonArgs;
use crate::{
    Error,
    actions::idempotency_key,
    client::{Session, repeated},
    format::{fact, facts, time},
    number::{Limit, limit},
    output::Console,
};

/// Arguments of `graywave freeze`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
New tasks are accepted and wait. Running scripts continue; `graywave stop TASK` kills them.

Example:
  graywave freeze --reason 'change freeze until Monday'")]
pub struct FreezeArgs {
    /// Reason, shown to every operator of the project
    #[arg(long, value_name = "TEXT", default_value_t, hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    common: CommonArgs,
}

/// Arguments of `graywave unfreeze`.
#[derive(Debug, Clone, Args)]
pub struct UnfreezeArgs {
    #[command(flatten)]
    common: CommonArgs,
}

/// Arguments of `graywave limits`; without flags, the limits are shown.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave limits
  graywave limits --max-in-flight 500 --max-running-per-desktop unlimited
  graywave limits --audit-reads true")]
pub struct LimitsArgs {
    /// Maximum number of desktops running at the same time, over all tasks: 1 to 100000000, or
    /// `unlimited`
    #[arg(long, value_name = "N", value_parser = limit(MAX_PROJECT_IN_FLIGHT, 500))]
    max_in_flight: Option<Limit>,
    /// Maximum number of scripts running on a desktop at the same time: 1 to 100, or `unlimited`
    #[arg(long, value_name = "N", value_parser = limit(MAX_RUNNING_PER_DESKTOP, 2))]
    max_running_per_desktop: Option<Limit>,
    /// Audit calls that read the content of scripts or the output of records: true or false
    #[arg(long, value_name = "BOOL")]
    audit_reads: Option<bool>,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn freeze(arguments: FreezeArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let request = FreezeProjectRequest { reason: arguments.reason, idempotency_key: idempotency_key() };
    let frozen = repeated(async || session.projects().freeze_project(request.clone()).await).await;
    let frozen = frozen.map_err(|status| Error::of("cannot freeze the project", &status))?.into_inner();
    if frozen.freeze.is_some_and(|freeze| freeze.reason != request.reason) {
        console.say("already frozen; the reason of the first freeze stays");
    }
    print(&session, &mut console).await
}

pub(super) async fn unfreeze(arguments: UnfreezeArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let request = UnfreezeProjectRequest { idempotency_key: idempotency_key() };
    let unfrozen = repeated(async || session.projects().unfreeze_project(request.clone()).await).await;
    unfrozen.map_err(|status| Error::of("cannot unfreeze the project", &status))?;
    print(&session, &mut console).await
}

pub(super) async fn limits(arguments: LimitsArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let given = [
        ("max_in_flight", arguments.max_in_flight),
        ("max_running_per_desktop", arguments.max_running_per_desktop),
    ];
    let mut paths: Vec<String> =
        given.iter().filter(|(_, limit)| limit.is_some()).map(|(path, _)| (*path).to_owned()).collect();
    paths.extend(arguments.audit_reads.map(|_| "audit_reads".to_owned()));
    if !paths.is_empty() {
        let of = |limit: Option<Limit>| limit.and_then(|it| it.0);
        let limits = Limits {
            max_in_flight: of(arguments.max_in_flight),
            max_running_per_desktop: of(arguments.max_running_per_desktop),
            audit_reads: arguments.audit_reads,
        };
        let request = UpdateLimitsRequest { limits: Some(limits), update_mask: Some(FieldMask { paths }) };
        // The update is idempotent, so a retry is safe.
        let updated = repeated(async || session.projects().update_limits(request.clone()).await).await;
        updated.map_err(|status| Error::of("cannot change the limits", &status))?;
    }
    print(&session, &mut console).await
}

/// Reads the current state of the project.
pub(super) async fn get(session: &Session) -> Result<GetProjectResponse, Error> {
    let project = session.projects().get_project(GetProjectRequest {}).await;
    Ok(project.map_err(|status| Error::of("cannot show the project", &status))?.into_inner())
}

async fn print(session: &Session, console: &mut Console) -> Result<(), Error> {
    let project = get(session).await?;
    console.show(&project, &project.project_id, |_, _| text(&project))
}

fn text(project: &GetProjectResponse) -> String {
    let limits = project.limits.unwrap_or_default();
    let number = |it: Option<i64>| it.map_or_else(|| "unlimited".to_owned(), |it| it.to_string());
    facts(&[
        fact("project", &project.project_id),
        fact("frozen", project.freeze.as_ref().map_or_else(|| "no".to_owned(), frozen)),
        fact("in flight", number(limits.max_in_flight)),
        fact("per desktop", number(limits.max_running_per_desktop)),
        fact("audit reads", if limits.audit_reads() { "yes" } else { "no" }),
    ])
}

fn frozen(freeze: &Freeze) -> String {
    if !freeze.frozen {
        return "no".to_owned();
    }
    let why = if freeze.reason.is_empty() { String::new() } else { format!(": {}", freeze.reason) };
    format!("since {} by {}{why}", time(freeze.freeze_time.as_ref()), freeze.frozen_by)
}
