//! `graywave can-i`.

use clap::Args;
use proto::admin::{AccessCheck, CheckAccessRequest, CheckAccessResponse};

use super::CommonArgs;
use crate::{
    Error, ExitStatus,
    field_flags::Overrides,
    output::{Cell, Column, Palette, Tone, cell, table},
    sanitize::sanitize_line,
};

/// Arguments of `graywave can-i`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exits with 0 if the action is allowed, and with 1 if not. Without an action, lists every action.
docs/access.md lists actions and resources.

Examples:
  graywave can-i graywave:tasks:approve task:01990f0c2f3a7c9d8e5b6a7c8d9e0f1a
  graywave can-i workspace:scripts:execute desktop:pc-7 --as alice
  graywave can-i                        every action on the project")]
pub struct CanIArgs {
    /// Action, such as graywave:tasks:pause; every action if omitted
    #[arg(value_name = "ACTION")]
    action: Option<String>,
    /// Resource: task:ID, script:ID, desktop:ID, desktopPool:ID, user:NAME, command, or * for the
    /// project
    #[arg(value_name = "RESOURCE", default_value = "*")]
    resource: String,
    /// Ask about another principal; requires graywave:policies:list
    #[arg(long = "as", value_name = "PRINCIPAL")]
    principal: Option<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Fields of the request as this command names them.
const FLAGS: &Overrides =
    &[("principal", "--as"), ("checks[0].actions[0]", "ACTION"), ("checks[0].resource", "RESOURCE")];

pub(super) async fn can_i(arguments: CanIArgs) -> Result<ExitStatus, Error> {
    let (session, mut console) = arguments.common.open().await?;
    let is_one = arguments.action.is_some();
    let check = AccessCheck { resource: arguments.resource, actions: arguments.action.into_iter().collect() };
    let request =
        CheckAccessRequest { principal: arguments.principal.unwrap_or_default(), checks: vec![check] };
    let answer = session.access().check_access(request).await;
    let answer =
        answer.map_err(|status| Error::with_flags("cannot check the access", &status, FLAGS))?.into_inner();
    let is_denied = answer.results.iter().any(|result| !result.denied.is_empty());
    let names: Vec<&str> =
        answer.results.iter().flat_map(|result| &result.allowed).map(String::as_str).collect();
    console.show(&answer, &names.join("\n"), |palette, wide| text(&answer, is_one, palette, wide))?;
    Ok(if is_one && is_denied { ExitStatus::Failed } else { ExitStatus::Success })
}

const ACTIONS: &[Column] = &[Column::text("action"), Column::text("allowed"), Column::text("cause").wide()];

fn text(answer: &CheckAccessResponse, is_one: bool, palette: Palette, wide: bool) -> String {
    if is_one {
        let denial = answer.results.iter().flat_map(|result| &result.denied).next();
        return denial.map_or_else(
            || "yes\n".to_owned(),
            |denial| format!("no: {}\n", sanitize_line(&denial.message)),
        );
    }
    let allowed = answer.results.iter().flat_map(|result| &result.allowed);
    let denied = answer.results.iter().flat_map(|result| &result.denied);
    let rows = allowed
        .map(|action| row(action, cell("yes").tone(Tone::Good), ""))
        .chain(denied.map(|denial| row(&denial.action, cell("no"), &denial.message)));
    table(ACTIONS, rows, wide, palette)
}

fn row(action: &str, allowed: Cell, cause: &str) -> Vec<Cell> {
    vec![cell(action), allowed, cell(cause)]
}

#[cfg(test)]
mod tests {
    use proto::admin::{AccessDenial, AccessResult};

    use super::*;

    fn answer(allowed: &[&str], denied: &[&str]) -> CheckAccessResponse {
        let denial = |action: &&str| AccessDenial {
            action: (*action).to_owned(),
            reason: "NO_POLICY_ALLOWS".to_owned(),
            message: format!("no policy allows {action} on task:1"),
        };
        let result = AccessResult {
            resource: "task:1".to_owned(),
            allowed: allowed.iter().map(ToString::to_string).collect(),
            denied: denied.iter().map(denial).collect(),
        };
        CheckAccessResponse { principal: "alice".to_owned(), policies: Vec::new(), results: vec![result] }
    }

    #[test]
    fn one_action_is_answered_in_one_line() {
        let plain = Palette::default();
        assert_eq!(text(&answer(&["a"], &[]), true, plain, false), "yes\n");
        assert_eq!(text(&answer(&[], &["a"]), true, plain, false), "no: no policy allows a on task:1\n");
    }

    #[test]
    fn every_action_is_listed_without_one() {
        let shown = text(&answer(&["graywave:a"], &["graywave:b"]), false, Palette::default(), true);
        assert!(shown.contains("graywave:a") && shown.contains("no policy allows graywave:b"), "{shown}");
    }
}
