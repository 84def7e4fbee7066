//! `graywave freeze`, `unfreeze` and `limits`: what holds over all tasks of the project.

use clap::Args;
use prost_types::FieldMask;
use proto::admin::{
    Freeze, FreezeProjectRequest, GetProjectRequest, GetProjectResponse, Limits, UnfreezeProjectRequest,
    UpdateLimitsRequest,
};

use super::Common;
use crate::{
    Failure,
    changes::idempotency_key,
    connect::{Session, repeated},
    out::Console,
    told::{fact, facts, time},
};

/// Why.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
New tasks are accepted and wait; what runs goes on. `graywave stop TASK` ends what runs.
Example:
  graywave freeze --reason 'change freeze until Monday'")]
pub struct FreezeArguments {
    /// Why, for those who find it frozen
    #[arg(long, value_name = "TEXT", default_value_t, hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    common: Common,
}

/// Nothing more is said.
#[derive(Debug, Clone, Args)]
pub struct UnfreezeArguments {
    #[command(flatten)]
    common: Common,
}

/// Which limits.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave limits
  graywave limits --max-in-flight 500 --max-running-per-desktop none")]
pub struct LimitsArguments {
    /// Desktops of all tasks that are at it at once, at most; `none` takes the limit away
    #[arg(long, value_name = "N", value_parser = limit)]
    max_in_flight: Option<Limit>,
    /// Scripts that one desktop runs at once, at most; `none` takes the limit away
    #[arg(long, value_name = "N", value_parser = limit)]
    max_running_per_desktop: Option<Limit>,
    #[command(flatten)]
    common: Common,
}

/// A number, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<i64>);

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        text => text
            .parse()
            .map(|it| Limit(Some(it)))
            .map_err(|_| format!("{text} is neither a number nor `none`")),
    }
}

pub(super) async fn freeze(arguments: FreezeArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let request = FreezeProjectRequest { reason: arguments.reason, idempotency_key: idempotency_key() };
    let frozen = repeated(async || session.projects().freeze_project(request.clone()).await).await;
    let frozen = frozen.map_err(|status| Failure::of("cannot freeze the project", &status))?.into_inner();
    if frozen.freeze.is_some_and(|freeze| freeze.reason != request.reason) {
        console.say("it was frozen before: by whom, and why, stays as it was");
    }
    print(&session, &mut console).await
}

pub(super) async fn unfreeze(arguments: UnfreezeArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let request = UnfreezeProjectRequest { idempotency_key: idempotency_key() };
    let unfrozen = repeated(async || session.projects().unfreeze_project(request.clone()).await).await;
    unfrozen.map_err(|status| Failure::of("cannot unfreeze the project", &status))?;
    print(&session, &mut console).await
}

pub(super) async fn limits(arguments: LimitsArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let given = [
        ("max_in_flight", arguments.max_in_flight),
        ("max_running_per_desktop", arguments.max_running_per_desktop),
    ];
    let paths: Vec<String> =
        given.iter().filter(|(_, limit)| limit.is_some()).map(|(path, _)| (*path).to_owned()).collect();
    if !paths.is_empty() {
        let of = |limit: Option<Limit>| limit.and_then(|it| it.0);
        let limits = Limits {
            max_in_flight: of(arguments.max_in_flight),
            max_running_per_desktop: of(arguments.max_running_per_desktop),
        };
        let request = UpdateLimitsRequest { limits: Some(limits), update_mask: Some(FieldMask { paths }) };
        // Twice comes to the same.
        let updated = repeated(async || session.projects().update_limits(request.clone()).await).await;
        updated.map_err(|status| Failure::of("cannot change the limits", &status))?;
    }
    print(&session, &mut console).await
}

/// The project as it stands.
pub(super) async fn get(session: &Session) -> Result<GetProjectResponse, Failure> {
    let project = session.projects().get_project(GetProjectRequest {}).await;
    Ok(project.map_err(|status| Failure::of("cannot show the project", &status))?.into_inner())
}

async fn print(session: &Session, console: &mut Console) -> Result<(), Failure> {
    let project = get(session).await?;
    console.show(&project, &project.project_id, |_, _| text(&project))
}

fn text(project: &GetProjectResponse) -> String {
    let limits = project.limits.unwrap_or_default();
    let number = |it: Option<i64>| it.map_or_else(|| "no limit".to_owned(), |it| it.to_string());
    facts(&[
        fact("project", &project.project_id),
        fact("frozen", project.freeze.as_ref().map_or_else(|| "no".to_owned(), frozen)),
        fact("at once", number(limits.max_in_flight)),
        fact("per desktop", number(limits.max_running_per_desktop)),
    ])
}

fn frozen(freeze: &Freeze) -> String {
    if !freeze.frozen {
        return "no".to_owned();
    }
    let why = if freeze.reason.is_empty() { String::new() } else { format!(": {}", freeze.reason) };
    format!("since {} by {}{why}", time(freeze.freeze_time.as_ref()), freeze.frozen_by)
}
