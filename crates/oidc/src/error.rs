//! Causes of a failed sign-in.

use std::error::Error as StdError;

/// Cause of a failed sign-in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The provider does not answer, or not in time.
    #[error("the identity provider does not answer")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// The provider refuses the code: it is expired, used, or of another client.
    #[error("the identity provider refuses the code: {0}")]
    CodeRefused(String),
    /// The ID token is expired or from the future, by more than the tolerance.
    #[error("the clocks of the identity provider and the database differ too much: {0}")]
    Clock(String),
    /// The ID token is not valid: signature, issuer, audience or nonce.
    #[error("the ID token is not valid: {0}")]
    TokenInvalid(String),
    /// The provider names a reference in place of the groups, because there are too many.
    #[error("the ID token has no groups, because the person has too many of them for a token")]
    GroupsOverage,
    /// The claim that identifies the person is the mail address, which is not verified.
    #[error("the mail address of the person is not verified")]
    EmailUnverified,
    /// A claim that the settings name is missing or has another form.
    #[error("the claim {0:?} is missing or is not a text")]
    ClaimMissing(String),
    /// The settings or the metadata of the provider are not usable.
    #[error("{0}")]
    NotUsable(String),
}

impl Error {
    pub(crate) fn unavailable(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }
}
