//! The caller of a use case.

use std::sync::Arc;

use domain::{
    Error,
    authz::{Action, Resource, Rights},
    ids::ProjectId,
    justification::Justification,
    limits,
};

/// Identity that a credential resolves to.
#[derive(Debug)]
pub struct Identity {
    /// Project of the principal.
    pub project_id: ProjectId,
    /// Name of the principal.
    pub principal: String,
    /// Credential in the form `token:ID`, `key:ACCESS_KEY`,
    /// `certificate:SERIAL` or `session:ID`.
    pub credential: String,
    /// Rights that the principal's policies grant.
    pub rights: Rights,
}

/// An idempotency key with the hash of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    text: String,
    request_sha256: [u8; 32],
}

impl Idempotency {
    /// Creates a key of 1 to 128 visible ASCII characters. `request_sha256` covers the request's
    /// method, path and body.
    pub fn new(text: &str, request_sha256: [u8; 32]) -> Result<Self, Error> {
        let fits = (1..=limits::MAX_IDEMPOTENCY_KEY_CHARS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            let message =
                format!("must have 1 to {} visible ASCII characters", limits::MAX_IDEMPOTENCY_KEY_CHARS);
            return Err(Error::invalid("idempotency_key", message));
        }
        Ok(Self { text: text.to_owned(), request_sha256 })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) const fn request_sha256(&self) -> &[u8; 32] {
        &self.request_sha256
    }
}

/// Identity, source and request id of a call. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Identity of the caller.
    pub identity: Arc<Identity>,
    /// Address and user agent, for the audit.
    pub source: String,
    /// Request id, for the audit.
    pub request_id: String,
    /// Idempotency key; `None` if repeats of the request are not deduplicated.
    pub idempotency: Option<Idempotency>,
    /// Reason and ticket of the change; empty if the caller gave none.
    pub justification: Justification,
}

impl Caller {
    /// Returns the project in which the caller acts.
    pub fn project_id(&self) -> &ProjectId {
        &self.identity.project_id
    }

    /// Returns the key of the caller's rate limit. All credentials of a principal share one.
    pub fn rate_bucket(&self) -> String {
        // The separator is unambiguous: neither ids nor names contain control characters.
        format!("{}\n{}", self.project_id(), self.identity.principal)
    }

    /// Checks that the caller may perform an action on at least some resource. For lists, and
    /// before any lookup.
    pub fn check_any(&self, action: Action) -> Result<(), Error> {
        self.identity.rights.check_any(action)
    }

    pub(crate) fn check<'a>(
        &self,
        action: Action,
        resources: impl IntoIterator<Item = Resource<'a>>,
    ) -> Result<(), Error> {
        self.identity.rights.check(action, resources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_has_bounds() {
        for good in ["a", "8e03978e-40d5-43e8-bc93-6894a57f9324", &"x".repeat(128)] {
            assert!(Idempotency::new(good, [0; 32]).is_ok(), "{good}");
        }
        for bad in ["", "a b", "schl\u{fc}ssel", "tab\t", &"x".repeat(129)] {
            assert!(Idempotency::new(bad, [0; 32]).is_err(), "{bad}");
        }
    }
}
