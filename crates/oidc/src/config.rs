//! Settings of one identity provider.

use std::{fmt, path::PathBuf};

use chrono::TimeDelta;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Settings of one identity provider.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Issuer, exactly as the provider names itself in its metadata.
    pub issuer: String,
    /// Id of the client that is registered at the provider.
    pub client_id: String,
    /// Secret of the client; `None` for a public client, which PKCE protects.
    pub client_secret: Option<Secret>,
    /// Scopes beside `openid`.
    pub scopes: Vec<String>,
    /// Claim with the groups of a person: a list of texts, or one text.
    pub groups_claim: String,
    /// Claim that identifies a person for ever; `sub` unless the provider's `sub` is unusable.
    pub subject_claim: String,
    /// Certificates of the CAs that sign the provider's certificate, in addition to none: they
    /// replace those of this machine. `None` for those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Difference between the clocks of the provider and the database that is accepted.
    pub clock_tolerance: TimeDelta,
}
