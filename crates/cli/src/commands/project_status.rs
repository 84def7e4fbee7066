//! The state of the project, as `graywave freeze`, `unfreeze` and `limits` print it.

use proto::admin::{Freeze, GetProjectRequest, GetProjectResponse, Limits};

use crate::{
    Error,
    client::Session,
    format::{fact, facts, justification, time},
    output::Console,
};

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
    let guardrails = guardrails(&limits);
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

/// Lists the guardrails that are set.
pub(super) fn guardrails(limits: &Limits) -> Vec<String> {
    let number = |name: &str, value: Option<i64>| value.map(|value| format!("{name} {value}"));
    let flag = |name: &str, is_set: bool| is_set.then(|| name.to_owned());
    let set = [
        number("require_canary_above", limits.require_canary_above),
        flag("require_threshold", limits.require_threshold()),
        limits.max_wave_percent.map(|percent| format!("max_wave_percent {percent}")),
        flag("require_reason", limits.require_reason()),
        number("require_approval_above", limits.require_approval_above),
    ];
    set.into_iter().flatten().collect()
}
