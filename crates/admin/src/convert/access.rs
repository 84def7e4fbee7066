//! Conversions of the access service between proto and domain.

use control::{CredentialRow, PrincipalRow};
use domain::{
    Error, FieldPath,
    access_check::{AccessAnswer, AccessCheck},
    authz,
};
use proto::{
    admin::{self, AccessDenial, AccessResult, Key, Policy, Principal, Token},
    time,
};
use tonic::Status;

use crate::{
    page::{self, Name},
    status::failed,
};

pub(crate) fn principal(row: PrincipalRow) -> Principal {
    Principal { principal: row.principal, policies: row.policies, create_time: time(Some(row.created_at)) }
}

pub(crate) fn policy((name, policy): (String, authz::Policy)) -> Policy {
    Policy {
        ready: authz::READY_POLICIES.contains(&name.as_str()),
        name,
        document: serde_json::to_string(&policy).unwrap_or_default(),
    }
}

pub(crate) fn token(row: CredentialRow) -> Token {
    Token {
        token_id: row.id,
        principal: row.principal,
        create_time: time(Some(row.created_at)),
        expire_time: time(row.expires_at),
        revoke_time: time(row.revoked_at),
    }
}

pub(crate) fn key(row: CredentialRow) -> Key {
    Key {
        access_key: row.id,
        principal: row.principal,
        create_time: time(Some(row.created_at)),
        expire_time: time(row.expires_at),
        revoke_time: time(row.revoked_at),
    }
}

/// Reads a question. An error names its place in the request.
pub(crate) fn check(place: usize, given: admin::AccessCheck) -> Result<AccessCheck, Error> {
    let field = |index: usize| FieldPath::from("checks").index(place).name("actions").index(index);
    let actions = given.actions.iter().enumerate();
    let actions =
        actions.map(|(index, word)| word.parse().map_err(|error: Error| error.within(field(index))));
    Ok(AccessCheck { resource: given.resource, actions: actions.collect::<Result<_, _>>()? })
}

pub(crate) fn result(answer: AccessAnswer) -> AccessResult {
    let denied = answer.denied.into_iter().map(|denial| AccessDenial {
        action: denial.action.to_string(),
        reason: denial.reason.as_str().to_owned(),
        message: denial.message,
    });
    AccessResult {
        resource: answer.resource,
        allowed: answer.allowed.iter().map(ToString::to_string).collect(),
        denied: denied.collect(),
    }
}

/// Reads the page size and the last name of the previous page.
pub(crate) fn by_name(page_size: i32, page_token: &str) -> Result<(i64, Option<String>), Status> {
    let (size, after) = page::read::<Name>(page_size, page_token).map_err(failed)?;
    Ok((size, after.map(|name| name.0)))
}
