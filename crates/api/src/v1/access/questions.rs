//! Questions about rights: may the caller, or another principal, perform these actions?

use axum::Json;
use domain::{
    Error, FieldPath,
    access_check::{AccessAnswer, AccessCheck},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Body},
};

/// Questions about the rights of one principal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessQuestions {
    /// Principal of the project; the caller if omitted. Another principal needs the action
    /// `graywave:policies:list`.
    #[schema(min_length = 1, max_length = 128)]
    principal: Option<String>,
    /// At most 500 resources, and at most 10,000 pairs of resource and action.
    #[schema(min_items = 1, max_items = 500)]
    checks: Vec<NativeAccessCheck>,
}

/// Actions on one resource.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NativeAccessCheck {
    /// `task:ID`, `script:ID`, `desktop:ID`, `desktopPool:ID`, `user:NAME`, `command`, or `*` for
    /// the project. An id `*` stands for all resources of the kind.
    #[schema(example = "task:01990f0c2f3a7c9d8e5b6a7c8d9e0f1a")]
    resource: String,
    /// Actions, such as `graywave:tasks:pause`; every action if omitted or empty.
    #[serde(default)]
    actions: Vec<String>,
}

/// Answers in the order of the questions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccessAnswers {
    principal: String,
    /// Names of its policies.
    policies: Vec<String>,
    results: Vec<NativeAccessAnswer>,
}

/// Answer about one resource.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeAccessAnswer {
    resource: String,
    allowed: Vec<&'static str>,
    denied: Vec<NativeDenial>,
}

/// An action that the principal may not perform.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeDenial {
    action: &'static str,
    /// NO_POLICY_ALLOWS, POLICY_DENIES or FULL_ACCESS_REQUIRED.
    reason: &'static str,
    message: String,
}

impl From<AccessAnswer> for NativeAccessAnswer {
    fn from(answer: AccessAnswer) -> Self {
        let denied = answer.denied.into_iter().map(|denial| NativeDenial {
            action: denial.action.as_str(),
            reason: denial.reason.as_str(),
            message: denial.message,
        });
        Self {
            resource: answer.resource,
            allowed: answer.allowed.into_iter().map(|action| action.as_str()).collect(),
            denied: denied.collect(),
        }
    }
}

fn check(place: usize, given: NativeAccessCheck) -> Result<AccessCheck, Error> {
    let field = |index: usize| FieldPath::from("checks").index(place).name("actions").index(index);
    let actions = given.actions.iter().enumerate();
    let actions =
        actions.map(|(index, word)| word.parse().map_err(|error: Error| error.within(field(index))));
    Ok(AccessCheck { resource: given.resource, actions: actions.collect::<Result<_, _>>()? })
}

/// Ask which actions the caller, or another principal, may perform on resources.
///
/// Answers from the policies alone: a resource need not exist. A caller may always ask about
/// itself.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/access/allowed", operation_id = "CheckAccess", tag = "native",
    params(Project), request_body = AccessQuestions,
    responses((status = 200, description = "Answers in the order of the questions.", body = AccessAnswers)),
)]
pub(crate) async fn check_access(
    Authorized { control, caller }: Authorized,
    Body(questions): Body<AccessQuestions>,
) -> Result<Json<AccessAnswers>, ApiError> {
    let checks = questions.checks.into_iter().enumerate().map(|(place, given)| check(place, given));
    let checks = checks.collect::<Result<Vec<_>, _>>()?;
    let found = control.check_access(&caller, questions.principal.as_deref(), &checks).await?;
    Ok(Json(AccessAnswers {
        principal: found.principal,
        policies: found.policies,
        results: found.answers.into_iter().map(NativeAccessAnswer::from).collect(),
    }))
}
