//! Who may call: principals, policies, tokens and access keys of the caller's project; and who may become a desktop. The rules are
//! those of the commands `graywave principals|policies|tokens|keys|enrolment-tokens`.

pub(crate) mod enrolment_tokens;
pub(crate) mod keys;
pub(crate) mod policies;
pub(crate) mod principals;
pub(crate) mod tokens;

use axum::{
    Json,
    http::{
        HeaderName,
        header::{CACHE_CONTROL, HeaderValue},
    },
};
use control::CredentialRow;
use domain::{Error, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::time;
use crate::extract::query;

/// Whom a new credential is for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCredential {
    /// Who is meant by it: a principal of the project.
    #[schema(min_length = 1, max_length = 128)]
    principal: String,
    /// Until when it is good, later than now; until it is revoked when it is left out.
    #[schema(format = DateTime)]
    expire_time: Option<String>,
}

impl NewCredential {
    fn terms(self) -> Result<(String, Option<Timestamp>), Error> {
        Ok((self.principal, query::time("expire_time", self.expire_time)?))
    }
}

/// Whom a credential is for, and its times.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidityPeriod {
    principal: String,
    #[schema(format = DateTime)]
    create_time: String,
    /// Until when it is good.
    #[schema(format = DateTime)]
    expire_time: Option<String>,
    /// Since when it is not.
    #[schema(format = DateTime)]
    revoke_time: Option<String>,
}

impl ValidityPeriod {
    fn of(row: &CredentialRow) -> Self {
        Self {
            principal: row.principal.clone(),
            create_time: time(row.created_at),
            expire_time: row.expires_at.map(time),
            revoke_time: row.revoked_at.map(time),
        }
    }
}

/// An answer that holds a secret, which nobody on its way may keep.
type Secret<T> = ([(HeaderName, HeaderValue); 1], Json<T>);

fn secret<T>(answer: T) -> Secret<T> {
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(answer))
}
