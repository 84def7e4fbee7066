//! The caller of a use case.

use std::sync::Arc;

use domain::{
    Error,
    authz::{Action, Resource, Rights},
    ids::ProjectId,
    limits,
};

/// Who a credential stands for.
#[derive(Debug)]
pub struct Identity {
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// The principal's name.
    pub principal: String,
    /// Which credential: `token:ID`, `key:ACCESS_KEY` or `certificate:SERIAL`.
    pub credential: String,
    /// What the principal's policies give.
    pub rights: Rights,
}

/// An idempotency key with the request that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    text: String,
    request_sha256: [u8; 32],
}

impl Idempotency {
    /// A key of 1 to 128 visible characters of ASCII, and the SHA-256 of the request's method, path and body.
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

/// Who calls, from where, under which request id. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub identity: Arc<Identity>,
    /// Address and user agent, for the audit.
    pub source: String,
    /// Of the request, for the audit.
    pub request_id: String,
    /// The request is to be done once, however often it comes.
    pub idempotency: Option<Idempotency>,
}

impl Caller {
    /// The project that the caller acts in.
    pub fn project_id(&self) -> &ProjectId {
        &self.identity.project_id
    }

    /// Under which its calls are counted: all that its principal makes are one.
    pub fn rate_bucket(&self) -> String {
        // No id and no name holds a control character.
        format!("{}\n{}", self.project_id(), self.identity.principal)
    }

    /// Whether the caller may do this at all; for lists, and before anything is looked up.
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
