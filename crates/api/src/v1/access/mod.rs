//! Access control of the caller's project: principals, policies, tokens, access keys and enrolment
//! tokens. The commands `graywave principals|policies|tokens|keys|enrolment-tokens` follow the same
//! rules.

pub(crate) mod enrolment_tokens;
pub(crate) mod keys;
pub(crate) mod policies;
pub(crate) mod principals;
pub(crate) mod questions;
pub(crate) mod tokens;

use axum::{
    Json,
    http::{
        HeaderName,
        header::{CACHE_CONTROL, HeaderValue},
    },
};
use control::CredentialRow;
use domain::{Error, Timestamp, token_life::token_expiry};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{pagination, time};
use crate::extract::query;

/// Principal and lifetime of a new credential.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCredential {
    /// Principal of the project that the credential authenticates.
    #[schema(min_length = 1, max_length = 128)]
    principal: String,
    /// Time at which the credential expires; must be in the future. If omitted, it is valid until
    /// revoked.
    #[schema(format = DateTime)]
    expire_time: Option<String>,
}

impl NewCredential {
    fn terms(self) -> Result<(String, Option<Timestamp>), Error> {
        Ok((self.principal, query::time("expire_time", self.expire_time)?))
    }
}

/// Principal and lifetime of a new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// Principal of the project that the token authenticates.
    #[schema(min_length = 1, max_length = 128)]
    principal: String,
    /// Time at which the token expires; must be in the future. If omitted, it expires in 90 days.
    #[schema(format = DateTime)]
    expire_time: Option<String>,
    /// Keeps the token valid until revoked; excludes `expire_time`.
    #[serde(default)]
    never_expires: bool,
}

impl NewToken {
    fn terms(self, now: Timestamp) -> Result<(String, Option<Timestamp>), Error> {
        let expires_at = query::time("expire_time", self.expire_time)?;
        Ok((self.principal, token_expiry(expires_at, self.never_expires, now)?))
    }
}

/// Principal and times of a credential.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidityPeriod {
    principal: String,
    #[schema(format = DateTime)]
    create_time: String,
    /// Time at which the credential expires; `null` if it does not expire.
    #[schema(format = DateTime)]
    expire_time: Option<String>,
    /// Time of revocation; `null` while the credential is not revoked.
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

/// Response with a secret. The header `Cache-Control` forbids caches on the way to store it.
type Secret<T> = ([(HeaderName, HeaderValue); 1], Json<T>);

fn secret<T>(answer: T) -> Secret<T> {
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(answer))
}
