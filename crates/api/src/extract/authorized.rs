//! A call that the gate has let through.

use axum::{extract::FromRequestParts, http::request::Parts};
use control::{Caller, Control};
use domain::{Error, Reason};

use crate::error::ApiError;

/// The use cases, and who calls them. The gate puts the caller among the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Authorized {
    pub(crate) control: Control,
    pub(crate) caller: Caller,
}

impl FromRequestParts<Control> for Authorized {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Error::new(Reason::Internal, "no gate before this call"))?;
        Ok(Self { control: control.clone(), caller })
    }
}
