//! Extractor for an authorized request.

use axum::{extract::FromRequestParts, http::request::Parts};
use control::{Caller, Control};
use domain::{Error, Reason};

use crate::error::ApiError;

/// Use cases and caller. The gate stores the caller in the extensions of the request.
#[derive(Debug, Clone)]
pub(crate) struct Authorized {
    pub(crate) control: Control,
    pub(crate) caller: Caller,
}

impl FromRequestParts<Control> for Authorized {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller =
            caller.ok_or_else(|| Error::new(Reason::Internal, "the gate did not run before this handler"))?;
        Ok(Self { control: control.clone(), caller })
    }
}
