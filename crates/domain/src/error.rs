//! The one error of the rules and use cases, free of any transport.
//!
//! What the client may read and what the log gets are two fields: adapters map [`ErrorKind`] to a status and
//! show `message`; `source` never leaves the process.

use std::time::Duration;

/// Characters of an error message that a client reads: the limit of the published schema.
pub const MAX_ERROR_MESSAGE_CHARS: usize = 1_000;

/// What kind of failure it is, in the client's terms. Each adapter maps it in one exhaustive match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request breaks a documented rule; repeating it cannot help.
    Invalid,
    /// No credential, or one that is not known.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// No such thing in this project.
    NotFound,
    /// It contradicts the present state.
    Conflict,
    /// Its idempotency key was used for another request.
    KeyReused,
    /// The caller asks too often; repeating it later helps.
    TooMany,
    /// Something that we need does not answer; repeating it later helps.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tests that compare the adapters' tables.
    pub const ALL: [Self; 9] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::KeyReused,
        Self::TooMany,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The code that clients are told, the same whatever they speak: `WKS.` and eight digits. Those that the published schema
    /// has are its examples; the others are our own.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "WKS.00211102",
            Self::Unauthenticated => "WKS.00211302",
            Self::Forbidden => "WKS.00081102",
            Self::NotFound => "WKS.00211902",
            Self::Conflict => "WKS.00211409",
            Self::KeyReused => "WKS.00211410",
            Self::TooMany => "WKS.00211429",
            Self::Internal => "WKS.00211401",
            Self::Unavailable => "WKS.00050902",
        }
    }

    /// Whether the same request may be good later.
    pub const fn helps_later(self) -> bool {
        matches!(self, Self::Unavailable | Self::TooMany)
    }
}

/// After which a client is asked to try again, where that helps and nothing better is known.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A failure that a client is told about.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind it is.
    pub kind: ErrorKind,
    /// For the client: what is wrong and what to do. Never holds a cause from inside.
    pub message: String,
    /// For the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure without an inner cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The request breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// No such thing in this project.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// What the client is told: as much of the message as one may have, since it may repeat what the client sent.
    pub fn told(&self) -> &str {
        let end = self.message.char_indices().nth(MAX_ERROR_MESSAGE_CHARS);
        end.and_then(|(end, _)| self.message.get(..end)).unwrap_or(&self.message)
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_has_an_end_between_two_characters() {
        let told = |characters: usize| Error::invalid("ü".repeat(characters)).told().chars().count();
        assert_eq!([0, 999, 1_000, 1_001, 50_000].map(told), [0, 999, 1_000, 1_000, 1_000]);
    }

    #[test]
    fn every_kind_has_a_code_of_its_own_in_the_published_form() {
        let codes: std::collections::HashSet<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        for code in codes {
            assert!(code.len() == 12 && code.starts_with("WKS."), "{code}");
            assert!(code.chars().skip(4).all(|c| c.is_ascii_digit()), "{code}");
        }
    }
}
